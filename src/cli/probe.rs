//! `printgate probe URI|ADDRESS`: asks one printer over IPP (or SNMP) who it is, how it is and what it can do.
//!
//! A URI (`ipp`, `ipps`, or `http`, `https` for the same) is asked as given. An address or host name, with or without a
//! port and a path, is tried with TLS and without, under the usual paths, until something answers IPP. Nothing but IPP is
//! spoken, no print port is connected, nothing is printed.
//!
//! `snmp://host[:port]` asks the SNMP agent there instead: see `probe/snmp.rs` for what it prints.
//!
//! Exit codes: 0 it answered, 1 it did not, 2 the argument makes no sense or names a print port.
//!
//! With `--json`, one object on standard output:
//!
//! ```text
//! {"uri": "ipp://…",              what answered
//!  "ippVersion": "2.0",           version spoken
//!  "status": "successful-ok",     IPP status
//!  "certificate": "ab…" | null,   SHA-256 of its TLS certificate
//!  "endpoints": [{"uri": "ipp://…", "security": "none" | "tls" | …, "authentication": "none" | …}],
//!  "observation": {…},            crate::domain::state::Observation
//!  "warnings": ["…"]}             what was malformed in the answer
//! {"error": "…", "attempts": [{"uri": "…", "error": "…"}]}     when nothing answered
//! ```

mod snmp;

use super::Exit;
use crate::domain::endpoint::{Endpoint, EndpointKind};
use crate::domain::net::is_print_port;
use crate::domain::state::{Level, Observation};
use crate::ipp::client::{Client, Error, Refusal, Response, Status, Target, Timeouts};
use crate::ipp::codec::Group;
use crate::ipp::decode;
use crate::ipp::request::Request;
use serde::Serialize;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// Arguments of `printgate probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The printer: ipp://host/ipp/print, or a host name or address, with or without port and path; or snmp://host.
    #[arg(value_name = "URI|ADDRESS")]
    printer: String,
    /// Seconds for everything: looking up the name and all attempts.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// For snmp://: the community; may be given several times.
    #[arg(long, default_value = "public")]
    community: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    super::start_logging("warn,async_snmp=off", false);
    let scheme = args.printer.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("snmp"));
    if let Some((_, authority)) = scheme {
        return snmp::run(authority, args.community, Duration::from_secs(args.timeout), args.json).await;
    }
    let candidates = match candidates(&args.printer) {
        Ok(candidates) => candidates,
        Err(usage) => {
            if args.json {
                print_json(&Failure { error: usage.clone(), attempts: vec![] })?;
            }
            eprintln!("printgate probe: {usage}");
            return Ok(Exit::Usage);
        }
    };
    match probe(candidates, Duration::from_secs(args.timeout)).await {
        Ok(report) if args.json => print_json(&report)?,
        Ok(report) => super::print(&table(&report))?,
        Err(failure) => {
            if args.json {
                print_json(&failure)?;
            }
            eprintln!("printgate probe: {}", failure.error);
            for attempt in &failure.attempts {
                eprintln!("  {}", attempt.error);
            }
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Done)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    uri: String,
    ipp_version: String,
    status: String,
    certificate: Option<String>,
    endpoints: Vec<Offered>,
    observation: Observation,
    warnings: Vec<String>,
}

/// One entry of `printer-uri-supported` with its parallel attributes (RFC 8011 §5.4.1–§5.4.3).
#[derive(Debug, Serialize)]
struct Offered {
    uri: String,
    security: Option<String>,
    authentication: Option<String>,
}

#[derive(Debug, Serialize)]
struct Failure {
    error: String,
    attempts: Vec<AttemptFailure>,
}

#[derive(Debug, Serialize)]
struct AttemptFailure {
    uri: String,
    error: String,
}

/// Paths under which printers speak IPP, most usual first.
/// Longest wait for the addresses of a name.
const LOOK_UP: Duration = Duration::from_secs(10);
const PATHS: [&str; 4] = ["/ipp/print", "/ipp", "/ipp/printer", "/"];

/// What to ask for beyond a poll.
const ENDPOINT_ATTRIBUTES: [&str; 3] =
    ["printer-uri-supported", "uri-security-supported", "uri-authentication-supported"];

/// The endpoints that `text` may mean, without addresses; or what is wrong with it.
fn candidates(text: &str) -> Result<Vec<Endpoint>, String> {
    let (kinds, rest): (&[EndpointKind], &str) = match text.split_once("://") {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "ipp" | "http" => (&[EndpointKind::Ipp], rest),
            "ipps" | "https" => (&[EndpointKind::Ipps], rest),
            other => return Err(format!("{other}:// is not asked anything; use ipp://, ipps:// or snmp://")),
        },
        None => (&[EndpointKind::Ipps, EndpointKind::Ipp], text),
    };
    let default_port = match text.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => 80,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => 443,
        _ => 631,
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (host, port) = host_and_port(authority, default_port).ok_or_else(|| {
        format!("{text:?} is no printer: give ipp://host/ipp/print, or a host name or address with or without a port")
    })?;
    if is_print_port(port) {
        return Err(format!(
            "port {port} prints whatever is sent to it, so it is never asked anything; IPP is port 631"
        ));
    }
    // A URI means its path, even an absent one.
    let paths: Vec<&str> = match (path, text.contains("://")) {
        ("", true) => vec!["/"],
        ("" | "/", false) => PATHS.to_vec(),
        (path, _) => vec![path],
    };
    let endpoint = |kind: EndpointKind, path: &str| Endpoint {
        kind,
        host: host.clone(),
        addresses: vec![],
        scope_id: 0,
        port,
        path: path.to_owned(),
    };
    Ok(kinds.iter().flat_map(|kind| paths.iter().map(|path| endpoint(*kind, path))).collect())
}

fn host_and_port(authority: &str, default_port: u16) -> Option<(String, u16)> {
    // A bare IPv6 address has colons of its own.
    if let Ok(v6) = authority.parse::<Ipv6Addr>() {
        return Some((v6.to_string(), default_port));
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, "")) => (v6.parse::<Ipv6Addr>().ok()?.to_string(), default_port),
        Some((v6, port)) => (v6.parse::<Ipv6Addr>().ok()?.to_string(), port.strip_prefix(':')?.parse().ok()?),
        None => match authority.split_once(':') {
            Some((host, port)) => (host.to_owned(), port.parse().ok()?),
            None => (authority.to_owned(), default_port),
        },
    };
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
    (is_name && port > 0).then_some((host, port))
}

async fn probe(candidates: Vec<Endpoint>, limit: Duration) -> Result<Report, Failure> {
    let deadline = Instant::now() + limit;
    let mut attempts: Vec<AttemptFailure> = Vec::new();
    let Some(first) = candidates.first() else {
        return Err(Failure { error: "nothing to ask".to_owned(), attempts });
    };
    let addresses = match tokio::time::timeout_at(deadline, look_up(&first.host, first.port)).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(Failure { error: format!("{} is not found: {error}", first.host), attempts }),
        Err(_) => return Err(Failure { error: format!("{} is not found within {limit:?}", first.host), attempts }),
    };
    let mut unreachable = None;
    for mut endpoint in candidates {
        // Where one path could not be connected, the others cannot either.
        if unreachable == Some(endpoint.kind) {
            continue;
        }
        endpoint.addresses = addresses.clone();
        let uri = endpoint.uri();
        match tokio::time::timeout_at(deadline, ask(&endpoint, deadline)).await {
            Ok(Ok(report)) => return Ok(report),
            Ok(Err(failed)) => {
                if failed.stop_kind {
                    unreachable = Some(endpoint.kind);
                }
                attempts.push(AttemptFailure { uri, error: failed.error });
            }
            Err(_) => {
                attempts.push(AttemptFailure { error: format!("{uri}: no answer within {limit:?}"), uri });
                break;
            }
        }
    }
    Err(Failure { error: "nothing answered IPP".to_owned(), attempts })
}

async fn look_up(host: &str, port: u16) -> std::io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host, port))).await;
    let found = found.map_err(|_| std::io::Error::other(format!("no answer within {} s", LOOK_UP.as_secs())))??;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    if addresses.is_empty() { Err(std::io::Error::other("the name has no address")) } else { Ok(addresses) }
}

/// Why one endpoint did not answer, and whether its protocol is out of the question at this port.
struct Failed {
    error: String,
    stop_kind: bool,
}

async fn ask(endpoint: &Endpoint, deadline: Instant) -> Result<Report, Failed> {
    let left = deadline.saturating_duration_since(Instant::now());
    let defaults = Timeouts::default();
    let timeouts =
        Timeouts { connect: defaults.connect.min(left), answer: defaults.answer.min(left), call: left, ..defaults };
    let client = Client::new(Target::from_endpoint(endpoint, None), timeouts);
    let requested: Vec<&str> = decode::ATTRIBUTES.iter().copied().chain(ENDPOINT_ATTRIBUTES).collect();
    let response = client.call(Request::get_printer_attributes(&requested, None)).await.map_err(|error| Failed {
        // A path that is not there leaves the others to try; anything else will not be better under another path.
        stop_kind: !matches!(
            error,
            Error::Http { refusal: Refusal::Path | Refusal::Other | Refusal::Redirect { .. }, .. }
        ),
        error: error.to_string(),
    })?;
    report(endpoint, &client, &response).ok_or_else(|| Failed {
        error: match response.status_message() {
            Some(message) => format!("{}: {} ({})", endpoint.uri(), response.status(), decode::clean(message)),
            None => format!("{}: {}", endpoint.uri(), response.status()),
        },
        stop_kind: !matches!(response.status(), Status::NOT_FOUND | Status::NOT_POSSIBLE | Status::BAD_REQUEST),
    })
}

fn report(endpoint: &Endpoint, client: &Client, response: &Response) -> Option<Report> {
    let printer = response.printer().filter(|_| response.is_success())?;
    Some(Report {
        uri: endpoint.uri(),
        ipp_version: client.version().to_string(),
        status: response.status().to_string(),
        certificate: client.fingerprint_seen().map(|fingerprint| fingerprint.to_string()),
        endpoints: offered(printer),
        observation: decode::observation(&response.message, jiff::Timestamp::now())?,
        warnings: response.warnings.iter().map(ToString::to_string).collect(),
    })
}

fn offered(printer: &Group) -> Vec<Offered> {
    let values = |name: &str| -> Vec<String> {
        printer.get(name).map(|attribute| attribute.texts().take(16).map(decode::clean).collect()).unwrap_or_default()
    };
    let (uris, security, authentication) =
        (values("printer-uri-supported"), values("uri-security-supported"), values("uri-authentication-supported"));
    // Parallel arrays of different lengths do not belong together.
    let at = |array: &[String], index: usize| array.get(index).filter(|_| array.len() == uris.len()).cloned();
    uris.iter()
        .enumerate()
        .map(|(index, uri)| Offered {
            uri: uri.clone(),
            security: at(&security, index),
            authentication: at(&authentication, index),
        })
        .collect()
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    super::print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Lines of a name and a value.
#[derive(Default)]
struct Row(String);

impl Row {
    fn add(&mut self, name: &str, value: String) {
        if !value.is_empty() {
            let _ = writeln!(self.0, "{name:<12}{value}");
        }
    }

    /// Without columns that ended empty.
    fn finish(self) -> String {
        self.0.lines().map(str::trim_end).fold(String::new(), |text, line| text + line + "\n")
    }
}

fn table(report: &Report) -> String {
    let mut row = Row::default();
    row.add("Printer", report.uri.clone());
    row.add("Certificate", report.certificate.clone().unwrap_or_default());
    observation_rows(&report.observation, &mut row);
    for (index, endpoint) in report.endpoints.iter().enumerate() {
        let name = if index == 0 { "Endpoints" } else { "" };
        let notes: Vec<_> = [&endpoint.security, &endpoint.authentication].into_iter().flatten().cloned().collect();
        row.add(name, format!("{}  {}", endpoint.uri, notes.join(", ")));
    }
    row.add("IPP", format!("{}, {}", report.ipp_version, report.status));
    for warning in &report.warnings {
        row.add("Malformed", warning.clone());
    }
    row.finish()
}

fn observation_rows(o: &Observation, row: &mut Row) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    row.add("Name", text(&o.name));
    row.add("Make", text(&o.evidence.make));
    row.add("Model", text(&o.evidence.model));
    row.add("Serial", text(&o.evidence.serial));
    row.add("UUID", text(&o.evidence.uuid));
    row.add("MAC", o.evidence.macs.join(", "));
    row.add("Location", text(&o.location));
    row.add("Firmware", text(&o.firmware));
    row.add("State", state(o));
    row.add("Message", text(&o.message));
    let counters =
        [(o.counters.impressions, "impressions"), (o.counters.pages, "pages"), (o.counters.media_sheets, "sheets")];
    let counted = counters.iter().filter_map(|(count, unit)| count.map(|count| format!("{count} {unit}")));
    row.add("Counted", counted.collect::<Vec<_>>().join(", "));
    for (index, supply) in o.supplies.iter().enumerate() {
        let name = if index == 0 { "Supplies" } else { "" };
        row.add(name, format!("{:<20}{:<9}{}", supply.key, level(supply.level), supply.description));
    }
    for (index, tray) in o.trays.iter().enumerate() {
        let name = if index == 0 { "Trays" } else { "" };
        row.add(name, format!("{:<20}{:<9}{}", tray.name, level(tray.level), text(&tray.media)));
    }
    row.add("Formats", o.capabilities.formats.join(", "));
}

fn state(o: &Observation) -> String {
    use crate::domain::state::PrinterStateEnum;
    let mut words = vec![match o.printer_state {
        Some(PrinterStateEnum::Idle) => "idle".to_owned(),
        Some(PrinterStateEnum::Processing) => "processing".to_owned(),
        Some(PrinterStateEnum::Stopped) => "stopped".to_owned(),
        None => "unknown".to_owned(),
    }];
    if o.accepting == Some(false) {
        words.push("not accepting jobs".to_owned());
    }
    words.extend(o.reasons.iter().cloned());
    words.join(", ")
}

fn level(level: Level) -> String {
    match level {
        Level::Known(percent) => format!("{percent} %"),
        Level::SomeRemaining => "some".to_owned(),
        Level::Unknown => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uris(text: &str) -> Vec<String> {
        candidates(text).unwrap().iter().map(Endpoint::uri).collect()
    }

    #[test]
    fn a_uri_is_asked_as_given_and_an_address_under_the_usual_paths() {
        assert_eq!(uris("ipp://p.local:8631/ipp/print"), ["ipp://p.local:8631/ipp/print"]);
        assert_eq!(uris("IPPS://p/x"), ["ipps://p/x"]);
        assert_eq!(uris("http://p/ipp"), ["ipp://p:80/ipp"]);
        assert_eq!(uris("ipp://p"), ["ipp://p/"]);
        let all = uris("10.0.0.7");
        assert_eq!(
            (all.len(), all[0].as_str(), all[4].as_str()),
            (8, "ipps://10.0.0.7/ipp/print", "ipp://10.0.0.7/ipp/print")
        );
        assert_eq!(uris("p:80/x"), ["ipps://p:80/x", "ipp://p:80/x"]);
        assert_eq!(uris("::1")[0], "ipps://[::1]/ipp/print");
        assert_eq!(uris("[fe80::1]:8631/")[0], "ipps://[fe80::1]:8631/ipp/print");
    }

    #[test]
    fn print_ports_and_nonsense_are_usage_errors() {
        for bad in
            ["10.0.0.7:9100", "ipp://p:515/x", "socket://p", "p:99999", "p:0", "", "a b", "[::1", "ipp:///x", "p:"]
        {
            assert!(candidates(bad).is_err(), "{bad}");
        }
    }
}
