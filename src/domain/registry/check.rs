//! The registry's invariants, checked in debug builds after every event and in tests after every step.

use super::printer::{MAX_ALIASES, MAX_ENDPOINTS, MAX_IDS, Printer};
use super::{MAX_JOINS, MAX_PRINTERS, MAX_TOLD, Owner, Registry};
use crate::domain::identity::{self, Reason, Verdict};
use std::collections::BTreeMap;

impl Registry {
    /// Checks the invariants of the module; an error names the first broken one.
    pub fn check(&self) -> Result<(), String> {
        if self.printers.len() + self.quarantine.len() > MAX_PRINTERS {
            return Err("too many printers".into());
        }
        let mut keys = 0;
        for (id, printer) in &self.printers {
            if *id != printer.id {
                return Err(format!("{id} is stored as {}", printer.id));
            }
            if printer.endpoints.len() > MAX_ENDPOINTS {
                return Err(format!("{id} has {} endpoints", printer.endpoints.len()));
            }
            for e in &printer.endpoints {
                keys += 1;
                if e.told.as_ref().is_some_and(|told| told.keys.len() > MAX_TOLD) {
                    return Err(format!("{} remembers too much", e.key));
                }
                if self.owners.get(&e.key) != Some(&Owner::Printer(id.clone())) {
                    return Err(format!("{} belongs to {:?}, not to {id}", e.key, self.owners.get(&e.key)));
                }
            }
            for alias in &printer.aliases {
                if self.aliases.get(alias) != Some(id) || self.printers.contains_key(alias) {
                    return Err(format!("alias {alias} of {id} leads elsewhere"));
                }
            }
        }
        for (n, q) in &self.quarantine {
            for e in &q.endpoints {
                keys += 1;
                if self.owners.get(&e.key) != Some(&Owner::Quarantined(*n)) {
                    return Err(format!("{} is not owned by its quarantined device", e.key));
                }
            }
            if let Some(contest) = &q.contested {
                let listed = self.contests.get(&contest.printer).is_some_and(|waiting| waiting.contains(n));
                if !self.printers.contains_key(&contest.printer) || !listed {
                    return Err("a device contests a printer that is not there".into());
                }
            }
        }
        let mut serials: BTreeMap<String, Vec<&Printer>> = BTreeMap::new();
        for printer in self.printers.values() {
            let Some(serial) = identity::canonical(&printer.evidence).serial else { continue };
            let others = serials.entry(serial).or_default();
            // Whom an administrator parted may have what they like.
            let same = |p: &&&Printer| {
                identity::same_device(&p.evidence, &printer.evidence) == Verdict::Same(Reason::Serial)
                    && !self.are_split(p, printer)
            };
            if let Some(twin) = others.iter().find(same) {
                return Err(format!("{} and {} have one serial", twin.id, printer.id));
            }
            others.push(printer);
        }
        for (id, printer) in &self.printers {
            if printer.joins.len() > MAX_JOINS
                || printer.aliases.len() > MAX_IDS
                || printer.apart.len() > MAX_JOINS
                || printer.known.len() > 5 * MAX_ALIASES
            {
                return Err(format!("{id} remembers too much"));
            }
        }
        if self.index != self.fresh_index() {
            return Err("the index is not up to date".into());
        }
        if keys != self.owners.len() {
            return Err(format!("{} keys have an owner, {keys} endpoints exist", self.owners.len()));
        }
        Ok(())
    }
}
