//! What the machine knows of its neighbours, without any privilege: who is alive, and how large its table is.

use std::net::{IpAddr, Ipv4Addr};

/// Entries of the neighbour table where the system does not say (network namespaces hide it).
const USUAL_TABLE: usize = 1_024;
/// Lines of the table that are read.
const MAX_LINES: usize = 65_536;

/// The neighbours of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Neighbours {
    /// Those that have answered ARP lately.
    pub(super) alive: Vec<IpAddr>,
    /// Entries that the table may have (`gc_thresh3`).
    pub(super) table: usize,
}

/// Looks at `/proc`. Where there is none, nobody is known.
pub(super) fn look() -> Neighbours {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let table = read("/proc/sys/net/ipv4/neigh/default/gc_thresh3").trim().parse().unwrap_or(USUAL_TABLE);
    Neighbours { alive: alive(&read("/proc/net/arp")), table }
}

/// The complete entries of `/proc/net/arp`: address, hardware type, flags (`ATF_COM` is 2), hardware address, mask, device.
fn alive(text: &str) -> Vec<IpAddr> {
    let entry = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address: Ipv4Addr = words.next()?.parse().ok()?;
        let flags = u32::from_str_radix(words.nth(1)?.strip_prefix("0x")?, 16).ok()?;
        (flags & 2 != 0).then_some(IpAddr::V4(address))
    };
    text.lines().skip(1).take(MAX_LINES).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_entries_are_alive() {
        let text = "IP address       HW type     Flags       HW address            Mask     Device\n\
                    10.77.0.9        0x1         0x2         52:54:00:12:35:02     *        eth0\n\
                    10.77.0.10       0x1         0x0         00:00:00:00:00:00     *        eth0\n\
                    10.77.0.11       0x1         0x6         52:54:00:12:35:03     *        eth0\n\
                    nonsense\n10.77.0.12\n10.77.0.13 0x1 0xzz\n";
        assert_eq!(alive(text), ["10.77.0.9", "10.77.0.11"].map(|a| a.parse::<IpAddr>().unwrap()));
        assert_eq!(alive(""), Vec::<IpAddr>::new());
        assert!(look().table > 0);
    }
}
