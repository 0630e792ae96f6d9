//! Simulated printers on the real wire: IPP over HTTP and HTTPS, announced over mDNS, printing into files.
//!
//! An [`Office`] holds any number of printers, each on its own loopback address and port. They behave as IPP/2.0
//! printers do (`device` has the job states, `service` the operations), parse and build IPP with the `ipp` crate and
//! not with our own codec, and can be made to misbehave at run time ([`Fault`]).
//!
//! What they print: `DIR/printed.jsonl` and `DIR/PRINTER/job-<id>-1.<ext>` (see [`Printed`]).
//!
//! ## mDNS on loopback
//! TODO
//!
//! ## What it does not do
//! No SNMP, no port 9100, no LPD; no authentication; no compression but `none`; one document per job; holds no jobs;
//! does not interpret documents beyond counting their pages.

mod announce;
mod attributes;
mod control;
mod device;
mod fault;
mod frame;
mod paper;
pub mod profiles;
mod server;
mod service;
mod tls;
mod values;

pub use fault::{Fault, LossyOperation, UnknownFault};
pub use paper::{Outcome, Printed};

use announce::{Announcement, Announcer};
use attributes::Reach;
use device::Device;
use paper::{Paper, PrintLog};
use profiles::Profile;
use serde::Serialize;
use server::Shared;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest wait for connections to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// What an office consists of.
#[derive(Debug, Clone)]
pub struct OfficeConfig {
    /// Its printers; names must differ.
    pub printers: Vec<PrinterSpec>,
    /// Where they print to; made when missing.
    pub out_dir: PathBuf,
    /// How they are announced; `None`: not at all.
    pub mdns: Option<Mdns>,
    /// UUIDs and serial numbers are derived from this and the printer's name, so they outlive a restart. Offices that
    /// run at the same time must differ in it.
    pub seed: String,
    /// Serves `simulate-control.sock` in `out_dir` (faults and power at run time, see the module `control`).
    pub control_socket: bool,
}

/// How printers are announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mdns {
    /// On which interfaces.
    pub interfaces: Interfaces,
    /// UDP port: 5353, or another for an office that only its own test sees.
    pub port: u16,
}

/// Network interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interfaces {
    /// Loopback over IPv4 only.
    Loopback,
    /// Every one.
    All,
    /// These.
    Named(Vec<String>),
}

impl Default for Mdns {
    fn default() -> Mdns {
        Mdns { interfaces: Interfaces::Loopback, port: 5353 }
    }
}

/// One printer to be simulated.
#[derive(Debug, Clone)]
pub struct PrinterSpec {
    /// Instance name that people see; unique within the office.
    pub name: String,
    /// What kind of device it is.
    pub profile: &'static Profile,
    /// Where it listens.
    pub address: IpAddr,
    /// TCP port; 0 takes a free one and keeps it over power cycles.
    pub port: u16,
    /// Speaks TLS as well, on the same port.
    pub tls: bool,
    /// `printer-location` and the TXT key `note`.
    pub location: String,
    /// DNS-SD priority, 0 to 99.
    pub priority: u8,
    /// What is wrong with it from the start.
    pub faults: Vec<Fault>,
    /// How long it remembers finished jobs.
    pub history: History,
    /// How long one impression takes.
    pub page_time: Duration,
    /// `multiple-operation-time-out`.
    pub time_out: Duration,
}

impl PrinterSpec {
    /// A printer of the default profile that takes 100 ms a page, remembers its jobs and has nothing wrong with it.
    pub fn new(name: impl Into<String>, address: IpAddr) -> PrinterSpec {
        PrinterSpec {
            name: name.into(),
            profile: profiles::default_profile(),
            address,
            port: 0,
            tls: false,
            location: "2nd floor".to_owned(),
            priority: 30,
            faults: Vec::new(),
            history: History::Keep,
            page_time: Duration::from_millis(100),
            time_out: Duration::from_secs(60),
        }
    }
}

/// How long a printer remembers finished jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// The last 2,000, until the power goes.
    Keep,
    /// So long.
    Forget(Duration),
    /// Not at all: a finished job is unknown at once.
    None,
}

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<History, String> {
        match text.split_once(':') {
            None if text == "keep" => Ok(History::Keep),
            None if text == "none" => Ok(History::None),
            Some(("forget", seconds)) => match seconds.parse() {
                Ok(seconds) => Ok(History::Forget(Duration::from_secs(seconds))),
                Err(_) => Err(format!("`{seconds}` is no number of seconds")),
            },
            _ => Err(format!("`{text}` is no history: use keep, forget:SECONDS or none")),
        }
    }
}

/// Who a printer is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    name: String,
    location: String,
    uuid: String,
    serial: String,
    host: String,
}

impl Identity {
    fn new(spec: &PrinterSpec, seed: &str) -> Identity {
        let hash = Sha256::digest(format!("printgate simulate\0{seed}\0{}", spec.name));
        let mut bytes = [0u8; 16];
        bytes.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
        // A random UUID in form (RFC 9562 §5.4).
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = data_encoding::HEXLOWER.encode(&bytes);
        let (a, rest) = hex.split_at(8);
        let (b, rest) = rest.split_at(4);
        let (c, rest) = rest.split_at(4);
        let (d, e) = rest.split_at(4);
        let serial: String = data_encoding::BASE32_NOPAD.encode(&hash).chars().take(10).collect();
        Identity {
            name: spec.name.clone(),
            location: spec.location.clone(),
            uuid: format!("{a}-{b}-{c}-{d}-{e}"),
            host: format!("{}{}.local", spec.profile.make.to_ascii_lowercase(), serial.to_ascii_lowercase()),
            serial,
        }
    }
}

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
    /// Where it listens.
    pub address: SocketAddr,
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
    directory: PathBuf,
    shared: Arc<Shared>,
    power: Mutex<Option<Power>>,
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
            Some(printer) => printer.switch_on(listener, self.announcer.as_ref()),
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
        printer.switch_on(listener, self.announcer.as_ref())
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
        for printer in &self.printers {
            printer.switch_off(self.announcer.as_ref()).await;
        }
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
            spec.history,
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
            reach: Mutex::new(reach),
            tls: Mutex::new(tls),
        });
        let printer = Printer { spec, identity, address, directory, shared, power: Mutex::new(None) };
        Ok((printer, listener))
    }

    fn power(&self) -> std::sync::MutexGuard<'_, Option<Power>> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn switch_on(&self, listener: TcpListener, announcer: Option<&Announcer>) -> Result<(), SimulateError> {
        let (off, tasks) = (CancellationToken::new(), TaskTracker::new());
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
                reach: &self.shared.reach(),
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
        self.shared.device().power_off();
        if let Some(announcer) = announcer {
            announcer.unregister(&power.services).await;
        }
    }

    fn info(&self) -> PrinterInfo {
        let reach = self.shared.reach();
        PrinterInfo {
            name: self.spec.name.clone(),
            uri: reach.uri,
            uris: reach.uris,
            address: self.address,
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

async fn listen(name: &str, address: SocketAddr) -> Result<TcpListener, SimulateError> {
    TcpListener::bind(address).await.map_err(|error| SimulateError::Listen { name: name.to_owned(), address, error })
}

/// `count` printers of all profiles in turn, at 127.0.83.1 and up, on free ports.
pub fn default_printers(count: u8) -> Vec<PrinterSpec> {
    let places = [("Colour", "2nd floor"), ("Reception", "Ground floor"), ("Labels", "Warehouse")];
    (0..count)
        .zip(profiles::PROFILES.iter().zip(places).cycle())
        .map(|(index, (profile, (name, location)))| {
            let round = usize::from(index) / places.len();
            let name = if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) };
            let address = Ipv4Addr::new(127, 0, 83, index.saturating_add(1));
            PrinterSpec { profile, location: location.to_owned(), ..PrinterSpec::new(name, address.into()) }
        })
        .collect()
}
