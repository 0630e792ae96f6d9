//! `printgate discover`: one look around for printers, as the gateway would find them, without one.
//!
//! Sources: mDNS (unless `--no-mdns`), networks swept over SNMP (`--sweep`, `--connected`), places named (`--list`), and
//! what a configuration names (`--config`). What is found is asked over IPP and SNMP who it is (unless `--no-probe`), never
//! over a print port. The same code as the gateway's decides who is who, so the ids are those that a new gateway gives.
//!
//! On a terminal a bar with an estimate and what is found so far go to standard error; the table comes at the end, on
//! standard output. Ctrl-C ends the search and shows what was found.
//!
//! A listed IPP printer that does not answer is one all the same, as a gateway takes it in and waits for it: it is shown
//! with `no answer`, under the id that it would get, and told on standard error.
//!
//! Exit codes: 0 done (found or not, answered or not), 1 failed (stopped before its end; mDNS failed, there was no other
//! source, and nothing was found; a gateway asked for with `--new` does not answer), 2 usage, or none of the SNMP logins
//! that it needs can be used.
//!
//! With `--json`, one object on standard output:
//!
//! ```text
//! {"complete": true,                    false after Ctrl-C, with exit code 1
//!  "printers": [{
//!    "id": "hp-7k2m9q4xwp" | null,      the id that a new gateway gives it; null with --no-probe
//!    "name", "maker", "make", "model", "serial", "uuid", "macs": […], "location", "host", "address", "addresses": […],
//!    "standing": "adopted" | "pending", "evidence": "serial" | "uuid" | "mac" | "name",   what its id is made of
//!    "sources": ["mdns", "list", "snmp", "ipp"],                                            who told of it, and answered
//!    "answered": true | false | null,   null: not asked, or there is no other way to it than AppSocket and LPD
//!    "uri": "ipps://…", "formats": […],
//!    "endpoints": [{"kind", "uri", "addresses", "port", "priority"}]}],
//!  "duplicates": [{"a", "b", "because", "value"}],   pairs that may be one
//!  "silent": [{"place", "why"}],      entries of a list that gave no printer, or one that does not answer
//!  "leftOut": [{"what", "why"}],      with --all: what is no printer to be taken, by name or address, the first few hundred
//!  "ignored": {"a queue shared by a computer": 2},   with --all: how many announcements, by reason
//!  "datagrams": {"no SNMP answer": 1}}               with --all: what came during a sweep and answered nothing
//! ```

mod shown;
mod terminal;

use super::Exit;
use super::table::plain;
use crate::app::look::{self, LookOptions, LookProgress, Looked};
use crate::config::{self, Config};
use crate::console::api;
use crate::discovery::sweep;
use crate::domain::net::Network;
use serde_json::{Value, json};
use shown::Shown;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Largest list of places that is read, octets.
const LIST_BYTES: u64 = 1 << 20;

/// Arguments of `printgate discover`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// How long to listen to mDNS, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Listen to mDNS: the default.
    #[arg(long, overrides_with = "no_mdns")]
    mdns: bool,
    /// Do not listen to mDNS.
    #[arg(long, overrides_with = "mdns")]
    no_mdns: bool,
    /// Ask every address of a network over SNMP; may be given several times.
    #[arg(long, value_name = "NETWORK", num_args = 1..)]
    sweep: Vec<Network>,
    /// Ask every address of the directly connected networks over SNMP.
    #[arg(long)]
    connected: bool,
    /// A printer's URI, address or host name, or a file with one on each line; may be given several times.
    #[arg(long, value_name = "FILE|URI", num_args = 1..)]
    list: Vec<String>,
    /// Sources, networks, logins and rules of a gateway's configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only listen: nobody is asked who it is, and no ids are known.
    #[arg(long, conflicts_with_all = ["sweep", "connected"])]
    no_probe: bool,
    /// Printers of this maker only (part of its name).
    #[arg(long, value_name = "TEXT")]
    maker: Option<String>,
    /// Printers of this model only (part of its name).
    #[arg(long, value_name = "TEXT")]
    model: Option<String>,
    /// Printers at this address or in this network only.
    #[arg(long, value_name = "ADDRESS|NETWORK", value_parser = network)]
    address: Vec<Network>,
    /// Only printers that the gateway running here does not know, neither in use nor ignored nor retired.
    #[arg(long)]
    new: bool,
    /// Show what is no printer to be taken too.
    #[arg(long)]
    all: bool,
    /// SNMP community; may be given several times. Without one and without a user: public.
    #[arg(long, value_name = "NAME")]
    community: Vec<String>,
    /// SNMPv3 user.
    #[arg(long, value_name = "NAME")]
    snmp_user: Option<String>,
    /// The user's authentication: the protocol (SHA256, …) and a file that holds the password.
    #[arg(long, value_name = "PROTOCOL:FILE", requires = "snmp_user")]
    snmp_auth: Option<String>,
    /// The user's privacy: the protocol (AES128, …) and a file that holds the password.
    #[arg(long, value_name = "PROTOCOL:FILE", requires = "snmp_auth")]
    snmp_privacy: Option<String>,
    /// Look on loopback interfaces too: simulated printers, printers on USB.
    #[arg(long)]
    loopback: bool,
    /// Work directory of the gateway that --new asks.
    #[arg(long, value_name = "DIR", requires = "new")]
    work_dir: Option<PathBuf>,
    /// The UDP port of multicast DNS.
    #[arg(long, value_name = "PORT", hide = true)]
    mdns_port: Option<u16>,
    /// The UDP port of SNMP agents.
    #[arg(long, value_name = "PORT", hide = true)]
    snmp_port: Option<u16>,
}

fn network(text: &str) -> Result<Network, String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Network::new(address, if address.is_ipv4() { 32 } else { 128 }).map_err(|e| e.to_string()),
        Err(_) => text.parse::<Network>().map_err(|e| e.to_string()),
    }
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    super::start_logging("error,async_snmp=off", false);
    let config = match configuration(&args) {
        Ok(config) => config,
        Err(problems) => {
            for problem in &problems {
                eprintln!("printgate discover: {}{}", plain(problem), on_the_command_line(problem));
            }
            return Ok(Exit::Usage);
        }
    };
    // Named here, or needed: without one no network is swept, and that it found nothing would say nothing.
    if !args.no_probe && (config.sweep.is_wanted() || args.snmp_user.is_some()) {
        let unusable = look::unusable_logins(&config).await;
        if !unusable.is_empty() {
            for why in &unusable {
                eprintln!("printgate discover: {}", plain(why));
            }
            eprintln!(
                "printgate discover: none of the SNMP logins can be used: put that right, or name another one with \
                 --community or --snmp-user"
            );
            return Ok(Exit::Usage);
        }
    }
    let known = match args.new {
        true => match known(&args).await {
            Ok(known) => known,
            Err(error) => {
                eprintln!("printgate: {error}");
                return Ok(Exit::Failed);
            }
        },
        false => Known::default(),
    };
    if !config.mdns && config.printer_list.is_empty() && !config.sweep.is_wanted() {
        eprintln!(
            "printgate discover: nothing to look at: with --no-mdns name --sweep, --connected, --list or --config"
        );
        return Ok(Exit::Usage);
    }
    let only_mdns = config.printer_list.is_empty() && !config.sweep.is_wanted();
    let options = LookOptions { config, listen: Duration::from_secs(args.timeout), probe: !args.no_probe };
    let mut looked = search(options).await;
    let in_vain = only_mdns && looked.printers.is_empty();
    if let Some(trouble) = mdns_trouble(&looked.mdns_failed, in_vain)? {
        eprintln!("printgate discover: {trouble}");
    }
    if let Some(trouble) = &looked.sweep_trouble {
        eprintln!("printgate discover: {trouble}");
    }
    if let Some(count) = looked.datagrams.get(sweep::UNSENT) {
        eprintln!(
            "printgate discover: {count} questions of the sweep could not be sent: is there a route to the network?"
        );
    }
    for (place, why) in &looked.silent {
        eprintln!("printgate discover: nothing found at {}: {}", plain(place), plain(why));
    }
    let found = std::mem::take(&mut looked.printers).into_iter();
    let mut printers: Vec<Shown> = found.map(|found| Shown::of(&found, !args.no_probe)).collect();
    printers.retain(|printer| wanted(printer, &args) && !known.knows(printer));
    printers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let text =
        if args.json { shown::json(&printers, &looked, args.all)? } else { shown::table(&printers, &looked, args.all) };
    super::print(&text)?;
    Ok(if looked.complete { Exit::Done } else { Exit::Failed })
}

/// What to say of mDNS that failed; an error where nothing else was looked at and nothing was found.
fn mdns_trouble(failed: &Option<String>, in_vain: bool) -> anyhow::Result<Option<String>> {
    match failed {
        Some(reason) if in_vain => anyhow::bail!("cannot look for printers: mDNS does not run: {reason}"),
        Some(reason) => Ok(Some(format!("mDNS does not run, there may be more printers: {reason}"))),
        None => Ok(None),
    }
}

/// What to do about an error of a key that has no option, or whose option is not called so.
fn on_the_command_line(problem: &str) -> &'static str {
    if problem.contains("maxAddresses") {
        "; here: --sweep smaller networks, or --config FILE with {\"discovery\": {\"sweep\": {\"maxAddresses\": …}}}"
    } else if problem.contains("discovery.loopback") {
        "; here: --loopback"
    } else {
        ""
    }
}

/// Looks, and tells on a terminal how far it is.
async fn search(options: LookOptions) -> Looked {
    let (sender, progress) = watch::channel(LookProgress::default());
    let stop = CancellationToken::new();
    let told = std::io::stderr().is_terminal().then(|| tokio::spawn(terminal::tell(progress)));
    let asked = stop.clone();
    let interrupted = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            asked.cancel();
        }
    });
    let looked = look::look(options, sender, stop).await;
    interrupted.abort();
    if let Some(told) = told {
        // Ends with the search: it takes the bar off the terminal.
        let _ = told.await;
    }
    looked
}

fn wanted(printer: &Shown, args: &Args) -> bool {
    let holds = |text: &Option<String>, part: &Option<String>| {
        let part = part.as_ref().map(|part| part.to_lowercase());
        part.is_none_or(|part| text.as_ref().is_some_and(|text| text.to_lowercase().contains(&part)))
    };
    let makers = holds(&printer.maker, &args.maker) || holds(&printer.make, &args.maker);
    let here = |network: &Network| printer.addresses.iter().any(|address| network.contains(*address));
    makers && holds(&printer.model, &args.model) && (args.address.is_empty() || args.address.iter().any(here))
}

/// The configuration that a gateway with the same sources would have, or what is wrong with the arguments.
fn configuration(args: &Args) -> Result<Config, Vec<String>> {
    let mut value = match &args.config {
        None => json!({}),
        Some(file) => {
            let text =
                std::fs::read_to_string(file).map_err(|e| vec![format!("cannot read {}: {e}", file.display())])?;
            serde_json::from_str(&text).map_err(|e| vec![format!("{} is not JSON: {e}", file.display())])?
        }
    };
    let mut problems = Vec::new();
    if args.mdns || args.no_mdns {
        put(&mut value, "discovery", "mdns", json!(!args.no_mdns));
    }
    if args.loopback {
        put(&mut value, "discovery", "loopback", json!(true));
    }
    if let Some(port) = args.mdns_port {
        put(&mut value, "discovery", "mdnsPort", json!(port));
    }
    if let Some(port) = args.snmp_port {
        put(&mut value, "snmp", "port", json!(port));
    }
    if !args.community.is_empty() || args.snmp_user.is_some() {
        put(&mut value, "snmp", "communities", json!(args.community));
    }
    if let Some(user) = &args.snmp_user {
        put(&mut value, "snmp", "users", json!([snmp_user(user, args, &mut problems)]));
    }
    if args.connected {
        sweep(&mut value, "connected", json!(true));
    }
    if !args.sweep.is_empty() {
        sweep(&mut value, "networks", args.sweep.iter().map(ToString::to_string).collect());
    }
    let mut places = Vec::new();
    for place in &args.list {
        match listed(place) {
            Ok(more) => places.extend(more),
            Err(problem) => problems.push(problem),
        }
    }
    add(&mut value, "printers", "list", places.into_iter().map(Value::from).collect());
    let checked = config::check(&value);
    match checked.config {
        Ok(config) if problems.is_empty() => Ok(config),
        Ok(_) => Err(problems),
        Err(errors) => Err(problems.into_iter().chain(errors.iter().map(ToString::to_string)).collect()),
    }
}

/// An SNMPv3 user in the configuration's form.
fn snmp_user(name: &str, args: &Args, problems: &mut Vec<String>) -> Value {
    let mut user = json!({ "name": name });
    for (option, given, key, password) in [
        ("--snmp-auth", &args.snmp_auth, "auth", "authPassword"),
        ("--snmp-privacy", &args.snmp_privacy, "privacy", "privacyPassword"),
    ] {
        let Some(given) = given else { continue };
        let Some((protocol, file)) = given.split_once(':') else {
            problems.push(format!("{option} takes a protocol and a file: SHA256:/etc/printgate/password"));
            continue;
        };
        let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
        user[key] = json!(protocol);
        user[password] = json!({ "secret": format!("file:{}", file.display()) });
    }
    user
}

/// One place, or those that a file holds: one on each line, `#` begins a comment.
fn listed(place: &str) -> Result<Vec<String>, String> {
    let path = Path::new(place);
    if !path.exists() && looks_like_a_file(place) {
        return Err(format!("--list {place}: there is no such file"));
    }
    if !path.is_file() {
        return Ok(vec![place.to_owned()]);
    }
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size > LIST_BYTES {
        return Err(format!("{place} has {size} octets; a list has at most {LIST_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {place}: {error}"))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// A path or a name with the extension of a list: nothing that could be a host.
fn looks_like_a_file(place: &str) -> bool {
    let extension = Path::new(place).extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let lists = ["txt", "csv", "list", "lst", "conf", "cfg", "json", "tsv"];
    !place.contains("://") && (place.contains('/') || lists.contains(&extension.as_str()))
}

fn put(value: &mut Value, section: &str, key: &str, inner: Value) {
    if let Value::Object(root) = value
        && let Value::Object(section) = root.entry(section).or_insert_with(|| json!({}))
    {
        section.insert(key.to_owned(), inner);
    }
}

fn sweep(value: &mut Value, key: &str, inner: Value) {
    let mut section = value.pointer("/discovery/sweep").cloned().unwrap_or_else(|| json!({}));
    // What is no object is told as an error of the configuration.
    if let Value::Object(fields) = &mut section {
        fields.insert(key.to_owned(), inner);
    }
    put(value, "discovery", "sweep", section);
}

fn add(value: &mut Value, section: &str, key: &str, more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    if let Value::Object(root) = value
        && let Value::Object(section) = root.entry(section).or_insert_with(|| json!({}))
        && let Value::Array(all) = section.entry(key).or_insert_with(|| json!([]))
    {
        all.extend(more);
    }
}

/// Printers that a gateway knows; those that it is told to leave alone also by what was seen of them.
#[derive(Debug, Default)]
struct Known {
    ids: BTreeSet<String>,
    serials: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Known {
    fn knows(&self, printer: &Shown) -> bool {
        self.ids.contains(printer.id.as_deref().unwrap_or_default())
            || printer.serial.as_ref().is_some_and(|serial| self.serials.contains(serial))
            || printer.addresses.iter().any(|address| self.addresses.contains(address))
    }
}

/// The ids that the gateway running here knows, also of printers that it is told to leave alone.
async fn known(args: &Args) -> Result<Known, crate::console::client::ClientError> {
    #[derive(serde::Deserialize)]
    struct All {
        printers: Vec<api::Printer>,
    }
    let ask = super::ask::Ask::of(args.work_dir.clone());
    let all: All = ask.get("/v1/printers").await?;
    let away: api::AllPutAway = ask.get("/v1/put-away").await?;
    let known = all.printers.into_iter().flat_map(|printer| printer.aliases.into_iter().chain([printer.id]));
    let mut known = Known { ids: known.collect(), ..Known::default() };
    for one in away.put_away {
        known.ids.insert(one.id);
        match one.serial {
            Some(serial) => drop(known.serials.insert(serial)),
            // Nobody asked it who it is.
            None => known.addresses.extend(one.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok())),
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Text;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn configured(arguments: &[&str]) -> Result<Config, Vec<String>> {
        configuration(&Line::parse_from([&["discover"], arguments].concat()).args)
    }

    #[test]
    fn arguments_become_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("places");
        std::fs::write(&file, "# the old ones\n10.0.0.8\n\nsocket://10.0.0.9 # upstairs\n").unwrap();
        let config = configured(&[
            "--no-mdns",
            "--list",
            file.to_str().unwrap(),
            "--list",
            "lpd://old/q",
            "--community",
            "office",
            "--snmp-user",
            "monitor",
            "--snmp-auth",
            "SHA256:/etc/pw",
        ])
        .unwrap();
        assert!(!config.mdns);
        let hosts: Vec<&str> = config.printer_list.iter().map(|printer| printer.host.as_str()).collect();
        assert_eq!(hosts, ["10.0.0.8", "10.0.0.9", "old"]);
        assert!(matches!(&config.snmp.communities[..], [Text::Plain(name)] if name == "office"));
        assert_eq!(config.snmp.users[0].auth.as_ref().unwrap().0, "SHA256");
        assert!(configured(&[]).unwrap().mdns);
    }

    #[test]
    fn what_was_found_is_shown_though_mdns_broke_off() {
        let ended = Some("a subscription ended".to_owned());
        assert_eq!(mdns_trouble(&None, true).unwrap(), None);
        assert!(mdns_trouble(&ended, true).is_err());
        assert!(mdns_trouble(&ended, false).unwrap().unwrap().contains("a subscription ended"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = configured(&["--list", "http://x", "--snmp-user", "m", "--snmp-auth", "SHA256"]).unwrap_err();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("--snmp-auth") && told[1].starts_with("printers.list[0].uri"), "{told:?}");
        for missing in ["./places", "places.txt", "/tmp/nowhere/at.all"] {
            let told = configured(&["--list", missing]).unwrap_err();
            assert!(told[0].contains("no such file"), "{told:?}");
        }
        assert!(configured(&["--list", "printer.local"]).is_ok());
        assert_eq!(
            on_the_command_line(&configured(&["--sweep", "127.1.0.0/24"]).unwrap_err()[0]),
            "; here: --loopback"
        );
        assert!(on_the_command_line(&configured(&["--sweep", "10.0.0.0/15"]).unwrap_err()[0]).contains("--config"));
        assert!(configured(&["--config", "/nowhere"]).unwrap_err()[0].contains("/nowhere"));
        assert!(Line::try_parse_from(["discover", "--address", "10.0.0.0/99"]).is_err());
    }
}
