//! Two namespaces joined by a pair of interfaces: a directly connected /22 with agents among silent addresses, and what
//! goes over the wire as tcpdump sees it.

use super::common::lab::JsonProcess;
use super::common::process::{self, Process};
use super::common::{START, netns, try_until};
use super::{SWEEP, client, communities, networks, run, sweep};
use printgate::discovery::sweep::{Sweep, SweepOptions};
use printgate::domain::net::PrinterPolicy;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where the agents are.
const FAR: &str = "far";
const NEAR_INTERFACE: &str = "near0";

/// Joins a namespace of this name to this one: the first address of 10.88.0.0/22 is here.
fn far_namespace() {
    for arguments in [
        "netns add far",
        "link add near0 type veth peer name far0",
        "link set far0 netns far",
        "address add 10.88.0.1/22 dev near0",
        "link set near0 up",
        "-n far link set lo up",
        "-n far link set far0 up",
    ] {
        process::run(Command::new("ip").args(arguments.split(' ')));
    }
}

/// Simulated printers in the far namespace, each with an address of its own, of all profiles in turn.
fn far_office(first: Ipv4Addr, count: u16, directory: &Path) -> JsonProcess {
    for n in 0..u32::from(count) {
        let address = Ipv4Addr::from(u32::from(first) + n);
        process::run(Command::new("ip").args(["-n", FAR, "address", "add", &format!("{address}/22"), "dev", "far0"]));
    }
    let printers = count.to_string();
    let first = first.to_string();
    let arguments = [
        "simulate",
        "--json",
        "--no-mdns",
        "--dir",
        ".",
        "--seed",
        &first,
        "--printers",
        &printers,
        "--address",
        &first,
        "--port",
        "631",
        "--snmp-port",
        "161",
        "--appsocket-port",
        "none",
        "--lpd-port",
        "none",
    ];
    std::fs::create_dir_all(directory).unwrap();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", FAR, env!("CARGO_BIN_EXE_printgate")]).args(arguments).current_dir(directory);
    JsonProcess::start_command(&format!("office-{first}"), command, directory)
}

fn near_options(networks_: &[&str]) -> SweepOptions {
    SweepOptions::new(networks(networks_), PrinterPolicy { allowed: networks(networks_) })
}

#[test]
fn all_agents_of_a_connected_network_are_found_among_silent_addresses() {
    netns::inside("wire::all_agents_of_a_connected_network_are_found_among_silent_addresses", || {
        far_namespace();
        let directory = tempfile::tempdir().unwrap();
        let places = [([10, 88, 0, 40], 20), ([10, 88, 1, 250], 20), ([10, 88, 3, 100], 20)];
        let offices: Vec<JsonProcess> = places
            .into_iter()
            .map(|(first, count)| {
                far_office(Ipv4Addr::from(first), count, &directory.path().join(first[2].to_string()))
            })
            .collect();
        let agents: BTreeSet<String> = offices
            .iter()
            .flat_map(|office| office.ready()["printers"].as_array().unwrap())
            .filter_map(|printer| Some(printer["snmp"].as_str()?.to_owned()))
            .collect();
        let agents = agents.len();
        assert!(agents >= 40, "{agents}");
        run(async {
            // As fast as it likes: the neighbour table is the limit.
            let mut options = near_options(&["10.88.0.0/22"]);
            options.rate = 20_000;
            let mut source = Sweep::new(options, client(communities(&["public"])).await);
            let swept = sweep(&mut source).await;
            assert_eq!(swept.progress.addresses, 1_021);
            assert_eq!(swept.progress.answered as usize, agents);
            assert_eq!(swept.progress.printers as usize, agents, "{:?}", swept.keys());
            assert!(swept.progress.passes <= 3, "{:?}", swept.progress);
            assert!(swept.progress.ignored.keys().all(|reason| *reason == "a further answer"), "{:?}", swept.progress);
        });
    });
}

#[test]
fn nobody_but_the_wanted_is_contacted_and_no_port_but_161_and_631() {
    netns::inside("wire::nobody_but_the_wanted_is_contacted_and_no_port_but_161_and_631", || {
        far_namespace();
        let directory = tempfile::tempdir().unwrap();
        let _office = far_office(Ipv4Addr::new(10, 88, 1, 10), 8, directory.path());
        // Reachable, and not to be reached: outside the allowed networks, and left out.
        let _others = far_office(Ipv4Addr::new(10, 88, 2, 10), 2, &directory.path().join("others"));
        let _left_out = far_office(Ipv4Addr::new(10, 88, 1, 100), 2, &directory.path().join("left-out"));
        let mut command = Command::new("tcpdump");
        command.args(["-i", NEAR_INTERFACE, "-n", "-l", "-p", "--immediate-mode", "-Z", "root"]);
        let mut capture = Process::start("tcpdump", directory.path(), command);
        capture.wait_until(START, "tcpdump listens", || log(directory.path()).contains("listening on").then_some(()));

        run(async {
            let mut options = near_options(&["10.88.0.0/22"]);
            options.policy = PrinterPolicy { allowed: networks(&["10.88.0.0/23"]) };
            options.exclude = networks(&["10.88.1.96/28"]);
            options.rate = 5_000;
            let mut source = Sweep::new(options, client(communities(&["public"])).await);
            let swept = sweep(&mut source).await;
            assert!(swept.progress.printers >= 6, "{:?}", swept.progress);
            assert!(swept.ignored("not in an allowed network") >= 512);
        });
        // The last thing on the wire, so that everything before it is in the capture.
        let mark = std::net::UdpSocket::bind("10.88.0.1:0").unwrap();
        mark.send_to(b"the end of it", "10.88.1.10:161").unwrap();
        let last = format!("10.88.0.1.{} > ", mark.local_addr().unwrap().port());
        let seen = try_until(SWEEP, || Some(log(directory.path())).filter(|text| text.contains(&last))).unwrap();
        capture.terminate(Duration::from_secs(5));

        let mut asked = 0;
        for line in seen.lines() {
            let contacted = if let Some((_, rest)) = line.split_once("who-has ") {
                rest.split([' ', ',']).next().map(|address| (address, None))
            } else {
                let to = line.split_once(" IP 10.88.0.1.").and_then(|(_, rest)| rest.split_once(" > "));
                to.and_then(|(_, rest)| rest.split_once(": ")).and_then(|(to, _)| {
                    let (address, port) = to.rsplit_once('.')?;
                    Some((address, Some(port.parse::<u16>().unwrap())))
                })
            };
            let Some((address, port)) = contacted else { continue };
            if address == "10.88.0.1" {
                continue;
            }
            let address: Ipv4Addr = address.parse().unwrap();
            asked += 1;
            assert!(address.octets()[..2] == [10, 88] && address.octets()[2] < 2, "{line}");
            assert!(!(address.octets()[2] == 1 && (96..112).contains(&address.octets()[3])), "{line}");
            assert!(port.is_none_or(|port| port == 161 || port == 631), "{line}");
        }
        assert!(asked > 500, "the capture shows the sweep: {asked}\n{seen}");
    });
}

fn log(directory: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(directory.join("tcpdump.log")).unwrap_or_default()).into_owned()
}
