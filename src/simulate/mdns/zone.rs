//! What the responder knows, and which of it answers a question.

use super::message::{Data, Group, Question, Record, wire_name};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;

/// Seconds that others may keep a record: what names a host, and everything else (RFC 6762 §10).
const HOST_TTL: u32 = 120;
const TTL: u32 = 4_500;

const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const SRV: u16 = 33;
const ANY: u16 = 255;

/// One announced service.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Service {
    /// What people see.
    pub(super) instance: String,
    /// `_ipp`, without `._tcp.local`.
    pub(super) kind: &'static str,
    /// `_print`, without `._sub` and the rest.
    pub(super) subtypes: &'static [&'static str],
    /// Without the trailing dot.
    pub(super) host: String,
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    /// `key=value` strings as in the record.
    pub(super) txt: Vec<u8>,
}

/// Questions of one asker and what it knows already.
pub(super) struct Asked {
    pub(super) id: u16,
    pub(super) questions: Vec<Question>,
    /// PTR records: name and target in lower case.
    pub(super) known: HashSet<(Vec<u8>, Vec<u8>)>,
}

/// All services, by names in wire form and lower case.
#[derive(Default)]
pub(super) struct Zone {
    services: HashMap<Vec<u8>, Service>,
    /// Types and subtypes → services.
    types: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, ()>>,
    /// Host → services that are there.
    hosts: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
    /// Services not announced yet.
    pub(super) fresh: Vec<Vec<u8>>,
}

impl Service {
    fn type_name(&self) -> Vec<u8> {
        wire_name([self.kind, "_tcp", "local"])
    }

    fn subtype_names(&self) -> impl Iterator<Item = Vec<u8>> {
        self.subtypes.iter().map(|subtype| wire_name([subtype, "_sub", self.kind, "_tcp", "local"]))
    }

    fn full_name(&self) -> Vec<u8> {
        wire_name([self.instance.as_str(), self.kind, "_tcp", "local"])
    }

    fn host_name(&self) -> Vec<u8> {
        wire_name(self.host.split('.'))
    }

    /// Its name in lower case.
    pub(super) fn key(&self) -> Vec<u8> {
        self.full_name().to_ascii_lowercase()
    }

    fn pointer(&self, name: Vec<u8>) -> Record {
        Record { name, kind: PTR, flush: false, ttl: TTL, data: Data::Name(self.full_name()) }
    }

    fn srv(&self) -> Record {
        let data = Data::Srv { port: self.port, target: self.host_name() };
        Record { name: self.full_name(), kind: SRV, flush: true, ttl: HOST_TTL, data }
    }

    fn txt(&self) -> Record {
        Record { name: self.full_name(), kind: TXT, flush: true, ttl: TTL, data: Data::Bytes(self.txt.clone()) }
    }

    fn a(&self) -> Record {
        let data = Data::Bytes(self.address.octets().to_vec());
        Record { name: self.host_name(), kind: A, flush: true, ttl: HOST_TTL, data }
    }

    /// Everything about it, as it is announced.
    fn all(&self) -> Group {
        let names = std::iter::once(self.type_name()).chain(self.subtype_names());
        let mut answers: Vec<Record> = names.map(|name| self.pointer(name)).collect();
        answers.extend([self.srv(), self.txt(), self.a()]);
        Group { answers, additional: Vec::new() }
    }

    /// The records that end it.
    pub(super) fn goodbye(&self) -> Group {
        let mut group = self.all();
        // Other services may be on the host.
        group.answers.retain(|record| record.kind != A);
        group.answers.iter_mut().for_each(|record| record.ttl = 0);
        group
    }
}

impl Zone {
    /// Adds a service; one of the same name is replaced.
    pub(super) fn add(&mut self, service: Service) {
        let key = service.key();
        self.remove(&key);
        for name in std::iter::once(service.type_name()).chain(service.subtype_names()) {
            self.types.entry(name.to_ascii_lowercase()).or_default().insert(key.clone(), ());
        }
        self.hosts.entry(service.host_name().to_ascii_lowercase()).or_default().insert(key.clone());
        self.services.insert(key, service);
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Service> {
        let service = self.services.remove(key)?;
        self.types.retain(|_, services| {
            services.remove(key);
            !services.is_empty()
        });
        let host = service.host_name().to_ascii_lowercase();
        if let Some(there) = self.hosts.get_mut(&host) {
            there.remove(key);
            if there.is_empty() {
                self.hosts.remove(&host);
            }
        }
        Some(service)
    }

    /// Everything about these services, of those that are still there.
    pub(super) fn groups(&self, keys: &[Vec<u8>]) -> Vec<Group> {
        keys.iter().filter_map(|key| self.services.get(key)).map(Service::all).collect()
    }

    /// The answers to these questions.
    pub(super) fn answer(&self, asked: &Asked) -> Vec<Group> {
        let mut groups = Vec::new();
        for question in &asked.questions {
            self.answer_one(question, asked, &mut groups);
        }
        groups
    }

    fn answer_one(&self, question: &Question, asked: &Asked, groups: &mut Vec<Group>) {
        let name = question.name.to_ascii_lowercase();
        let wants = |kind| question.kind == kind || question.kind == ANY;
        if wants(PTR)
            && let Some(services) = self.types.get(&name)
        {
            for key in services.keys() {
                if asked.known.contains(&(name.clone(), key.clone())) {
                    continue;
                }
                let Some(service) = self.services.get(key) else { continue };
                let additional = vec![service.srv(), service.txt(), service.a()];
                groups.push(Group { answers: vec![service.pointer(question.name.clone())], additional });
            }
        }
        if wants(PTR) && name == wire_name(["_services", "_dns-sd", "_udp", "local"]) {
            // Types have no subtype label.
            let types = self.types.keys().filter(|name| !name.windows(5).any(|part| part == b"\x04_sub"));
            for target in types.filter(|target| !asked.known.contains(&(name.clone(), (*target).clone()))) {
                let data = Data::Name(target.clone());
                let record = Record { name: question.name.clone(), kind: PTR, flush: false, ttl: TTL, data };
                groups.push(Group { answers: vec![record], additional: Vec::new() });
            }
        }
        if let Some(service) = self.services.get(&name) {
            let mut answers = Vec::new();
            let mut additional = Vec::new();
            if wants(SRV) {
                answers.push(service.srv());
                additional.push(service.a());
            }
            if wants(TXT) {
                answers.push(service.txt());
            }
            if !answers.is_empty() {
                groups.push(Group { answers, additional });
            }
        }
        if wants(A)
            && let Some(service) = self.hosts.get(&name).and_then(|keys| keys.iter().next())
            && let Some(service) = self.services.get(service)
        {
            groups.push(Group { answers: vec![service.a()], additional: Vec::new() });
        }
    }
}
