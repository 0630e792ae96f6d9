//! The device as management protocols see it.

use super::Device;
use crate::simulate::fault::Fault;
use crate::simulate::view::{CoverView, SupplyView, TrayView, View};
use sha2::{Digest, Sha256};
use std::time::Instant;

impl Device {
    /// What it shows of itself now.
    pub(in crate::simulate) fn view(&self, now: Instant) -> View {
        let percents = self.condition.percents(&self.faults);
        let supplies = self.profile.supplies.iter().zip(percents).map(|(spec, percent)| {
            let max = i64::from(spec.capacity);
            let level = if percent >= 0 && max > 0 { i64::from(percent) * max / 100 } else { i64::from(percent) };
            SupplyView { spec, percent, unit: spec.unit.code(), max, level }
        });
        let empty = |index: usize, level: i64| index == 0 && level == 0;
        let sheets = self.condition.sheets(&self.faults);
        let trays = self.profile.trays.iter().zip(sheets).enumerate().map(|(index, (spec, level))| TrayView {
            spec,
            level,
            // Unavailable because broken, with a critical alert.
            status: if empty(index, level) { 19 } else { 0 },
        });
        let open = self.faults.has(&Fault::DoorOpen);
        let covers = self.profile.covers.iter().enumerate();
        let covers = covers.map(|(i, text)| CoverView { description: (*text).to_owned(), open: open && i == 0 });
        // A fault may have been set since the device was last moved on.
        let mut condition = self.condition.clone();
        condition.note(&self.problems(), self.ticks(now));
        View {
            name: self.identity.name.clone(),
            make: self.profile.make,
            model: self.profile.model,
            serial: self.serial().to_owned(),
            firmware: self.firmware().to_owned(),
            location: self.identity.location.clone(),
            uuid: self.uuid().to_owned(),
            mac: mac(&self.identity.uuid),
            host: self.identity.host.clone(),
            up_time_ticks: self.ticks(now),
            asleep: self.asleep(now),
            asleep_snmp: self.profile.asleep,
            state: self.state(),
            reasons: self.reasons().into_iter().filter(|reason| *reason != "none").map(str::to_owned).collect(),
            supplies: supplies.collect(),
            trays: trays.collect(),
            covers: covers.collect(),
            alerts: condition.alerts,
            alert_events: condition.alert_events,
            critical_events: condition.critical_events,
            config_changes: condition.config_changes,
            life_count: self.told_impressions(),
            power_on_count: self.told(
                self.impressions - self.impressions_at_power_on,
                self.frozen.map_or(0, |frozen| frozen.0 - self.impressions_at_power_on),
            ),
            console: self.console(now),
            queued: self.queued(),
        }
    }

    /// The display: the message, then the other complaints.
    fn console(&self, now: Instant) -> Vec<String> {
        let message = self.message(now);
        let others: Vec<String> =
            self.problems().into_iter().map(|problem| problem.text).filter(|text| *text != message).collect();
        let mut lines: Vec<String> = std::iter::once(message).chain(others).collect();
        lines.resize(self.profile.console_lines.max(1), String::new());
        lines
    }
}

/// A locally administered address made of the UUID.
fn mac(uuid: &str) -> [u8; 6] {
    let hash = Sha256::digest(format!("mac\0{uuid}"));
    let mut mac = [0; 6];
    mac.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
    mac[0] = mac[0] & 0xfc | 0x02;
    mac
}
