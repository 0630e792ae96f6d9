//! A model of an office: devices with one strong key each that nobody else has, and everything that happens to them and
//! to what is seen of them. No false merge ever, and no second id for a device once its strong key was seen.
//!
//! Each device's key is its serial number (with its maker), its UUID or its network card. Beside it, it may have a UUID
//! that a whole fleet has, a serial number that means "not set", no serial number over IPP, a card that is exchanged, a
//! UUID or a model text that firmware changes. It announces what it likes, speaks IPP, IPPS, AppSocket, LPD and SNMP or
//! some of them, gets other addresses, also those of others, other host names and service names, and sleeps.
//! Sightings come late, twice, never; probes and polls fail; the gateway starts again.
//!
//! Not in the model, because nothing tells them apart: two devices that have no strong key, a device whose only key is a
//! UUID and that is at two places at once under two host names, an address that changes hands between two answers of
//! one check.

mod ruled;

use super::*;

/// What a device is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strong {
    Serial,
    Uuid,
    Mac,
}

#[derive(Debug, Clone)]
struct Device {
    n: u8,
    strong: Strong,
    /// The UUID of the fleet; a device known by its UUID has its own.
    cloned_uuid: bool,
    /// It has a filler for a serial number.
    filler: u8,
    /// It tells its serial over IPP too.
    serial_over_ipp: bool,
    /// What it announces: bit 0 its UUID, bit 1 its MAC address, bit 2 its serial number, bit 3 maker and model.
    announces: u8,
    /// Bit 0 IPP, bit 1 IPPS, bit 2 AppSocket, bit 3 LPD, bit 4 SNMP.
    speaks: u8,
    /// Changes of its card, its UUID, its model text, its names.
    card: u8,
    firmware: u8,
    spelling: u8,
    renamed: u8,
    address: u8,
    asleep: bool,
}

impl Device {
    fn uuid(&self) -> Option<String> {
        match (self.strong, self.cloned_uuid) {
            (Strong::Uuid, _) => Some(format!("aaaaaaaa-0000-4000-8000-0000000000{:02x}", self.n)),
            (_, true) => Some("cccccccc-0000-4000-8000-000000000001".into()),
            (Strong::Serial, false) if self.filler == 0 => None,
            _ => Some(format!("bbbbbbbb-0000-4000-8000-0000000{:02x}0{:02x}", self.firmware, self.n)),
        }
    }

    fn serial(&self) -> Option<String> {
        match self.strong {
            Strong::Serial => Some(format!("SER{:04}", self.n)),
            _ => [None, Some("XXXXXXX"), Some("0"), Some("12345678")][usize::from(self.filler % 4)].map(Into::into),
        }
    }

    fn mac(&self) -> String {
        format!("001122{:02x}00{:02x}", self.card, self.n)
    }

    fn model(&self) -> (Option<String>, Option<String>) {
        let make = ["HP", "Hewlett-Packard", "HP Inc."][usize::from(self.spelling % 3)];
        let model = ["M402", "HP LaserJet M402", "LaserJet Pro M402 series"][usize::from(self.spelling % 3)];
        (Some(make.into()), Some(model.into()))
    }

    /// What it answers over IPP.
    fn over_ipp(&self) -> Evidence {
        let (make, model) = self.model();
        let serial = self.serial().filter(|_| self.serial_over_ipp);
        Evidence { make, model, serial, uuid: self.uuid(), macs: vec![] }
    }

    /// What its agent says.
    fn over_snmp(&self) -> Evidence {
        let (make, model) = self.model();
        Evidence { make, model, serial: self.serial(), uuid: None, macs: vec![self.mac()] }
    }

    fn speaks(&self, bit: u8) -> bool {
        self.speaks & (1 << bit) != 0
    }

    /// What an identity probe brings.
    fn over_all(&self, ipp: bool) -> Evidence {
        match (ipp, self.speaks(4)) {
            (true, true) => identity::merge(&self.over_snmp(), &self.over_ipp()),
            (true, false) => self.over_ipp(),
            (false, _) => self.over_snmp(),
        }
    }

    fn announced(&self) -> Evidence {
        let (make, model) = if self.announces & 8 != 0 { self.model() } else { (None, None) };
        Evidence {
            make,
            model,
            serial: self.serial().filter(|_| self.announces & 4 != 0 && self.announces & 8 != 0),
            uuid: self.uuid().filter(|_| self.announces & 1 != 0),
            macs: Some(self.mac()).filter(|_| self.announces & 2 != 0).into_iter().collect(),
        }
    }

    fn sighting(&self, way: u8) -> Option<Sighting> {
        let way = way % 5;
        if !self.speaks(way) {
            return None;
        }
        let name = format!("D{} {}", self.n, self.renamed);
        let host = format!("d{}-{}.local", self.n, self.renamed);
        let mut s = match way {
            0 => sighting(&name, Ipp, &host, self.address, self.announced()),
            1 => sighting(&name, Ipps, &host, self.address, self.announced()),
            2 => print_port(
                &format!("{name}._pdl-datastream._tcp.local."),
                EndpointKind::AppSocket,
                &host,
                self.address,
                9100,
                "",
            ),
            3 => print_port(
                &format!("{name}._printer._tcp.local."),
                EndpointKind::Lpd,
                &host,
                self.address,
                515,
                "/auto",
            ),
            _ => {
                let ip = format!("10.0.0.{}", self.address);
                print_port(&format!("snmp:{ip}"), EndpointKind::Snmp, &ip, self.address, 161, "")
            }
        };
        match way {
            2 | 3 => s.evidence = self.announced(),
            4 => s.evidence = self.over_snmp(),
            _ => {}
        }
        s.name = name;
        Some(s)
    }

    /// Whether evidence holds its strong key.
    fn is_shown_by(&self, e: &Evidence) -> bool {
        let e = identity::canonical(e);
        match self.strong {
            Strong::Serial => e.serial.is_some() && e.serial == self.serial() && e.make.is_some(),
            Strong::Uuid => e.uuid.is_some() && e.uuid == self.uuid(),
            Strong::Mac => e.macs.contains(&self.mac()),
        }
    }

    /// Whether a printer is known by its strong key.
    fn owns(&self, p: &Printer) -> bool {
        let facts = p.facts();
        match self.strong {
            Strong::Serial => facts.serials.iter().any(|(make, s)| make.is_some() && Some(s) == self.serial().as_ref()),
            Strong::Uuid => self.uuid().is_some_and(|uuid| facts.uuids.contains(&uuid)),
            Strong::Mac => facts.macs.contains(&self.mac()),
        }
    }
}

fn device(n: u8) -> impl Strategy<Value = Device> {
    let strong = prop_oneof![Just(Strong::Serial), Just(Strong::Uuid), Just(Strong::Mac)];
    (strong, any::<bool>(), 0..4u8, any::<bool>(), 0..16u8, 1..32u8).prop_map(
        move |(strong, cloned_uuid, filler, serial_over_ipp, announces, speaks)| Device {
            n,
            strong,
            cloned_uuid,
            filler,
            serial_over_ipp,
            announces,
            // A network card shows over SNMP, or not at all.
            speaks: if strong == Strong::Mac { speaks | 16 } else { speaks },
            card: 0,
            firmware: 0,
            spelling: n,
            renamed: 0,
            address: n + 1,
            asleep: false,
        },
    )
}

#[derive(Debug, Clone)]
enum Happens {
    See { device: usize, way: u8 },
    SeeTwice { device: usize, way: u8 },
    SeeLate { slot: usize },
    Probe { slot: usize, lost: bool },
    Poll { slot: usize, lost: bool, snmp: bool },
    Lose { slot: usize },
    Move { device: usize, address: u8 },
    Swap { a: usize, b: usize },
    Rename { device: usize },
    NewCard { device: usize },
    NewFirmware { device: usize },
    Sleep { device: usize },
    Wake { device: usize },
    Restart,
}

fn happens() -> impl Strategy<Value = Happens> {
    use Happens::*;
    let d = || 0..5usize;
    prop_oneof![
        12 => (d(), 0..5u8).prop_map(|(device, way)| See { device, way }),
        1 => (d(), 0..5u8).prop_map(|(device, way)| SeeTwice { device, way }),
        2 => any::<usize>().prop_map(|slot| SeeLate { slot }),
        12 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(slot, lost)| Probe { slot, lost }),
        8 => (any::<usize>(), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(slot, lost, snmp)| Poll { slot, lost, snmp }),
        2 => any::<usize>().prop_map(|slot| Lose { slot }),
        3 => (d(), 1..9u8).prop_map(|(device, address)| Move { device, address }),
        1 => (d(), d()).prop_map(|(a, b)| Swap { a, b }),
        1 => d().prop_map(|device| Rename { device }),
        1 => d().prop_map(|device| NewCard { device }),
        1 => d().prop_map(|device| NewFirmware { device }),
        2 => d().prop_map(|device| Sleep { device }),
        3 => d().prop_map(|device| Wake { device }),
        1 => Just(Restart),
    ]
}

struct World {
    devices: Vec<Device>,
    r: Registry,
    now: i64,
    probes: Vec<String>,
    late: Vec<Sighting>,
    log: Vec<String>,
    /// What an administrator decides; the devices that it ever joined, and whether it ever parted or put away any.
    rules: Rules,
    joined: BTreeSet<u8>,
    parts: bool,
}

type Outcome = Result<(), TestCaseError>;

impl World {
    fn of(devices: Vec<Device>) -> Self {
        Self {
            devices,
            r: Registry::default(),
            now: 0,
            probes: vec![],
            late: vec![],
            log: vec![],
            rules: Rules::default(),
            joined: BTreeSet::new(),
            parts: false,
        }
    }

    fn at_address(&self, address: u8) -> Option<&Device> {
        self.devices.iter().find(|d| d.address == address && !d.asleep)
    }

    /// Who answers at an endpoint. Names are announced with addresses: what counts is who is there.
    fn behind(&self, e: &Endpoint) -> Option<&Device> {
        let IpAddr::V4(ip) = e.addresses.first()? else { return None };
        self.at_address(ip.octets()[3])
    }

    fn tell(&mut self, event: Event) -> Outcome {
        self.log.push(format!("{event:?}"));
        let (shown, key) = match &event {
            Event::Sighting(s) => (Some(s.evidence.clone()), s.key.clone()),
            Event::ProbeAnswered { key, identity } => (Some(identity.evidence.clone()), key.clone()),
            Event::PollAnswered { key, identity, over: Source::Ipp, .. } => {
                (Some(identity.evidence.clone()), key.clone())
            }
            Event::PollAnswered { key, .. } => (None, key.clone()),
            _ => (None, String::new()),
        };
        let before: BTreeSet<PrinterId> = self.r.printers().map(|p| p.id.clone()).collect();
        let mut checks = Vec::new();
        for effect in self.r.apply(event, at(self.now)) {
            self.log.push(format!("  {effect:?}"));
            match effect {
                Effect::Probe { key, .. } => self.probes.push(key),
                Effect::CheckNow(id) => checks.push(id),
                _ => {}
            }
        }
        self.invariants(shown.as_ref(), &key)?;
        // What is asked at once is answered at once.
        for id in checks {
            self.now += 1;
            self.check(&id)?;
        }
        prop_assert_eq!(self.r.check(), Ok(()), "{}", self.log.join("\n"));
        for id in before {
            prop_assert!(self.r.get(&id).is_some(), "{} is gone\n{}", id, self.log.join("\n"));
        }
        self.invariants(None, "")
    }

    fn invariants(&self, shown: Option<&Evidence>, key: &str) -> Outcome {
        for p in self.r.printers() {
            let of: Vec<u8> = self.devices.iter().filter(|d| d.owns(p)).map(|d| d.n).collect();
            prop_assert!(
                of.len() < 2 || of.iter().all(|n| self.joined.contains(n)),
                "{} is {:?}\n{:#?}\n{}",
                p.id,
                of,
                p,
                self.log.join("\n")
            );
        }
        for d in &self.devices {
            let ids: Vec<&Printer> = self.r.printers().filter(|p| d.owns(p)).collect();
            // Two that may be one, until the one that was asked has answered or not.
            let open = self
                .r
                .twins
                .iter()
                .any(|(id, others)| ids.iter().any(|p| p.id == *id) && ids.iter().any(|p| others.contains(&p.id)));
            prop_assert!(self.parts || open || ids.len() < 2, "{:?} has {:#?}\n{}", d, ids, self.log.join("\n"));
            let [p] = &ids[..] else { continue };
            if shown.is_some_and(|e| d.is_shown_by(e)) {
                let owner = self.r.owner(key);
                prop_assert!(
                    self.parts || owner.is_none_or(|id| *id == p.id),
                    "{key} of {:?} belongs to {:?}, not to {}\n{}",
                    d,
                    owner,
                    p.id,
                    self.log.join("\n")
                );
            }
        }
        Ok(())
    }

    /// A poll of a printer over all its endpoints, as the hub does it.
    fn check(&mut self, id: &PrinterId) -> Outcome {
        let Some(p) = self.r.get(id).filter(|p| p.id == *id) else { return Ok(()) };
        let places: Vec<(String, Endpoint)> = p
            .preferred()
            .into_iter()
            .filter(|e| e.endpoint.kind.is_ipp())
            .map(|e| (e.key.clone(), e.endpoint.clone()))
            .collect();
        let has_ipp = !places.is_empty();
        for (key, endpoint) in places {
            let answer = self.behind(&endpoint).filter(|d| d.speaks(0) || d.speaks(1)).map(Device::over_ipp);
            match answer {
                Some(evidence) => {
                    self.tell(polled(id, &key, evidence))?;
                    if self.r.owner(&key) == Some(id) {
                        return Ok(());
                    }
                }
                None => self.tell(Event::EndpointFailed { id: id.clone(), key })?,
            }
        }
        if !has_ipp && let Some((key, endpoint)) = self.r.snmp_endpoint(id).map(|e| (e.key.clone(), e.endpoint.clone()))
        {
            let answer = self.behind(&endpoint).filter(|d| d.speaks(4)).map(Device::over_snmp);
            if let Some(evidence) = answer {
                self.tell(places::over_snmp(id, &key, evidence))?;
                if self.r.owner(&key) == Some(id) {
                    return Ok(());
                }
            }
        }
        self.tell(Event::PollFailed { id: id.clone() })
    }

    fn probe(&mut self, key: String, lost: bool) -> Outcome {
        let Some(endpoint) = self.r.endpoint(&key).cloned() else { return Ok(()) };
        let ipp = endpoint.kind.is_ipp();
        let answers = |d: &&Device| if ipp { d.speaks(0) || d.speaks(1) } else { d.speaks(4) };
        let agent = self.behind(&endpoint).filter(|d| ipp && d.speaks(4)).map(Device::over_snmp);
        let answer = self
            .behind(&endpoint)
            .filter(|_| !lost)
            .filter(answers)
            .map(|d| d.over_all(ipp))
            .or(agent.filter(|_| !lost));
        self.tell(match answer {
            Some(evidence) => answered(&key, evidence),
            None => Event::ProbeFailed { key },
        })
    }

    fn step(&mut self, happens: Happens) -> Outcome {
        // Longer than what counts as one time.
        self.now += 700;
        self.log.push(format!("{happens:?}"));
        match happens {
            Happens::See { device, way } | Happens::SeeTwice { device, way } => {
                let Some(d) = self.devices.get(device).filter(|d| !d.asleep) else { return Ok(()) };
                let Some(s) = d.sighting(way) else { return Ok(()) };
                if self.late.len() < 8 {
                    self.late.push(s.clone());
                }
                self.tell(found(&s))?;
                if matches!(happens, Happens::SeeTwice { .. }) {
                    self.tell(found(&s))?;
                }
            }
            Happens::SeeLate { slot } => {
                if !self.late.is_empty() {
                    let s = self.late.remove(slot % self.late.len());
                    self.tell(found(&s))?;
                }
            }
            Happens::Probe { slot, lost } => {
                if !self.probes.is_empty() {
                    let key = self.probes.remove(slot % self.probes.len());
                    self.probe(key, lost)?;
                }
            }
            Happens::Poll { slot, lost, snmp } => {
                let ids: Vec<PrinterId> = self.r.printers().map(|p| p.id.clone()).collect();
                let Some(id) = ids.get(slot % ids.len().max(1)).cloned() else { return Ok(()) };
                if lost {
                    self.tell(Event::PollFailed { id })?;
                } else if !snmp {
                    self.check(&id)?;
                } else if let Some((key, e)) = self.r.snmp_endpoint(&id).map(|e| (e.key.clone(), e.endpoint.clone())) {
                    let answer = self.behind(&e).filter(|d| d.speaks(4)).map(Device::over_snmp);
                    match answer {
                        Some(evidence) => self.tell(places::over_snmp(&id, &key, evidence))?,
                        None => self.tell(Event::PollFailed { id })?,
                    }
                }
            }
            Happens::Lose { slot } => {
                let keys: Vec<String> =
                    self.r.printers().flat_map(|p| p.endpoints.iter().map(|e| e.key.clone())).collect();
                if let Some(key) = keys.get(slot % keys.len().max(1)).cloned() {
                    self.tell(Event::Lost { key })?;
                }
            }
            Happens::Move { device, address } => {
                if !self.devices.iter().any(|d| d.address == address) {
                    self.devices[device].address = address;
                }
            }
            Happens::Swap { a, b } => {
                let (x, y) = (self.devices[a].address, self.devices[b].address);
                (self.devices[a].address, self.devices[b].address) = (y, x);
            }
            Happens::Rename { device } => {
                let d = &mut self.devices[device];
                d.renamed += 1;
            }
            Happens::NewCard { device } => {
                let d = &mut self.devices[device];
                // Its one key stays: a UUID alone, under a new name too, would be nothing to go by.
                if d.strong == Strong::Serial {
                    d.card += 1;
                }
            }
            Happens::NewFirmware { device } => {
                let d = &mut self.devices[device];
                d.firmware = (d.firmware + 1) % 9;
                d.spelling += 1;
            }
            Happens::Sleep { device } => self.devices[device].asleep = true,
            Happens::Wake { device } => self.devices[device].asleep = false,
            Happens::Restart => {
                let rows = serde_json::to_string(&self.r.printers().cloned().collect::<Vec<_>>()).unwrap();
                let rows = serde_json::from_str::<Vec<Printer>>(&rows).unwrap();
                let (r, effects) = Registry::restore(rows, &self.rules, at(self.now));
                let before = std::mem::replace(&mut self.r, r);
                self.probes.clear();
                self.log.extend(effects.iter().map(|effect| format!("  {effect:?}")));
                prop_assert_eq!(self.r.check(), Ok(()), "{}", self.log.join("\n"));
                for printer in before.printers().filter(|p| self.r.get(&p.id).is_none()) {
                    let dropped = |effect: &Effect| matches!(effect, Effect::Dropped { id, .. } if *id == printer.id);
                    prop_assert!(effects.iter().any(dropped), "{} is gone\n{}", printer.id, self.log.join("\n"));
                }
                for effect in effects {
                    if let Effect::CheckNow(id) = effect {
                        self.check(&id)?;
                    }
                }
            }
        }
        self.invariants(None, "")
    }
}

/// Few cases by default: each one is an office over days. `PROPTEST_CASES=20000` takes its time and finds more.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if default.cases == 256 { cases } else { default.cases };
    ProptestConfig { cases, max_shrink_iters: 5_000, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn no_false_merge_and_no_second_id(
        devices in (device(0), device(1), device(2), device(3), device(4)),
        steps in prop::collection::vec(happens(), 1..70),
    ) {
        let devices = vec![devices.0, devices.1, devices.2, devices.3, devices.4];
        let mut world = World::of(devices);
        for step in steps {
            world.step(step)?;
        }
    }

    /// An empty database and the same evidence in whatever order: the same ids.
    #[test]
    fn the_same_evidence_gives_the_same_ids_in_any_order(
        devices in (device(0), device(1), device(2)),
        order in Just((0..15usize).collect::<Vec<_>>()).prop_shuffle(),
        early in prop::collection::vec(any::<bool>(), 15),
    ) {
        let mut devices = vec![devices.0, devices.1, devices.2];
        // A cloned UUID is told from one's own only by those who come later; a serial is told by all or by nobody.
        devices.iter_mut().for_each(|d| d.cloned_uuid = false);
        let ids = |order: &[usize], early: &[bool]| -> Result<BTreeMap<u8, PrinterId>, TestCaseError> {
            let mut world = World::of(devices.clone());
            for (n, early) in order.iter().zip(early) {
                let Some(s) = world.devices[n / 5].sighting((n % 5) as u8) else { continue };
                // Discovery is quick: an answer may come before or after the next sighting.
                world.now += 1;
                world.tell(found(&s))?;
                while *early && !world.probes.is_empty() {
                    let key = world.probes.remove(0);
                    world.probe(key, false)?;
                }
            }
            while !world.probes.is_empty() {
                let key = world.probes.remove(0);
                world.probe(key, false)?;
            }
            let of = |d: &Device| world.r.printers().find(|p| d.owns(p)).map(|p| (d.n, p.id.clone()));
            Ok(world.devices.iter().filter_map(of).collect())
        };
        let sorted: Vec<usize> = (0..15).collect();
        let strong = |ids: BTreeMap<u8, PrinterId>| -> BTreeMap<u8, PrinterId> {
            // A device that nobody can ask, seen alone, gets its id from that.
            let told = |d: &Device| d.speaks(4) || (d.serial_over_ipp && !d.speaks(2) && !d.speaks(3));
            let known = |n: &u8| devices.get(usize::from(*n)).is_some_and(|d| d.strong == Strong::Serial && told(d));
            ids.into_iter().filter(|(n, _)| known(n)).collect()
        };
        prop_assert_eq!(strong(ids(&order, &early)?), strong(ids(&sorted, &[false; 15])?));
    }
}
