//! `printers.list` and `printers.credentials`: printers named by hand, and who may use them.
//!
//! A listed printer is a URI: `socket://HOST[:PORT]`, `lpd://HOST[:PORT]/QUEUE`, `ipp://HOST[:PORT]/PATH`,
//! `ipps://HOST[:PORT]/PATH`. What the URI leaves out is the protocol's usual: port 9100, 515, 631; queue `auto`, path
//! `/ipp/print`. `formats` say which documents an AppSocket or LPD printer takes; `application/vnd.hp-pjl` among them says
//! that it speaks PJL.
//!
//! An entry may also be a bare address or host name (`"10.0.0.9"`, or `{"uri": "10.0.0.9", "name": …}`): then it is asked over
//! SNMP and IPP who it is and how it is printed to.
//!
//! Credentials are for printers that ask for HTTP Basic authentication over IPP. The password is not in the configuration:
//! `secret` points to it.

use super::{Reader, Section};
use crate::domain::endpoint::EndpointKind;
use crate::domain::net::{AddressClass, Network, classify, is_print_port};
use crate::domain::secret::SecretRef;
use serde_json::{Map, Value};
use std::net::IpAddr;
use url::Url;

/// Longest name, user name and path, in characters.
const TEXT_MAX: usize = 127;
/// Most formats of one printer.
const FORMATS_MAX: usize = 50;

/// A printer named by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPrinter {
    /// The URI's scheme; `Snmp` for a bare address or host name, which is asked how it is printed to.
    pub kind: EndpointKind,
    /// Host name, or address literal without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// As in an endpoint: resource path, `/QUEUE`, or nothing.
    pub path: String,
    /// What a person calls it; the host where nothing is said.
    pub name: String,
    /// Whether the name was given, and so is the one to show.
    pub named: bool,
    /// Document formats, lower case.
    pub formats: Vec<String>,
}

/// A user name and where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrinterCredentials {
    /// The printer's id, its host name or its address.
    pub printer: String,
    /// User name; without `:` (RFC 7617).
    pub user: String,
    /// Where the password is.
    pub secret: SecretRef,
    /// Send them without TLS too.
    pub allow_plain: bool,
}

impl Reader {
    pub(super) fn listed_printers(
        &mut self,
        at: &Section<'_>,
        key: &str,
        (loopback, networks): (bool, &[Network]),
        target: &mut Vec<ListedPrinter>,
    ) {
        let mut parsed: Vec<ListedPrinter> = Vec::new();
        for (path, fields) in self.list_entries(at, key) {
            let missing = "is missing: socket://10.0.0.9 or 10.0.0.9 for example";
            let place = fields.get("uri").and_then(Value::as_str).ok_or(missing.into());
            let place = place.and_then(place_of);
            let (kind, host, port, path_part) = match place {
                Ok(place) => place,
                Err(reason) => {
                    self.error(format!("{path}.uri"), reason);
                    continue;
                }
            };
            if let Some(why) = why_never(&host, loopback, networks) {
                self.error(format!("{path}.uri"), why);
            }
            let name = self.entry_text(&path, &fields, "name");
            let named = name.is_some();
            let name = name.unwrap_or_else(|| host.clone());
            let formats = self.formats(&path, &fields);
            if kind == EndpointKind::Snmp && !formats.is_empty() {
                self.error(
                    format!("{path}.formats"),
                    "are for socket:// and lpd://; an address alone is asked for them",
                );
            }
            let printer = ListedPrinter { kind, host, port, path: path_part, name, named, formats };
            let same = |other: &ListedPrinter| {
                let place = |p: &ListedPrinter| (p.kind, p.host.to_ascii_lowercase(), p.port, p.path.clone());
                place(other) == place(&printer)
            };
            if parsed.iter().any(same) {
                self.error(format!("{path}.uri"), "is in the list twice");
            }
            parsed.push(printer);
        }
        *target = parsed;
    }

    pub(super) fn printer_credentials(&mut self, at: &Section<'_>, key: &str, target: &mut Vec<PrinterCredentials>) {
        let mut parsed: Vec<PrinterCredentials> = Vec::new();
        for (path, fields) in self.entries(at, key, &["printer", "user", "secret", "allowPlain"]) {
            let missing = |fields: &Map<String, Value>, key: &str| fields.get(key).is_none_or(Value::is_null);
            for key in ["printer", "user", "secret"].into_iter().filter(|key| missing(&fields, key)) {
                self.error(format!("{path}.{key}"), "is missing");
            }
            let printer = self.entry_text(&path, &fields, "printer");
            let user = self.entry_text(&path, &fields, "user");
            if user.as_deref().is_some_and(|user| user.contains(':')) {
                self.error(format!("{path}.user"), "must not contain a colon");
            }
            let secret = self.entry_text(&path, &fields, "secret").map(|text| text.parse::<SecretRef>());
            let allow_plain = match fields.get("allowPlain") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(value)) => *value,
                Some(Value::String(text)) if text == "true" || text == "false" => text == "true",
                Some(_) => {
                    self.error(format!("{path}.allowPlain"), "must be true or false");
                    false
                }
            };
            match (printer, user, secret) {
                (Some(printer), Some(user), Some(Ok(secret))) => {
                    if parsed.iter().any(|other| other.printer.eq_ignore_ascii_case(&printer)) {
                        self.error(format!("{path}.printer"), "has credentials already");
                    }
                    parsed.push(PrinterCredentials { printer, user, secret, allow_plain });
                }
                (_, _, Some(Err(error))) => self.error(format!("{path}.secret"), error.to_string()),
                _ => {}
            }
        }
        *target = parsed;
    }

    /// The entries of the list of printers; a text is an entry with that as its `uri`.
    fn list_entries(&mut self, at: &Section<'_>, key: &str) -> Vec<(String, Map<String, Value>)> {
        let known = ["uri", "name", "formats"];
        let Some(Value::Array(items)) = at.get(key) else { return self.entries(at, key, &known) };
        let object = |item: &Value| match item {
            Value::String(_) => Value::Object(Map::from_iter([("uri".to_owned(), item.clone())])),
            other => other.clone(),
        };
        let items: Vec<Value> = items.iter().map(object).collect();
        let whole = Map::from_iter([(key.to_owned(), Value::Array(items))]);
        self.entries(&Section { name: at.name, fields: Some(&whole) }, key, &known)
    }

    /// The objects of a list, each with its path; what is none is an error.
    pub(super) fn entries(&mut self, at: &Section<'_>, key: &str, known: &[&str]) -> Vec<(String, Map<String, Value>)> {
        let mut entries = Vec::new();
        for (path, item) in self.members(at, key) {
            match item {
                Value::Object(fields) => {
                    self.known(&fields, &path, known);
                    entries.push((path, fields));
                }
                _ => self.error(path, "must be an object"),
            }
        }
        entries
    }

    pub(super) fn entry_text(&mut self, path: &str, fields: &Map<String, Value>, key: &str) -> Option<String> {
        match fields.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text))
                if !text.trim().is_empty()
                    && (key == "secret" || text.chars().count() <= TEXT_MAX)
                    && !text.chars().any(char::is_control) =>
            {
                Some(text.trim().to_owned())
            }
            Some(_) => {
                self.error(
                    format!("{path}.{key}"),
                    format!("must be a text of 1 to {TEXT_MAX} characters on one line"),
                );
                None
            }
        }
    }

    fn formats(&mut self, path: &str, fields: &Map<String, Value>) -> Vec<String> {
        let items = match fields.get("formats") {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) if items.len() <= FORMATS_MAX => items,
            Some(_) => {
                self.error(format!("{path}.formats"), format!("must be a list of at most {FORMATS_MAX} media types"));
                return Vec::new();
            }
        };
        let mut formats = Vec::new();
        for (place, item) in items.iter().enumerate() {
            match item.as_str().map(|text| text.trim().to_ascii_lowercase()).filter(|text| is_media_type(text)) {
                Some(format) => formats.push(format),
                None => self.error(format!("{path}.formats[{place}]"), "must be a media type such as application/pdf"),
            }
        }
        formats
    }
}

fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

/// Protocol, host, port and path of a printer's URI; of an address or host name alone, where it is asked over SNMP.
pub(crate) fn place_of(text: &str) -> Result<(EndpointKind, String, u16, String), String> {
    let forms = "socket://HOST, lpd://HOST/QUEUE, ipp://HOST/PATH, ipps://HOST/PATH or HOST";
    let text = text.trim();
    if text.contains('%') && text.to_ascii_lowercase().contains("fe80:") {
        return Err("must not name an interface: mDNS finds printers at link-local addresses".into());
    }
    if !text.contains("://") {
        let bare = text.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(text);
        if !is_host(bare) {
            return Err(format!("must be {forms}"));
        }
        let kind = EndpointKind::Snmp;
        return Ok((kind, bare.to_ascii_lowercase(), kind.default_port(), String::new()));
    }
    let url = Url::parse(text.trim()).map_err(|error| format!("is no URI ({error}); right would be {forms}"))?;
    let kind = match url.scheme() {
        "socket" => EndpointKind::AppSocket,
        "lpd" => EndpointKind::Lpd,
        "ipp" => EndpointKind::Ipp,
        "ipps" => EndpointKind::Ipps,
        _ => return Err(format!("must be {forms}")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name; credentials go to printers.credentials".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or a fragment".into());
    }
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if !is_host(bare) {
        return Err("must name a host or an address".into());
    }
    let port = url.port().unwrap_or(kind.default_port());
    if port == 0 {
        return Err("must have a port from 1 to 65535".into());
    }
    if kind.is_ipp() && is_print_port(port) {
        return Err(format!("port {port} is a print port: no IPP is spoken there; use socket:// or lpd://"));
    }
    let path = match (kind, url.path().trim_matches('/')) {
        (EndpointKind::AppSocket | EndpointKind::Snmp, "") => String::new(),
        (EndpointKind::AppSocket | EndpointKind::Snmp, _) => {
            return Err("must not have a path: AppSocket has no queues".into());
        }
        (EndpointKind::Lpd, "") => "/auto".into(),
        (EndpointKind::Lpd, queue) if queue.contains('/') => return Err("must name one queue".into()),
        (EndpointKind::Ipp | EndpointKind::Ipps, "") => "/ipp/print".into(),
        (_, path) => format!("/{path}"),
    };
    if path.len() > TEXT_MAX {
        return Err(format!("must have a path of at most {TEXT_MAX} characters"));
    }
    Ok((kind, bare.to_ascii_lowercase(), port, path))
}

/// Why no printer can be asked at a host. Which networks the machine is in is not known here.
fn why_never(host: &str, loopback: bool, networks: &[Network]) -> Option<String> {
    let address: IpAddr = host.parse().ok()?;
    let class = classify(address);
    let allowed = loopback || networks.iter().any(|network| network.contains(address));
    let what = match class {
        AddressClass::Global | AddressClass::Private | AddressClass::Cgnat => return None,
        AddressClass::Documentation | AddressClass::Reserved => return None,
        AddressClass::Loopback if allowed => return None,
        AddressClass::Loopback => "no printer's: only for simulated printers, with discovery.loopback: true",
        AddressClass::LinkLocal => {
            "on one link only, and changes: mDNS finds the printer there; here name its host or another address"
        }
        AddressClass::Multicast | AddressClass::Unspecified | AddressClass::Broadcast => "no printer's",
    };
    Some(format!("{address} is {class}, {what}"))
}

fn is_host(text: &str) -> bool {
    let name = (1..=253).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !text.starts_with(['.', '-'])
        && !text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    name || text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check;
    use serde_json::json;

    #[test]
    fn every_kind_of_uri_is_read_with_its_usual_values() {
        for (uri, wanted) in [
            ("socket://10.0.0.9", (EndpointKind::AppSocket, "10.0.0.9", 9100, "")),
            ("socket://Old.Local:9101/", (EndpointKind::AppSocket, "old.local", 9101, "")),
            ("lpd://[fd00::9]/PASSTHRU", (EndpointKind::Lpd, "fd00::9", 515, "/PASSTHRU")),
            ("lpd://old", (EndpointKind::Lpd, "old", 515, "/auto")),
            ("ipp://old", (EndpointKind::Ipp, "old", 631, "/ipp/print")),
            ("ipps://old:443/printers/a", (EndpointKind::Ipps, "old", 443, "/printers/a")),
            ("10.0.0.9", (EndpointKind::Snmp, "10.0.0.9", 161, "")),
            ("[fd00::9]", (EndpointKind::Snmp, "fd00::9", 161, "")),
            ("Laser.office", (EndpointKind::Snmp, "laser.office", 161, "")),
        ] {
            let (kind, host, port, path) = place_of(uri).unwrap();
            assert_eq!((kind, host.as_str(), port, path.as_str()), wanted, "{uri}");
        }
        for bad in [
            "",
            "10.0.0",
            "10.0.0.9:9100",
            "a b",
            "http://10.0.0.9/",
            "socket://",
            "socket://a b",
            "socket://u:p@h",
            "socket://h/q",
            "lpd://h/a/b",
            "ipp://h:9100/ipp/print",
            "socket://h:0",
            "socket://h?x",
            "ipp://h#x",
            "socket://h:70000",
            "socket://-h",
            "fe80::1%eth0",
            "[FE80::1%eth0]",
            "ipp://[fe80::1%25eth0]/ipp/print",
        ] {
            assert!(place_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_are_read_and_every_error_has_its_path() {
        let value = json!({"printers": {
            "list": [{"uri": "socket://10.0.0.9", "name": "Old laser", "formats": ["application/vnd.hp-PCL"]}],
            "credentials": [{"printer": "p.local", "user": "gw", "secret": "file:/run/secret", "allowPlain": "true"}],
        }});
        let config = check(&value).config.unwrap();
        let [printer] = &config.printer_list[..] else { panic!("not one") };
        assert!(printer.named);
        assert_eq!(
            (printer.name.as_str(), &printer.formats[..]),
            ("Old laser", &["application/vnd.hp-pcl".to_owned()][..])
        );
        assert!(config.printer_credentials[0].allow_plain);

        let value = json!({"printers": {
            "list": [{"uri": "9100"}, 3, {"uri": "socket://a", "name": "\n", "formats": ["pdf"], "colour": 1},
                     {"uri": "socket://A:9100"}],
            "credentials": [{"printer": "p"}, {"printer": "p", "user": "a:b", "secret": "file:x"}],
        }});
        let checked = check(&value);
        let paths: Vec<String> = checked.config.unwrap_err().into_iter().map(|e| e.path).collect();
        assert_eq!(
            paths,
            [
                "printers.list[1]",
                "printers.list[0].uri",
                "printers.list[2].name",
                "printers.list[2].formats[0]",
                "printers.list[3].uri",
                "printers.credentials[0].user",
                "printers.credentials[0].secret",
                "printers.credentials[1].user",
                "printers.credentials[1].secret",
            ]
        );
        assert_eq!(checked.warnings[0].path, "printers.list[2].colour");
    }

    #[test]
    fn an_address_at_which_no_printer_can_be_is_an_error_at_once() {
        let list = json!(["224.0.0.1", "0.0.0.0", "fe80::1", "127.0.0.1", "10.0.0.9", "8.8.8.8"]);
        let errors = |value: Value| -> Vec<String> {
            check(&value).config.err().into_iter().flatten().map(|e| format!("{}: {}", e.path, e.message)).collect()
        };
        let said = errors(json!({"printers": {"list": list}}));
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said[0].starts_with("printers.list[0].uri: 224.0.0.1 is a multicast address"), "{}", said[0]);
        assert!(said[2].contains("mDNS finds the printer there"), "{}", said[2]);
        assert!(said[3].contains("discovery.loopback: true"), "{}", said[3]);
        let here = json!(["127.0.0.1"]);
        assert_eq!(errors(json!({"discovery": {"loopback": true}, "printers": {"list": here}})), [""; 0]);
        let networks = json!(["127.0.0.0/8"]);
        assert_eq!(errors(json!({"printers": {"list": here, "allowedNetworks": networks}})), [""; 0]);
    }

    #[test]
    fn a_secret_is_a_place_and_never_a_password() {
        let shown = format!(
            "{:?}",
            PrinterCredentials {
                printer: "p".into(),
                user: "u".into(),
                secret: "file:/run/secret".parse().unwrap(),
                allow_plain: false,
            }
        );
        assert!(shown.contains("/run/secret"));
    }
}
