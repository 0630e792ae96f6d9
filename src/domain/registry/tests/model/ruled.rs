//! The office with an administrator in it, who merges, splits, pins, ignores and retires, and takes it all back, at any
//! time. Whatever the rules: the invariants hold, no id leads to nobody but those that were put away, and no two devices
//! are one printer unless a merge or a pin ever said so. Without any rule, after all is seen again: each device once.
//!
//! Not in the model, and not restored: what a merge or a pin made one stays one after it is taken away.

use super::*;

#[derive(Debug, Clone)]
enum Ruling {
    Happens(Happens),
    Merge { a: usize, b: usize },
    Split { device: usize, by: u8, printer: usize },
    Pin { device: usize, by: u8, printer: usize, new: bool },
    Ignore { device: usize, by: u8 },
    Retire { printer: usize },
    Lift { slot: usize },
}

fn ruling() -> impl Strategy<Value = Ruling> {
    use Ruling::*;
    let any = proptest::prelude::any::<usize>;
    prop_oneof![
        30 => happens().prop_map(Happens),
        2 => (any(), any()).prop_map(|(a, b)| Merge { a, b }),
        3 => (0..5usize, 0..4u8, any()).prop_map(|(device, by, printer)| Split { device, by, printer }),
        1 => (0..5usize, 0..4u8, any(), proptest::prelude::any::<bool>())
            .prop_map(|(device, by, printer, new)| Pin { device, by, printer, new }),
        1 => (0..5usize, 0..4u8).prop_map(|(device, by)| Ignore { device, by }),
        1 => any().prop_map(|printer| Retire { printer }),
        6 => any().prop_map(|slot| Lift { slot }),
    ]
}

impl Device {
    /// A selector that names it: by its strong key, its host or its address.
    fn selector(&self, by: u8) -> Selector {
        let text = match (by, self.strong) {
            (0, _) => format!("host:d{}-{}.local", self.n, self.renamed),
            (1, _) => format!("address:10.0.0.{}", self.address),
            (_, Strong::Serial) => format!("serial:{}", self.serial().unwrap()),
            (_, Strong::Uuid) => format!("uuid:{}", self.uuid().unwrap()),
            (_, Strong::Mac) => format!("mac:{}", self.mac()),
        };
        text.parse().unwrap()
    }
}

impl World {
    fn id(&self, slot: usize) -> Option<PrinterId> {
        let ids: Vec<&PrinterId> = self.r.printers().map(|p| &p.id).collect();
        ids.get(slot % ids.len().max(1)).map(|id| (*id).clone())
    }

    /// The devices that a printer may be are no longer told apart.
    fn join(&mut self, id: &PrinterId) {
        let Some(p) = self.r.get(id) else { return };
        let named = |d: &Device| p.endpoints.iter().any(|e| e.key.starts_with(&format!("D{} ", d.n)));
        let there = |d: &Device| p.endpoints.iter().any(|e| self.behind(&e.endpoint).is_some_and(|o| o.n == d.n));
        let facts = p.facts();
        let known =
            |d: &Device| facts.macs.contains(&d.mac()) || d.uuid().is_some_and(|uuid| facts.uuids.contains(&uuid));
        let concerned = |d: &&Device| d.owns(p) || known(d) || named(d) || there(d);
        let may_be = self.devices.iter().filter(concerned).map(|d| d.n);
        let may_be: Vec<u8> = may_be.collect();
        self.joined.extend(may_be);
    }

    fn ruled(&mut self, ruling: Ruling) -> Outcome {
        self.log.push(format!("{ruling:?}"));
        let mut rules = self.rules.clone();
        match ruling {
            Ruling::Happens(happens) => return self.step(happens),
            Ruling::Merge { a, b } => {
                let (Some(a), Some(b)) = (self.id(a), self.id(b)) else { return Ok(()) };
                if a == b || rules.merges.iter().flatten().chain(&rules.retired).any(|id| *id == a || *id == b) {
                    return Ok(());
                }
                self.join(&a);
                self.join(&b);
                rules.merges.push(vec![a, b]);
            }
            Ruling::Split { device, by, printer } => {
                let (what, Some(printer)) = (self.devices[device].selector(by), self.id(printer)) else {
                    return Ok(());
                };
                if rules.pins.iter().any(|pin| pin.what == what && pin.printer == printer) {
                    return Ok(());
                }
                rules.splits.push(Split { what, printer });
            }
            Ruling::Pin { device, by, printer, new } => {
                let what = self.devices[device].selector(by);
                let id = if new { PrinterId::new(format!("desk-{device}")).ok() } else { self.id(printer) };
                let Some(printer) = id.filter(|id| !rules.retired.contains(id)) else { return Ok(()) };
                if rules.pins.iter().any(|pin| pin.what == what)
                    || rules.splits.iter().any(|split| split.what == what)
                    || rules.ignored.contains(&what)
                {
                    return Ok(());
                }
                self.join(&printer);
                self.joined.insert(device as u8);
                // A place: whoever is there, now or later.
                if by < 2 {
                    self.joined.extend(0..5);
                }
                rules.pins.push(Pinned { what, printer });
            }
            Ruling::Ignore { device, by } => {
                let what = self.devices[device].selector(by);
                if rules.pins.iter().any(|pin| pin.what == what) {
                    return Ok(());
                }
                rules.ignored.push(what);
            }
            Ruling::Retire { printer } => {
                let Some(id) = self.id(printer) else { return Ok(()) };
                let named = rules.merges.iter().flatten().chain(rules.pins.iter().map(|pin| &pin.printer));
                if named.into_iter().any(|other| *other == id) {
                    return Ok(());
                }
                rules.retired.push(id);
            }
            Ruling::Lift { slot } => match slot % 5 {
                0 => drop(rules.merges.pop()),
                1 => drop(rules.splits.pop()),
                2 => drop(rules.pins.pop()),
                3 => drop(rules.ignored.pop()),
                _ => drop(rules.retired.pop()),
            },
        }
        self.govern(rules)
    }

    /// A start with other rules.
    fn govern(&mut self, rules: Rules) -> Outcome {
        if rules == self.rules {
            return Ok(());
        }
        self.parts |= !(rules.splits.is_empty() && rules.pins.is_empty());
        self.parts |= !(rules.ignored.is_empty() && rules.retired.is_empty());
        self.rules = rules;
        self.step(Happens::Restart)
    }

    /// All are awake, and seen, asked and polled for hours.
    fn settle(&mut self) -> Outcome {
        for n in 0..self.devices.len() {
            let d = &mut self.devices[n];
            (d.asleep, d.address) = (false, n as u8 + 1);
        }
        for _ in 0..3 {
            for (device, way) in (0..self.devices.len()).flat_map(|d| (0..5).map(move |way| (d, way))) {
                self.step(Happens::See { device, way })?;
                while !self.probes.is_empty() {
                    self.step(Happens::Probe { slot: 0, lost: false })?;
                }
            }
            for slot in 0..self.r.printers().count() {
                self.step(Happens::Poll { slot, lost: false, snmp: false })?;
                self.step(Happens::Poll { slot, lost: false, snmp: true })?;
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn an_administrator_may_rule_and_take_it_back(
        devices in (device(0), device(1), device(2), device(3), device(4)),
        rulings in prop::collection::vec(ruling(), 1..60),
    ) {
        let mut world = World::of(vec![devices.0, devices.1, devices.2, devices.3, devices.4]);
        for ruling in rulings {
            world.ruled(ruling)?;
        }
        world.govern(Rules::default())?;
        world.settle()?;
        // What was made one by a rule is not told apart by itself.
        for d in world.devices.iter().filter(|d| !world.joined.contains(&d.n)) {
            let ids: Vec<&Printer> = world.r.printers().filter(|p| d.owns(p)).collect();
            prop_assert!(ids.len() < 2, "{:?} has {:#?}\n{}", d, ids, world.log.join("\n"));
        }
    }
}
