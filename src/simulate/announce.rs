//! DNS-SD announcements of the simulated printers (RFC 6763, Bonjour Printing).
//!
//! Findings about `mdns-sd` on loopback are in the header of [`super`].

use super::attributes::Reach;
use super::profiles::Profile;
use super::{Identity, Interfaces, Mdns, SimulateError};
use mdns_sd::{DaemonEvent, IfKind, ServiceDaemon, ServiceInfo};
use std::net::IpAddr;
use std::time::Duration;

/// Longest wait for the responder to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// The responder of an office.
pub(super) struct Announcer {
    daemon: ServiceDaemon,
}

/// What is announced of one printer.
pub(super) struct Announcement<'a> {
    pub(super) identity: &'a Identity,
    pub(super) profile: &'static Profile,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) priority: u8,
    pub(super) reach: &'a Reach,
}

impl Announcer {
    pub(super) fn start(config: &Mdns) -> Result<Announcer, SimulateError> {
        let daemon = ServiceDaemon::new_with_port(config.port).map_err(SimulateError::Mdns)?;
        daemon.disable_interface(IfKind::All).map_err(SimulateError::Mdns)?;
        let enable = |kind| daemon.enable_interface(kind).map_err(SimulateError::Mdns);
        match &config.interfaces {
            Interfaces::Loopback => enable(IfKind::LoopbackV4)?,
            Interfaces::All => enable(IfKind::All)?,
            Interfaces::Named(names) => {
                for name in names {
                    enable(IfKind::Name(name.clone()))?;
                }
            }
        }
        let events = daemon.monitor().map_err(SimulateError::Mdns)?;
        // Ends with the daemon.
        tokio::spawn(async move {
            while let Ok(event) = events.recv_async().await {
                if let DaemonEvent::NameChange(change) = event {
                    tracing::warn!(from = %change.original, to = %change.new_name, "name is taken: announced as another");
                }
            }
        });
        Ok(Announcer { daemon })
    }

    /// Announces one printer as `_ipp`, and as `_ipps` when it speaks TLS. Gives back the service names.
    pub(super) fn register(&self, printer: &Announcement) -> Result<Vec<String>, SimulateError> {
        let mut names = Vec::new();
        for kind in ["_ipp", "_ipps"] {
            if kind == "_ipps" && printer.reach.uris.is_none() {
                continue;
            }
            let service = ServiceInfo::new(
                &format!("_print._sub.{kind}._tcp.local."),
                &printer.identity.name,
                &format!("{}.", printer.identity.host),
                printer.address,
                printer.port,
                txt(printer).as_slice(),
            )
            .map_err(SimulateError::Mdns)?;
            names.push(service.get_fullname().to_owned());
            self.daemon.register(service).map_err(SimulateError::Mdns)?;
        }
        Ok(names)
    }

    /// Says goodbye for these services.
    pub(super) async fn unregister(&self, names: &[String]) {
        // All at once: each takes the responder some time.
        let waiting: Vec<_> = names.iter().filter_map(|name| self.daemon.unregister(name).ok()).collect();
        for done in waiting {
            let _ = tokio::time::timeout(GOODBYE, done.recv_async()).await;
        }
    }

    /// Ends the responder.
    pub(super) async fn stop(&self) {
        if let Ok(done) = self.daemon.shutdown() {
            let _ = tokio::time::timeout(GOODBYE, done.recv_async()).await;
        }
    }
}

fn txt(printer: &Announcement) -> Vec<(&'static str, String)> {
    let (identity, profile) = (printer.identity, printer.profile);
    let yes_no = |yes: bool| if yes { "T" } else { "F" }.to_owned();
    let mut txt = vec![
        ("txtvers", "1".to_owned()),
        ("qtotal", "1".to_owned()),
        ("rp", "ipp/print".to_owned()),
        ("ty", format!("{} {}", profile.make, profile.model)),
        ("product", format!("({} {})", profile.make, profile.model)),
        ("adminurl", printer.reach.admin.clone()),
        ("note", identity.location.clone()),
        ("priority", printer.priority.to_string()),
        ("pdl", profile.formats.join(",")),
        ("UUID", identity.uuid.clone()),
        ("Color", yes_no(profile.color)),
        ("Duplex", yes_no(profile.duplex)),
        ("Copies", "T".to_owned()),
        ("kind", profile.kind.to_owned()),
        ("usb_MFG", profile.make.to_owned()),
        ("usb_MDL", profile.model.to_owned()),
        ("air", "none".to_owned()),
    ];
    if printer.reach.uris.is_some() {
        txt.push(("TLS", "1.3".to_owned()));
    }
    if !profile.urf.is_empty() {
        txt.push(("URF", profile.urf.join(",")));
    }
    txt
}
