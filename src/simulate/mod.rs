//! Simulated printers on the real wire: IPP over HTTP and HTTPS, announced over mDNS, printing into files.
//!
//! An [`Office`] holds any number of printers, each on its own loopback address and port. They behave as IPP/2.0
//! printers do (`device` has the job states, `service` the operations), parse and build IPP with the `ipp` crate and
//! not with our own codec, and can be made to misbehave at run time ([`Fault`]).
//!
//! What they print: `DIR/printed.jsonl` and `DIR/PRINTER/job-<id>-1.<ext>` (see [`Printed`]).
//!
//! ## mDNS on loopback
//! What was found to be needed for two `mdns-sd` daemons in two processes to see each other on `lo` (Linux, where `lo`
//! has no MULTICAST flag and no multicast route):
//! - nothing special on either side: loopback over IPv4 is among the default interfaces, multicast is looped back by
//!   default, and both daemons share UDP port 5353 (`SO_REUSEADDR` and `SO_REUSEPORT`);
//! - to keep to loopback: `disable_interface(IfKind::All)`, then `enable_interface(IfKind::LoopbackV4)`, in this order.
//!   Without it the responder also joins and probes on every other interface, where nobody can reach 127.x.y.z;
//! - the addresses of a service must be given explicitly (no `enable_addr_auto`, which would announce 127.0.0.1 only).
//!   Any address of 127.0.0.0/8 passes, because `lo` has that netmask; one daemon announces any number of printers at
//!   different addresses as long as each has a host name of its own;
//! - five printers (ten services) are resolved about 1.0 s after the start, 0.75 s of which is the probing for name
//!   conflicts that RFC 6762 §8.1 asks for;
//! - a name that is taken already (another office on this machine) is changed by the responder, with a warning in the log:
//!   offices that run at the same time need different printer names, or different [`Mdns::port`]s;
//! - a responder cannot be silenced without a goodbye, so [`Office::power_off`] sends one, which a real printer does not;
//! - avahi finds the printers too, when told to use `lo` (`allow-interfaces=lo`, and MULTICAST set on `lo`).
//!
//! ## Against the standards
//! Debian's `ipptool` runs its IPP/2.0 suite without a failure for every profile. Of IPP Everywhere `overrides` is
//! missing, hence `ipp-everywhere` is not claimed in `ipp-features-supported`; the DNS-SD subtype `_print` is there
//! all the same, as browsers filter by it.
//!
//! The `ipp` crate panics on some malformed requests; that ends the connection and nothing else.
//!
//! ## What it does not do
//! No SNMP, no port 9100, no LPD; no authentication; no compression but `none`; one document per job; holds no jobs;
//! does not interpret documents beyond counting their pages.

mod announce;
mod appsocket;
mod attributes;
mod control;
mod device;
mod fault;
mod frame;
mod intake;
mod language;
mod lpd;
mod pages;
mod paper;
mod pjl;
pub mod profiles;
mod raw;
mod server;
mod service;
pub mod snmp;
mod spec;
mod tls;
mod values;
mod view;

pub use fault::{Fault, LossyOperation, SnmpFault, UnknownFault};
pub use paper::{Outcome, Printed, Via};
pub use spec::{History, Interfaces, Mdns, OfficeConfig, PrinterSpec, default_printers};

use announce::{Announcement, Announcer};
use attributes::Reach;
use device::Device;
use paper::{Paper, PrintLog};
use serde::Serialize;
use server::Shared;
use spec::Identity;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest wait for connections to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Why an office cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// Two printers of one name, or names that give the same directory.
    #[error("two printers are called `{0}` (or so alike that they would share a directory): give each its own name")]
    SameName(String),
    /// No printer of this name.
    #[error("no printer is called `{0}`")]
    NoSuchPrinter(String),
    /// The output cannot be written.
    #[error("cannot use {path} for the output of the printers: {error}")]
    Output {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The address cannot be listened on.
    #[error("printer `{name}` cannot listen on {address}: {error}")]
    Listen {
        /// The printer.
        name: String,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The certificate cannot be made or read.
    #[error("certificate of printer `{name}`: {error}")]
    Certificate {
        /// The printer.
        name: String,
        /// What is wrong.
        error: io::Error,
    },
    /// The recording that a printer's SNMP agent is to serve.
    #[error(transparent)]
    Recording(#[from] snmp::RecordError),
    /// The mDNS responder.
    #[error("mDNS announcements: {0}")]
    Mdns(mdns_sd::Error),
}

/// What one needs to know to use a printer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrinterInfo {
    /// Its name.
    pub name: String,
    /// `ipp://…`
    pub uri: String,
    /// `ipps://…`, when it speaks TLS.
    pub uris: Option<String>,
    /// Where it listens for IPP.
    pub address: SocketAddr,
    /// Where its SNMP agent listens.
    pub snmp: Option<SocketAddr>,
    /// Where it listens for AppSocket.
    pub appsocket: Option<SocketAddr>,
    /// Where it listens for LPD.
    pub lpd: Option<SocketAddr>,
    /// `printer-uuid` without `urn:uuid:`.
    pub uuid: String,
    /// Serial number.
    pub serial: String,
    /// Maker.
    pub make: String,
    /// Model.
    pub model: String,
    /// Announced host name, without the trailing dot.
    pub host: String,
    /// Its profile.
    pub profile: String,
    /// Where its documents are.
    pub files: PathBuf,
}

/// Simulated printers, running. Its methods take a printer by its name.
pub struct Office {
    inner: Arc<Inner>,
    control: Option<Control>,
}

struct Control {
    path: PathBuf,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What the control socket shares with the office.
struct Inner {
    printers: Vec<Printer>,
    announcer: Option<Announcer>,
}

/// One printer of a running office.
struct Printer {
    spec: PrinterSpec,
    identity: Identity,
    address: SocketAddr,
    /// Addresses of the other protocols, ports found at the first start kept over power cycles.
    ports: Mutex<Ports>,
    directory: PathBuf,
    recording: Option<Arc<snmp::Recording>>,
    shared: Arc<Shared>,
    power: Mutex<Option<Power>>,
}

/// Where a printer listens, besides IPP.
#[derive(Debug, Clone, Copy, Default)]
struct Ports {
    snmp: Option<SocketAddr>,
    appsocket: Option<SocketAddr>,
    lpd: Option<SocketAddr>,
}

/// What runs while the power is on.
struct Power {
    off: CancellationToken,
    tasks: TaskTracker,
    services: Vec<String>,
}

impl Office {
    /// Starts every printer and announces them. When one cannot start, none runs.
    ///
    /// # Errors
    /// See [`SimulateError`].
    pub async fn start(config: OfficeConfig) -> Result<Office, SimulateError> {
        let mut folders = BTreeSet::new();
        for spec in &config.printers {
            if !folders.insert(paper::folder_name(&spec.name)) {
                return Err(SimulateError::SameName(spec.name.clone()));
            }
        }
        let output = |error| SimulateError::Output { path: config.out_dir.clone(), error };
        let log = PrintLog::open(&config.out_dir).map_err(output)?;
        let announcer = config.mdns.as_ref().map(Announcer::start).transpose()?;
        let mut inner = Inner { printers: Vec::new(), announcer };
        for spec in config.printers {
            let paper = Paper::open(log.clone(), &spec.name).map_err(output)?;
            if let Err(error) = inner.add(spec, &config.seed, paper).await {
                inner.stop().await;
                return Err(error);
            }
        }
        let mut office = Office { inner: Arc::new(inner), control: None };
        if config.control_socket {
            let path = config.out_dir.join("simulate-control.sock");
            match control::bind(&path) {
                Ok(listener) => {
                    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
                    tasks.spawn(control::serve(office.inner.clone(), listener, stop.clone(), tasks.clone()));
                    office.control = Some(Control { path, stop, tasks });
                }
                Err(error) => {
                    office.shutdown().await;
                    return Err(SimulateError::Output { path, error });
                }
            }
        }
        Ok(office)
    }

    /// Path of the control socket.
    pub fn control_socket(&self) -> Option<&Path> {
        self.control.as_ref().map(|control| control.path.as_path())
    }

    /// Every printer, in the order of the configuration.
    pub fn printers(&self) -> Vec<PrinterInfo> {
        self.inner.printers()
    }

    /// What was put on paper since the start, by all printers, in order of time.
    pub fn printed(&self) -> Vec<Printed> {
        self.inner.printed()
    }

    /// Sets a fault; one of the same kind is replaced.
    ///
    /// # Errors
    /// [`SimulateError::NoSuchPrinter`].
    pub fn set_fault(&self, printer: &str, fault: Fault) -> Result<(), SimulateError> {
        self.inner.set_fault(printer, fault)
    }

    /// Clears the fault of this kind (the part before the colon), or every one; false when there was none.
    ///
    /// # Errors
    /// [`SimulateError::NoSuchPrinter`].
    pub fn clear_fault(&self, printer: &str, kind: Option<&str>) -> Result<bool, SimulateError> {
        self.inner.clear_fault(printer, kind)
    }

    /// Pulls the plug of a printer: connections break, its jobs are forgotten, it is no longer announced (with a
    /// goodbye, which the responder cannot leave out). Nothing happens when it is off.
    ///
    /// # Errors
    /// [`SimulateError::NoSuchPrinter`].
    pub async fn power_off(&self, printer: &str) -> Result<(), SimulateError> {
        self.inner.power_off(printer).await
    }

    /// Switches a printer on again, under the same address and port. Nothing happens when it is on.
    ///
    /// # Errors
    /// [`SimulateError::NoSuchPrinter`], and [`SimulateError::Listen`] when the port was taken meanwhile.
    pub async fn power_on(&self, printer: &str) -> Result<(), SimulateError> {
        self.inner.power_on(printer).await
    }

    /// Gives a printer a new key and certificate, for connections from now on.
    ///
    /// # Errors
    /// [`SimulateError::NoSuchPrinter`], [`SimulateError::Certificate`].
    pub fn replace_certificate(&self, printer: &str) -> Result<(), SimulateError> {
        self.inner.replace_certificate(printer)
    }

    /// Ends everything: goodbyes are sent, connections closed.
    pub async fn shutdown(self) {
        if let Some(control) = self.control {
            control.stop.cancel();
            control.tasks.close();
            let _ = tokio::time::timeout(SHUTDOWN, control.tasks.wait()).await;
            let _ = std::fs::remove_file(&control.path);
        }
        self.inner.stop().await;
    }
}

impl Inner {
    async fn add(&mut self, spec: PrinterSpec, seed: &str, paper: Paper) -> Result<(), SimulateError> {
        let (printer, listener) = Printer::prepare(spec, seed, paper).await?;
        self.printers.push(printer);
        match self.printers.last() {
            Some(printer) => printer.switch_on(listener, self.announcer.as_ref()).await,
            None => Ok(()),
        }
    }

    fn printers(&self) -> Vec<PrinterInfo> {
        self.printers.iter().map(Printer::info).collect()
    }

    fn printed(&self) -> Vec<Printed> {
        let mut all: Vec<Printed> =
            self.printers.iter().flat_map(|printer| printer.shared.device().printed.clone()).collect();
        all.sort_by_key(|printed| printed.at);
        all
    }

    fn set_fault(&self, printer: &str, fault: Fault) -> Result<(), SimulateError> {
        let printer = self.find(printer)?;
        printer.shared.device().faults.set(fault);
        printer.shared.wake.notify_one();
        Ok(())
    }

    fn clear_fault(&self, printer: &str, kind: Option<&str>) -> Result<bool, SimulateError> {
        let printer = self.find(printer)?;
        let cleared = {
            let mut device = printer.shared.device();
            match kind {
                Some(kind) => device.faults.clear(kind),
                None => {
                    let any = device.faults.iter().next().is_some();
                    device.faults.clear_all();
                    any
                }
            }
        };
        printer.shared.wake.notify_one();
        Ok(cleared)
    }

    async fn power_off(&self, printer: &str) -> Result<(), SimulateError> {
        self.find(printer)?.switch_off(self.announcer.as_ref()).await;
        Ok(())
    }

    async fn power_on(&self, printer: &str) -> Result<(), SimulateError> {
        let printer = self.find(printer)?;
        if printer.power().is_some() {
            return Ok(());
        }
        let listener = listen(&printer.spec.name, printer.address).await?;
        printer.shared.device().power_on(Instant::now());
        printer.switch_on(listener, self.announcer.as_ref()).await
    }

    fn replace_certificate(&self, printer: &str) -> Result<(), SimulateError> {
        let printer = self.find(printer)?;
        let config = tls::make(&printer.directory, &printer.identity.host, printer.spec.address)
            .and_then(|()| tls::load(&printer.directory))
            .map_err(|error| SimulateError::Certificate { name: printer.spec.name.clone(), error })?;
        *printer.shared.tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(config);
        Ok(())
    }

    async fn stop(&self) {
        let all = self.printers.iter().map(|printer| printer.switch_off(self.announcer.as_ref()));
        futures_util::future::join_all(all).await;
        if let Some(announcer) = &self.announcer {
            announcer.stop().await;
        }
    }

    fn find(&self, name: &str) -> Result<&Printer, SimulateError> {
        self.printers
            .iter()
            .find(|printer| printer.spec.name == name)
            .ok_or_else(|| SimulateError::NoSuchPrinter(name.to_owned()))
    }
}

impl Printer {
    async fn prepare(spec: PrinterSpec, seed: &str, paper: Paper) -> Result<(Printer, TcpListener), SimulateError> {
        let listener = listen(&spec.name, SocketAddr::new(spec.address, spec.port)).await?;
        let address = listener.local_addr().map_err(|error| SimulateError::Listen {
            name: spec.name.clone(),
            address: SocketAddr::new(spec.address, spec.port),
            error,
        })?;
        let identity = Identity::new(&spec, seed);
        let directory = paper.directory();
        let tls = if spec.tls {
            let config = tls::load_or_make(&directory, &identity.host, spec.address)
                .map_err(|error| SimulateError::Certificate { name: spec.name.clone(), error })?;
            Some(config)
        } else {
            None
        };
        let reach = Reach {
            uri: format!("ipp://{address}/ipp/print"),
            uris: spec.tls.then(|| format!("ipps://{address}/ipp/print")),
            admin: format!("http://{address}/"),
        };
        let mut device = Device::new(
            identity.clone(),
            spec.profile,
            spec.history.unwrap_or(spec.profile.history),
            spec.page_time,
            spec.time_out,
            paper,
            Instant::now(),
        );
        for fault in &spec.faults {
            device.faults.set(fault.clone());
        }
        let shared = Arc::new(Shared {
            device: Mutex::new(device),
            wake: Notify::new(),
            changed: Default::default(),
            reach,
            tls: Mutex::new(tls),
            queues: spec.profile.services.lpd.iter().map(|queue| (*queue).to_owned()).collect(),
            server: Mutex::default(),
        });
        let (services, ip) = (spec.profile.services, spec.address);
        let at = |there: bool, port: Option<u16>| port.filter(|_| there).map(|port| SocketAddr::new(ip, port));
        let ports = Mutex::new(Ports {
            snmp: at(services.snmp != profiles::Snmp::None || spec.snmp_records.is_some(), spec.snmp_port),
            appsocket: at(services.appsocket, spec.appsocket_port),
            lpd: at(!services.lpd.is_empty(), spec.lpd_port),
        });
        let recording = spec.snmp_records.as_deref().map(|path| recording(&spec.name, path)).transpose()?;
        let printer = Printer { spec, identity, address, ports, directory, recording, shared, power: Mutex::new(None) };
        Ok((printer, listener))
    }

    fn power(&self) -> std::sync::MutexGuard<'_, Option<Power>> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ports(&self) -> std::sync::MutexGuard<'_, Ports> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn switch_on(&self, listener: TcpListener, announcer: Option<&Announcer>) -> Result<(), SimulateError> {
        let (off, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut ports = *self.ports();
        if let Some(address) = &mut ports.snmp {
            let name = || self.spec.name.clone();
            let at = *address;
            let (recording, access) = (self.recording.clone(), self.spec.snmp_access.clone());
            *address = snmp::start(self.shared.clone(), recording, access, at, off.clone(), &tasks)
                .await
                .map_err(|error| SimulateError::Listen { name: name(), address: at, error })?;
        }
        if let Some(address) = &mut ports.appsocket {
            let listener = listen(&self.spec.name, *address).await?;
            *address = listener.local_addr().unwrap_or(*address);
            tasks.spawn(appsocket::listen(self.shared.clone(), listener, off.clone(), tasks.clone()));
        }
        if let Some(address) = &mut ports.lpd {
            let listener = listen(&self.spec.name, *address).await?;
            *address = listener.local_addr().unwrap_or(*address);
            tasks.spawn(lpd::listen(self.shared.clone(), listener, off.clone(), tasks.clone()));
        }
        *self.ports() = ports;
        tasks.spawn(server::print(self.shared.clone(), off.clone()));
        tasks.spawn(server::listen(self.shared.clone(), listener, off.clone(), tasks.clone()));
        let services = match announcer {
            None => Vec::new(),
            Some(announcer) => announcer.register(&Announcement {
                identity: &self.identity,
                profile: self.spec.profile,
                address: self.spec.address,
                port: self.address.port(),
                priority: self.spec.priority,
                reach: &self.shared.reach,
            })?,
        };
        *self.power() = Some(Power { off, tasks, services });
        Ok(())
    }

    async fn switch_off(&self, announcer: Option<&Announcer>) {
        let Some(power) = self.power().take() else { return };
        power.off.cancel();
        power.tasks.close();
        if tokio::time::timeout(SHUTDOWN, power.tasks.wait()).await.is_err() {
            tracing::warn!(printer = %self.spec.name, "connections still open");
        }
        self.shared.device().power_off(false, Instant::now());
        if let Some(announcer) = announcer {
            announcer.unregister(&power.services).await;
        }
    }

    fn info(&self) -> PrinterInfo {
        let reach = self.shared.reach.clone();
        let ports = *self.ports();
        PrinterInfo {
            name: self.spec.name.clone(),
            uri: reach.uri,
            uris: reach.uris,
            address: self.address,
            snmp: ports.snmp,
            appsocket: ports.appsocket,
            lpd: ports.lpd,
            uuid: self.identity.uuid.clone(),
            serial: self.identity.serial.clone(),
            make: self.spec.profile.make.to_owned(),
            model: self.spec.profile.model.to_owned(),
            host: self.identity.host.clone(),
            profile: self.spec.profile.key.to_owned(),
            files: self.directory.clone(),
        }
    }
}

fn recording(printer: &str, path: &Path) -> Result<Arc<snmp::Recording>, SimulateError> {
    let (recording, bad) = snmp::Recording::load(path)?;
    for line in &bad {
        tracing::warn!(%printer, file = %path.display(), "not served: {line}");
    }
    Ok(Arc::new(recording))
}

async fn listen(name: &str, address: SocketAddr) -> Result<TcpListener, SimulateError> {
    TcpListener::bind(address).await.map_err(|error| SimulateError::Listen { name: name.to_owned(), address, error })
}
