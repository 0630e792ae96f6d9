//! The merged picture of one printer: the last observation and how its polls went since.
//!
//! ```text
//!            answer                 failure            failure, the 3rd in a row
//! unknown ──────────▶ idle|…|stopped ───────▶ unknown ───────────────────────────▶ offline
//!    ▲                     ▲                     │                                    │
//!    └─ never answered     └──────── answer ─────┴──────────────── answer ────────────┘
//! ```
//!
//! A failed poll says nothing about the printer: what was last observed (reasons, supplies, counters) stays, only
//! `status` becomes `unknown`; after [`OFFLINE_AFTER`] failures in a row it is `offline`.

use super::{Level, Observation, PrinterStateEnum, Severity, alerts, error_code};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Failures in a row after which a printer is offline.
pub const OFFLINE_AFTER: u32 = 3;

/// What a printer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `printer-state` 3.
    Idle,
    /// `printer-state` 4.
    Processing,
    /// `printer-state` 5.
    Stopped,
    /// It does not answer.
    Offline,
    /// It was never asked, did not answer just now, or did not say.
    Unknown,
}

impl Status {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Processing => "processing",
            Self::Stopped => "stopped",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known about its paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaperStatus {
    /// The printer complains about nothing.
    Ok,
    /// Some tray is low or empty, but it prints.
    Low,
    /// It wants paper.
    Empty,
    /// Paper is stuck.
    Jam,
    /// It does not say, or does not answer.
    Unknown,
}

impl PaperStatus {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Low => "low",
            Self::Empty => "empty",
            Self::Jam => "jam",
            Self::Unknown => "unknown",
        }
    }
}

/// The merged picture of one printer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrinterState {
    /// What was last learned.
    pub last: Option<Observation>,
    /// Failed polls since, in a row.
    pub failures: u32,
    /// Why the last one failed, in words.
    pub failure: Option<String>,
}

impl PrinterState {
    /// A poll was answered.
    pub fn observed(&mut self, observation: Observation) {
        self.failures = 0;
        self.failure = None;
        self.last = Some(observation);
    }

    /// A poll failed.
    pub fn failed(&mut self, why: impl Into<String>) {
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(why.into());
    }

    /// Whether it is taken to answer: it has, and fewer than [`OFFLINE_AFTER`] polls in a row failed since.
    pub fn online(&self) -> bool {
        self.last.is_some() && self.failures < OFFLINE_AFTER
    }

    /// What it does.
    pub fn status(&self) -> Status {
        match (&self.last, self.failures) {
            (_, OFFLINE_AFTER..) => Status::Offline,
            (Some(o), 0) => match o.printer_state {
                Some(PrinterStateEnum::Idle) => Status::Idle,
                Some(PrinterStateEnum::Processing) => Status::Processing,
                Some(PrinterStateEnum::Stopped) => Status::Stopped,
                None => Status::Unknown,
            },
            _ => Status::Unknown,
        }
    }

    /// `OK`, the most severe reason's keyword, `offline`, or `unknown` for a printer that never answered or says neither
    /// its state nor a reason.
    pub fn error_code(&self) -> String {
        match &self.last {
            _ if self.failures >= OFFLINE_AFTER => "offline".to_owned(),
            None => "unknown".to_owned(),
            Some(o) if o.printer_state.is_none() && o.reasons.is_empty() => "unknown".to_owned(),
            Some(o) => error_code(&o.reasons),
        }
    }

    /// The reasons last observed.
    pub fn reasons(&self) -> &[String] {
        self.last.as_ref().map_or(&[], |o| &o.reasons)
    }

    /// Percent by colour, of what is used up and known; of several supplies of one colour the lowest. Drums, waste
    /// and other parts are no ink.
    pub fn ink_level(&self) -> BTreeMap<String, u8> {
        const NO_INK: [&str; 9] =
            ["waste", "opc", "drum", "fuser", "transfer", "developer", "clean", "staple", "photo-conductor"];
        let mut levels = BTreeMap::new();
        let supplies = self.last.iter().flat_map(|o| &o.supplies);
        for s in supplies.filter(|s| !s.receptacle && !NO_INK.iter().any(|part| s.kind.contains(part))) {
            if let (Some(color), Level::Known(percent)) = (&s.color, s.level) {
                let lowest = levels.entry(color.clone()).or_insert(percent);
                *lowest = percent.min(*lowest);
            }
        }
        levels
    }

    /// What is known about its paper: from the reasons first, from the trays' levels otherwise.
    pub fn paper_status(&self) -> PaperStatus {
        let Some(o) = self.last.as_ref().filter(|_| self.failures < OFFLINE_AFTER) else { return PaperStatus::Unknown };
        let alerts = alerts(&o.reasons);
        let worst = |part: &str| alerts.iter().filter(|(k, _)| k.contains(part)).map(|(_, a)| a.severity).min();
        if worst("jam").is_some_and(|s| s < Severity::Info) {
            return PaperStatus::Jam;
        }
        let empty = worst("media-empty").into_iter().chain(worst("media-needed")).min();
        if empty == Some(Severity::Error) {
            return PaperStatus::Empty;
        }
        let trays_empty = !o.trays.is_empty() && o.trays.iter().all(|t| t.level == Level::Known(0));
        if trays_empty {
            return PaperStatus::Empty;
        }
        if empty.is_some() || worst("media-low").is_some() {
            return PaperStatus::Low;
        }
        if o.printer_state.is_some() { PaperStatus::Ok } else { PaperStatus::Unknown }
    }

    /// The level of each supply: percent, `some-remaining` or `unknown`.
    pub fn supply_levels(&self) -> Map<String, Value> {
        let supplies = self.last.iter().flat_map(|o| &o.supplies);
        supplies.map(|s| (s.key.clone(), level_value(s.level))).collect()
    }

    /// Pages over the printer's life and which counter says so.
    pub fn pages(&self) -> Option<(i64, &'static str)> {
        let c = &self.last.as_ref()?.counters;
        let impressions = c.impressions.map(|n| (n, "impressions"));
        impressions.or(c.pages.map(|n| (n, "pages"))).or(c.media_sheets.map(|n| (n, "sheets")))
    }

    /// Whether an error or a warning stands.
    pub fn has_alert(&self) -> bool {
        alerts(self.reasons()).values().any(|a| a.severity != Severity::Info)
    }

    /// When it was last observed.
    pub fn observed_at(&self) -> Option<Timestamp> {
        self.last.as_ref().map(|o| o.at)
    }

    /// Whether `other` says the same, apart from what changes with every poll (time, up-time) and from why a poll
    /// failed.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let still = |s: &Self| {
            let last = s.last.clone().map(|o| Observation { at: Timestamp::UNIX_EPOCH, up_time: None, ..o });
            (last, s.failures.min(OFFLINE_AFTER))
        };
        still(self) == still(other)
    }
}

/// A level as it stands in documents.
pub(super) fn level_value(level: Level) -> Value {
    match level {
        Level::Known(percent) => percent.into(),
        Level::SomeRemaining => "some-remaining".into(),
        Level::Unknown => "unknown".into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::sighting::Evidence;
    use crate::domain::state::{Capabilities, Counters, Source, Supply, Tray};

    pub(in crate::domain::state) fn observation(reasons: &[&str]) -> Observation {
        Observation {
            at: Timestamp::from_second(1_800_000_000).unwrap(),
            source: Source::Ipp,
            evidence: Evidence::default(),
            name: None,
            location: None,
            firmware: None,
            printer_state: Some(PrinterStateEnum::Idle),
            reasons: reasons.iter().map(|r| (*r).to_owned()).collect(),
            message: None,
            accepting: Some(true),
            queued_jobs: Some(0),
            up_time: Some(1),
            supplies: vec![],
            trays: vec![],
            counters: Counters::default(),
            capabilities: Capabilities::default(),
        }
    }

    pub(in crate::domain::state) fn supply(key: &str, kind: &str, color: Option<&str>, level: Level) -> Supply {
        Supply {
            key: key.into(),
            kind: kind.into(),
            color: color.map(Into::into),
            description: key.into(),
            receptacle: kind.contains("waste"),
            level,
            raw_level: None,
            raw_max: None,
        }
    }

    #[test]
    fn a_failed_poll_is_unknown_and_only_the_third_is_offline() {
        let mut state = PrinterState::default();
        assert_eq!((state.status(), state.online()), (Status::Unknown, false));
        state.observed(observation(&["media-empty-error"]));
        assert_eq!((state.status(), state.online()), (Status::Idle, true));
        for (n, status, online, code) in [
            (1, Status::Unknown, true, "media-empty"),
            (2, Status::Unknown, true, "media-empty"),
            (3, Status::Offline, false, "offline"),
            (4, Status::Offline, false, "offline"),
        ] {
            state.failed("no answer");
            assert_eq!((state.status(), state.online(), state.error_code().as_str()), (status, online, code), "{n}");
            assert_eq!(state.reasons(), ["media-empty-error"]);
        }
        state.observed(observation(&[]));
        assert_eq!((state.status(), state.online(), state.error_code().as_str()), (Status::Idle, true, "OK"));
    }

    #[test]
    fn without_a_state_and_a_reason_nothing_is_called_ok() {
        let mut state = PrinterState::default();
        state.observed(Observation { printer_state: None, ..observation(&[]) });
        assert_eq!((state.status(), state.error_code().as_str()), (Status::Unknown, "unknown"));
        state.observed(Observation { printer_state: None, ..observation(&["media-empty-error"]) });
        assert_eq!(state.error_code(), "media-empty");
    }

    #[test]
    fn ink_is_what_is_used_up_and_known() {
        let mut o = observation(&[]);
        o.supplies = vec![
            supply("black-toner", "toner", Some("black"), Level::Known(34)),
            supply("black-toner-2", "toner-cartridge", Some("black"), Level::Known(12)),
            supply("black-drum", "opc", Some("black"), Level::Known(1)),
            supply("waste-toner", "waste-toner", Some("cyan"), Level::Known(2)),
            supply("magenta-toner", "toner", Some("magenta"), Level::SomeRemaining),
            supply("something", "toner", None, Level::Known(3)),
        ];
        let mut state = PrinterState::default();
        state.observed(o);
        assert_eq!(state.ink_level(), BTreeMap::from([("black".to_owned(), 12)]));
        assert_eq!(state.supply_levels()["magenta-toner"], "some-remaining");
    }

    #[test]
    fn paper_comes_from_reasons_first_then_from_trays() {
        let paper = |reasons: &[&str], trays: &[Level]| {
            let mut o = observation(reasons);
            let tray = |l: &Level| Tray { name: "t".into(), media: None, level: *l, capacity: None };
            o.trays = trays.iter().map(tray).collect();
            let mut state = PrinterState::default();
            state.observed(o);
            state.paper_status()
        };
        assert_eq!(paper(&[], &[]), PaperStatus::Ok);
        assert_eq!(paper(&["media-jam-error", "media-empty-error"], &[]), PaperStatus::Jam);
        assert_eq!(paper(&["media-needed"], &[]), PaperStatus::Empty);
        assert_eq!(paper(&["media-empty-warning"], &[]), PaperStatus::Low);
        assert_eq!(paper(&[], &[Level::Known(0), Level::Known(0)]), PaperStatus::Empty);
        assert_eq!(paper(&[], &[Level::Known(0), Level::Known(9)]), PaperStatus::Ok);
        assert_eq!(PrinterState::default().paper_status(), PaperStatus::Unknown);
    }

    #[test]
    fn time_alone_says_nothing_new() {
        let mut a = PrinterState::default();
        a.observed(observation(&[]));
        let mut b = a.clone();
        b.observed(Observation { at: Timestamp::UNIX_EPOCH, up_time: Some(77), ..observation(&[]) });
        assert!(a.says_the_same(&b));
        b.failed("x");
        assert!(!a.says_the_same(&b));
    }
}
