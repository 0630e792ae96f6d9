//! The configuration: as deployed → valid by construction.
//!
//! The component configuration of a deployment and a file given with `--config` have the same form, one JSON object:
//!
//! ```json
//! {
//!   "discovery": { "mdns": true, "mdnsPort": 5353, "loopback": false,
//!                  "sweep": { "networks": ["10.20.0.0/16"], "connected": false, "everyHours": 6 } },
//!   "printers":  { "allowedNetworks": ["10.20.0.0/16"],
//!                  "list": [{ "uri": "socket://10.20.0.9", "name": "Old laser", "formats": ["application/vnd.hp-pcl"] }],
//!                  "credentials": [{ "printer": "10.20.0.7", "user": "gateway", "secret": "file:/etc/printgate/p.pw" }],
//!                  "adopt": "approve", "approved": ["serial:CN35T1M03Q", "10.20.3.0/24"], "ignore": ["10.20.0.66"],
//!                  "retired": ["hp-aaaaaaaaaa"], "pins": [{ "what": "10.20.0.9", "printer": "hp-7k2m9q4xwp" }],
//!                  "split": [{ "what": "10.20.0.8", "printer": "hp-7k2m9q4xwp" }],
//!                  "merge": [["hp-bbbbbbbbbb", "hp-cccccccccc"]], "names": { "hp-7k2m9q4xwp": "Laser, 2nd floor" } },
//!   "poll":      { "idleSeconds": 60, "busySeconds": 5 },
//!   "snmp":      { "enabled": true, "port": 161, "communities": ["public"], "users": [] },
//!   "documents": { "allowedHosts": ["*.amazonaws.com"], "allowedNetworks": [], "maxBytes": 268435456,
//!                  "timeoutSeconds": 900, "caFile": "/etc/ssl/office-ca.pem" },
//!   "spool":     { "maxBytes": 1073741824, "reserveBytes": 268435456 },
//!   "cloud":     { "window": 8, "messagesPerSecond": 40, "shadowRequestsPerSecond": 10, "shadowsInFlight": 4,
//!                  "topicRoot": "printers/{gateway}/{printer}", "shadows": "named", "thingName": "{printer}",
//!                  "deferUpdatesSeconds": 600 }
//! }
//! ```
//!
//! Every key may be left out. Numbers and booleans may be strings, because nucleus lite hands out every scalar as one.
//! All errors are found in one pass, each with its path. A key that is not known is a warning, so that a configuration
//! for a newer version still runs an older one. `accessControl` belongs to the nucleus and is skipped.

mod discovery;
mod printers;
mod rules;
mod snmp;

pub use discovery::SweepConfig;
pub use printers::{ListedPrinter, PrinterCredentials};
pub use snmp::{Snmp, SnmpUser, Text};

use crate::domain::naming::{Naming, Shadows, ThingName};
use crate::domain::net::{HostPattern, Network};
use crate::domain::registry::Rules;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;

/// A valid configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Browse for printers over mDNS.
    pub mdns: bool,
    /// UDP port of mDNS: 5353 everywhere but beside other simulated offices on one machine.
    pub mdns_port: u16,
    /// Take printers on loopback addresses too: for the demo and tests.
    pub loopback: bool,
    /// Take queues that computers share, over mDNS.
    pub accept_shares: bool,
    /// Take printers on the USB port of a computer, over mDNS.
    pub accept_usb: bool,
    /// Networks that are swept for SNMP agents.
    pub sweep: SweepConfig,
    /// Networks, besides the directly connected ones, in which printers are contacted.
    pub printer_networks: Vec<Network>,
    /// Printers named by hand.
    pub printer_list: Vec<ListedPrinter>,
    /// Who may use printers that ask.
    pub printer_credentials: Vec<PrinterCredentials>,
    /// What an administrator decided about printers.
    pub rules: Rules,
    /// Pause between two polls of an idle printer.
    pub poll_idle: Duration,
    /// Pause between two polls of a busy or troubled printer.
    pub poll_busy: Duration,
    /// Whether and as whom printers are asked over SNMP.
    pub snmp: Snmp,
    /// Hosts from which documents are fetched.
    pub document_hosts: Vec<HostPattern>,
    /// Networks of addresses that are not global, from which documents are fetched all the same.
    pub document_networks: Vec<Network>,
    /// Largest document, octets.
    pub document_max_bytes: u64,
    /// Longest fetch.
    pub document_timeout: Duration,
    /// More certificate roots for documents, a PEM file.
    pub document_ca_file: Option<PathBuf>,
    /// Octets of documents kept at once.
    pub spool_max_bytes: u64,
    /// Octets of disk left free.
    pub spool_reserve_bytes: u64,
    /// Messages on their way to the cloud at once.
    pub window: usize,
    /// Messages a second.
    pub messages_per_second: u32,
    /// Shadow updates a second.
    pub shadow_requests_per_second: u32,
    /// Shadow updates on their way at once.
    pub shadows_in_flight: usize,
    /// How topics and shadows are named.
    pub naming: Naming,
    /// How long an update of components may be held up by documents on their way to printers. 0: not at all.
    pub defer_updates: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mdns: true,
            mdns_port: 5353,
            loopback: false,
            accept_shares: false,
            accept_usb: false,
            sweep: SweepConfig::default(),
            printer_networks: Vec::new(),
            printer_list: Vec::new(),
            printer_credentials: Vec::new(),
            rules: Rules::default(),
            poll_idle: Duration::from_secs(60),
            poll_busy: Duration::from_secs(5),
            snmp: Snmp::default(),
            document_hosts: vec![HostPattern::any()],
            document_networks: Vec::new(),
            document_max_bytes: 256 << 20,
            document_timeout: Duration::from_secs(15 * 60),
            document_ca_file: None,
            spool_max_bytes: 1 << 30,
            spool_reserve_bytes: 256 << 20,
            window: 8,
            messages_per_second: 40,
            shadow_requests_per_second: 10,
            shadows_in_flight: 4,
            naming: Naming::default(),
            defer_updates: Duration::from_secs(600),
        }
    }
}

/// One thing wrong with a configuration, or worth a word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where: keys joined with dots, list places in brackets. Empty for the whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// What came of reading a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The configuration, or every error.
    pub config: Result<Config, Vec<Finding>>,
    /// Keys that are not known.
    pub warnings: Vec<Finding>,
}

/// Reads the text of a file.
pub fn parse(text: &str) -> Checked {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => check(&value),
        Err(error) => Checked {
            config: Err(vec![Finding { path: String::new(), message: format!("is not JSON: {error}") }]),
            warnings: Vec::new(),
        },
    }
}

/// Reads a configuration as deployed.
pub fn check(value: &Value) -> Checked {
    let empty = Map::new();
    let mut reader = Reader::default();
    let root = match value {
        Value::Object(map) => map,
        Value::Null => &empty,
        _ => {
            reader.error("", "must be a JSON object");
            &empty
        }
    };
    let default = Config::default();
    let mut config = default.clone();
    reader.known(root, "", &["discovery", "printers", "poll", "snmp", "documents", "spool", "cloud", "accessControl"]);

    reader.discovery(root, &mut config);

    let at =
        reader.section(root, "printers", &[&["allowedNetworks", "list", "credentials"], &rules::KEYS[..]].concat());
    reader.networks(&at, "allowedNetworks", &mut config.printer_networks);
    reader.listed_printers(&at, "list", (config.loopback, &config.printer_networks), &mut config.printer_list);
    reader.printer_credentials(&at, "credentials", &mut config.printer_credentials);
    reader.rules(&at, &mut config.rules);

    let at = reader.section(root, "poll", &["idleSeconds", "busySeconds"]);
    reader.seconds(&at, "idleSeconds", 5, 86_400, &mut config.poll_idle);
    reader.seconds(&at, "busySeconds", 1, 3_600, &mut config.poll_busy);
    if config.poll_busy > config.poll_idle {
        reader.error("poll.busySeconds", "must not be longer than poll.idleSeconds");
    }

    reader.snmp(root, &mut config.snmp);

    let at =
        reader.section(root, "documents", &["allowedHosts", "allowedNetworks", "maxBytes", "timeoutSeconds", "caFile"]);
    reader.hosts(&at, "allowedHosts", &mut config.document_hosts);
    reader.networks(&at, "allowedNetworks", &mut config.document_networks);
    reader.number(&at, "maxBytes", 1, 1 << 40, &mut config.document_max_bytes);
    reader.seconds(&at, "timeoutSeconds", 1, 86_400, &mut config.document_timeout);
    if let Some(text) = reader.text(&at, "caFile").filter(|text| !text.is_empty()) {
        config.document_ca_file = Some(PathBuf::from(text));
    }

    let at = reader.section(root, "spool", &["maxBytes", "reserveBytes"]);
    reader.number(&at, "maxBytes", 1 << 20, 1 << 44, &mut config.spool_max_bytes);
    reader.number(&at, "reserveBytes", 0, 1 << 44, &mut config.spool_reserve_bytes);
    if config.document_max_bytes > config.spool_max_bytes {
        reader.error("documents.maxBytes", "must not be larger than spool.maxBytes");
    }

    let at = reader.section(
        root,
        "cloud",
        &[
            "window",
            "messagesPerSecond",
            "shadowRequestsPerSecond",
            "shadowsInFlight",
            "topicRoot",
            "shadows",
            "thingName",
            "deferUpdatesSeconds",
        ],
    );
    reader.number(&at, "window", 1, 100, &mut config.window);
    reader.number(&at, "messagesPerSecond", 1, 100, &mut config.messages_per_second);
    reader.number(&at, "shadowRequestsPerSecond", 1, 20, &mut config.shadow_requests_per_second);
    reader.number(&at, "shadowsInFlight", 1, 10, &mut config.shadows_in_flight);
    reader.template(&at, "topicRoot", &mut config.naming.root);
    let mut thing = ThingName::default();
    reader.template(&at, "thingName", &mut thing);
    match reader.text(&at, "shadows") {
        None | Some("named") => {}
        Some("thing") => config.naming.shadows = Shadows::Thing(thing),
        Some(_) => reader.error(at.path("shadows"), "must be \"named\" or \"thing\""),
    }
    reader.seconds(&at, "deferUpdatesSeconds", 0, 86_400, &mut config.defer_updates);

    let config = if reader.errors.is_empty() { Ok(config) } else { Err(reader.errors) };
    Checked { config, warnings: reader.warnings }
}

#[derive(Default)]
struct Reader {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

struct Section<'a> {
    name: &'static str,
    fields: Option<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    /// The value of a key; null and the empty text count as absent.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.fields?.get(key).filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }
}

impl Reader {
    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(Finding { path: path.into(), message: message.into() });
    }

    fn known(&mut self, map: &Map<String, Value>, path: &str, keys: &[&str]) {
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            let key: String = key.chars().filter(|c| !c.is_control()).take(80).collect();
            let path = if path.is_empty() { key } else { format!("{path}.{key}") };
            self.warnings.push(Finding { path, message: format!("is not known; known are {}", keys.join(", ")) });
        }
    }

    fn section<'a>(&mut self, root: &'a Map<String, Value>, name: &'static str, keys: &[&str]) -> Section<'a> {
        let fields = match root.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) => {
                self.known(map, name, keys);
                Some(map)
            }
            Some(_) => {
                self.error(name, "must be an object");
                None
            }
        };
        Section { name, fields }
    }

    fn boolean(&mut self, at: &Section<'_>, key: &str, target: &mut bool) {
        match at.get(key) {
            None => {}
            Some(Value::Bool(value)) => *target = *value,
            Some(Value::String(text)) if text == "true" || text == "false" => *target = text == "true",
            Some(_) => self.error(at.path(key), "must be true or false"),
        }
    }

    fn number<T: TryFrom<u64>>(&mut self, at: &Section<'_>, key: &str, least: u64, most: u64, target: &mut T) {
        let Some(value) = at.get(key) else { return };
        let number = match value {
            Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
            Value::String(text) => {
                text.trim().parse::<u64>().ok().or_else(|| text.trim().parse::<f64>().ok().and_then(whole))
            }
            _ => None,
        };
        match number.filter(|n| (least..=most).contains(n)).and_then(|n| T::try_from(n).ok()) {
            Some(number) => *target = number,
            None => self.error(at.path(key), format!("must be a whole number from {least} to {most}")),
        }
    }

    fn seconds(&mut self, at: &Section<'_>, key: &str, least: u64, most: u64, target: &mut Duration) {
        let mut seconds = target.as_secs();
        self.number(at, key, least, most, &mut seconds);
        *target = Duration::from_secs(seconds);
    }

    fn text<'a>(&mut self, at: &Section<'a>, key: &str) -> Option<&'a str> {
        match at.get(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.error(at.path(key), "must be a string");
                None
            }
        }
    }

    fn template<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, at: &Section<'_>, key: &str, target: &mut T) {
        match self.text(at, key).map(str::parse) {
            None => {}
            Some(Ok(template)) => *target = template,
            Some(Err(error)) => self.error(at.path(key), error.to_string()),
        }
    }

    fn networks(&mut self, at: &Section<'_>, key: &str, target: &mut Vec<Network>) {
        self.list(at, key, target, "a network such as 10.20.0.0/16 or fd00::/8");
    }

    fn hosts(&mut self, at: &Section<'_>, key: &str, target: &mut Vec<HostPattern>) {
        self.list(at, key, target, "a host name, *.example.com, or * for any host with a public address");
    }

    fn list<T: std::str::FromStr>(&mut self, at: &Section<'_>, key: &str, target: &mut Vec<T>, what: &str) {
        let items = match at.get(key) {
            None => return,
            Some(Value::Array(items)) => items,
            Some(_) => return self.error(at.path(key), "must be a list"),
        };
        let mut parsed = Vec::new();
        for (place, item) in items.iter().enumerate() {
            match item.as_str().and_then(|text| text.parse().ok()) {
                Some(value) => parsed.push(value),
                None => self.error(format!("{}[{place}]", at.path(key)), format!("must be {what}")),
            }
        }
        *target = parsed;
    }
}

/// A float that is a whole number: the classic nucleus may write 30 as 30.0.
fn whole(number: f64) -> Option<u64> {
    ((0.0..9e15).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_at_all_is_the_default() {
        for value in [json!({}), json!(null), json!({"poll": null, "documents": {"caFile": ""}})] {
            assert_eq!(check(&value).config, Ok(Config::default()));
        }
    }

    #[test]
    fn the_example_of_the_header_is_valid() {
        let header: String = include_str!("config.rs")
            .lines()
            .skip_while(|line| !line.contains("```json"))
            .skip(1)
            .take_while(|line| !line.contains("```"))
            .map(|line| line.trim_start_matches("//!"))
            .collect();
        let checked = parse(&header);
        assert_eq!(checked.warnings, vec![]);
        assert!(checked.config.is_ok(), "{:?}", checked.config);
    }

    #[test]
    fn strings_and_floats_count_as_the_numbers_they_write() {
        let value = json!({"poll": {"idleSeconds": "30", "busySeconds": 2.0}, "discovery": {"mdns": "false"},
                           "cloud": {"window": "4.0"}});
        let config = check(&value).config.unwrap();
        assert_eq!((config.poll_idle.as_secs(), config.poll_busy.as_secs()), (30, 2));
        assert!(!config.mdns);
        assert_eq!(config.window, 4);
    }

    #[test]
    fn all_errors_come_at_once_each_with_its_path() {
        let value = json!({"poll": {"idleSeconds": "soon"}, "printers": {"allowedNetworks": ["10.0.0.0/8", "10.0.0.0/99"]},
                           "documents": {"maxBytes": -1, "allowedHosts": "*"}, "cloud": 3});
        let errors = check(&value).config.unwrap_err();
        let paths: Vec<_> = errors.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "printers.allowedNetworks[1]",
                "poll.idleSeconds",
                "documents.allowedHosts",
                "documents.maxBytes",
                "cloud"
            ]
        );
    }

    #[test]
    fn an_unknown_key_is_a_warning_and_access_control_is_not() {
        let checked = check(&json!({"accessControl": {}, "pol": {}, "poll": {"idle": 3}}));
        assert!(checked.config.is_ok());
        let paths: Vec<_> = checked.warnings.iter().map(|w| w.path.as_str()).collect();
        assert_eq!(paths, ["pol", "poll.idle"]);
    }

    #[test]
    fn names_of_topics_and_shadows_are_checked_templates() {
        let config = check(&json!({"cloud": {"topicRoot": "printers/{printer}", "shadows": "thing"}})).config.unwrap();
        assert!(config.naming.root.is_shared());
        assert_eq!(config.naming.shadows, Shadows::Thing(ThingName::default()));
        let value = json!({"cloud": {"topicRoot": "printers/#", "thingName": "a b", "shadows": "classic"}});
        let errors = check(&value).config.unwrap_err();
        let paths: Vec<_> = errors.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["cloud.topicRoot", "cloud.thingName", "cloud.shadows"]);
    }

    #[test]
    fn limits_that_contradict_each_other_are_errors() {
        let value = json!({"spool": {"maxBytes": 2_000_000}, "poll": {"idleSeconds": 10, "busySeconds": 60}});
        let errors = check(&value).config.unwrap_err();
        assert_eq!(
            errors.iter().map(|e| e.path.as_str()).collect::<Vec<_>>(),
            ["poll.busySeconds", "documents.maxBytes"]
        );
    }
}
