//! A network of its own for a test: [`inside`].
//!
//! The test starts itself again in fresh network, mount and process namespaces and runs its body there. So the test,
//! the peers and the gateway see each other and nobody else; ports and mDNS names cannot clash with another test or
//! with a daemon of the system; and when the body ends, however it ends, the kernel ends every process inside.
//!
//! ```text
//! lo       127.0.0.1/8, INTERNET/32     INTERNET looks public, so the rules for document URLs let it pass
//! office0  OFFICE/24, multicast         the office's network; its other end, office1, is here too
//! /etc/hosts        OFFICE = office.test, INTERNET = files.example
//! /etc/resolv.conf  a name server that refuses at once
//! /run              empty; avahi keeps its socket there
//! ```

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// This machine's address in the office's network (a /24).
pub const OFFICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The interface with [`OFFICE`].
pub const INTERFACE: &str = "office0";

/// An address that looks public and exists only in here.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(11, 22, 33, 44);

/// The host name of [`INTERNET`].
pub const INTERNET_NAME: &str = "files.example";

/// Says to the test that it runs inside.
const MARK: &str = "PRINTGATE_TEST_NETNS";

const SETUP: &str = r#"
mount -t tmpfs tmpfs /run
mkdir -p /run/avahi-daemon /run/dbus
printf '127.0.0.1 localhost\n%s office.test\n%s %s\n' "$OFFICE" "$INTERNET" "$INTERNET_NAME" >/run/hosts
mount --bind /run/hosts /etc/hosts
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >/run/resolv.conf
if [ -f /etc/resolv.conf ]; then mount --bind /run/resolv.conf /etc/resolv.conf; fi
if [ "$USERNS" = yes ]; then
  # avahi hands its directory to its own user, of whom this user namespace knows nothing: here that is root.
  for file in passwd group; do
    sed -E 's/^avahi:x:[0-9]+(:[0-9]+)?/avahi:x:0\1/; s/^(avahi:x:0):[0-9]+:/\1:0:/' /etc/$file >/run/$file
    mount --bind /run/$file /etc/$file
  done
fi
ip link set lo up
ip link add office0 type veth peer name office1
ip address add "$OFFICE/24" dev office0
ip address add "$INTERNET/32" dev lo
ip link set office0 up
ip link set office1 up
ip route add 224.0.0.0/4 dev office0
echo "network ready"
"$@" || exit $?
exit 0
"#;

/// Runs `body` in a network of its own. `test` is the test's name with its modules, as the test runner lists it.
///
/// ```ignore
/// #[test]
/// fn finds_the_printer() {
///     netns::inside("finds_the_printer", || { … });
/// }
/// ```
#[track_caller]
pub fn inside(test: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some_and(|mark| mark == test) {
        return body();
    }
    let (reader, writer) = std::io::pipe().unwrap();
    // Killed with this thread; and with `unshare` everything inside is killed.
    let mut unshare = Command::new("setpriv");
    unshare.args(["--pdeathsig", "KILL", "unshare"]);
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    // An ordinary user is root in a user namespace.
    let ordinary = std::fs::metadata("/proc/self").unwrap().uid() != 0;
    if ordinary {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare
        .args(["sh", "-ec", SETUP, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(MARK, test)
        .env("USERNS", if ordinary { "yes" } else { "no" })
        .env("OFFICE", OFFICE.to_string())
        .env("INTERNET", INTERNET.to_string())
        .env("INTERNET_NAME", INTERNET_NAME)
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer);
    let mut child = unshare.spawn().expect("setpriv and unshare (package util-linux)");
    // Its copies of the pipe's end are closed, or reading would never end.
    drop(unshare);
    let mut ready = false;
    let mut passed = false;
    for line in BufReader::new(reader).lines() {
        let line = line.unwrap_or_else(|error| format!("(unreadable output: {error})"));
        ready |= line == "network ready";
        passed |= line.starts_with("test result: ok. 1 passed");
        // Marked, so that nobody takes the inner run's summary for the outer one's.
        println!("| {line}");
    }
    let status = child.wait().unwrap();
    assert!(
        ready,
        "cannot make a network namespace ({status}, the reason is above). This test needs one: run it as root, or \
         allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0); \
         in a container, add the capability SYS_ADMIN"
    );
    assert!(status.success(), "failed inside its network namespace ({status}), see above");
    assert!(passed, "no test is called {test:?} here: pass the name as the test runner lists it");
}

/// Takes the office's network down or brings it up again; while it is down, no announcement travels.
/// [`INTERNET`] and loopback addresses stay.
pub fn office(up: bool) {
    if up {
        ip(&["link", "set", INTERFACE, "up"]);
        ip(&["route", "replace", "224.0.0.0/4", "dev", INTERFACE]);
    } else {
        ip(&["link", "set", INTERFACE, "down"]);
    }
}

/// Takes the interface of the office's network out of the machine.
pub fn unplug() {
    ip(&["link", "delete", INTERFACE]);
}

/// Puts it in again, as it was.
pub fn plug() {
    ip(&["link", "add", INTERFACE, "type", "veth", "peer", "name", "office1"]);
    add_address(&format!("{OFFICE}/24"));
    ip(&["link", "set", "office1", "up"]);
    office(true);
}

/// Gives this machine one more address: in the office's network (`10.77.0.20/24`) or anywhere (`9.9.9.9/32`).
pub fn add_address(address: &str) {
    ip(&["address", "add", address, "dev", INTERFACE]);
}

fn ip(arguments: &[&str]) {
    assert!(std::env::var_os(MARK).is_some(), "only inside a network of its own: {arguments:?}");
    super::process::run(Command::new("ip").args(arguments));
}
