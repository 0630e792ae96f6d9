//! `printgate simulate`: simulated printers until a signal comes; with `--control`, orders to those that run already.

use super::Exit;
use super::table::Table;
use crate::simulate::{
    BasicAuth, Fault, History, Interfaces, Mdns, Office, OfficeConfig, Order, PrinterSpec, Script, SimulateError,
    UnknownFault, ask, printers_of, profiles, snmp,
};
use anyhow::Context;
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Largest script, bytes.
const MAX_SCRIPT: u64 = 1024 * 1024;
/// File descriptors for everything but listening.
const SPARE_DESCRIPTORS: u64 = 500;

const ORDERS: &str = "\
Orders (on the socket, in a script, after --control DIR PRINTER):
  a fault                                set it; one of the same kind is replaced
  clear [KIND]                           clear the faults of a kind, or all
  power-off [keep-queue] [silent]        pull the plug; silent: without an mDNS goodbye
  power-on | sleep | wake
  move ADDRESS | swap PRINTER            another address
  replace-certificate [expired|not-yet-valid]

A script has lines like these; names with spaces stand in double quotes, times count from the start:
  at 10s Reception out-of-paper
  at 25s Reception clear out-of-paper
  at 1.5m \"Colour 2\" power-off keep-queue";

/// The orders, and the faults as their own grammar lists them.
fn help() -> String {
    let text = UnknownFault(String::new()).to_string();
    let list = text.split_once("use ").map_or("", |(_, list)| list).replace(" or ", ", ");
    let mut lines = vec![String::new()];
    for word in list.split(", ") {
        if lines.last().is_some_and(|line| line.len() + word.len() > 110) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if line.is_empty() { "  " } else { ", " });
            line.push_str(word);
        }
    }
    format!("{ORDERS}\n\nFaults:\n{}", lines.join(",\n"))
}

/// Arguments of `printgate simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = help())]
pub struct Args {
    /// How many printers, of the profiles in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=5000))]
    printers: u16,
    /// Where they print to.
    #[arg(long, default_value = "simulated-printers")]
    dir: PathBuf,
    /// Make all printers of one profile: office-colour, mono-laser, label, old-mono, inkjet, mfp or print-server.
    #[arg(long)]
    profile: Option<String>,
    /// Address of the first printer; the others follow.
    #[arg(long, default_value = "127.0.83.1")]
    address: Ipv4Addr,
    /// TCP port of every printer (631 needs privilege); 0 takes free ones.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// UDP port of every SNMP agent; 0 takes free ones, `none` leaves them out.
    #[arg(long, default_value = "0")]
    snmp_port: Port,
    /// TCP port of AppSocket, likewise; behind a print server the next ports follow.
    #[arg(long, default_value = "0")]
    appsocket_port: Port,
    /// TCP port of LPD, likewise.
    #[arg(long, default_value = "0")]
    lpd_port: Port,
    /// Ask for a user name and password where jobs are made: NAME=USER:PASSWORD; may be repeated.
    #[arg(long, value_name = "NAME=USER:PASSWORD", value_parser = named_auth)]
    auth: Vec<(String, BasicAuth)>,
    /// Ask for them for every operation.
    #[arg(long, requires = "auth")]
    auth_everything: bool,
    /// Carry out a script from the start.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Start nothing: send an order to a printer of the office that runs in this directory. Without an order, show its
    /// printers as JSON.
    #[arg(long, value_name = "DIR")]
    control: Option<PathBuf>,
    /// With --control: PRINTER and an order.
    #[arg(value_name = "PRINTER ORDER", requires = "control")]
    words: Vec<String>,
    /// Speak TLS as well (ipps), on the same port.
    #[arg(long)]
    tls: bool,
    /// Do not announce the printers.
    #[arg(long)]
    no_mdns: bool,
    /// UDP port of the announcements.
    #[arg(long, default_value_t = 5353)]
    mdns_port: u16,
    /// Announce on this interface instead of loopback only; may be repeated.
    #[arg(long)]
    interface: Vec<String>,
    /// Serve this recording of an SNMP agent (.snmprec), or every one in this directory, as a printer of its own; may be
    /// repeated.
    #[arg(long, value_name = "FILE")]
    snmprec: Vec<PathBuf>,
    /// Community that may read, instead of `public`; may be repeated.
    #[arg(long, value_name = "NAME")]
    snmp_community: Vec<String>,
    /// User of SNMP version 3, instead of those that are there without: NAME, NAME:AUTH:PASSWORD or
    /// NAME:AUTH:PASSWORD:PRIV:PASSWORD; may be repeated.
    #[arg(long, value_name = "USER")]
    snmp_user: Vec<snmp::User>,
    /// Set a fault from the start: NAME=FAULT, for example Reception=out-of-paper; may be repeated.
    #[arg(long, value_name = "NAME=FAULT", value_parser = named_fault)]
    fault: Vec<(String, Fault)>,
    /// How long finished jobs are remembered: keep, forget:SECONDS or none; as the profile says when not given.
    #[arg(long)]
    history: Option<History>,
    /// Milliseconds per page.
    #[arg(long, default_value_t = 500)]
    page_time: u64,
    /// `multiple-operation-time-out` in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    time_out: u32,
    /// What UUIDs and serial numbers are derived from.
    #[arg(long, default_value = "office")]
    seed: String,
    /// One line of JSON when ready.
    #[arg(long)]
    json: bool,
}

/// A port, or none.
#[derive(Debug, Clone, Copy)]
struct Port(Option<u16>);

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Port, String> {
        match text.parse() {
            Ok(port) => Ok(Port(Some(port))),
            Err(_) if text == "none" => Ok(Port(None)),
            Err(_) => Err("write a port, 0 or none".to_owned()),
        }
    }
}

impl Port {
    /// The port of the printer at this place behind its address.
    fn plus(self, place: u16) -> Option<u16> {
        self.0.map(|port| if port == 0 { 0 } else { port.saturating_add(place) })
    }
}

fn named_auth(text: &str) -> Result<(String, BasicAuth), String> {
    let (name, rest) = text.split_once('=').ok_or("write NAME=USER:PASSWORD")?;
    let (user, password) = rest.split_once(':').ok_or("write NAME=USER:PASSWORD")?;
    let auth = BasicAuth { user: user.to_owned(), password: password.to_owned(), everything: false };
    Ok((name.to_owned(), auth))
}

fn named_fault(text: &str) -> Result<(String, Fault), String> {
    let (name, fault) = text.split_once('=').ok_or("write NAME=FAULT")?;
    let fault = fault.parse().map_err(|error| format!("{error}"))?;
    Ok((name.to_owned(), fault))
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    super::start_logging("warn,printgate=info", args.json);
    if let Some(directory) = &args.control {
        return control(directory, &args.words).await;
    }
    let mut end = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let printers = match printers(&args) {
        Ok(printers) => printers,
        Err(problem) => {
            eprintln!("printgate simulate: {problem}");
            return Ok(Exit::Usage);
        }
    };
    let script = match args.script.as_deref().map(|file| script(file, &printers)).transpose() {
        Ok(script) => script,
        Err(problem) => {
            eprintln!("printgate simulate: {problem:#}");
            return Ok(Exit::Usage);
        }
    };
    let mut printers = printers;
    fit_descriptors(&mut printers);
    let interfaces =
        if args.interface.is_empty() { Interfaces::Loopback } else { Interfaces::Named(args.interface.clone()) };
    let config = OfficeConfig {
        printers,
        out_dir: args.dir.clone(),
        mdns: (!args.no_mdns).then_some(Mdns { interfaces, port: args.mdns_port }),
        seed: args.seed.clone(),
        control_socket: true,
    };
    let office = Office::start(config).await.context("cannot start the simulated printers")?;
    if let Some(script) = script {
        office.run_script(script);
    }
    show(&office, &args)?;
    tokio::select! {
        _ = end.0.recv() => {}
        _ = end.1.recv() => {}
    }
    office.shutdown().await;
    Ok(Exit::Done)
}

/// Sends an order to a running office.
async fn control(directory: &Path, words: &[String]) -> anyhow::Result<Exit> {
    let command = match words {
        [] => json!({"do": "printers"}),
        [_] => {
            eprintln!("printgate simulate: after --control DIR write PRINTER and an order");
            return Ok(Exit::Usage);
        }
        [printer, order @ ..] => match Order::from_words(order) {
            Ok(order) => json!({"do": "order", "printer": printer, "order": order.to_string()}),
            Err(error) => {
                eprintln!("printgate simulate: {error}");
                return Ok(Exit::Usage);
            }
        },
    };
    let answer = ask(directory, &command)
        .await
        .with_context(|| format!("no simulated printers answer in {}", directory.display()))?;
    super::print(&format!("{answer}\n"))?;
    match answer.get("error").and_then(|error| error.as_str()) {
        None => Ok(Exit::Done),
        Some(error) => {
            eprintln!("printgate simulate: {error}");
            Ok(Exit::Failed)
        }
    }
}

fn script(file: &Path, printers: &[PrinterSpec]) -> anyhow::Result<Script> {
    let read = || -> std::io::Result<String> {
        let mut text = String::new();
        File::open(file)?.take(MAX_SCRIPT + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().with_context(|| format!("cannot read the script {}", file.display()))?;
    anyhow::ensure!(text.len() as u64 <= MAX_SCRIPT, "the script {} is larger than {MAX_SCRIPT} bytes", file.display());
    Script::parse(&text, printers).with_context(|| format!("the script {} is wrong", file.display()))
}

/// Takes as many file descriptors as the system grants, and when these do not do leaves out LPD and then AppSocket, but
/// for printers that have nothing else.
fn fit_descriptors(printers: &mut [PrinterSpec]) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = |printers: &[PrinterSpec]| {
        let sockets = |spec: &PrinterSpec| {
            let protocols = spec.profile.services;
            u64::from(protocols.ipp)
                + u64::from(protocols.snmp != profiles::Snmp::None && spec.snmp_port.is_some())
                + u64::from(protocols.appsocket && spec.appsocket_port.is_some())
                + u64::from(!protocols.lpd.is_empty() && spec.lpd_port.is_some())
        };
        printers.iter().map(sockets).sum::<u64>() + SPARE_DESCRIPTORS
    };
    for protocol in ["LPD", "AppSocket"] {
        if needed(printers) <= granted {
            return;
        }
        tracing::warn!(granted, "too few file descriptors for all printers: {protocol} is left out where there is IPP");
        for spec in printers.iter_mut().filter(|spec| spec.profile.services.ipp) {
            let port = if protocol == "LPD" { &mut spec.lpd_port } else { &mut spec.appsocket_port };
            *port = None;
        }
    }
}

fn printers(args: &Args) -> Result<Vec<PrinterSpec>, String> {
    let profile = match &args.profile {
        None => None,
        Some(key) => Some(profiles::profile(key).ok_or_else(|| {
            let known: Vec<&str> = profiles::PROFILES.iter().map(|profile| profile.key).collect();
            format!("no profile is called `{key}`: use {}", known.join(", "))
        })?),
    };
    if u32::from(args.address).checked_add(args.printers.into()).is_none() {
        return Err("the addresses do not fit behind --address".to_owned());
    }
    let mut printers = printers_of(args.printers, profile, args.address);
    let mut before = None;
    let mut place = 0;
    for spec in &mut printers {
        place = if spec.server.is_some() && spec.server == before { place + 1 } else { 0 };
        before.clone_from(&spec.server);
        spec.port = args.port;
        spec.snmp_port = args.snmp_port.0;
        spec.appsocket_port = args.appsocket_port.plus(place);
        spec.lpd_port = args.lpd_port.0;
        spec.tls = args.tls;
        spec.history = args.history;
        spec.page_time = Duration::from_millis(args.page_time);
        spec.time_out = Duration::from_secs(args.time_out.into());
    }
    // Behind the last address; printers behind one print server share theirs.
    let next = Ipv4Addr::from(u32::from(args.address).saturating_add(args.printers.into()));
    let mut recorded = snmp::recorded_printers(&args.snmprec, next).map_err(|error| error.to_string())?;
    recorded.iter_mut().for_each(|spec| spec.snmp_port = args.snmp_port.plus(0));
    printers.append(&mut recorded);
    let mut access = snmp::Access::default();
    if !args.snmp_community.is_empty() {
        access.communities.clone_from(&args.snmp_community);
    }
    if !args.snmp_user.is_empty() {
        access.users = args.snmp_user.clone().into();
    }
    for spec in &mut printers {
        spec.snmp_access = access.clone();
    }
    let missing = |name: &String| SimulateError::NoSuchPrinter(name.clone()).to_string();
    for (name, auth) in &args.auth {
        let spec = printers.iter_mut().find(|spec| spec.name == *name).ok_or_else(|| missing(name))?;
        spec.auth = Some(BasicAuth { everything: args.auth_everything, ..auth.clone() });
    }
    for (name, fault) in &args.fault {
        let spec = printers.iter_mut().find(|spec| spec.name == *name).ok_or_else(|| missing(name))?;
        spec.faults.push(fault.clone());
    }
    Ok(printers)
}

fn show(office: &Office, args: &Args) -> anyhow::Result<()> {
    let printers = office.printers();
    let control = office.control_socket();
    if args.json {
        let ready = json!({"event": "ready", "dir": args.dir, "control": control, "printers": printers});
        return super::print(&format!("{ready}\n"));
    }
    let mut table = Table::new(&["NAME", "URI", "UUID", "SERIAL", "FILES"]);
    for p in printers {
        table.row([p.name, p.uris.unwrap_or(p.uri), p.uuid, p.serial, p.files.display().to_string()]);
    }
    let mut text = table.render();
    if let Some(control) = control {
        let dir = args.dir.display();
        text += &format!("\nFaults while it runs: printgate simulate --control {dir} Reception out-of-paper\n");
        text += &format!("or JSON lines to {} (for example {EXAMPLE})\n", control.display());
    }
    text += "Stop with Ctrl-C.\n";
    super::print(&text)
}

const EXAMPLE: &str = r#"{"do":"set-fault","printer":"Reception","fault":"out-of-paper"}"#;
