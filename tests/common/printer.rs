//! IPP by others: `ippeveprinter` is the printer, `ipptool` the client.

use super::START;
use super::avahi::Avahi;
use super::process::{self, Process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A printer of CUPS's `ippeveprinter`: IPP/2.0 and IPPS on one port, announced through [`Avahi`].
///
/// It takes one job at a time and forgets finished jobs after a minute.
#[derive(Debug)]
pub struct IppEvePrinter {
    process: Process,
    name: String,
    port: u16,
    directory: TempDir,
}

/// What to start; [`IppEvePrinter::start`] takes the usual.
#[derive(Debug, Clone)]
pub struct Options {
    /// TCP port.
    pub port: u16,
    /// Maker, for `ty` and `printer-make-and-model`.
    pub maker: String,
    /// Model.
    pub model: String,
    /// What it takes, in the order of preference.
    pub formats: String,
    /// A shell script run for each job with the document's path as `$1`; its exit code other than 0 aborts the job.
    pub script: String,
    /// More arguments of ippeveprinter.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            port: super::free_port(),
            maker: "Acme".to_owned(),
            model: "Laser 9".to_owned(),
            formats: "application/pdf,image/pwg-raster,image/urf".to_owned(),
            script: "exit 0".to_owned(),
            arguments: Vec::new(),
        }
    }
}

impl IppEvePrinter {
    /// A printer that prints at once.
    pub fn start(avahi: &Avahi, name: &str) -> IppEvePrinter {
        IppEvePrinter::start_with(avahi, name, Options::default())
    }

    /// Starts it and waits until it answers Get-Printer-Attributes.
    pub fn start_with(avahi: &Avahi, name: &str, options: Options) -> IppEvePrinter {
        let directory = tempfile::tempdir().unwrap();
        let spool = directory.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let script = directory.path().join("print");
        process::run(Command::new("install").arg("-m755").arg("/dev/null").arg(&script));
        fs::write(&script, format!("#!/bin/sh\n{}\n", options.script)).unwrap();

        let mut command = Command::new("ippeveprinter");
        command.arg("-p").arg(options.port.to_string()).arg("-k").arg("-d").arg(&spool);
        command.args(["-f", &options.formats, "-M", &options.maker, "-m", &options.model]);
        // Its own certificate for IPPS, made at the first connection; the usual places may not exist.
        let keys = directory.path().join("keys");
        fs::create_dir(&keys).unwrap();
        command.arg("-K").arg(&keys);
        command.arg("-c").arg(&script).args(&options.arguments).arg(name);
        avahi.connect(&mut command);
        let process = Process::start("ippeveprinter", directory.path(), command);
        let mut printer = IppEvePrinter { process, name: name.to_owned(), port: options.port, directory };
        let uri = printer.uri();
        printer.process.wait_until(START, "an answer to Get-Printer-Attributes", || {
            let mut command = ipptool(&uri, "get-printer-attributes.test", &[]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success().then_some(())
        });
        printer
    }

    /// Its name, also its mDNS instance name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `ipp://127.0.0.1:PORT/ipp/print`
    pub fn uri(&self) -> String {
        format!("ipp://127.0.0.1:{}/ipp/print", self.port)
    }

    /// `ipps://127.0.0.1:PORT/ipp/print`: TLS on the same port, under a certificate that it signed itself.
    pub fn secure_uri(&self) -> String {
        format!("ipps://127.0.0.1:{}/ipp/print", self.port)
    }

    /// The documents it has received, each as `JOB-TITLE.EXTENSION`, in the order of the jobs.
    ///
    /// A file may still be growing: compare contents under [`super::wait_until`], or wait for the job's end.
    pub fn documents(&self) -> Vec<PathBuf> {
        let job = |path: &PathBuf| -> u32 {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.split('-').next().and_then(|job| job.parse().ok()).unwrap_or(u32::MAX)
        };
        let mut files: Vec<PathBuf> = fs::read_dir(self.spool()).unwrap().map(|entry| entry.unwrap().path()).collect();
        // `.prn` is what the script wrote.
        files.retain(|path| path.extension().is_none_or(|extension| extension != "prn"));
        files.sort_by_key(job);
        files
    }

    /// Where it keeps them.
    pub fn spool(&self) -> PathBuf {
        self.directory.path().join("spool")
    }

    /// The process: freeze it, kill it, read its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Prints `file` with ipptool (Print-Job).
    pub fn print(&self, file: &Path, format: &str) {
        let file = file.to_str().expect("a path in UTF-8");
        let format = format!("filetype={format}");
        process::run(&mut ipptool(&self.uri(), "print-job.test", &["-f", file, "-d", &format]));
    }

    /// Asks with ipptool and gives the answer as text (`name (type) = value` lines).
    pub fn ask(&self, test: &str) -> String {
        process::run(&mut ipptool(&self.uri(), test, &["-tv"]))
    }

    /// [`IppEvePrinter::ask`] over TLS.
    pub fn ask_securely(&self, test: &str) -> String {
        process::run(&mut ipptool(&self.secure_uri(), test, &["-tv"]))
    }
}

/// `ipptool OPTIONS URI TEST`; `test` is a file of CUPS's (`get-jobs.test`) or a path. It runs the test where it stands
/// in its arguments, so the options come first.
fn ipptool(uri: &str, test: &str, options: &[&str]) -> Command {
    let mut command = Command::new("ipptool");
    command.args(["-T", "10"]).args(options).arg(uri);
    command.arg(test).stdin(Stdio::null());
    command
}
