//! The merged picture of one printer: for each protocol the last observation and how its polls went since.
//!
//! ```text
//!            answer                 failure            failure, the 3rd in a row
//! unknown ──────────▶ idle|…|stopped ───────▶ unknown ───────────────────────────▶ offline
//!    ▲                     ▲                     │                                    │
//!    └─ never answered     └──────── answer ─────┴──────────────── answer ────────────┘
//! ```
//!
//! A failed poll says nothing about the printer: what was last observed (reasons, supplies, counters) stays, only
//! `status` becomes `unknown`; after [`OFFLINE_AFTER`] failures in a row a protocol is silent. One protocol that answers
//! keeps the printer online, whatever the other does. SNMP that never answered is no sign of anything: many printers have
//! it switched off; so a printer that has no other protocol stays `unknown`.
//!
//! A protocol over which the printer is no longer asked is forgotten ([`PrinterState::forget`]): nothing would ever end
//! what it said last.
//!
//! How two protocols' words become one is in [`super::picture`].

use super::picture::Picture;
use super::{Level, Observation, PrinterStateEnum, Severity, Source, alerts, error_code};
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

/// What one protocol told of a printer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// What was last learned.
    pub last: Option<Observation>,
    /// Failed polls since, in a row.
    pub failures: u32,
    /// Why the last one failed, in words.
    pub failure: Option<String>,
}

impl Heard {
    /// Whether it does not answer any more, or never did.
    pub fn is_silent(&self) -> bool {
        self.failures >= OFFLINE_AFTER
    }

    /// Whether it is taken to answer.
    pub fn answers(&self) -> bool {
        self.last.is_some() && !self.is_silent()
    }

    /// What does not change with every poll.
    fn still(&self) -> (Option<Observation>, u32) {
        let last = self.last.clone().map(|o| {
            let message = o.message.filter(|_| o.source == Source::Ipp);
            Observation { at: Timestamp::UNIX_EPOCH, up_time: None, message, ..o }
        });
        (last, self.failures.min(OFFLINE_AFTER))
    }
}

/// The merged picture of one printer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrinterState {
    /// Over IPP.
    #[serde(default)]
    pub ipp: Heard,
    /// Over SNMP.
    #[serde(default)]
    pub snmp: Heard,
}

impl PrinterState {
    /// A poll was answered.
    pub fn observed(&mut self, observation: Observation) {
        let heard = self.heard_mut(observation.source);
        *heard = Heard { last: Some(observation), failures: 0, failure: None };
    }

    /// A poll failed.
    pub fn failed(&mut self, source: Source, why: impl Into<String>) {
        let heard = self.heard_mut(source);
        heard.failures = heard.failures.saturating_add(1);
        heard.failure = Some(why.into());
    }

    /// It is no longer asked over this protocol: what that told would stay for ever. False when it told nothing.
    pub fn forget(&mut self, source: Source) -> bool {
        std::mem::take(self.heard_mut(source)) != Heard::default()
    }

    /// What one protocol told.
    pub fn heard(&self, source: Source) -> &Heard {
        match source {
            Source::Ipp => &self.ipp,
            Source::Snmp => &self.snmp,
        }
    }

    fn heard_mut(&mut self, source: Source) -> &mut Heard {
        match source {
            Source::Ipp => &mut self.ipp,
            Source::Snmp => &mut self.snmp,
        }
    }

    /// What all protocols told, as one.
    pub fn picture(&self) -> Picture<'_> {
        Picture::of(self)
    }

    /// Whether it is taken to answer: over some protocol it has, and fewer than [`OFFLINE_AFTER`] polls in a row failed
    /// since.
    pub fn online(&self) -> bool {
        self.ipp.answers() || self.snmp.answers()
    }

    /// What it does.
    pub fn status(&self) -> Status {
        if self.is_offline() {
            return Status::Offline;
        }
        match self.picture().printer_state {
            Some((PrinterStateEnum::Idle, _)) => Status::Idle,
            Some((PrinterStateEnum::Processing, _)) => Status::Processing,
            Some((PrinterStateEnum::Stopped, _)) => Status::Stopped,
            None => Status::Unknown,
        }
    }

    fn is_offline(&self) -> bool {
        let gave_up = self.ipp.is_silent() || (self.snmp.is_silent() && self.snmp.last.is_some());
        let hope = self.ipp.last.is_some() && !self.ipp.is_silent() || self.snmp.answers();
        gave_up && !hope
    }

    /// Why it is offline, or does not answer over IPP.
    pub fn failure(&self) -> Option<&str> {
        self.ipp.failure.as_deref().or(self.snmp.failure.as_deref())
    }

    /// Whether it answers, but not over IPP, over which it is asked: jobs may not get through.
    pub fn is_ipp_lost(&self) -> bool {
        self.ipp.is_silent() && self.snmp.answers()
    }

    /// `OK`, the most severe reason's keyword, `offline`, or `unknown` for a printer that never answered or says neither
    /// its state nor a reason.
    pub fn error_code(&self) -> String {
        if self.is_offline() {
            return "offline".to_owned();
        }
        let picture = self.picture();
        let says_nothing = !picture.says_a_state && picture.reasons.is_empty();
        if says_nothing { "unknown".to_owned() } else { error_code(&self.reasons()) }
    }

    /// The reasons last observed.
    pub fn reasons(&self) -> Vec<String> {
        self.picture().reasons.into_iter().map(|(reason, _)| reason.to_owned()).collect()
    }

    /// Percent by colour, of what is used up and known; of several supplies of one colour the lowest. Drums, waste
    /// and other parts are no ink.
    pub fn ink_level(&self) -> BTreeMap<String, u8> {
        const NO_INK: [&str; 9] =
            ["waste", "opc", "drum", "fuser", "transfer", "developer", "clean", "staple", "photo-conductor"];
        let mut levels = BTreeMap::new();
        let supplies = self.picture().supplies.0.iter();
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
        if !self.online() {
            return PaperStatus::Unknown;
        }
        let picture = self.picture();
        let alerts = alerts(&self.reasons());
        let worst = |part: &str| alerts.iter().filter(|(k, _)| k.contains(part)).map(|(_, a)| a.severity).min();
        if worst("jam").is_some_and(|s| s < Severity::Info) {
            return PaperStatus::Jam;
        }
        let empty = worst("media-empty").into_iter().chain(worst("media-needed")).min();
        if empty == Some(Severity::Error) {
            return PaperStatus::Empty;
        }
        let trays = picture.trays.0;
        let trays_empty = !trays.is_empty() && trays.iter().all(|t| t.level == Level::Known(0));
        if trays_empty {
            return PaperStatus::Empty;
        }
        if empty.is_some() || worst("media-low").is_some() {
            return PaperStatus::Low;
        }
        if picture.says_a_state { PaperStatus::Ok } else { PaperStatus::Unknown }
    }

    /// The level of each supply: percent, `some-remaining` or `unknown`.
    pub fn supply_levels(&self) -> Map<String, Value> {
        self.picture().supplies.0.iter().map(|s| (s.key.clone(), level_value(s.level))).collect()
    }

    /// Pages over the printer's life and which counter says so.
    pub fn pages(&self) -> Option<(i64, &'static str)> {
        let (c, source) = self.picture().counters?;
        let name = |ipp: &'static str, snmp: &'static str| if source == Source::Ipp { ipp } else { snmp };
        let impressions = c.impressions.map(|n| (n, name("impressions", "snmp-impressions")));
        let pages = c.pages.map(|n| (n, name("pages", "snmp-pages")));
        impressions.or(pages).or(c.media_sheets.map(|n| (n, name("sheets", "snmp-sheets"))))
    }

    /// Whether an error or a warning stands.
    pub fn has_alert(&self) -> bool {
        alerts(&self.reasons()).values().any(|a| a.severity != Severity::Info)
    }

    /// When it was last observed.
    pub fn observed_at(&self) -> Option<Timestamp> {
        let at = |heard: &Heard| heard.last.as_ref().map(|o| o.at);
        at(&self.ipp).max(at(&self.snmp))
    }

    /// Whether `other` says the same, apart from what changes with every poll (time, up-time, the text on the display) and
    /// from why a poll failed.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.ipp.still() == other.ipp.still() && self.snmp.still() == other.snmp.still()
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
    use crate::domain::state::{Counters, Supply, Tray};
    use std::sync::Arc;

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
            capabilities: Arc::default(),
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
            state.failed(Source::Ipp, "no answer");
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
        b.failed(Source::Ipp, "x");
        assert!(!a.says_the_same(&b));
    }
}
