//! `printgate nucleus`

mod lab;

use super::Exit;
use crate::nucleus::{ComponentConfig, MAX_SECRET, Nucleus, NucleusConfig, Profile, Secret};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `printgate nucleus`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for the sockets `nucleus.sock` and `nucleus-control.sock`; made if it does not exist.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A secret for GetSecretValue, its value from a file; any number of them. Classic only.
    #[arg(long, value_name = "NAME=FILE", value_parser = name_and_file)]
    secret: Vec<(String, PathBuf)>,
    /// Play `interpolateComponentConfiguration`: replace {iot:thingName} all over the configuration. Classic only.
    #[arg(long)]
    interpolate: bool,
    /// Port of the embedded MQTT broker on 127.0.0.1; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    mqtt_port: u16,
    /// Use this MQTT broker (plain TCP, no credentials) instead of the embedded one.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port, conflicts_with = "mqtt_port")]
    broker: Option<(String, u16)>,
    /// Thing name of the core device.
    #[arg(long, value_name = "NAME", default_value = "gw1", value_parser = thing_name)]
    thing: String,
    /// Name of the component that may connect.
    #[arg(long, value_name = "NAME", default_value = "dev.printgate.PrintGateway")]
    component: String,
    /// The component's configuration, a JSON object. Without `accessControl` it may do everything.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    lab: lab::LabArgs,
    /// Print one JSON line when ready.
    #[arg(long)]
    json: bool,
}

/// Runs the command: serves until SIGINT or SIGTERM.
pub async fn run(mut args: Args) -> anyhow::Result<Exit> {
    super::start_logging("warn,printgate=info,mqtt5=error", args.json);
    let checked = lab::Prepared::new(args.lab.clone()).and_then(|lab| {
        // A component that is run has the recipe's name, and its configuration below what `--config` says.
        lab.component().map(str::to_owned).into_iter().for_each(|name| args.component = name);
        Ok((lab.configuration(configuration(&args)?), secrets(&args)?, lab))
    });
    let (config, secrets, lab) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            eprintln!("printgate nucleus: {error:#}");
            return Ok(Exit::Usage);
        }
    };
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make the directory {}", args.dir.display()))?;
    let dir = args.dir.canonicalize().with_context(|| format!("the directory {}", args.dir.display()))?;
    // Before anything is made, so that no signal finds it half done.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let component = ComponentConfig { name: args.component.clone(), version: env!("CARGO_PKG_VERSION").into(), config };
    let mut nucleus_config = NucleusConfig::new(dir.join("nucleus.sock"), &args.thing, component);
    nucleus_config.control_socket = Some(dir.join("nucleus-control.sock"));
    nucleus_config.mqtt_port = args.mqtt_port;
    nucleus_config.broker = args.broker.clone();
    nucleus_config.interpolate = args.interpolate;
    nucleus_config.secrets = secrets;
    lab.configure(&mut nucleus_config);
    let nucleus = Nucleus::start(nucleus_config).await?;
    lab.start(&nucleus, &dir)?;
    // A closed standard output is no reason to stop serving.
    let _ = announce(&nucleus, &args);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    nucleus.shutdown().await;
    Ok(Exit::Done)
}

/// The secrets, each from its file; a line's end at the end of a file is none of the secret.
fn secrets(args: &Args) -> anyhow::Result<Vec<Secret>> {
    use std::io::Read as _;
    let one = |(name, path): &(String, PathBuf)| {
        let failed = || format!("the secret {name}: cannot read {}", path.display());
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .with_context(failed)?
            .take(MAX_SECRET as u64 + 2)
            .read_to_end(&mut bytes)
            .with_context(failed)?;
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        Ok(Secret::from_bytes(name, bytes))
    };
    args.secret.iter().map(one).collect()
}

/// The component's configuration: the file's. Without `accessControl` every MQTT topic is allowed, every local topic,
/// and on classic every shadow and secret.
fn configuration(args: &Args) -> anyhow::Result<Value> {
    let mut config = match &args.config {
        None => json!({}),
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))?
        }
    };
    let Some(map) = config.as_object_mut() else { anyhow::bail!("the configuration is not a JSON object") };
    if args.lab.runs_component() {
        // The recipe says what it may do.
        return Ok(config);
    }
    map.entry("accessControl").or_insert_with(|| {
        let classic = ["aws.greengrass.ShadowManager", "aws.greengrass.SecretManager"];
        let classic = classic.into_iter().filter(|_| args.lab.profile == Profile::Classic);
        let services = ["aws.greengrass.ipc.mqttproxy", "aws.greengrass.ipc.pubsub"].into_iter().chain(classic);
        let policy = |service: &str| {
            let kind = service.rsplit('.').next().unwrap_or_default();
            let policy = json!({"policyDescription": "everything", "operations": ["*"], "resources": ["*"]});
            (service.to_owned(), json!({format!("{}:{kind}:1", args.component): policy}))
        };
        Value::Object(services.map(policy).collect())
    });
    Ok(config)
}

fn announce(nucleus: &Nucleus, args: &Args) -> std::io::Result<()> {
    let (host, port) = nucleus.mqtt_address();
    let environment = nucleus.env(&args.component).unwrap_or_default();
    let control = nucleus.control_socket().map(|path| path.display().to_string()).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    if args.json {
        let env: serde_json::Map<String, Value> =
            environment.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        let ready = json!({"event": "ready", "profile": args.lab.profile, "mqtt": {"host": host, "port": port}, "thing": args.thing,
            "component": args.component, "ipc": nucleus.ipc_socket(), "control": control, "env": env});
        writeln!(out, "{ready}")?;
    } else {
        let thing = &args.thing;
        let profile = args.lab.profile;
        writeln!(
            out,
            "# Stand-in Greengrass nucleus ({profile}) for {thing}; Ctrl-C ends it. A component connects with:"
        )?;
        for (key, value) in environment {
            writeln!(out, "export {key}='{}'", value.replace('\'', r"'\''"))?;
        }
        writeln!(out, "# The cloud is the MQTT broker at {host}:{port}:")?;
        writeln!(out, "#   mosquitto_sub -h {host} -p {port} -v -t 'printers/#' -t '$aws/things/+/shadow/#'")?;
        writeln!(out, "#   mosquitto_pub -h {host} -p {port} -t '$aws/things/{thing}/shadow/name/NAME/get' -n")?;
        writeln!(out, "# Cut and restore its link:")?;
        writeln!(out, "#   echo '{{\"link\":\"cut\"}}' | socat - UNIX-CONNECT:{control}")?;
        writeln!(out, "#   echo '{{\"link\":\"restore\"}}' | socat - UNIX-CONNECT:{control}")?;
    }
    out.flush()
}

fn name_and_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or("want NAME=FILE")?;
    Ok((name.to_owned(), file.into()))
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("want HOST:PORT")?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or("the port is 1 to 65535")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() { Err("the host is missing".into()) } else { Ok((host.to_owned(), port)) }
}

fn thing_name(text: &str) -> Result<String, String> {
    crate::domain::ids::GatewayName::new(text).map(String::from).map_err(|error| error.rule().to_owned())
}
