//! What a printer with PJL sends back, and the settings that PJL keeps.
//!
//! Every answer begins with the command it answers and ends with a form feed; its lines end with CR LF (TRM chapter 7):
//!
//! ```text
//! @PJL INFO STATUS<CR><LF>
//! CODE=10001<CR><LF>
//! DISPLAY="Ready"<CR><LF>
//! ONLINE=TRUE<CR><LF>
//! <FF>
//! ```
//!
//! Status codes (TRM appendix D), the worst first:
//!
//! | code | when |
//! |---|---|
//! | 40021 | a cover is open |
//! | 42202 | paper jam |
//! | 41xyy | out of paper: tray x asks for size yy (02 letter, 03 legal, 04 A4, 00 other) |
//! | 40019 | output bin full |
//! | 40038 | a supply is used up, a waste box is full |
//! | 40079 | stopped for another reason |
//! | 10023 | printing |
//! | 10000 | power save |
//! | 10006 | toner low |
//! | 10001 | ready |

use super::Command;
use crate::simulate::language::Language;
use crate::simulate::profiles::Profile;
use crate::simulate::view::View;

/// Most copies that are printed.
const MAX_COPIES: u32 = 999;
/// Characters on the display; longer lines are cut.
const DISPLAY: usize = 40;

/// What is asked back without a question (`USTATUS`), and the settings of the job (TRM chapter 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::simulate) struct Environment {
    variables: Vec<(&'static str, String)>,
    pub(in crate::simulate) job_name: Option<String>,
    pub(in crate::simulate) user: Option<String>,
}

/// What a connection wants to be told without asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::simulate) struct Channel {
    pub(in crate::simulate) device: bool,
    pub(in crate::simulate) verbose: bool,
    pub(in crate::simulate) job: bool,
    pub(in crate::simulate) page: bool,
    /// Seconds; 0 for never.
    pub(in crate::simulate) timed: u32,
}

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulate) enum JobEvent {
    Start,
    /// With the pages that were printed.
    End(u32),
    Canceled,
}

/// The variables: name, value at the start, what it can be (a range when it is two numbers).
const VARIABLES: &[(&str, &str, &[&str])] = &[
    ("COPIES", "1", &["1", "999"]),
    ("QTY", "1", &["1", "999"]),
    ("DUPLEX", "OFF", &["OFF", "ON"]),
    ("BINDING", "LONGEDGE", &["LONGEDGE", "SHORTEDGE"]),
    ("PAPER", "A4", &["LETTER", "LEGAL", "A4", "A5", "A3"]),
    ("ORIENTATION", "PORTRAIT", &["PORTRAIT", "LANDSCAPE"]),
    ("RESOLUTION", "600", &["300", "600"]),
    ("ECONOMODE", "OFF", &["OFF", "ON"]),
    ("PERSONALITY", "AUTO", &["AUTO", "PCL", "POSTSCRIPT"]),
    ("MANUALFEED", "OFF", &["OFF", "ON"]),
    ("AUTOCONT", "OFF", &["OFF", "ON"]),
    ("TIMEOUT", "15", &["5", "300"]),
];

impl Default for Environment {
    fn default() -> Environment {
        let variables = VARIABLES.iter().map(|(name, value, _)| (*name, (*value).to_owned())).collect();
        Environment { variables, job_name: None, user: None }
    }
}

impl Environment {
    /// Sets a variable; unknown ones and values that do not fit are ignored, as a printer does.
    pub(in crate::simulate) fn set(&mut self, variable: &str, value: &str) {
        match variable {
            "JOBNAME" => self.job_name = Some(value.to_owned()),
            "USERNAME" => self.user = Some(value.to_owned()),
            _ => {}
        }
        let value = value.to_ascii_uppercase();
        let allowed = VARIABLES.iter().find(|(name, _, _)| *name == variable);
        let fits = allowed.is_some_and(|(_, _, values)| match range(values) {
            Some((low, high)) => value.parse().is_ok_and(|number: u32| (low..=high).contains(&number)),
            None => values.contains(&value.as_str()),
        });
        if fits && let Some((_, old)) = self.variables.iter_mut().find(|(name, _)| *name == variable) {
            *old = value;
        }
    }

    fn get(&self, variable: &str) -> Option<&str> {
        self.variables.iter().find(|(name, _)| *name == variable).map(|(_, value)| value.as_str())
    }

    /// `COPIES` times `QTY`.
    pub(in crate::simulate) fn copies(&self) -> u32 {
        let number = |name| self.get(name).and_then(|value| value.parse::<u32>().ok()).unwrap_or(1);
        number("COPIES").saturating_mul(number("QTY")).clamp(1, MAX_COPIES)
    }

    /// `DUPLEX`.
    pub(in crate::simulate) fn two_sided(&self) -> bool {
        self.get("DUPLEX") == Some("ON")
    }
}

fn range(values: &[&str]) -> Option<(u32, u32)> {
    match values {
        [low, high] => low.parse().ok().zip(high.parse().ok()),
        _ => None,
    }
}

impl Channel {
    /// `USTATUS variable = value`; values that do not fit are ignored.
    pub(in crate::simulate) fn set(&mut self, variable: &str, value: &str) {
        let on = value == "ON";
        match (variable, value) {
            ("DEVICE", "ON" | "VERBOSE" | "OFF") => (self.device, self.verbose) = (value != "OFF", value == "VERBOSE"),
            ("JOB", "ON" | "OFF") => self.job = on,
            ("PAGE", "ON" | "OFF") => self.page = on,
            ("TIMED", seconds) => {
                if let Ok(seconds @ (0 | 5..=300)) = seconds.parse() {
                    self.timed = seconds;
                }
            }
            _ => {}
        }
    }

    /// The answer to a command, if it has one.
    pub(in crate::simulate) fn answer(
        &self,
        command: &Command,
        environment: &Environment,
        view: &View,
        profile: &Profile,
    ) -> Option<Vec<u8>> {
        match command {
            Command::Echo { words } => Some(message(&format!("ECHO {words}"), &[])),
            Command::Info { category } => {
                let lines = self.info(category, environment, view, profile)?;
                Some(message(&format!("INFO {category}"), &lines))
            }
            Command::Inquire { word, modifier, variable } => {
                let start = || VARIABLES.iter().find(|(name, _, _)| name == variable).map(|(_, value, _)| *value);
                let value = if *word == "DINQUIRE" { start() } else { environment.get(variable) };
                let modifier = modifier.as_deref().map(|modifier| format!("{modifier} ")).unwrap_or_default();
                Some(message(&format!("{word} {modifier}{variable}"), &[value.unwrap_or("\"?\"").to_owned()]))
            }
            _ => None,
        }
    }

    fn info(&self, category: &str, environment: &Environment, view: &View, profile: &Profile) -> Option<Vec<String>> {
        let lines = match category {
            "ID" => vec![format!("\"{} {}\"", view.make, view.model)],
            "STATUS" => status_lines(view),
            "PAGECOUNT" => vec![format!("PAGECOUNT={}", view.life_count)],
            "CONFIG" => config(profile, view),
            "VARIABLES" => variables(environment),
            "USTATUS" => self.settings(),
            "MEMORY" => vec!["TOTAL=134217728".to_owned(), "LARGEST=117440512".to_owned()],
            _ => vec!["\"?\"".to_owned()],
        };
        Some(lines)
    }

    fn settings(&self) -> Vec<String> {
        let word = |on: bool| if on { "ON" } else { "OFF" };
        let device = if self.verbose { "VERBOSE" } else { word(self.device) };
        [
            enumerated(&format!("DEVICE={device}"), &["OFF", "ON", "VERBOSE"]),
            enumerated(&format!("JOB={}", word(self.job)), &["OFF", "ON"]),
            enumerated(&format!("PAGE={}", word(self.page)), &["OFF", "ON"]),
            vec![format!("TIMED={} [2 RANGE]", self.timed), "\t5".to_owned(), "\t300".to_owned()],
        ]
        .concat()
    }

    /// `USTATUS DEVICE`.
    pub(in crate::simulate) fn device_status(view: &View) -> Vec<u8> {
        message("USTATUS DEVICE", &status_lines(view))
    }

    /// `USTATUS TIMED`.
    pub(in crate::simulate) fn timed_status(view: &View) -> Vec<u8> {
        message("USTATUS TIMED", &status_lines(view))
    }
}

/// `USTATUS JOB`.
pub(in crate::simulate) fn job_status(event: JobEvent, name: Option<&str>) -> Vec<u8> {
    let (word, pages) = match event {
        JobEvent::Start => ("START", None),
        JobEvent::End(pages) => ("END", Some(pages)),
        JobEvent::Canceled => ("CANCELED", None),
    };
    let mut lines = vec![word.to_owned()];
    lines.extend(name.map(|name| format!("NAME=\"{name}\"")));
    lines.extend(pages.map(|pages| format!("PAGES={pages}")));
    message("USTATUS JOB", &lines)
}

/// `USTATUS PAGE`.
pub(in crate::simulate) fn page_status(page: u32) -> Vec<u8> {
    message("USTATUS PAGE", &[page.to_string()])
}

fn message(head: &str, lines: &[String]) -> Vec<u8> {
    let mut text = format!("@PJL {head}\r\n");
    lines.iter().for_each(|line| text.extend([line, "\r\n"]));
    text.push('\x0c');
    text.into_bytes()
}

fn status_lines(view: &View) -> Vec<String> {
    let (code, display) = status(view);
    let display: String = display.chars().filter(|c| *c != '"' && !c.is_control()).take(DISPLAY).collect();
    let online = if code >= 40_000 { "FALSE" } else { "TRUE" };
    vec![format!("CODE={code}"), format!("DISPLAY=\"{display}\""), format!("ONLINE={online}")]
}

/// The status code of a printer.
pub(in crate::simulate) fn status_code(view: &View) -> u32 {
    status(view).0
}

/// Code and display; the header has the table.
fn status(view: &View) -> (u32, String) {
    let has = |keyword: &str| view.reasons.iter().any(|reason| reason.starts_with(keyword));
    let console = || view.console.first().map_or("Ready", String::as_str).to_owned();
    if has("cover-open") || has("door-open") || has("interlock-open") {
        (40021, "Printer open".to_owned())
    } else if has("media-jam") {
        (42202, "13.2 Paper jam".to_owned())
    } else if has("media-empty") || has("media-needed") {
        let tray = view.trays.iter().position(|tray| tray.level == 0).unwrap_or_default();
        let media = view.trays.get(tray).map_or("", |tray| tray.spec.media);
        let (size, name) = match media {
            "na_letter_8.5x11in" => (2, "LETTER"),
            "na_legal_8.5x14in" => (3, "LEGAL"),
            "iso_a4_210x297mm" => (4, "A4"),
            _ => (0, "PAPER"),
        };
        let tray = u32::try_from(tray + 1).unwrap_or(9).min(9);
        (41_000 + tray * 100 + size, format!("Load tray {tray}: {name}"))
    } else if has("output-area-full") {
        (40019, "Output bin full".to_owned())
    } else if has("toner-empty") || has("marker-supply-empty") || has("marker-waste-full") || has("developer-empty") {
        (40038, "Replace supplies".to_owned())
    } else if view.state == 5 {
        (40079, console())
    } else if view.state == 4 {
        (10023, "Printing".to_owned())
    } else if view.asleep {
        (10000, "Powersave on".to_owned())
    } else if has("toner-low") || has("marker-supply-low") {
        (10006, "Toner low".to_owned())
    } else {
        (10001, console())
    }
}

fn config(profile: &Profile, view: &View) -> Vec<String> {
    let trays: Vec<String> = (1..).zip(&view.trays).map(|(index, _)| format!("INTRAY{index}")).collect();
    let languages: Vec<&str> = Language::of(profile).into_iter().map(Language::name).collect();
    let paper: Vec<String> =
        profile.media.iter().filter_map(|media| media.name.split('_').nth(1)).map(str::to_ascii_uppercase).collect();
    let mut lines = enumerated("IN TRAYS", &trays);
    lines.extend(enumerated("PAPERS", &paper));
    lines.extend(enumerated("LANGUAGES", &languages));
    lines.extend(enumerated("USTATUS", &["DEVICE", "JOB", "PAGE", "TIMED"]));
    lines.extend(["MEMORY=134217728".to_owned(), "DISPLAY LINES=1".to_owned()]);
    lines.push(format!("DISPLAY CHARACTER SIZE={DISPLAY}"));
    lines.extend(profile.duplex.then(|| "DUPLEX".to_owned()));
    lines
}

fn variables(environment: &Environment) -> Vec<String> {
    let one = |(name, _, values): &(&str, &str, &[&str])| {
        let head = format!("{name}={}", environment.get(name).unwrap_or_default());
        if range(values).is_some() {
            let kind = vec![format!("{head} [2 RANGE]")];
            return kind.into_iter().chain(values.iter().map(|value| format!("\t{value}"))).collect();
        }
        enumerated(&head, values)
    };
    VARIABLES.iter().flat_map(one).collect()
}

fn enumerated(head: &str, values: &[impl AsRef<str>]) -> Vec<String> {
    let mut lines = vec![format!("{head} [{} ENUMERATED]", values.len())];
    lines.extend(values.iter().map(|value| format!("\t{}", value.as_ref())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_within_their_values() {
        let mut environment = Environment::default();
        for (variable, value) in
            [("COPIES", "3"), ("QTY", "2"), ("COPIES", "0"), ("QTY", "many"), ("DUPLEX", "on"), ("NOVELTY", "1")]
        {
            environment.set(variable, value);
        }
        assert_eq!((environment.copies(), environment.two_sided()), (6, true));
        environment.set("COPIES", "999");
        assert_eq!(environment.copies(), 999);
        let mut channel = Channel::default();
        for (variable, value) in
            [("TIMED", "4"), ("TIMED", "5"), ("TIMED", "301"), ("JOB", "MAYBE"), ("DEVICE", "VERBOSE")]
        {
            channel.set(variable, value);
        }
        assert_eq!(channel, Channel { device: true, verbose: true, timed: 5, ..Channel::default() });
    }

    #[test]
    fn unsolicited_status_is_as_in_the_manual() {
        assert_eq!(
            job_status(JobEvent::End(5), Some("JOB 88554")),
            b"@PJL USTATUS JOB\r\nEND\r\nNAME=\"JOB 88554\"\r\nPAGES=5\r\n\x0c"
        );
        assert_eq!(job_status(JobEvent::Start, None), b"@PJL USTATUS JOB\r\nSTART\r\n\x0c");
        assert_eq!(page_status(3), b"@PJL USTATUS PAGE\r\n3\r\n\x0c");
    }
}
