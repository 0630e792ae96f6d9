//! A sweep against a model of a network: delays, losses, agents that take only the less usual questions, and a kernel with
//! a neighbour table.

use super::pace::{Neighbours, Pace, RESOLVING};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const COSTS: [u32; PASSES] = [1, 3, 3];

/// A network under a sweep.
#[derive(Debug, Clone)]
struct Model {
    /// Agents, and whether they answer the usual question.
    agents: BTreeMap<IpAddr, bool>,
    /// In a thousand datagrams.
    loss: u64,
    delay: Duration,
    seed: u64,
}

#[derive(Debug, Default)]
struct Told {
    found: BTreeSet<IpAddr>,
    /// Who was asked, in order, with the pass.
    asked: Vec<(Duration, IpAddr, usize)>,
    /// Estimates and when they were made.
    estimates: Vec<(Duration, Duration)>,
    over: Duration,
    last: Option<Measure>,
}

impl Model {
    fn lost(&mut self) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % 1_000 < self.loss
    }

    fn run(&mut self, mut machine: Machine) -> Told {
        let mut told = Told::default();
        let mut now = Duration::ZERO;
        let mut coming: Vec<(Duration, IpAddr, bool)> = Vec::new();
        loop {
            for (_, address, usual) in coming.extract_if(.., |(at, ..)| *at <= now) {
                match machine.answered(address, usual) {
                    Answer::New => assert!(told.found.insert(address)),
                    Answer::Again => assert!(told.found.contains(&address)),
                    Answer::NotAsked => panic!("{address} was asked"),
                }
            }
            if told.estimates.last().is_none_or(|(at, _)| now >= *at + Duration::from_millis(250)) {
                told.estimates.push((now, machine.measure(now).remaining));
            }
            match machine.next(now) {
                Step::Ask { address, pass } => {
                    told.asked.push((now, address, pass));
                    if let Some(usual) = self.agents.get(&address).copied()
                        && (usual || pass > 1)
                        && !self.lost()
                    {
                        coming.push((now + self.delay, address, usual));
                    }
                }
                Step::Wait(at) => {
                    let answer = coming.iter().map(|(at, ..)| *at).min().unwrap_or(at);
                    now = at.min(answer).max(now + Duration::from_micros(100));
                }
                Step::Over => {
                    told.over = now;
                    told.last = Some(machine.measure(now));
                    return told;
                }
            }
        }
    }
}

fn plan(network: &str) -> Plan {
    Plan::new(&[network.parse().unwrap()], &[], plan::DEFAULT_MAX_ADDRESSES, 5).unwrap()
}

fn nothing() -> Plan {
    Plan::new(&[], &[], 1, 0).unwrap()
}

fn agents(plan: &Plan, every: u32, usual: impl Fn(u32) -> bool) -> BTreeMap<IpAddr, bool> {
    (0..plan.count()).step_by(every as usize).map(|n| (plan.address(n).unwrap(), usual(n))).collect()
}

fn machine(routed: Plan, connected: Plan, first: &[IpAddr], rate: u32) -> Machine {
    Machine::new(routed, connected, Neighbours::new(1_024, 0), first, Pace::new(rate), COSTS)
}

fn check_invariants(told: &Told, plans: &[&Plan]) {
    let mut seen: HashMap<(IpAddr, usize), u32> = HashMap::new();
    for (_, address, pass) in &told.asked {
        assert!((1..=PASSES).contains(pass));
        let times = seen.entry((*address, *pass)).or_default();
        *times += 1;
        assert_eq!(*times, 1, "{address} twice in pass {pass}");
    }
    for plan in plans {
        for number in 0..plan.count() {
            assert!(seen.contains_key(&(plan.address(number).unwrap(), 1)));
        }
    }
    assert_eq!(told.last.unwrap().remaining, Duration::ZERO);
}

#[test]
fn everything_is_found_and_nothing_is_asked_without_need() {
    let plan = plan("10.1.0.0/20");
    let mut model =
        Model { agents: agents(&plan, 40, |n| n % 80 == 0), loss: 0, delay: Duration::from_millis(3), seed: 1 };
    let told = model.run(machine(plan.clone(), nothing(), &[], 2_000));
    check_invariants(&told, &[&plan]);
    assert_eq!(told.found.len(), model.agents.len());
    // Nobody who answers the usual question was missed by the first pass: there is no third.
    assert!(told.asked.iter().all(|(.., pass)| *pass < 3));
    let again: Vec<&IpAddr> =
        told.asked.iter().filter(|(.., pass)| *pass == 2).map(|(_, address, _)| address).collect();
    assert!(again.iter().all(|address| model.agents.get(address) != Some(&true)));
    assert_eq!(again.len(), plan.count() as usize - model.agents.values().filter(|usual| **usual).count());
}

#[test]
fn what_is_likely_comes_first() {
    let plan = plan("10.1.0.0/20");
    let likely: Vec<IpAddr> = ["10.1.3.9", "10.1.15.1", "10.9.9.9", "10.1.3.9"].map(|a| a.parse().unwrap()).to_vec();
    let mut model = Model { agents: BTreeMap::new(), loss: 0, delay: AGAIN, seed: 1 };
    let told = model.run(machine(plan.clone(), nothing(), &likely, 5_000));
    check_invariants(&told, &[&plan]);
    assert_eq!([told.asked[0].1, told.asked[1].1], [likely[0], likely[1]]);
}

#[test]
fn the_estimate_is_right_within_a_fifth() {
    let sizes = ["10.1.0.0/22", "10.1.0.0/20", "10.1.0.0/18"];
    for (network, rate) in sizes.into_iter().flat_map(|size| [(size, 200), (size, 1_000), (size, 20_000)]) {
        for connected in [false, true] {
            let plan = plan(network);
            let model_agents = agents(&plan, 65, |n| n % 3 > 0);
            let mut model = Model { agents: model_agents, loss: 0, delay: Duration::from_millis(20), seed: 3 };
            let (routed, near) = if connected { (nothing(), plan.clone()) } else { (plan.clone(), nothing()) };
            let told = model.run(machine(routed, near, &[], rate));
            for (at, estimate) in &told.estimates {
                let truth = told.over.saturating_sub(*at).as_secs_f64();
                let error = (estimate.as_secs_f64() - truth).abs();
                // Near the end, half a second is more than a fifth.
                assert!(
                    error <= truth * 0.2 + 0.5,
                    "{network} at {rate}/s, connected {connected}: after {at:?} {estimate:?} instead of {truth:.1} s"
                );
            }
        }
    }
}

#[test]
fn a_connected_network_never_fills_the_neighbour_table() {
    let near = plan("10.2.0.0/20");
    let far = plan("10.3.0.0/22");
    let mut all = agents(&near, 50, |_| true);
    all.extend(agents(&far, 50, |_| true));
    let mut model = Model { agents: all, loss: 0, delay: Duration::from_millis(2), seed: 9 };
    let told = model.run(machine(far.clone(), near.clone(), &[], 10_000));
    check_invariants(&told, &[&far, &near]);
    assert_eq!(told.found.len(), model.agents.len());
    let mut table: VecDeque<Duration> = VecDeque::new();
    for (at, address, _) in told.asked.iter().filter(|(_, address, _)| near.number(*address).is_some()) {
        table.retain(|since| *at - *since < RESOLVING);
        if !model.agents.contains_key(address) {
            table.push_back(*at);
        }
        assert!(table.len() <= 1_024 / 2);
    }
    // The others did not wait for it.
    let far_done = told.asked.iter().filter(|(_, address, pass)| *pass == 1 && far.number(*address).is_some());
    assert!(far_done.map(|(at, ..)| *at).max().unwrap() < Duration::from_secs(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_network_ends_and_few_agents_are_missed(
        bits in 24_u8..30, connected: bool, loss in 0_u64..300, delay in 0_u64..1_500, seed: u64, rate in 50_u32..20_000,
        every in 1_u32..40,
    ) {
        let plan = plan(&format!("10.5.0.0/{bits}"));
        let agents = agents(&plan, every, |n| n % 7 > 0);
        let mut model = Model { agents, loss, delay: Duration::from_millis(delay), seed };
        let (routed, near) = if connected { (nothing(), plan.clone()) } else { (plan.clone(), nothing()) };
        let told = model.run(machine(routed, near, &[], rate));
        check_invariants(&told, &[&plan]);
        // Who is asked again was silent until then.
        let mut answered: HashMap<IpAddr, Duration> = HashMap::new();
        for (at, address, _) in &told.asked {
            if let Some(before) = answered.get(address) {
                prop_assert!(*at >= *before + AGAIN);
            }
            answered.insert(*address, *at);
        }
        let share = told.found.len() as f64 / model.agents.len() as f64;
        // Three times 30 % lost are 2.7 %, but few agents make great shares.
        prop_assert!(share > 0.7 || model.agents.len() < 20, "{} of {}", told.found.len(), model.agents.len());
        if loss == 0 {
            prop_assert_eq!(told.found.len(), model.agents.len());
        }
    }

    #[test]
    fn anything_said_of_anybody_is_borne(said in prop::collection::vec((any::<u32>(), any::<bool>(), 0_u8..5), 0..300)) {
        let mut machine = machine(plan("10.5.0.0/25"), plan("10.6.0.0/26"), &[], 1_000);
        let mut now = Duration::ZERO;
        for (bits, usual, what) in said {
            let address = IpAddr::V4((0x0A05_0000 | bits & 0x0001_00FF).into());
            now += Duration::from_millis(u64::from(bits % 50));
            match what {
                0 => drop(machine.answered(address, usual)),
                1 => machine.told(usual, now),
                2 => machine.refused(now),
                3 => machine.forget(address),
                _ => drop(machine.next(now)),
            }
            let measure = machine.measure(now);
            prop_assert!(measure.answered <= machine.count() && measure.pass <= measure.passes);
        }
        let mut steps = 0;
        loop {
            match machine.next(now) {
                Step::Over => break,
                Step::Wait(at) => now = at.max(now + Duration::from_micros(10)),
                Step::Ask { .. } => {}
            }
            steps += 1;
            prop_assert!(steps < 1_000_000);
        }
    }
}
