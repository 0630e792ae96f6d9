//! `printgate probe snmp://HOST[:PORT]`: what the SNMP agent of a printer says, and what is made of it.
//!
//! With `--json`, one object on standard output:
//!
//! ```text
//! {"address": "10.0.0.7:161",     what answered
//!  "login": "SNMPv2c",            version, and the user's name of SNMPv3
//!  "context": "Jetdirect" | null, where its Printer-MIB is, if not in the usual place
//!  "requests": 11,                datagrams sent, without retransmissions
//!  "observation": {…}}            crate::domain::state::Observation
//! {"error": "…", "attempts": []}  when nothing answered, or nothing that is a printer
//! ```

use super::{Exit, Failure, Row, observation_rows, print_json};
use crate::domain::state::Observation;
use crate::snmp::client::{Client, Login, Patience};
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    address: SocketAddr,
    login: String,
    context: Option<&'static str>,
    requests: u32,
    observation: Observation,
}

/// Asks the agent at `HOST[:PORT]`.
pub(super) async fn run(
    authority: &str,
    communities: Vec<String>,
    limit: Duration,
    json: bool,
) -> anyhow::Result<Exit> {
    let Some((host, port)) = super::host_and_port(authority.trim_end_matches('/'), 161) else {
        return refuse(json, "give snmp://host or snmp://host:port".to_owned(), Exit::Usage);
    };
    match tokio::time::timeout(limit, ask(&host, port, communities)).await {
        Ok(Ok(report)) if json => print_json(&report)?,
        Ok(Ok(report)) => super::super::print(&table(&report))?,
        Ok(Err(error)) => return refuse(json, error, Exit::Failed),
        Err(_) => return refuse(json, format!("{host}: no answer within {limit:?}"), Exit::Failed),
    }
    Ok(Exit::Done)
}

fn refuse(json: bool, error: String, exit: Exit) -> anyhow::Result<Exit> {
    if json {
        print_json(&Failure { error: error.clone(), attempts: vec![] })?;
    }
    eprintln!("printgate probe: {error}");
    Ok(exit)
}

async fn ask(host: &str, port: u16, communities: Vec<String>) -> Result<Report, String> {
    let addresses = super::look_up(host, port).await.map_err(|error| format!("{host} is not found: {error}"))?;
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    let address = SocketAddr::new(*address.ok_or_else(|| format!("{host} has no address"))?, port);
    let logins = communities.into_iter().map(Login::Community).collect();
    let client = Client::open(logins).await.map_err(|error| error.to_string())?;
    let (observation, how) = client.poll(address, Patience::Long).await.map_err(|error| error.to_string())?;
    Ok(Report { address, login: how.login, context: how.context, requests: how.requests, observation })
}

fn table(report: &Report) -> String {
    let mut row = Row::default();
    row.add("Agent", report.address.to_string());
    observation_rows(&report.observation, &mut row);
    let context = report.context.map(|context| format!(", context {context}")).unwrap_or_default();
    row.add("SNMP", format!("{}{context}, {} requests", report.login, report.requests));
    row.finish()
}
