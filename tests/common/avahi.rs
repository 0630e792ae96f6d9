//! mDNS by others: a private D-Bus and an avahi-daemon on it.

use super::START;
use super::netns::INTERFACE;
use super::process::{self, Process};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The bus lets everybody own, send and receive everything: avahi hangs at "starting up" where it gets no replies.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
"#;

const DAEMON: &str = "[server]
host-name=office
use-ipv4=@IPV4@
use-ipv6=@IPV6@
allow-interfaces=@INTERFACES@
ratelimit-interval-usec=0
[wide-area]
enable-wide-area=no
[publish]
publish-hinfo=no
publish-workstation=no
";

/// A running avahi-daemon; the machine's mDNS name is `office.local`.
///
/// Only inside [`super::netns::inside`]: one network holds one avahi-daemon. Needs no name service module.
#[derive(Debug)]
pub struct Avahi {
    // Dropped in this order: the daemon before its bus.
    daemon: Process,
    bus: Process,
    address: String,
    directory: TempDir,
}

/// One line of `avahi-browse --parsable --resolve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Instance name, with avahi's `\032` for a space.
    pub name: String,
    /// `office.local`
    pub host: String,
    /// Address as text.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// TXT record: `"key=value" "key=value"`.
    pub txt: String,
}

impl Avahi {
    /// Starts the bus and the daemon, and waits until the daemon answers on the bus.
    pub fn start() -> Avahi {
        let daemon = Command::new("avahi-daemon");
        Avahi::start_with(
            daemon,
            &DAEMON.replace("@IPV4@", "yes").replace("@IPV6@", "no").replace("@INTERFACES@", INTERFACE),
        )
    }

    /// The same in another network, over IPv6 alone: `daemon` starts the program there, which uses these interfaces.
    pub fn start_in(daemon: Command, interfaces: &[&str]) -> Avahi {
        let configuration = DAEMON.replace("@IPV4@", "no").replace("@IPV6@", "yes");
        Avahi::start_with(daemon, &configuration.replace("@INTERFACES@", &interfaces.join(",")))
    }

    fn start_with(mut program: Command, text: &str) -> Avahi {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("bus");
        let bus_configuration = directory.path().join("bus.conf");
        fs::write(&bus_configuration, BUS.replace("@SOCKET@", &socket.display().to_string())).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.arg(format!("--config-file={}", bus_configuration.display()));
        command.args(["--nofork", "--nopidfile", "--nosyslog"]);
        let mut bus = Process::start("dbus", directory.path(), command);
        bus.wait_until(START, "its socket", || is_socket(&socket).then_some(()));
        let address = format!("unix:path={}", socket.display());

        let configuration = directory.path().join("avahi.conf");
        fs::write(&configuration, text).unwrap();
        program.arg("-f").arg(&configuration).args(["--no-drop-root", "--no-chroot", "--no-rlimits"]);
        program.env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        let mut daemon = Process::start("avahi", directory.path(), program);
        // It answers once it has claimed its host name.
        daemon.wait_until(START, "its host name", || host_name(&address));
        Avahi { daemon, bus, address, directory }
    }

    /// Lets a program that `command` starts talk to this daemon.
    pub fn connect(&self, command: &mut Command) {
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
    }

    /// The services of a type (`_ipp._tcp`) that avahi-browse can resolve now. Takes a good second.
    pub fn browse(&self, service: &str) -> Vec<Found> {
        let mut command = Command::new("avahi-browse");
        command.args(["--parsable", "--resolve", "--terminate", service]);
        self.connect(&mut command);
        process::run(&mut command).lines().filter_map(found).collect()
    }

    /// Announces a service without there being one: `txt` entries are `key=value`. It is gone when the guard is dropped.
    pub fn publish(&self, name: &str, service: &str, port: u16, txt: &[&str]) -> Process {
        let mut command = Command::new("avahi-publish");
        command.args(["--service", name, service]).arg(port.to_string()).args(txt);
        self.connect(&mut command);
        let mut process = Process::start(&format!("publish-{name}-{service}"), self.directory.path(), command);
        let log = process.log_path().to_owned();
        process.wait_until(START, "an established service", || {
            fs::read_to_string(&log).unwrap_or_default().contains("Established under name").then_some(())
        });
        process
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

fn host_name(address: &str) -> Option<()> {
    let mut command = Command::new("dbus-send");
    command
        .args(["--system", "--print-reply", "--reply-timeout=1000", "--dest=org.freedesktop.Avahi", "/"])
        .arg("org.freedesktop.Avahi.Server.GetState")
        .env("DBUS_SYSTEM_BUS_ADDRESS", address)
        .stdin(Stdio::null());
    let output = command.output().ok()?;
    // AVAHI_SERVER_RUNNING
    String::from_utf8_lossy(&output.stdout).contains("int32 2").then_some(())
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// `=;office0;IPv4;Acme\032X;Internet Printer;local;office.local;10.77.0.1;8631;"rp=ipp/print"`
fn found(line: &str) -> Option<Found> {
    let fields: Vec<&str> = line.splitn(10, ';').collect();
    let [kind, _, _, name, _, _, host, address, port, txt] = fields[..] else { return None };
    (kind == "=").then_some(())?;
    Some(Found {
        name: name.to_owned(),
        host: host.to_owned(),
        address: address.to_owned(),
        port: port.parse().ok()?,
        txt: txt.to_owned(),
    })
}
