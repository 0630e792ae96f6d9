//! One printer of a running office: its place on the network, and the tasks that run while its power is on.

use super::attributes::{Ports, Reach};
use super::device::Device;
use super::mdns::{Announcement, Responder, services};
use super::paper::Paper;
use super::profiles::Snmp;
use super::server::Shared;
use super::tls::Certificates;
use super::{Identity, PrinterInfo, PrinterSpec, SHUTDOWN, SimulateError, appsocket, lpd, server, snmp};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One printer.
pub(super) struct Printer {
    pub(super) spec: PrinterSpec,
    pub(super) identity: Identity,
    wires: Arc<Mutex<Wires>>,
    /// Where the first printer behind the same print server listens for what all of them share.
    leader: Option<Arc<Mutex<Wires>>>,
    directory: PathBuf,
    /// What its SNMP agent serves instead of objects of its own.
    recording: Option<Arc<snmp::Recording>>,
    pub(super) shared: Arc<Shared>,
    power: Mutex<Option<Power>>,
}

/// Where a printer listens. Port 0 is replaced by the one that was found at the first start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wires {
    pub(super) ip: IpAddr,
    ipp: Option<u16>,
    snmp: Option<u16>,
    appsocket: Option<u16>,
    lpd: Option<u16>,
}

/// What runs while the power is on.
struct Power {
    off: CancellationToken,
    tasks: TaskTracker,
    /// What it announces.
    services: Vec<Vec<u8>>,
}

impl Printer {
    /// A printer that is off. Behind a print server: `leader` is its first printer, unless this is it, and `port` which
    /// one it is, from 1.
    pub(super) fn new(
        spec: PrinterSpec,
        seed: &str,
        paper: Paper,
        leader: Option<&Printer>,
        port: Option<usize>,
    ) -> Result<Printer, SimulateError> {
        let mut identity = Identity::new(&spec, seed);
        if let Some(leader) = leader {
            identity.host.clone_from(&leader.identity.host);
        }
        let directory = paper.directory();
        let ip = leader.map_or(spec.address, |leader| leader.wires().ip);
        let certificates = |()| {
            Certificates::open(&directory, &identity.host, ip)
                .map_err(|error| SimulateError::Certificate { name: spec.name.clone(), error })
        };
        let tls = spec.tls.then_some(()).map(certificates).transpose()?;
        let device = Device::new(
            identity.clone(),
            spec.profile,
            spec.history.unwrap_or(spec.profile.history),
            spec.page_time,
            spec.time_out,
            paper,
            Instant::now(),
        );
        let protocols = spec.profile.services;
        // Behind a print server the first printer listens for all of them.
        let own = leader.is_none();
        let wires = Wires {
            ip,
            ipp: (own && protocols.ipp).then_some(spec.port),
            snmp: spec.snmp_port.filter(|_| own && protocols.snmp != Snmp::None),
            appsocket: spec.appsocket_port.filter(|_| protocols.appsocket),
            lpd: spec.lpd_port.filter(|_| own && !protocols.lpd.is_empty()),
        };
        let queues = match port {
            Some(port) => vec![format!("port{port}")],
            None => protocols.lpd.iter().map(|queue| (*queue).to_owned()).collect(),
        };
        let path = match port {
            Some(port) => format!("/ipp/port{port}"),
            None => "/ipp/print".to_owned(),
        };
        let (admin, password, ports) = (String::new(), spec.auth.is_some(), Ports::default());
        let reach = Reach { uri: String::new(), uris: None, admin, path, password, ports };
        let shared = Arc::new(Shared {
            device: Mutex::new(device),
            wake: Notify::new(),
            changed: Default::default(),
            reach: Mutex::new(reach),
            tls,
            auth: spec.auth.clone(),
            on: AtomicBool::new(false),
            queues,
            server: Mutex::default(),
        });
        let recording = spec.snmp_records.as_deref().map(|path| recording(&spec.name, path)).transpose()?;
        let (wires, leader) = (Arc::new(Mutex::new(wires)), leader.map(|leader| leader.wires.clone()));
        Ok(Printer { spec, identity, wires, leader, directory, recording, shared, power: Mutex::new(None) })
    }

    pub(super) fn wires(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn power(&self) -> MutexGuard<'_, Option<Power>> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_on(&self) -> bool {
        self.shared.on.load(Ordering::Relaxed)
    }

    /// Where it can be reached, on its own or its print server's ports.
    fn reachable(&self) -> Wires {
        let own = *self.wires();
        match &self.leader {
            None => own,
            Some(leader) => {
                let shared = *leader.lock().unwrap_or_else(PoisonError::into_inner);
                Wires { appsocket: own.appsocket, ..shared }
            }
        }
    }

    /// Exchanges the places of two printers; a port that only one of them has stays with it.
    pub(super) fn swap_wires(&self, other: &Printer) {
        let (mine, theirs) = (*self.wires(), *other.wires());
        let take = |own: Wires, new: Wires| Wires {
            ip: new.ip,
            ipp: own.ipp.map(|port| new.ipp.unwrap_or(port)),
            snmp: own.snmp.map(|port| new.snmp.unwrap_or(port)),
            appsocket: own.appsocket.map(|port| new.appsocket.unwrap_or(port)),
            lpd: own.lpd.map(|port| new.lpd.unwrap_or(port)),
        };
        *self.wires() = take(mine, theirs);
        *other.wires() = take(theirs, mine);
    }

    /// Puts it on the network: listens, prints, announces itself.
    pub(super) async fn connect(&self, responder: Option<&Responder>) -> Result<(), SimulateError> {
        let (off, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut wires = *self.wires();
        if let Err(error) = self.listen(&mut wires, &off, &tasks).await {
            off.cancel();
            tasks.close();
            tasks.wait().await;
            return Err(error);
        }
        *self.wires() = wires;
        self.follow_address();
        tasks.spawn(server::print(self.shared.clone(), off.clone()));
        self.shared.on.store(true, Ordering::Relaxed);
        *self.power() = Some(Power { off, tasks, services: Vec::new() });
        self.announce(responder);
        Ok(())
    }

    async fn listen(
        &self,
        wires: &mut Wires,
        off: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<(), SimulateError> {
        let (name, ip) = (&self.spec.name, wires.ip);
        if let Some(port) = &mut wires.ipp {
            let listener = bind(name, ip, port).await?;
            tasks.spawn(server::listen(self.shared.clone(), listener, off.clone(), tasks.clone()));
        }
        if let Some(port) = &mut wires.appsocket {
            let listener = bind(name, ip, port).await?;
            tasks.spawn(appsocket::listen(self.shared.clone(), listener, off.clone(), tasks.clone()));
        }
        if let Some(port) = &mut wires.lpd {
            let listener = bind(name, ip, port).await?;
            tasks.spawn(lpd::listen(self.shared.clone(), listener, off.clone(), tasks.clone()));
        }
        if let Some(port) = &mut wires.snmp {
            let address = SocketAddr::new(ip, *port);
            let (recording, access) = (self.recording.clone(), self.spec.snmp_access.clone());
            let bound = snmp::start(self.shared.clone(), recording, access, address, off.clone(), tasks)
                .await
                .map_err(|error| SimulateError::Listen { name: name.clone(), address, error })?;
            *port = bound.port();
        }
        Ok(())
    }

    /// Takes it off the network, its tasks with it; false when it was off already.
    pub(super) async fn disconnect(&self, responder: Option<&Responder>, goodbye: bool) -> bool {
        let Some(power) = self.power().take() else { return false };
        self.shared.on.store(false, Ordering::Relaxed);
        power.off.cancel();
        power.tasks.close();
        if tokio::time::timeout(SHUTDOWN, power.tasks.wait()).await.is_err() {
            tracing::warn!(printer = %self.spec.name, "connections still open");
        }
        if let Some(responder) = responder {
            responder.unregister(&power.services, goodbye).await;
        }
        true
    }

    /// Announces what it is now; what it announced before is replaced.
    pub(super) fn announce(&self, responder: Option<&Responder>) {
        let Some(responder) = responder else { return };
        let (reach, wires) = (self.shared.reach(), self.reachable());
        let uuid = self.shared.device().uuid().to_owned();
        let services = services(&Announcement {
            identity: &self.identity,
            uuid: &uuid,
            profile: self.spec.profile,
            address: wires.ip,
            priority: self.spec.priority,
            ipp: wires.ipp,
            ipps: wires.ipp.filter(|_| reach.uris.is_some()),
            appsocket: wires.appsocket,
            lpd: wires.lpd,
            path: reach.path.trim_start_matches('/'),
            queue: self.shared.queues.first().map_or("", String::as_str),
            admin: &reach.admin,
            password: self.spec.auth.is_some(),
        });
        let keys = responder.register(services);
        if let Some(power) = &mut *self.power() {
            power.services = keys;
        }
    }

    /// Says the address in URIs as it is now.
    fn follow_address(&self) {
        let wires = self.reachable();
        let mut reach = self.shared.reach.lock().unwrap_or_else(PoisonError::into_inner);
        let at = SocketAddr::new(wires.ip, wires.ipp.unwrap_or_default());
        reach.ports = Ports { ipp: wires.ipp, appsocket: wires.appsocket, lpd: wires.lpd };
        let path = reach.path.clone();
        reach.uri = format!("ipp://{at}{path}");
        reach.uris = (self.spec.tls && wires.ipp.is_some()).then(|| format!("ipps://{at}{path}"));
        reach.admin = match wires.ipp {
            Some(_) => format!("http://{at}/"),
            None => format!("http://{}/", wires.ip),
        };
    }

    pub(super) fn info(&self) -> PrinterInfo {
        let (reach, wires) = (self.shared.reach(), self.reachable());
        let at = |port: Option<u16>| port.map(|port| SocketAddr::new(wires.ip, port));
        let (appsocket, lpd) = (at(wires.appsocket), at(wires.lpd));
        let queue = self.shared.queues.first().map_or("", String::as_str);
        let (uri, address) = match (at(wires.ipp), appsocket, lpd) {
            (Some(address), ..) => (reach.uri, address),
            (None, Some(address), _) => (format!("socket://{address}"), address),
            (None, None, Some(address)) => (format!("lpd://{address}/{queue}"), address),
            (None, None, None) => (String::new(), SocketAddr::new(wires.ip, 0)),
        };
        PrinterInfo {
            name: self.spec.name.clone(),
            uri,
            uris: reach.uris,
            address,
            snmp: at(wires.snmp),
            appsocket,
            lpd,
            uuid: self.identity.uuid.clone(),
            serial: self.identity.serial.clone(),
            make: self.spec.profile.make.to_owned(),
            model: self.spec.profile.model.to_owned(),
            host: self.identity.host.clone(),
            profile: self.spec.profile.key.to_owned(),
            server: self.spec.server.clone(),
            files: self.directory.clone(),
        }
    }
}

/// Reads a recording; lines that are not served are told in the log.
fn recording(printer: &str, path: &Path) -> Result<Arc<snmp::Recording>, SimulateError> {
    let (recording, bad) = snmp::Recording::load(path)?;
    for line in &bad {
        tracing::warn!(%printer, file = %path.display(), "not served: {line}");
    }
    Ok(Arc::new(recording))
}

/// Listens; port 0 is replaced by the one that was found.
async fn bind(name: &str, ip: IpAddr, port: &mut u16) -> Result<TcpListener, SimulateError> {
    let address = SocketAddr::new(ip, *port);
    let failed = |error| SimulateError::Listen { name: name.to_owned(), address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    *port = listener.local_addr().map_err(failed)?.port();
    Ok(listener)
}
