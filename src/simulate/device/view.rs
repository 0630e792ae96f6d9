//! The device as management protocols see it.

use super::Device;
use crate::simulate::view::{AlertView, CoverView, SupplyView, TrayView, View};
use sha2::{Digest, Sha256};
use std::time::Instant;

impl Device {
    /// What it shows of itself now.
    pub(in crate::simulate) fn view(&self, now: Instant) -> View {
        let ticks = now.saturating_duration_since(self.boot).as_millis() / 10;
        let stopped = self.stopped();
        let supplies = self.profile.supplies.iter().map(|spec| SupplyView {
            spec,
            max: if spec.level == -2 { -2 } else { 100 },
            level: i64::from(spec.level),
        });
        let trays = self.profile.trays.iter().enumerate().map(|(index, spec)| TrayView {
            spec,
            level: if stopped { 0 } else { i64::from(spec.level) },
            status: if stopped && index == 0 { 19 } else { 0 },
        });
        let alerts = stopped.then(|| AlertView {
            index: 1,
            severity: 3,
            training: 3,
            group: 8,
            group_index: 1,
            code: 808,
            description: "Out of paper: fill tray 1".to_owned(),
            time: 0,
        });
        View {
            name: self.identity.name.clone(),
            make: self.profile.make,
            model: self.profile.model,
            serial: self.identity.serial.clone(),
            firmware: self.profile.firmware.to_owned(),
            location: self.identity.location.clone(),
            uuid: self.identity.uuid.clone(),
            mac: mac(&self.identity.uuid),
            host: self.identity.host.clone(),
            up_time_ticks: u32::try_from(ticks).unwrap_or(u32::MAX),
            asleep: false,
            state: self.state(),
            reasons: self.reasons().into_iter().filter(|reason| *reason != "none").map(str::to_owned).collect(),
            supplies: supplies.collect(),
            trays: trays.collect(),
            covers: vec![CoverView { description: "Front cover".to_owned(), open: false }],
            alerts: alerts.into_iter().collect(),
            alert_events: u32::from(stopped),
            critical_events: u32::from(stopped),
            config_changes: 1,
            life_count: self.impressions,
            power_on_count: self.impressions,
            console: vec![if stopped { "Out of paper" } else { "Ready" }.to_owned()],
            queued: self.queued(),
        }
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
