//! `printer-state-reasons` (RFC 8011 §5.4.12): how severe each is, and which one stands for all.
//!
//! A reason is a keyword with a suffix: `-error`, `-warning`, `-report`. Without a suffix it counts as an error, with
//! two exceptions: keywords that only say "soon" (`toner-low`, `marker-waste-almost-full`) are warnings, keywords that
//! describe normal operation (`warming-up`, `paused`) are information. Unknown keywords are kept verbatim.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How severe a reason is, most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing prints until somebody acts.
    Error,
    /// Somebody should act soon.
    Warning,
    /// For the record.
    Info,
}

/// One reason without its suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// How severe.
    pub severity: Severity,
    /// The reason as the device said it.
    pub reason: String,
}

/// The order of keywords of equal severity, most severe first: the first line with a part that the keyword contains.
/// What is in no line comes after all of them but the last.
const ORDER: [&[&str]; 11] = [
    &["jam"],
    &["fuser", "motor", "power-error", "opc-life-over", "service-needed"],
    &["cover-open", "door-open", "interlock-open", "open"],
    &[
        "toner-empty",
        "marker-supply-empty",
        "ink-empty",
        "developer-empty",
        "supply-missing",
        "toner-missing",
        "cartridge-missing",
    ],
    &["media-empty", "media-needed", "input-tray-missing", "media-missing", "wrong-media", "media-mismatch"],
    &["waste-full", "output-area-full", "output-tray-missing"],
    &["stopped", "shutdown", "timed-out", "connecting-to-device", "spool-area-full", "offline"],
    &["almost", "-low", "near"],
    &["subunit", "interpreter", "resource"],
    &["paused", "moving-to-paused", "standby", "sleep", "hibernat", "power-saver", "warming-up", "initializing"],
    &["other", "unknown"],
];

/// Each keyword once, with its highest severity. `none` and what has no text is left out.
pub fn alerts(reasons: &[String]) -> BTreeMap<String, Alert> {
    let mut all: BTreeMap<String, Alert> = BTreeMap::new();
    for reason in reasons {
        let Some((keyword, severity)) = parse(reason) else { continue };
        let alert = Alert { severity, reason: reason.clone() };
        let entry = all.entry(keyword.to_owned()).or_insert_with(|| alert.clone());
        if severity < entry.severity {
            *entry = alert;
        }
    }
    all
}

/// `OK`, or the keyword of the most severe error or warning: by severity, then by the documented order, then by name.
/// Information is no error code.
pub fn error_code(reasons: &[String]) -> String {
    let alerts = alerts(reasons);
    let worst = alerts
        .iter()
        .filter(|(_, a)| a.severity != Severity::Info)
        .min_by_key(|(keyword, a)| (a.severity, place(keyword), keyword.as_str()));
    worst.map_or_else(|| "OK".to_owned(), |(keyword, _)| keyword.clone())
}

/// What part of a printer a reason speaks of. Two protocols name one trouble differently (`toner-low` and
/// `marker-supply-low`, `door-open` and `cover-open`): what one of them told of a family is not told again by the other.
/// Reasons of no known family are a family each.
pub fn family(reason: &str) -> &str {
    const FAMILIES: [(&str, &[&str]); 10] = [
        ("jam", &["jam"]),
        ("waste", &["waste"]),
        ("output", &["output"]),
        ("cover", &["cover-open", "door-open", "interlock-open"]),
        ("media", &["media-empty", "media-low", "media-needed", "input-"]),
        ("opc", &["opc"]),
        ("fuser", &["fuser"]),
        ("developer", &["developer"]),
        ("marker", &["toner", "ink", "ribbon", "marker-supply"]),
        ("rest", &["standby", "sleep", "hibernate", "power-saver", "suspend"]),
    ];
    let keyword = parse(reason).map_or("", |(keyword, _)| keyword);
    let known = FAMILIES.iter().find(|(_, parts)| parts.iter().any(|part| keyword.contains(part)));
    known.map_or(keyword, |(name, _)| name)
}

/// The keyword without suffix and its severity.
fn parse(reason: &str) -> Option<(&str, Severity)> {
    let reason = reason.trim();
    let (keyword, severity) = if let Some(k) = reason.strip_suffix("-error") {
        (k, Severity::Error)
    } else if let Some(k) = reason.strip_suffix("-warning") {
        (k, Severity::Warning)
    } else if let Some(k) = reason.strip_suffix("-report") {
        (k, Severity::Info)
    } else if is_normal(reason) {
        (reason, Severity::Info)
    } else if ["-low", "almost", "near-eol"].iter().any(|part| reason.contains(part)) {
        (reason, Severity::Warning)
    } else {
        (reason, Severity::Error)
    };
    (!keyword.is_empty() && keyword != "none").then_some((keyword, severity))
}

/// Keywords that, without a suffix, describe normal operation.
fn is_normal(keyword: &str) -> bool {
    const NORMAL: [&str; 9] = [
        "paused",
        "moving-to-paused",
        "standby",
        "sleep",
        "hibernat",
        "power-saver",
        "warming-up",
        "initializing",
        "identify-printer",
    ];
    NORMAL.iter().any(|part| keyword.contains(part))
}

fn place(keyword: &str) -> usize {
    let last = ORDER.len() - 1;
    match ORDER.iter().position(|line| line.iter().any(|part| keyword.contains(part))) {
        Some(line) if line == last => last + 1,
        Some(line) => line,
        None => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn the_most_severe_reason_stands_for_all() {
        for (reasons, want) in [
            (&[][..], "OK"),
            (&["none"], "OK"),
            (&["media-empty-report", "toner-low-report"], "OK"),
            (&["toner-low-warning", "media-empty-warning"], "media-empty"),
            (&["media-empty-error", "media-jam-error", "other-error"], "media-jam"),
            (&["media-jam-warning", "cover-open-error"], "cover-open"),
            (&["toner-low", "paused"], "toner-low"),
            (&["com.acme.strange-error", "other"], "com.acme.strange"),
            (&["marker-supply-empty", "marker-supply-low-warning"], "marker-supply-empty"),
        ] {
            assert_eq!(error_code(&texts(reasons)), want, "{reasons:?}");
        }
    }

    #[test]
    fn a_keyword_counts_once_with_its_highest_severity() {
        let all =
            alerts(&texts(&["media-empty-report", "media-empty-error", "media-empty-warning", "none", "", "-error"]));
        assert_eq!(all.len(), 1);
        assert_eq!(all["media-empty"].severity, Severity::Error);
        assert_eq!(all["media-empty"].reason, "media-empty-error");
    }
}
