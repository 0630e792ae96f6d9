//! What is announced of a simulated printer (RFC 6763, Bonjour Printing).

use super::super::Identity;
use super::super::profiles::Profile;
use super::zone::Service;
use std::net::{IpAddr, Ipv4Addr};

/// What is announced of one printer.
pub(in crate::simulate) struct Announcement<'a> {
    pub(in crate::simulate) identity: &'a Identity,
    /// The UUID it tells.
    pub(in crate::simulate) uuid: &'a str,
    pub(in crate::simulate) profile: &'static Profile,
    pub(in crate::simulate) address: IpAddr,
    pub(in crate::simulate) priority: u8,
    /// Ports it has; `None`: not spoken.
    pub(in crate::simulate) ipp: Option<u16>,
    pub(in crate::simulate) ipps: Option<u16>,
    pub(in crate::simulate) appsocket: Option<u16>,
    pub(in crate::simulate) lpd: Option<u16>,
    /// `rp` of IPP, without the leading slash.
    pub(in crate::simulate) path: &'a str,
    /// `rp` of LPD.
    pub(in crate::simulate) queue: &'a str,
    /// `adminurl`.
    pub(in crate::simulate) admin: &'a str,
    /// IPP asks for a user name and password.
    pub(in crate::simulate) password: bool,
}

/// The services of a printer, of those under which its kind announces itself; none without an IPv4 address.
pub(in crate::simulate) fn services(printer: &Announcement) -> Vec<Service> {
    let IpAddr::V4(address) = printer.address else { return Vec::new() };
    let spoken = [
        ("_ipp", printer.ipp),
        ("_ipps", printer.ipps),
        ("_pdl-datastream", printer.appsocket),
        ("_printer", printer.lpd),
    ];
    let announced = spoken.into_iter().filter(|(kind, _)| printer.profile.announces.contains(kind));
    announced.filter_map(|(kind, port)| Some(service(printer, kind, port?, address))).collect()
}

fn service(printer: &Announcement, kind: &'static str, port: u16, address: Ipv4Addr) -> Service {
    let subtypes: &[&str] = match (kind, printer.profile.urf.is_empty()) {
        ("_ipp" | "_ipps", false) => &["_print", "_universal"],
        ("_ipp" | "_ipps", true) => &["_print"],
        _ => &[],
    };
    Service {
        instance: printer.identity.name.clone(),
        kind,
        subtypes,
        host: printer.identity.host.clone(),
        address,
        port,
        txt: txt(printer, kind),
    }
}

fn txt(printer: &Announcement, kind: &str) -> Vec<u8> {
    let (identity, profile) = (printer.identity, printer.profile);
    let ipp = matches!(kind, "_ipp" | "_ipps");
    let yes_no = |yes: bool| if yes { "T" } else { "F" };
    let formats = profile.formats.join(",");
    let ty = format!("{} {}", profile.make, profile.model);
    let product = format!("({ty})");
    let priority = printer.priority.to_string();
    let urf = profile.urf.join(",");
    let staple = profile.supplies.iter().any(|supply| supply.kind == "staples");
    let mut txt = vec![("txtvers", "1"), ("qtotal", "1")];
    match kind {
        "_printer" => txt.push(("rp", printer.queue)),
        "_pdl-datastream" => {}
        _ => txt.push(("rp", printer.path)),
    }
    txt.extend([
        ("ty", ty.as_str()),
        ("product", &product),
        ("adminurl", printer.admin),
        ("note", &identity.location),
        ("priority", &priority),
        ("pdl", &formats),
        ("UUID", printer.uuid),
        ("Color", yes_no(profile.color)),
        ("Duplex", yes_no(profile.duplex)),
        ("Copies", "T"),
        ("Staple", yes_no(staple)),
        ("kind", profile.kind),
        ("usb_MFG", profile.make),
        ("usb_MDL", profile.model),
    ]);
    if ipp {
        txt.push(("air", if printer.password { "username,password" } else { "none" }));
        if printer.ipps.is_some() {
            txt.push(("TLS", "1.3"));
        }
        if !profile.urf.is_empty() {
            txt.push(("URF", &urf));
        }
    }
    let mut bytes = Vec::new();
    for (key, value) in txt {
        let mut text = format!("{key}={value}");
        while text.len() > 255 {
            text.pop();
        }
        bytes.push(text.len() as u8);
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}
