//! How many SNMP requests a second simulated printers answer, and what they cost: `cargo bench --bench snmp_agent`.
//!
//! An office of 5,000 printers (`PRINTERS=N` for another number), each with an IPP port and an SNMP agent on a loopback
//! address of its own. One thread of this process floods them round robin with ready-made requests, 128 in flight at a
//! time, and counts the answers. Client and agents share the machine; the processor time of each is told.
//! Figures go to standard output; nothing is asserted. Lost datagrams are told; they cost the run a pause of 2 s.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement that cannot be made ends")]

use async_snmp::message::CommunityMessage;
use async_snmp::pdu::{GetBulkPdu, Pdu};
use async_snmp::{DecodeConfig, Oid, RequestPdu, Version};
use printgate::simulate::{Office, OfficeConfig, PrinterSpec, profiles};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Requests in flight.
const WINDOW: usize = 128;
/// Requests of one kind.
const REQUESTS: usize = 200_000;
/// First octets of every request-id, by which its place in the ready-made request is found.
const MARK: [u8; 2] = [0x5a, 0x5a];

fn main() {
    let count: u32 = std::env::var("PRINTERS").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000);
    open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let before = resident();
    let began = Instant::now();
    let office = runtime.block_on(Office::start(OfficeConfig {
        printers: (0..count).map(printer).collect(),
        out_dir: directory.path().to_owned(),
        mdns: None,
        seed: "bench".to_owned(),
        control_socket: false,
    }));
    let office = office.unwrap();
    let agents: Vec<SocketAddr> = office.printers().iter().filter_map(|printer| printer.snmp).collect();
    println!("{} agents of {count} printers in {:.1} s", agents.len(), began.elapsed().as_secs_f64());
    println!("resident: {:.1} MB before, {:.1} MB with the office", before, resident());

    let poll = [
        "1.3.6.1.2.1.1.3.0",
        "1.3.6.1.2.1.25.3.2.1.5.1",
        "1.3.6.1.2.1.25.3.5.1.1.1",
        "1.3.6.1.2.1.25.3.5.1.2.1",
        "1.3.6.1.2.1.43.5.1.1.19.1",
        "1.3.6.1.2.1.43.10.2.1.4.1.1",
        "1.3.6.1.2.1.43.11.1.1.9.1.1",
    ];
    let below = vec![async_snmp::VarBind::null(oid("1.3.6.1.2.1.43.11"))];
    let bulk = GetBulkPdu::new(Version::V2c, marked(0), 0, 20, below).unwrap().into_raw();
    let one = get(&poll[..1]);
    let seven = get(&poll);
    for (what, pdu) in [("Get of 1 object", one), ("Get of 7 objects", seven), ("GetBulk of 20 objects", bulk)] {
        flood(what, &CommunityMessage::v2c(b"public".as_slice(), pdu).unwrap().encode().unwrap(), &agents);
    }
    println!("resident after the flood: {:.1} MB", resident());
    runtime.block_on(office.shutdown());
}

/// Of the kinds whose printer is the first device, speaks version 2c and does not sleep meanwhile.
fn printer(index: u32) -> PrinterSpec {
    let kinds = ["office-colour", "print-server", "label", "mfp"];
    let kind = profiles::profile(kinds[index as usize % kinds.len()]).unwrap();
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 20, 0, 1)) + index);
    let mut spec = PrinterSpec::new(format!("P{index}"), address.into());
    spec.profile = kind;
    spec.appsocket_port = None;
    spec.lpd_port = None;
    spec
}

fn get(oids: &[&str]) -> Pdu {
    let oids: Vec<Oid> = oids.iter().map(|text| oid(text)).collect();
    RequestPdu::get(Version::V2c, marked(0), &oids).unwrap().into_raw()
}

fn oid(text: &str) -> Oid {
    Oid::parse(text).unwrap()
}

/// The request-id of the n-th request.
fn marked(n: usize) -> i32 {
    let n = u16::try_from(n % 0x1_0000).unwrap().to_be_bytes();
    i32::from_be_bytes([MARK[0], MARK[1], n[0], n[1]])
}

fn flood(what: &str, request: &[u8], agents: &[SocketAddr]) {
    let place = request.windows(4).position(|four| four[..2] == MARK).unwrap() + 2;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut request = request.to_vec();
    let mut buffer = vec![0; 65_535];
    let (mut sent, mut answered, mut lost, mut octets) = (0, 0, 0, 0);
    let (began, process, client) = (Instant::now(), cpu("/proc/self/stat"), cpu("/proc/thread-self/stat"));
    while answered + lost < REQUESTS {
        while sent < REQUESTS && sent - answered - lost < WINDOW {
            request[place..place + 2].copy_from_slice(&u16::try_from(sent % 0x1_0000).unwrap().to_be_bytes());
            socket.send_to(&request, agents[sent % agents.len()]).unwrap();
            sent += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(length) => {
                octets += length;
                answered += 1;
                // One in a thousand is read whole: the answers are answers.
                if answered % 1_000 == 0 {
                    let message = CommunityMessage::decode(buffer[..length].to_vec().into(), DecodeConfig::STRICT);
                    let pdu = message.unwrap().value.into_pdu().unwrap();
                    assert!(pdu.error_status() == 0 && !pdu.varbinds().is_empty(), "{pdu:?}");
                }
            }
            // Lost on the way, as UDP may: these are not waited for.
            Err(_) if answered > 0 && sent > answered + lost => lost = sent - answered,
            Err(error) => panic!("{what}: {answered} of {sent} answered, then nothing: {error}"),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let (process, client) = (cpu("/proc/self/stat") - process, cpu("/proc/thread-self/stat") - client);
    println!(
        "{what}: {:.0} answers/s over {seconds:.1} s, {lost} lost, {} octets an answer; processor: client {:.0} %, agents {:.0} %, \
         {:.1} µs an answer",
        answered as f64 / seconds,
        octets / answered.max(1),
        100.0 * client / seconds,
        100.0 * (process - client) / seconds,
        1e6 * (process - client) / answered as f64,
    );
}

/// Processor time of a process or thread, seconds; Linux counts it in hundredths.
fn cpu(path: &str) -> f64 {
    let stat = std::fs::read_to_string(path).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Resident memory, MB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1_000.0
}

/// Allows as many open files as the system lets.
fn open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}
