//! Two protocols' observations of one printer as one picture, each field with the protocol that said it.
//!
//! | field | rule |
//! |---|---|
//! | all | a protocol that fell silent says nothing any more while the other answers |
//! | state | of the protocol whose last poll was answered; of both IPP, which speaks for the queue |
//! | reasons | IPP's, and those of SNMP of whose family (see [`family`]) IPP says nothing |
//! | supplies | IPP's, unless it knows no level and SNMP does; trays likewise |
//! | counters, capabilities, name, firmware | IPP's where it has any, else SNMP's: they must not jump when a poll fails |
//! | queue | IPP's: SNMP knows none |

use super::{
    Capabilities, Counters, Heard, Level, Observation, PrinterState, PrinterStateEnum, Source, Supply, Tray, family,
};
use std::sync::Arc;

/// One picture of a printer. Each part comes with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture<'a> {
    /// What it does now; `None` also while the last polls failed.
    pub printer_state: Option<(PrinterStateEnum, Source)>,
    /// Whether a state was said at all, be it before the last polls failed.
    pub says_a_state: bool,
    /// What stands in its way.
    pub reasons: Vec<(&'a str, Source)>,
    /// Whether it takes jobs.
    pub accepting: Option<(bool, Source)>,
    /// Jobs in its queue.
    pub queued_jobs: Option<(i64, Source)>,
    /// Supplies.
    pub supplies: (&'a [Supply], Source),
    /// Trays.
    pub trays: (&'a [Tray], Source),
    /// Counters.
    pub counters: Option<(&'a Counters, Source)>,
    /// Firmware.
    pub firmware: Option<(&'a str, Source)>,
    /// What it can do.
    pub capabilities: Option<(&'a Arc<Capabilities>, Source)>,
}

impl<'a> Picture<'a> {
    pub(super) fn of(state: &'a PrinterState) -> Self {
        let all: Vec<(&Heard, &Observation)> =
            [&state.ipp, &state.snmp].into_iter().filter_map(|heard| Some((heard, heard.last.as_ref()?))).collect();
        let speaking: Vec<_> = all.iter().copied().filter(|(heard, _)| !heard.is_silent()).collect();
        // When all are silent, what was last known stays.
        let heard = if speaking.is_empty() { all } else { speaking };
        let states = heard.iter().filter(|(heard, _)| heard.failures == 0);
        let each = || heard.iter().map(|(_, o)| *o);
        Self {
            printer_state: states.filter_map(|(_, o)| Some((o.printer_state?, o.source))).next(),
            says_a_state: each().any(|o| o.printer_state.is_some()),
            reasons: reasons(each()),
            accepting: each().find_map(|o| Some((o.accepting?, o.source))),
            queued_jobs: each().find_map(|o| Some((o.queued_jobs?, o.source))),
            supplies: best(each().map(|o| (o.supplies.as_slice(), o.source)), |s| s.level),
            trays: best(each().map(|o| (o.trays.as_slice(), o.source)), |t| t.level),
            counters: each().map(|o| (&o.counters, o.source)).find(|(c, _)| **c != Counters::default()),
            firmware: each().find_map(|o| Some((o.firmware.as_deref()?, o.source))),
            capabilities: each()
                .map(|o| (&o.capabilities, o.source))
                .find(|(capabilities, _)| ***capabilities != Capabilities::default()),
        }
    }

    /// Whether anything in it comes from a protocol.
    pub fn has(&self, source: Source) -> bool {
        let parts = [
            self.printer_state.map(|(_, s)| s),
            (!self.supplies.0.is_empty()).then_some(self.supplies.1),
            (!self.trays.0.is_empty()).then_some(self.trays.1),
            self.counters.map(|(_, s)| s),
            self.firmware.map(|(_, s)| s),
            self.capabilities.map(|(_, s)| s),
        ];
        parts.contains(&Some(source)) || self.reasons.iter().any(|(_, s)| *s == source)
    }
}

fn reasons<'a>(each: impl Iterator<Item = &'a Observation>) -> Vec<(&'a str, Source)> {
    let mut all: Vec<(&str, Source)> = Vec::new();
    for o in each {
        let told: Vec<&str> = all.iter().map(|(reason, _)| family(reason)).collect();
        let news = o.reasons.iter().filter(|reason| !told.contains(&family(reason)));
        all.extend(news.map(|reason| (reason.as_str(), o.source)));
    }
    all
}

/// The first list in which a level is known, else the first that is not empty.
fn best<'a, T>(
    each: impl Iterator<Item = (&'a [T], Source)> + Clone,
    level: impl Fn(&T) -> Level,
) -> (&'a [T], Source) {
    let knows = |(list, _): &(&[T], Source)| list.iter().any(|part| matches!(level(part), Level::Known(_)));
    let known = each.clone().find(knows);
    known.or_else(|| each.clone().find(|(list, _)| !list.is_empty())).unwrap_or((&[], Source::Ipp))
}

#[cfg(test)]
mod tests {
    use super::super::merged::tests::{observation, supply};
    use super::*;
    use crate::domain::state::Status;

    fn over_snmp(reasons: &[&str]) -> Observation {
        Observation { source: Source::Snmp, accepting: None, queued_jobs: None, ..observation(reasons) }
    }

    fn both(ipp: Observation, snmp: Observation) -> PrinterState {
        let mut state = PrinterState::default();
        state.observed(ipp);
        state.observed(snmp);
        state
    }

    #[test]
    fn one_protocol_that_answers_keeps_the_printer_online_and_speaks_for_it() {
        let stopped = Observation { printer_state: Some(PrinterStateEnum::Stopped), ..over_snmp(&["media-jam-error"]) };
        let mut state = both(observation(&["toner-low-warning"]), stopped);
        assert_eq!(state.status(), Status::Idle, "IPP speaks for the queue");
        state.failed(Source::Ipp, "refused");
        assert_eq!(state.status(), Status::Stopped);
        assert_eq!(state.reasons(), ["toner-low-warning", "media-jam-error"]);
        assert!(!state.is_ipp_lost());
        state.failed(Source::Ipp, "refused");
        state.failed(Source::Ipp, "refused");
        assert_eq!((state.status(), state.online(), state.is_ipp_lost()), (Status::Stopped, true, true));
        assert_eq!(state.reasons(), ["media-jam-error"], "what IPP once said no longer counts");
        for _ in 0..3 {
            state.failed(Source::Snmp, "silent");
        }
        assert_eq!((state.status(), state.online()), (Status::Offline, false));
        state.observed(observation(&[]));
        assert_eq!((state.status(), state.online()), (Status::Idle, true));
    }

    #[test]
    fn snmp_that_never_answered_says_nothing() {
        let mut state = PrinterState::default();
        (0..9).for_each(|_| state.failed(Source::Snmp, "silent"));
        assert_eq!((state.status(), state.error_code().as_str(), state.online()), (Status::Unknown, "unknown", false));
        state.observed(over_snmp(&[]));
        (0..3).for_each(|_| state.failed(Source::Snmp, "silent"));
        assert_eq!((state.status(), state.error_code().as_str()), (Status::Offline, "offline"));
        let mut state = PrinterState::default();
        state.observed(observation(&[]));
        (0..9).for_each(|_| state.failed(Source::Snmp, "silent"));
        assert_eq!((state.status(), state.online()), (Status::Idle, true));
    }

    #[test]
    fn a_trouble_is_told_once_though_two_protocols_name_it_differently() {
        let state = both(
            observation(&["marker-supply-low-warning", "door-open-error"]),
            over_snmp(&["toner-low-warning", "cover-open-error", "media-empty-warning"]),
        );
        let want = [
            ("marker-supply-low-warning", Source::Ipp),
            ("door-open-error", Source::Ipp),
            ("media-empty-warning", Source::Snmp),
        ];
        assert_eq!(state.picture().reasons, want);
    }

    #[test]
    fn supplies_come_from_where_a_level_is_known_and_counters_from_where_they_came_from_before() {
        let toner = |level| vec![supply("black-toner", "toner", Some("black"), level)];
        let mut ipp = observation(&[]);
        ipp.supplies = toner(Level::SomeRemaining);
        ipp.counters.impressions = Some(100);
        let mut snmp = over_snmp(&[]);
        snmp.supplies = toner(Level::Known(7));
        snmp.counters.impressions = Some(104);
        let mut state = both(ipp.clone(), snmp);
        assert_eq!((state.picture().supplies.1, state.pages()), (Source::Snmp, Some((100, "impressions"))));
        assert_eq!(state.ink_level()["black"], 7);
        state.failed(Source::Ipp, "x");
        assert_eq!(state.pages(), Some((100, "impressions")));
        ipp.supplies = toner(Level::Known(8));
        state.observed(ipp);
        assert_eq!((state.picture().supplies.1, state.ink_level()["black"]), (Source::Ipp, 8));
    }
}
