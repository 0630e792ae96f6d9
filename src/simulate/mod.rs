//! Simulated printers on the real wire: IPP over HTTP and HTTPS, announced over mDNS, printing into files.
//!
//! An [`Office`] holds any number of printers, each on its own loopback address and port. They behave as IPP/2.0
//! printers do (`device` has the job states, `service` the operations), parse and build IPP with the `ipp` crate and
//! not with our own codec, and can be made to misbehave at run time ([`Fault`]).
//!
//! What they print: `DIR/printed.jsonl` and `DIR/PRINTER/job-<id>-1.<ext>` (see [`Printed`]).
//!
//! One condition (`device::condition`) is behind every protocol: IPP attributes, the Printer-MIB and PJL tell the same.
//! A printer speaks what its profile says ([`profiles`]): an old laser has neither IPP nor an announcement. Several may
//! be behind one address, as on a print server ([`PrinterSpec::server`]).
//!
//! What can be done at run time: [`Order`], through [`Office::order`], the control socket (`control`) or a script
//! ([`Script`]). A fault is there when the call that sets it returns.
//!
//! Announcements: the module `mdns`.
//!
//! ## Against the standards
//! Debian's `ipptool` runs its IPP/2.0 suite without a failure for every profile. Of IPP Everywhere `overrides` is
//! missing, hence `ipp-everywhere` is not claimed in `ipp-features-supported`; the DNS-SD subtype `_print` is there
//! all the same, as browsers filter by it.
//!
//! The `ipp` crate panics on some malformed requests; that ends the connection and nothing else.
//!
//! ## What it does not do
//! No IPv6 announcements; no HTTP Digest; no compression but `none`; one document per job; holds no jobs;
//! does not interpret documents beyond counting their pages.

mod appsocket;
mod attributes;
mod auth;
mod control;
mod cut;
mod device;
mod fault;
mod frame;
mod intake;
mod language;
mod lpd;
mod mdns;
mod order;
mod pages;
mod paper;
mod pjl;
mod printer;
pub mod profiles;
mod raw;
mod script;
mod server;
mod service;
pub mod snmp;
mod spec;
mod spoil;
mod tls;
mod upload;
mod values;
mod view;

pub use auth::BasicAuth;
pub use control::ask;
pub use fault::{Fault, LossyOperation, SnmpFault, UnknownFault, WrongCounts};
pub use order::{Order, UnknownOrder};
pub use paper::{Outcome, Printed, Via};
pub use script::{Script, ScriptErrors};
pub use spec::{History, Interfaces, Mdns, OfficeConfig, PrinterSpec, default_printers, printers_of};
pub use tls::Certificate;

use mdns::Responder;
use paper::{Paper, PrintLog};
use printer::Printer;
use serde::Serialize;
use spec::Identity;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
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
    Mdns(io::Error),
    /// A printer cannot have this fault, or not be moved so.
    #[error("`{name}`: {why}")]
    NotPossible {
        /// The printer.
        name: String,
        /// What it lacks.
        why: String,
    },
}

/// What one needs to know to use a printer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrinterInfo {
    /// Its name.
    pub name: String,
    /// `ipp://…`; of a printer without IPP `socket://…`, else `lpd://…`.
    pub uri: String,
    /// `ipps://…`, when it speaks TLS.
    pub uris: Option<String>,
    /// Where it listens for the protocol of `uri`.
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
    /// The print server that it is behind.
    pub server: Option<String>,
    /// Where its documents are.
    pub files: PathBuf,
}

/// Simulated printers, running. Its methods take a printer by its name.
pub struct Office {
    inner: Arc<Inner>,
    control: Option<PathBuf>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What the control socket and scripts share with the office.
struct Inner {
    printers: Vec<Printer>,
    responder: Option<Responder>,
    /// Held by orders that change where printers are, one after the other.
    moving: tokio::sync::Mutex<()>,
}

impl Office {
    /// Starts every printer and announces them. When one cannot start, none runs.
    ///
    /// # Errors
    /// See [`SimulateError`].
    pub async fn start(config: OfficeConfig) -> Result<Office, SimulateError> {
        let mut folders: HashMap<String, &str> = HashMap::new();
        for spec in &config.printers {
            if folders.insert(paper::folder_name(&spec.name), &spec.name).is_some() {
                return Err(SimulateError::SameName(spec.name.clone()));
            }
        }
        let output = |error| SimulateError::Output { path: config.out_dir.clone(), error };
        let log = PrintLog::open(&config.out_dir).map_err(output)?;
        let responder = config.mdns.as_ref().map(Responder::start).transpose().map_err(SimulateError::Mdns)?;
        let mut printers: Vec<Printer> = Vec::with_capacity(config.printers.len());
        let mut servers: HashMap<String, usize> = HashMap::new();
        for spec in config.printers {
            let paper = Paper::open(log.clone(), &spec.name).map_err(output)?;
            let index = printers.len();
            let first = spec.server.clone().map(|server| *servers.entry(server).or_insert(index));
            let leader = first.and_then(|first| printers.get(first));
            let port = first.map(|first| index - first + 1);
            printers.push(Printer::new(spec, &config.seed, paper, leader, port)?);
        }
        let inner = Arc::new(Inner { printers, responder, moving: tokio::sync::Mutex::default() });
        inner.join_servers();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut office = Office { inner, control: None, stop, tasks };
        if let Err(error) = office.inner.start().await {
            office.shutdown().await;
            return Err(error);
        }
        if config.control_socket {
            let path = config.out_dir.join(control::SOCKET);
            match crate::console::bind(&path) {
                Ok(listener) => {
                    let tasks = TaskTracker::new();
                    let serve = control::serve(office.inner.clone(), listener, office.stop.clone(), tasks.clone());
                    tasks.spawn(serve);
                    tasks.close();
                    office.tasks.spawn(async move { tasks.wait().await });
                    office.control = Some(path);
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
        self.control.as_deref()
    }

    /// Every printer, in the order of the configuration.
    pub fn printers(&self) -> Vec<PrinterInfo> {
        self.inner.printers()
    }

    /// What was put on paper since the start, by all printers, in order of time.
    pub fn printed(&self) -> Vec<Printed> {
        self.inner.printed()
    }

    /// Carries out an order; says for [`Order::Clear`] whether there was something to clear, else true.
    ///
    /// # Errors
    /// See [`SimulateError`].
    pub async fn order(&self, printer: &str, order: Order) -> Result<bool, SimulateError> {
        self.inner.order(printer, order).await
    }

    /// Begins a script; it ends with the office.
    pub fn run_script(&self, script: Script) {
        self.tasks.spawn(script.run(self.inner.clone(), self.stop.clone()));
    }

    /// Sets a fault; one of the same kind is replaced.
    ///
    /// # Errors
    /// [`SimulateError::NoSuchPrinter`], [`SimulateError::NotPossible`].
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
    /// goodbye; [`Order::PowerOff`] can do without, and keep the queue). Nothing happens when it is off.
    ///
    /// # Errors
    /// [`SimulateError::NoSuchPrinter`].
    pub async fn power_off(&self, printer: &str) -> Result<(), SimulateError> {
        self.order(printer, Order::PowerOff { keep_queue: false, silent: false }).await.map(drop)
    }

    /// Switches a printer on again, under the same address and port. Nothing happens when it is on.
    ///
    /// # Errors
    /// [`SimulateError::NoSuchPrinter`], and [`SimulateError::Listen`] when the port was taken meanwhile.
    pub async fn power_on(&self, printer: &str) -> Result<(), SimulateError> {
        self.order(printer, Order::PowerOn).await.map(drop)
    }

    /// Gives a printer a new key and certificate, for connections from now on.
    ///
    /// # Errors
    /// [`SimulateError::NoSuchPrinter`], [`SimulateError::NotPossible`], [`SimulateError::Certificate`].
    pub fn replace_certificate(&self, printer: &str) -> Result<(), SimulateError> {
        self.inner.replace_certificate(printer, Certificate::Valid)
    }

    /// Ends everything: goodbyes are sent, connections closed.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(SHUTDOWN, self.tasks.wait()).await;
        if let Some(path) = self.control {
            let _ = std::fs::remove_file(path);
        }
        self.inner.stop().await;
    }
}

impl Inner {
    /// Tells the printers of each print server of each other.
    fn join_servers(&self) {
        for printer in self.printers.iter().filter(|printer| printer.spec.server.is_some()) {
            let all: Vec<Weak<_>> = self.group(printer).map(|other| Arc::downgrade(&other.shared)).collect();
            printer.shared.join_server(all);
        }
    }

    async fn start(&self) -> Result<(), SimulateError> {
        for printer in &self.printers {
            for fault in &printer.spec.faults {
                self.fits(printer, fault)?;
                printer.shared.device().faults.set(fault.clone());
            }
            self.follow(printer);
            printer.connect(self.responder.as_ref()).await?;
        }
        Ok(())
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

    async fn order(&self, name: &str, order: Order) -> Result<bool, SimulateError> {
        let printer = self.find(name)?;
        match order {
            Order::Set(fault) => self.set_fault(name, fault)?,
            Order::Clear(kind) => return self.clear_fault(name, kind.as_deref()),
            Order::ReplaceCertificate(kind) => self.replace_certificate(name, kind)?,
            Order::Sleep => printer.shared.device().sleep(),
            Order::Wake => printer.shared.device().wake(Instant::now()),
            Order::PowerOff { keep_queue, silent } => {
                let _moving = self.moving.lock().await;
                if printer.disconnect(self.responder.as_ref(), !silent).await {
                    printer.shared.device().power_off(keep_queue, Instant::now());
                }
            }
            Order::PowerOn => {
                let _moving = self.moving.lock().await;
                if !printer.is_on() {
                    printer.shared.device().power_on(Instant::now());
                    printer.connect(self.responder.as_ref()).await?;
                }
            }
            Order::Move(address) => {
                let _moving = self.moving.lock().await;
                self.rewire(self.group(printer).collect(), || {
                    self.group(printer).for_each(|printer| printer.wires().ip = address);
                })
                .await?;
            }
            Order::Swap(other) => {
                let other = self.find(&other)?;
                if let Some(one) = [printer, other].into_iter().find(|printer| printer.spec.server.is_some()) {
                    let why = "a printer behind a print server cannot swap its address".to_owned();
                    return Err(SimulateError::NotPossible { name: one.spec.name.clone(), why });
                }
                if std::ptr::eq(printer, other) {
                    return Ok(true);
                }
                let _moving = self.moving.lock().await;
                self.rewire(vec![printer, other], || printer.swap_wires(other)).await?;
            }
        }
        Ok(true)
    }

    /// Takes printers off the network, changes where they are, and puts those back that were there. Nobody says
    /// goodbye: an address that changes does not either.
    async fn rewire(&self, printers: Vec<&Printer>, change: impl FnOnce()) -> Result<(), SimulateError> {
        let mut were_on = Vec::new();
        for printer in printers {
            if printer.disconnect(self.responder.as_ref(), false).await {
                were_on.push(printer);
            }
        }
        change();
        for printer in were_on {
            printer.connect(self.responder.as_ref()).await?;
        }
        Ok(())
    }

    fn fits(&self, printer: &Printer, fault: &Fault) -> Result<(), SimulateError> {
        let name = || printer.spec.name.clone();
        if let Fault::CloneOf(other) | Fault::CloneUuidOf(other) = fault {
            self.find(other)?;
        }
        fault
            .fits(printer.spec.profile)
            .map_err(|why| SimulateError::NotPossible { name: name(), why: format!("`{fault}`: {why}") })
    }

    fn set_fault(&self, printer: &str, fault: Fault) -> Result<(), SimulateError> {
        let printer = self.find(printer)?;
        self.fits(printer, &fault)?;
        printer.shared.device().faults.set(fault);
        self.follow(printer);
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
        self.follow(printer);
        Ok(cleared)
    }

    /// Makes changed faults show everywhere.
    fn follow(&self, printer: &Printer) {
        let told = {
            let mut device = printer.shared.device();
            let before = device.uuid().to_owned();
            let other = device.faults.iter().find_map(|fault| match fault {
                Fault::CloneOf(other) | Fault::CloneUuidOf(other) => self.find(other).ok(),
                _ => None,
            });
            device.clone_of = other.map(|other| other.identity.clone());
            if printer.is_on() {
                device.advance(Instant::now());
            }
            device.uuid() != before
        };
        printer.shared.wake.notify_one();
        if told && printer.is_on() {
            printer.announce(self.responder.as_ref());
        }
    }

    fn replace_certificate(&self, printer: &str, kind: Certificate) -> Result<(), SimulateError> {
        let printer = self.find(printer)?;
        let name = || printer.spec.name.clone();
        let Some(certificates) = &printer.shared.tls else {
            return Err(SimulateError::NotPossible { name: name(), why: "it speaks no TLS".to_owned() });
        };
        certificates.replace(kind).map_err(|error| SimulateError::Certificate { name: name(), error })
    }

    async fn stop(&self) {
        let all = self.printers.iter().map(|printer| async {
            if printer.disconnect(self.responder.as_ref(), true).await {
                printer.shared.device().power_off(false, Instant::now());
            }
        });
        futures_util::future::join_all(all).await;
        if let Some(responder) = &self.responder {
            responder.stop().await;
        }
    }

    /// The printer, and those that are behind the same print server.
    fn group<'a>(&'a self, printer: &'a Printer) -> impl Iterator<Item = &'a Printer> {
        self.printers.iter().filter(move |other| {
            std::ptr::eq(*other, printer) || (other.spec.server.is_some() && other.spec.server == printer.spec.server)
        })
    }

    fn find(&self, name: &str) -> Result<&Printer, SimulateError> {
        self.printers
            .iter()
            .find(|printer| printer.spec.name == name)
            .ok_or_else(|| SimulateError::NoSuchPrinter(name.to_owned()))
    }
}
