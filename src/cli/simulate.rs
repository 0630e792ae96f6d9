//! `printgate simulate`: simulated printers until a signal comes.

use super::Exit;
use crate::simulate::{
    Fault, History, Interfaces, Mdns, Office, OfficeConfig, PrinterSpec, SimulateError, default_printers, profiles,
};
use anyhow::Context;
use serde_json::json;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `printgate simulate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many printers, of the profiles in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=250))]
    printers: u8,
    /// Where they print to.
    #[arg(long, default_value = "simulated-printers")]
    dir: PathBuf,
    /// Make all printers of one profile: office-colour, mono-laser or label.
    #[arg(long)]
    profile: Option<String>,
    /// Address of the first printer; the others follow.
    #[arg(long, default_value = "127.0.83.1")]
    address: Ipv4Addr,
    /// TCP port of every printer (631 needs privilege); 0 takes free ones.
    #[arg(long, default_value_t = 0)]
    port: u16,
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

fn named_fault(text: &str) -> Result<(String, Fault), String> {
    let (name, fault) = text.split_once('=').ok_or("write NAME=FAULT")?;
    let fault = fault.parse().map_err(|error| format!("{error}"))?;
    Ok((name.to_owned(), fault))
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    super::start_logging("warn,printgate=info", args.json);
    let mut end = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let printers = match printers(&args) {
        Ok(printers) => printers,
        Err(problem) => {
            eprintln!("printgate simulate: {problem}");
            return Ok(Exit::Usage);
        }
    };
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
    show(&office, &args);
    tokio::select! {
        _ = end.0.recv() => {}
        _ = end.1.recv() => {}
    }
    office.shutdown().await;
    Ok(Exit::Done)
}

fn printers(args: &Args) -> Result<Vec<PrinterSpec>, String> {
    let profile = match &args.profile {
        None => None,
        Some(key) => Some(profiles::profile(key).ok_or_else(|| {
            let known: Vec<&str> = profiles::PROFILES.iter().map(|profile| profile.key).collect();
            format!("no profile is called `{key}`: use {}", known.join(", "))
        })?),
    };
    let mut printers = default_printers(args.printers);
    for (spec, offset) in printers.iter_mut().zip(0..) {
        let address = u32::from(args.address).checked_add(offset).map(Ipv4Addr::from);
        spec.address = address.ok_or("the addresses do not fit behind --address")?.into();
        spec.profile = profile.unwrap_or(spec.profile);
        spec.port = args.port;
        spec.tls = args.tls;
        spec.history = args.history;
        spec.page_time = Duration::from_millis(args.page_time);
        spec.time_out = Duration::from_secs(args.time_out.into());
    }
    for (name, fault) in &args.fault {
        let spec = printers.iter_mut().find(|spec| spec.name == *name);
        let spec = spec.ok_or_else(|| SimulateError::NoSuchPrinter(name.clone()).to_string())?;
        spec.faults.push(fault.clone());
    }
    Ok(printers)
}

fn show(office: &Office, args: &Args) {
    let printers = office.printers();
    let control = office.control_socket();
    if args.json {
        println!("{}", json!({"event": "ready", "dir": args.dir, "control": control, "printers": printers}));
        return;
    }
    let rows: Vec<[String; 5]> = printers
        .into_iter()
        .map(|p| [p.name, p.uris.unwrap_or(p.uri), p.uuid, p.serial, p.files.display().to_string()])
        .collect();
    let head = ["NAME", "URI", "UUID", "SERIAL", "FILES"].map(str::to_owned);
    let width = |column: usize| {
        rows.iter().chain([&head]).filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in [&head].into_iter().chain(&rows) {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", line.join("  ").trim_end());
    }
    if let Some(control) = control {
        println!("\nFaults while it runs: JSON lines to {} (for example {})", control.display(), EXAMPLE);
    }
    println!("Stop with Ctrl-C.");
}

const EXAMPLE: &str = r#"{"do":"set-fault","printer":"Reception","fault":"out-of-paper"}"#;
