//! What stands in a printer and what is wrong with it: supplies, sheets, problems, the alert table.
//!
//! One list of [`Problem`]s, made of the faults and the levels, is the source of everything that a protocol tells:
//! `printer-state` and its reasons, prtAlertTable, hrPrinterDetectedErrorState, the display.
//!
//! Invariants:
//! - Nothing stops a printer but a fault: a tray that runs out is filled, a supply that is used up stays at 1 %, a waste
//!   box at 99 %, unless a fault says otherwise (`sheets:N`, `toner-level:…`).
//! - Levels move with impressions on paper only, and by a `toner-level` fault; when that is cleared a fresh supply, with
//!   the level of the profile, is put in.
//! - An alert's index rises and is not used again before the power goes. prtAlertAllEvents counts each alert that is
//!   raised and each that is cleared (the alertRemovalOfBinaryChangeEntry of RFC 3805 §2.2.13.3, which is counted and
//!   not kept as a row); prtAlertCriticalEvents those raised that are critical.

use super::super::fault::{Fault, Faults};
use super::super::profiles::{Profile, SupplySpec};
use super::super::view::AlertView;
use std::time::{Duration, Instant};

/// Below this a supply is low, percent.
const LOW: f64 = 10.0;
/// From here a waste box is almost full, percent.
const ALMOST_FULL: f64 = 90.0;

/// PrtAlertSeverityLevelTC.
const CRITICAL: i32 = 3;
const WARNING: i32 = 4;
/// PrtAlertTrainingLevelTC.
const UNTRAINED: i32 = 3;
const TRAINED: i32 = 4;
/// PrtAlertGroupTC.
const COVER: i32 = 6;
const INPUT: i32 = 8;
const SUPPLIES: i32 = 11;
const MEDIA_PATH: i32 = 13;
const FIN_SUPPLY: i32 = 31;

/// Something that a printer complains about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::simulate) struct Problem {
    /// `printer-state-reasons` keyword with its suffix.
    pub(in crate::simulate) reason: &'static str,
    /// It does not print.
    pub(in crate::simulate) stops: bool,
    training: i32,
    /// prtAlertGroup, prtAlertGroupIndex and prtAlertCode: what it is and where.
    place: (i32, i32, i32),
    pub(in crate::simulate) text: String,
}

#[derive(Debug, Clone)]
struct Supply {
    spec: &'static SupplySpec,
    percent: f64,
    /// The fault that was followed last.
    told: Option<(u8, u32)>,
    moves: Option<Move>,
}

/// A level on its way.
#[derive(Debug, Clone, Copy)]
struct Move {
    from: f64,
    to: f64,
    begin: Instant,
    end: Instant,
}

#[derive(Debug, Clone)]
pub(in crate::simulate) struct Condition {
    profile: &'static Profile,
    supplies: Vec<Supply>,
    trays: Vec<i64>,
    /// Sheets that the fault put in, while it is there.
    sheets_told: Option<u32>,
    firmware_told: Option<String>,
    pub(in crate::simulate) alerts: Vec<AlertView>,
    last_alert: u32,
    pub(in crate::simulate) alert_events: u32,
    pub(in crate::simulate) critical_events: u32,
    pub(in crate::simulate) config_changes: u32,
}

impl Condition {
    pub(super) fn new(profile: &'static Profile) -> Condition {
        let supply = |spec: &'static SupplySpec| Supply { spec, percent: start(spec), told: None, moves: None };
        Condition {
            profile,
            supplies: profile.supplies.iter().map(supply).collect(),
            trays: profile.trays.iter().map(|tray| i64::from(tray.level)).collect(),
            sheets_told: None,
            firmware_told: None,
            alerts: Vec::new(),
            last_alert: 0,
            alert_events: 0,
            critical_events: 0,
            config_changes: 1,
        }
    }

    /// The power was off: the alert table and its counters begin anew.
    pub(super) fn restart(&mut self) {
        self.alerts.clear();
        self.last_alert = 0;
        self.alert_events = 0;
        self.critical_events = 0;
    }

    /// Follows the faults that move levels, and levels on their way; says when something moves next.
    pub(super) fn follow(&mut self, faults: &Faults, now: Instant) -> Option<Instant> {
        let sheets = faults.sheets();
        if sheets != self.sheets_told {
            self.sheets_told = sheets;
            if let Some((level, tray)) = self.trays.first_mut().zip(self.profile.trays.first()) {
                *level = i64::from(sheets.map_or(tray.level, |sheets| i32::try_from(sheets).unwrap_or(i32::MAX)));
            }
        }
        if faults.firmware() != self.firmware_told.as_deref() {
            self.firmware_told = faults.firmware().map(str::to_owned);
            self.config_changes = self.config_changes.wrapping_add(1);
        }
        self.supplies.iter_mut().filter_map(|supply| supply.follow(faults, now)).min()
    }

    /// One impression went on paper, with so many sheets begun by it.
    pub(super) fn impression(&mut self, sheets: u32) {
        for supply in self.supplies.iter_mut().filter(|supply| supply.spec.impressions > 0 && supply.moves.is_none()) {
            let step = 100.0 / f64::from(supply.spec.impressions);
            if supply.spec.receptacle {
                supply.percent = (supply.percent + step).min(supply.percent.max(99.0));
            } else {
                supply.percent = (supply.percent - step).max(supply.percent.min(1.0));
            }
        }
        if let Some((level, tray)) = self.trays.first_mut().zip(self.profile.trays.first())
            && *level >= 0
        {
            *level = (*level - i64::from(sheets)).max(0);
            if *level == 0 && self.sheets_told.is_none() {
                *level = i64::from(tray.capacity);
            }
        }
    }

    /// So many staples were used.
    pub(super) fn stapled(&mut self, staples: u32) {
        for supply in self.supplies.iter_mut().filter(|supply| supply.spec.kind == "staples" && supply.percent > 1.0) {
            let step = 100.0 * f64::from(staples) / f64::from(supply.spec.capacity.max(1));
            supply.percent = (supply.percent - step).max(1.0);
        }
    }

    /// Levels of the supplies in percent; −2 unknown, −3 some left.
    pub(in crate::simulate) fn percents(&self, faults: &Faults) -> Vec<i32> {
        self.supplies.iter().map(|supply| supply.shown(faults)).collect()
    }

    /// Sheets in the trays; −3 some.
    pub(in crate::simulate) fn sheets(&self, faults: &Faults) -> Vec<i64> {
        let empty = faults.has(&Fault::OutOfPaper);
        let levels = self.trays.iter().enumerate();
        levels.map(|(index, level)| if empty && index == 0 { 0 } else { *level }).collect()
    }

    /// What it complains about now, the worst first.
    pub(in crate::simulate) fn problems(&self, faults: &Faults) -> Vec<Problem> {
        let mut all = Vec::new();
        let mut add = |reason: &'static str, stops, training, place, text: String| {
            all.push(Problem { reason, stops, training, place, text });
        };
        if faults.has(&Fault::Jam) {
            add(
                "media-jam-error",
                true,
                UNTRAINED,
                (MEDIA_PATH, 1, 8),
                "Paper jam: open the cover and remove the paper".into(),
            );
        }
        if faults.has(&Fault::DoorOpen) {
            let cover = self.profile.covers.first().copied().unwrap_or("Cover");
            add("cover-open-error", true, UNTRAINED, (COVER, 1, 3), format!("{cover} open: close it"));
        }
        let first = self.profile.trays.first();
        let name = first.map_or("tray", |tray| tray.source);
        match self.sheets(faults).first() {
            Some(0) => add("media-empty-error", true, UNTRAINED, (INPUT, 1, 808), format!("Out of paper: fill {name}")),
            Some(level)
                if self.sheets_told.is_some() && *level * 10 < i64::from(first.map_or(0, |tray| tray.capacity)) =>
            {
                add("media-low-warning", false, UNTRAINED, (INPUT, 1, 807), format!("Paper low in {name}"));
            }
            _ => {}
        }
        for (supply, index) in self.supplies.iter().zip(1..) {
            if let Some((reason, stops, code, what)) = supply.trouble(faults) {
                let group = if supply.spec.kind == "staples" { FIN_SUPPLY } else { SUPPLIES };
                let index = if group == FIN_SUPPLY { 1 } else { index };
                add(reason, stops, TRAINED, (group, index, code), format!("{} {what}", supply.spec.description));
            }
        }
        all.sort_by_key(|problem| !problem.stops);
        all
    }

    /// Brings the alert table in line with what is wrong.
    pub(super) fn note(&mut self, problems: &[Problem], ticks: u32) {
        let place = |alert: &AlertView| (alert.group, alert.group_index, alert.code);
        let before = self.alerts.len();
        self.alerts.retain(|alert| problems.iter().any(|problem| problem.place == place(alert)));
        let cleared = u32::try_from(before - self.alerts.len()).unwrap_or(u32::MAX);
        self.alert_events = self.alert_events.wrapping_add(cleared);
        for problem in problems {
            if self.alerts.iter().any(|alert| place(alert) == problem.place) {
                continue;
            }
            self.last_alert = self.last_alert.wrapping_add(1);
            self.alert_events = self.alert_events.wrapping_add(1);
            self.critical_events = self.critical_events.wrapping_add(u32::from(problem.stops));
            let (group, group_index, code) = problem.place;
            self.alerts.push(AlertView {
                index: self.last_alert,
                severity: if problem.stops { CRITICAL } else { WARNING },
                training: problem.training,
                group,
                group_index,
                code,
                description: problem.text.clone(),
                time: ticks,
            });
        }
    }
}

impl Supply {
    fn follow(&mut self, faults: &Faults, now: Instant) -> Option<Instant> {
        let told = faults.level_of(self.spec);
        if told != self.told {
            self.told = told;
            self.moves = None;
            match told {
                None => self.percent = start(self.spec),
                Some((percent, 0)) => self.percent = f64::from(percent),
                Some((percent, seconds)) => {
                    let from = if self.percent < 0.0 { 100.0 } else { self.percent };
                    let end = now + Duration::from_secs(u64::from(seconds));
                    self.moves = Some(Move { from, to: f64::from(percent), begin: now, end });
                }
            }
        }
        let way = self.moves?;
        if way.end <= now {
            self.moves = None;
            self.percent = way.to;
            return None;
        }
        let all = (way.end - way.begin).as_secs_f64();
        let gone = now.saturating_duration_since(way.begin).as_secs_f64();
        self.percent = way.from + (way.to - way.from) * gone / all;
        // Once for each percent, and not more often than ten times a second.
        let pause = (all / (way.to - way.from).abs().max(1.0)).max(0.1);
        Some(way.end.min(now + Duration::from_secs_f64(pause)))
    }

    fn shown(&self, faults: &Faults) -> i32 {
        if self.spec.receptacle && faults.has(&Fault::WasteFull) {
            return 100;
        }
        if self.spec.kind == "staples" && faults.has(&Fault::StaplesEmpty) {
            return 0;
        }
        // Rounded up: what is not empty does not show as empty.
        if self.percent < 0.0 { self.percent as i32 } else { self.percent.ceil() as i32 }
    }

    /// Reason, whether it stops the printer, alert code, and words for people.
    fn trouble(&self, faults: &Faults) -> Option<(&'static str, bool, i32, &'static str)> {
        let level = f64::from(self.shown(faults));
        if level < 0.0 {
            return None;
        }
        let (ink, ribbon) = (self.spec.kind.contains("ink"), self.spec.kind.contains("ribbon"));
        if self.spec.receptacle {
            return match level {
                l if l >= 100.0 => Some(("marker-waste-full-error", true, if ink { 1110 } else { 1109 }, "full")),
                l if l >= ALMOST_FULL => {
                    Some(("marker-waste-almost-full-warning", false, if ink { 1108 } else { 1107 }, "almost full"))
                }
                _ => None,
            };
        }
        if self.spec.kind == "staples" {
            return match level {
                0.0 => Some(("stapler-empty-warning", false, 30213, "empty")),
                l if l < LOW => Some(("stapler-almost-empty-warning", false, 30212, "almost empty")),
                _ => None,
            };
        }
        match (level, self.spec.kind) {
            (0.0, "toner") => Some(("toner-empty-error", true, 1101, "empty: replace it")),
            (0.0, "opc") => Some(("opc-life-over-error", true, 1112, "at its end: replace it")),
            (0.0, _) if ink && !ribbon => Some(("marker-supply-empty-error", true, 1102, "empty: replace it")),
            (0.0, _) if ribbon => Some(("marker-supply-empty-error", true, 1103, "at its end: replace it")),
            (0.0, _) => Some(("marker-supply-empty-error", true, 13, "at its end: replace it")),
            (l, "toner") if l < LOW => Some(("toner-low-warning", false, 1104, "low")),
            (l, "opc") if l < LOW => Some(("opc-near-eol-warning", false, 1111, "near its end")),
            (l, _) if l < LOW && ink && !ribbon => Some(("marker-supply-low-warning", false, 1105, "low")),
            (l, _) if l < LOW && ribbon => Some(("marker-supply-low-warning", false, 1106, "near its end")),
            (l, _) if l < LOW => Some(("marker-supply-low-warning", false, 12, "near its end")),
            _ => None,
        }
    }
}

fn start(spec: &SupplySpec) -> f64 {
    f64::from(spec.level)
}
