//! Every packet of the network namespace, as `tcpdump` records it.

use crate::common::process::{self, Process};
use crate::common::{START, wait_until};
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A port at which nobody listens: a datagram to it marks how far the recording has come.
const MARK: u16 = 59_999;

/// A running recording.
pub(crate) struct Recording {
    _process: Process,
    file: PathBuf,
}

impl Recording {
    /// Records all interfaces from now on.
    pub(crate) fn start(directory: &Path) -> Recording {
        let file = directory.join("packets.pcap");
        let mut command = Command::new("tcpdump");
        // It would give up its privileges and then not be allowed to write.
        command.args(["-i", "any", "-n", "-U", "--immediate-mode", "-Z", "root", "-w"]).arg(&file);
        let mut process = Process::start("tcpdump", directory, command);
        process
            .wait_until(START, "the recording", || fs::metadata(&file).is_ok_and(|file| file.len() > 0).then_some(()));
        let recording = Recording { _process: process, file };
        recording.catch_up();
        recording
    }

    /// Waits until everything sent so far is in the file.
    pub(crate) fn catch_up(&self) {
        let before = self.count(&format!("udp dst port {MARK}"));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        wait_until(START, "the mark in the recording", || {
            socket.send_to(b"mark", (Ipv4Addr::LOCALHOST, MARK)).unwrap();
            (self.count(&format!("udp dst port {MARK}")) > before).then_some(())
        });
    }

    /// The packets that match a filter of tcpdump, a line each.
    pub(crate) fn packets(&self, filter: &str) -> Vec<String> {
        let mut command = Command::new("tcpdump");
        command.args(["-n", "-q", "-t", "-Z", "root", "-r"]).arg(&self.file).arg(filter);
        process::run(&mut command).lines().map(str::to_owned).collect()
    }

    pub(crate) fn count(&self, filter: &str) -> usize {
        self.packets(filter).len()
    }

    /// Attempts to open a TCP connection to one of these ports, and datagrams to them, over IPv4 and IPv6.
    pub(crate) fn contacts(&self, ports: &[u16]) -> Vec<String> {
        let ports: Vec<String> = ports.iter().map(|port| format!("dst port {port}")).collect();
        self.packets(&format!("({}) and ({SYN} or udp)", ports.join(" or ")))
    }
}

/// The first packet of a TCP connection.
pub(crate) const SYN: &str = "(ip and tcp and tcp[13] & 0x12 = 2) or (ip6 proto 6 and ip6[53] & 0x12 = 2)";
