//! Which addresses a sweep asks, and in which order.
//!
//! - Networks overlap, repeat and lie in each other as people write them: each address counts once.
//! - Left out: network and broadcast address of an IPv4 network shorter than /31, excluded networks, our own addresses.
//! - The order is a walk with a stride of 0.618 times their number (the golden ratio), so that any stretch of it spreads
//!   over all of them: of 256 addresses of a /16 asked one after the other, at most two are of one /24. The same
//!   arithmetic finds an address's number, so that what is known of each is one bit.

use crate::domain::net::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of one network, unless the configuration raises [`DEFAULT_MAX_ADDRESSES`]: those of a /16.
pub const MAX_OF_NETWORK: u64 = 65_536;
/// Addresses of one sweep, unless configured otherwise.
pub const DEFAULT_MAX_ADDRESSES: u64 = 262_144;
/// The most that can be configured: each costs a bit of memory and several requests a day.
pub const MOST_ADDRESSES: u64 = 1 << 20;

/// Why networks are not swept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// One network is too large.
    #[error(
        "{network} has {} addresses, and at most {} of one network are asked; a typing error? Name the networks in which \
         printers are, or raise discovery.sweep.maxAddresses (at most {})",
        grouped(*.count), grouped(u128::from(*.most)), grouped(u128::from(MOST_ADDRESSES))
    )]
    TooLarge {
        /// Which.
        network: Network,
        /// Its addresses.
        count: u128,
        /// As many may be.
        most: u64,
    },
    /// All together are too many.
    #[error(
        "the networks have {} addresses together, and at most {} are asked (discovery.sweep.maxAddresses)",
        grouped(u128::from(*.count)), grouped(u128::from(*.most))
    )]
    TooMany {
        /// Their addresses.
        count: u64,
        /// As many may be.
        most: u64,
    },
}

/// Addresses of a network that hosts can have.
pub fn host_count(network: &Network) -> u128 {
    let (first, last) = hosts(network);
    (last - first).saturating_add(1)
}

/// Whether a network alone is small enough.
pub fn check_network(network: &Network, most: u64) -> Result<(), PlanError> {
    let count = host_count(network);
    let most = if most > DEFAULT_MAX_ADDRESSES { most } else { most.min(MAX_OF_NETWORK) };
    if count > u128::from(most) { Err(PlanError::TooLarge { network: *network, count, most }) } else { Ok(()) }
}

/// The addresses of a sweep, numbered from 0 in their numerical order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    spans: Vec<Span>,
    count: u32,
    stride: u32,
    /// Times the stride it is 1, modulo the count.
    inverse: u32,
    offset: u32,
}

/// Addresses without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    v6: bool,
    first: u128,
    last: u128,
    /// The number of the first one.
    number: u32,
}

impl Plan {
    /// The addresses of these networks without those of `exclude`. `seed` decides where the order begins.
    ///
    /// # Errors
    /// Too many addresses, of one network or of all together ([`DEFAULT_MAX_ADDRESSES`]).
    pub fn new(networks: &[Network], exclude: &[Network], most: u64, seed: u64) -> Result<Self, PlanError> {
        let most = most.min(MOST_ADDRESSES);
        for network in networks {
            check_network(network, most)?;
        }
        let mut asked: Vec<(bool, u128, u128)> = networks.iter().map(|n| with_family(n, hosts(n))).collect();
        // A network that is excluded goes with its first and last address.
        let excluded: Vec<(bool, u128, u128)> = exclude.iter().map(|n| with_family(n, bounds(n))).collect();
        asked.sort_unstable();
        let mut joined: Vec<(bool, u128, u128)> = Vec::new();
        for (v6, first, last) in asked {
            match joined.last_mut() {
                Some((before, _, end)) if *before == v6 && first <= end.saturating_add(1) => *end = (*end).max(last),
                _ => joined.push((v6, first, last)),
            }
        }
        for (v6, from, to) in excluded {
            joined = joined.into_iter().flat_map(|span| without(span, (v6, from, to))).flatten().collect();
        }
        let mut spans = Vec::with_capacity(joined.len());
        let mut count: u64 = 0;
        for (v6, first, last) in joined {
            let number = u32::try_from(count).unwrap_or(u32::MAX);
            spans.push(Span { v6, first, last, number });
            // No span is longer than the networks that were checked above.
            count = count.saturating_add(u64::try_from(last - first).unwrap_or(u64::MAX)).saturating_add(1);
        }
        match u32::try_from(count) {
            Ok(number) if count <= most => {
                let offset = if number == 0 { 0 } else { u32::try_from(seed % count).unwrap_or(0) };
                let stride = stride(number);
                Ok(Self { spans, count: number, stride, inverse: inverse(stride, number), offset })
            }
            _ => Err(PlanError::TooMany { count, most }),
        }
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether any has IPv6.
    pub fn has_v6(&self) -> bool {
        self.spans.iter().any(|span| span.v6)
    }

    /// The number of the address whose turn is the `turn`-th.
    pub fn nth(&self, turn: u32) -> u32 {
        let count = u64::from(self.count.max(1));
        let at = (u64::from(self.offset) + u64::from(turn) * u64::from(self.stride)) % count;
        u32::try_from(at).unwrap_or(0)
    }

    /// Whose turn the address with this number has: the other way round.
    pub fn turn(&self, number: u32) -> u32 {
        let count = u64::from(self.count.max(1));
        let behind = (u64::from(number) % count + count - u64::from(self.offset)) % count;
        u32::try_from(behind * u64::from(self.inverse) % count).unwrap_or(0)
    }

    /// The address with this number.
    pub fn address(&self, number: u32) -> Option<IpAddr> {
        let place = self.spans.partition_point(|span| span.number <= number).checked_sub(1)?;
        let span = self.spans.get(place)?;
        let value = span.first.checked_add(u128::from(number - span.number)).filter(|value| *value <= span.last)?;
        Some(if span.v6 {
            IpAddr::V6(Ipv6Addr::from(value))
        } else {
            IpAddr::V4(Ipv4Addr::from(u32::try_from(value).ok()?))
        })
    }

    /// The number of an address; none if it is not asked.
    pub fn number(&self, address: IpAddr) -> Option<u32> {
        let (v6, value) = numeric(address.to_canonical());
        let place = self.spans.partition_point(|span| (span.v6, span.first) <= (v6, value)).checked_sub(1)?;
        let span = self.spans.get(place).filter(|span| span.v6 == v6 && value <= span.last)?;
        u32::try_from(value - span.first).ok()?.checked_add(span.number)
    }
}

/// 0.618 times the count, and without a common divisor with it: then every number comes once.
fn stride(count: u32) -> u32 {
    let golden = u64::from(count) * 618_033_989 / 1_000_000_000;
    let start = u32::try_from(golden).unwrap_or(u32::MAX).max(1);
    (start..=count.max(start)).find(|stride| gcd(*stride, count) == 1).unwrap_or(1)
}

fn gcd(a: u32, b: u32) -> u32 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The multiplicative inverse, by Euclid's algorithm; the two have no common divisor.
fn inverse(stride: u32, count: u32) -> u32 {
    let modulus = i64::from(count.max(1));
    let (mut rest, mut next) = (modulus, i64::from(stride));
    let (mut factor, mut next_factor) = (0_i64, 1_i64);
    while next != 0 {
        let quotient = rest / next;
        (rest, next) = (next, rest - quotient * next);
        (factor, next_factor) = (next_factor, factor - quotient * next_factor);
    }
    u32::try_from(factor.rem_euclid(modulus)).unwrap_or(0)
}

fn numeric(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(v4) => (false, u128::from(u32::from(v4))),
        IpAddr::V6(v6) => (true, u128::from(v6)),
    }
}

/// First and last address.
fn bounds(network: &Network) -> (u128, u128) {
    let (v6, first) = numeric(network.address());
    let bits = if v6 { 128 } else { 32 } - u32::from(network.prefix());
    let rest = 1_u128.checked_shl(bits).map_or(u128::MAX, |size| size - 1);
    (first, first | rest)
}

/// First and last address that a host can have.
fn hosts(network: &Network) -> (u128, u128) {
    let (first, last) = bounds(network);
    if network.address().is_ipv4() && network.prefix() < 31 { (first + 1, last - 1) } else { (first, last) }
}

fn with_family(network: &Network, (first, last): (u128, u128)) -> (bool, u128, u128) {
    (network.address().is_ipv6(), first, last)
}

type Stretch = (bool, u128, u128);

/// What is left of a stretch without another: before it and after it.
fn without((v6, first, last): Stretch, (other_v6, from, to): Stretch) -> [Option<Stretch>; 2] {
    if v6 != other_v6 || to < first || last < from {
        return [Some((v6, first, last)), None];
    }
    let before = (first < from).then(|| (v6, first, from - 1));
    let after = (to < last).then(|| (v6, to + 1, last));
    [before, after]
}

/// 16777216 as `16,777,216`.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};

    fn nets(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn plan(networks: &[&str], exclude: &[&str]) -> Plan {
        Plan::new(&nets(networks), &nets(exclude), DEFAULT_MAX_ADDRESSES, 7).unwrap()
    }

    fn all(plan: &Plan) -> Vec<IpAddr> {
        (0..plan.count()).map(|turn| plan.address(plan.nth(turn)).unwrap()).collect()
    }

    #[test]
    fn small_networks_give_their_hosts() {
        let mut of =
            all(&plan(&["10.0.0.0/29", "10.0.0.4/30", "10.0.1.1", "10.0.2.0/31", "fd00::8/126"], &["10.0.0.2"]));
        of.sort();
        let texts: Vec<String> = of.iter().map(ToString::to_string).collect();
        let wanted =
            "10.0.0.1 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.1.1 10.0.2.0 10.0.2.1 fd00::8 fd00::9 fd00::a fd00::b";
        assert_eq!(texts.join(" "), wanted);
        assert!(plan(&[], &[]).is_empty() && plan(&["10.0.0.0/24"], &["10.0.0.0/24"]).is_empty());
    }

    #[test]
    fn what_is_too_large_is_refused_in_words() {
        let refused = |networks: &[&str], most| Plan::new(&nets(networks), &[], most, 0).unwrap_err().to_string();
        let eight = refused(&["10.0.0.0/8"], DEFAULT_MAX_ADDRESSES);
        assert!(eight.starts_with("10.0.0.0/8 has 16,777,214 addresses, and at most 65,536"), "{eight}");
        assert!(eight.contains("a typing error?"));
        assert!(refused(&["fd00::/64"], DEFAULT_MAX_ADDRESSES).contains("18,446,744,073,709,551,616"));
        assert!(refused(&["::/0"], DEFAULT_MAX_ADDRESSES).contains("addresses"));
        let five = refused(&["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"], 262_144);
        assert!(five.contains("262,144") && five.contains("327,67"), "{five}");
        // Meant so, it goes; a /8 never does.
        assert_eq!(Plan::new(&nets(&["10.0.0.0/12"]), &[], MOST_ADDRESSES, 0).unwrap().count(), (1 << 20) - 2);
        assert!(Plan::new(&nets(&["10.0.0.0/8"]), &[], u64::MAX, 0).is_err());
        assert!(Plan::new(&nets(&["10.0.0.0/16", "fd00::/112"]), &[], DEFAULT_MAX_ADDRESSES, 0).is_ok());
    }

    #[test]
    fn no_network_is_asked_in_one_go() {
        let plan = plan(&["10.9.0.0/16"], &[]);
        let order = all(&plan);
        for stretch in order.windows(256).step_by(61) {
            let mut of: HashMap<[u8; 3], usize> = HashMap::new();
            for address in stretch {
                let IpAddr::V4(v4) = address else { unreachable!() };
                *of.entry([v4.octets()[0], v4.octets()[1], v4.octets()[2]]).or_default() += 1;
            }
            assert!(of.values().all(|n| *n <= 2), "{of:?}");
        }
    }

    fn network() -> impl Strategy<Value = Network> {
        let v4 = (any::<u8>(), any::<u8>(), 20_u8..=32)
            .prop_map(|(c, d, prefix)| Network::new(IpAddr::V4(Ipv4Addr::new(10, 0, c, d)), prefix).unwrap());
        let v6 = (any::<u16>(), 118_u8..=128).prop_map(|(low, prefix)| {
            Network::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, low)), prefix).unwrap()
        });
        prop_oneof![3 => v4, 1 => v6]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn each_address_comes_once_and_its_number_is_found(
            networks in prop::collection::vec(network(), 0..5),
            exclude in prop::collection::vec(network(), 0..4),
            seed: u64,
        ) {
            let plan = Plan::new(&networks, &exclude, DEFAULT_MAX_ADDRESSES, seed).unwrap();
            let order = all(&plan);
            let set: BTreeSet<IpAddr> = order.iter().copied().collect();
            prop_assert_eq!(set.len(), order.len());
            for address in &set {
                prop_assert!(networks.iter().any(|n| n.contains(*address)));
                prop_assert!(!exclude.iter().any(|n| n.contains(*address)));
                let number = plan.number(*address).unwrap();
                prop_assert_eq!(plan.address(number), Some(*address));
            }
            // Nothing is forgotten: the hosts of each network are there, or excluded.
            for network in &networks {
                let (first, last) = hosts(network);
                for value in (first..=last).step_by(37).chain([last]) {
                    let address = if network.address().is_ipv6() { IpAddr::V6(value.into()) } else { IpAddr::V4((value as u32).into()) };
                    let out = exclude.iter().any(|n| n.contains(address));
                    prop_assert_eq!(plan.number(address).is_none(), out, "{}", address);
                    prop_assert_eq!(set.contains(&address), !out);
                }
            }
            prop_assert_eq!(plan.address(plan.count()), None);
            for turn in 0..plan.count() {
                prop_assert_eq!(plan.turn(plan.nth(turn)), turn);
            }
        }
    }
}
