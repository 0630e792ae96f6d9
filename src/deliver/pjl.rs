//! PJL, the Printer Job Language (HP, PJL Technical Reference Manual): the wrapper around a document, and what a printer
//! says on the back channel. Pure.
//!
//! ```text
//! UEL @PJL                                  UEL is ESC %-12345X; lines end with CR LF
//! @PJL USTATUS DEVICE = ON                  "tell of yourself unasked": trouble, the job's begin and end, pages
//! @PJL USTATUS JOB = ON
//! @PJL USTATUS PAGE = ON
//! @PJL JOB NAME = "pgabcdef.1 Invoice 17"
//! @PJL SET COPIES = 2
//! @PJL ENTER LANGUAGE = PCL
//! (the document)
//! UEL @PJL EOJ NAME = "pgabcdef.1 Invoice 17"
//! UEL
//! ```
//!
//! A message on the back channel is lines up to a form feed:
//! `@PJL USTATUS JOB`, `END`, `NAME="pgabcdef.1 Invoice 17"`, `PAGES=3`.
//!
//! Rules:
//! - Only for printers that are known to speak PJL ([`is_spoken`]): any other prints it.
//! - Only around documents in which no UEL occurs: one that brings its own PJL could end our job before its end, and so
//!   make the printer report an end that is none. Such a document is sent as it is, and nothing the printer reports is
//!   taken for ours. The caller looks for it ([`Finder`]).
//! - An end counts only with our job's tag in it, and only after the last octet was written.
//! - Names are printable ASCII without `"`, at most [`NAME_MAX`] characters; anything else becomes `_`.
//!
//! What it does not do: ask (`INFO`, `INQUIRE`), set defaults, or take PJL out of documents.

use crate::domain::ticket::{Options, Sides};

/// Universal Exit Language.
pub const UEL: &[u8] = b"\x1b%-12345X";
/// How a list of formats says that the printer speaks PJL.
pub const FORMAT: &str = "application/vnd.hp-pjl";
/// Longest job name; printers keep 80 characters.
pub const NAME_MAX: usize = 80;
/// Longest line kept of what a printer says, octets.
const LINE_MAX: usize = 256;
/// Most lines kept of one message.
const LINES_MAX: usize = 16;
/// Octets read of one back channel; what comes beyond is not looked at.
const HEARD_MAX: u64 = 16 << 20;
/// Page counts above are no counts.
const PAGES_MAX: u32 = 1_000_000;

/// Whether a printer that takes these formats speaks PJL.
pub fn is_spoken(formats: &[String]) -> bool {
    formats.iter().any(|format| format.eq_ignore_ascii_case(FORMAT))
}

/// The name for `ENTER LANGUAGE` of a document format (without parameters, lower case). `None`: not wrapped.
pub fn language(format: &str) -> Option<&'static str> {
    Some(match format {
        "application/vnd.hp-pcl" => "PCL",
        "application/vnd.hp-pclxl" => "PCLXL",
        "application/postscript" => "POSTSCRIPT",
        "application/pdf" => "PDF",
        _ => return None,
    })
}

/// What goes before and after a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapper {
    /// The job tag that opens the name.
    pub tag: String,
    /// Before the document.
    pub head: Vec<u8>,
    /// After it.
    pub tail: Vec<u8>,
}

impl Wrapper {
    /// The wrapper of a job: `tag` and `title` make its name, `settings` are `SET` lines without `@PJL SET`.
    pub fn new(tag: &str, title: &str, language: &str, settings: &[String]) -> Self {
        let name = name(tag, title);
        let mut head = UEL.to_vec();
        let mut line = |text: &str| {
            head.extend_from_slice(text.as_bytes());
            head.extend_from_slice(b"\r\n");
        };
        line("@PJL");
        for what in ["DEVICE", "JOB", "PAGE"] {
            line(&format!("@PJL USTATUS {what} = ON"));
        }
        line(&format!("@PJL JOB NAME = \"{name}\""));
        for setting in settings {
            line(&format!("@PJL SET {setting}"));
        }
        line(&format!("@PJL ENTER LANGUAGE = {language}"));
        let mut tail = UEL.to_vec();
        tail.extend_from_slice(format!("@PJL EOJ NAME = \"{name}\"\r\n").as_bytes());
        tail.extend_from_slice(UEL);
        Self { tag: tag.to_owned(), head, tail }
    }

    /// Sent when the end was reported: the printer keeps quiet again.
    pub fn farewell() -> Vec<u8> {
        [UEL, b"@PJL USTATUSOFF\r\n", UEL].concat()
    }
}

/// A job name that ends nothing and begins with the tag.
fn name(tag: &str, title: &str) -> String {
    let harmless = |c: char| if c == '"' || !(c == ' ' || c.is_ascii_graphic()) { '_' } else { c };
    format!("{tag} {title}").trim_end().chars().map(harmless).take(NAME_MAX).collect()
}

/// The `SET` lines for a ticket's options, and the paths of those for which PJL has none.
pub fn settings(options: &Options) -> (Vec<String>, Vec<&'static str>) {
    let mut set = Vec::new();
    let mut left_out = Vec::new();
    if let Some(copies) = options.copies {
        set.push(format!("COPIES = {copies}"));
    }
    match options.sides {
        None => {}
        Some(Sides::OneSided) => set.push("DUPLEX = OFF".into()),
        Some(sides) => {
            set.push("DUPLEX = ON".into());
            let edge = if sides == Sides::TwoSidedLongEdge { "LONGEDGE" } else { "SHORTEDGE" };
            set.push(format!("BINDING = {edge}"));
        }
    }
    match options.media.as_deref().map(paper) {
        None => {}
        Some(Some(paper)) => set.push(format!("PAPER = {paper}")),
        Some(None) => left_out.push("options.media"),
    }
    for (there, path) in [
        (options.color_mode.is_some(), "options.colorMode"),
        (options.quality.is_some(), "options.quality"),
        (!options.page_ranges.is_empty(), "options.pageRanges"),
        (options.orientation.is_some(), "options.orientation"),
        (options.tray.is_some(), "options.tray"),
    ] {
        if there {
            left_out.push(path);
        }
    }
    (set, left_out)
}

/// The PJL name of a PWG 5101.1 size.
fn paper(media: &str) -> Option<&'static str> {
    Some(match media {
        "iso_a3_297x420mm" => "A3",
        "iso_a4_210x297mm" => "A4",
        "iso_a5_148x210mm" => "A5",
        "jis_b5_182x257mm" => "JISB5",
        "na_letter_8.5x11in" => "LETTER",
        "na_legal_8.5x14in" => "LEGAL",
        "na_ledger_11x17in" => "LEDGER",
        "na_executive_7.25x10.5in" => "EXECUTIVE",
        "na_number-10_4.125x9.5in" => "COM10",
        "na_monarch_3.875x7.5in" => "MONARCH",
        "iso_dl_110x220mm" => "DL",
        "iso_c5_162x229mm" => "C5",
        _ => return None,
    })
}

/// Looks for a UEL in a document that comes in pieces.
#[derive(Debug, Default)]
pub struct Finder {
    /// The last octets of the pieces before, fewer than a UEL.
    before: Vec<u8>,
}

impl Finder {
    /// Whether a UEL ends in this piece.
    pub fn found_in(&mut self, piece: &[u8]) -> bool {
        // At the seam: the end of what was before and the begin of this piece.
        let mut seam = std::mem::take(&mut self.before);
        seam.extend(piece.iter().take(UEL.len() - 1));
        let found = occurs(&seam) || occurs(piece);
        let keep = UEL.len() - 1;
        self.before = if piece.len() >= keep {
            piece.iter().skip(piece.len() - keep).copied().collect()
        } else {
            let skip = seam.len().saturating_sub(keep);
            seam.split_off(skip)
        };
        found
    }
}

fn occurs(octets: &[u8]) -> bool {
    let mut rest = octets;
    while let Some(at) = rest.iter().position(|octet| *octet == 0x1b) {
        let Some(from) = rest.get(at..) else { return false };
        if from.starts_with(UEL) {
            return true;
        }
        rest = from.get(1..).unwrap_or_default();
    }
    false
}

/// What a printer says of its own accord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Our job began.
    Began,
    /// Pages that came out of our job so far.
    Page(u32),
    /// Our job ended; pages where it says them.
    Ended(Option<u32>),
    /// Our job was canceled at the printer.
    Canceled(Option<u32>),
    /// What is wrong with the device, as `printer-state-reasons`; nothing when it is empty.
    Trouble(Vec<String>),
}

/// Reads the back channel. Total: any octets in, bounded memory.
#[derive(Debug)]
pub struct Listener {
    tag: String,
    heard: u64,
    line: Vec<u8>,
    lines: Vec<String>,
    /// The job that runs is ours: messages without a name are about it.
    ours: bool,
}

impl Listener {
    /// Listens for the job whose name begins with `tag`.
    pub fn new(tag: &str) -> Self {
        Self { tag: tag.to_owned(), heard: 0, line: Vec::new(), lines: Vec::new(), ours: false }
    }

    /// Takes what was read.
    pub fn hear(&mut self, octets: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        self.heard = self.heard.saturating_add(octets.len() as u64);
        if self.heard > HEARD_MAX {
            return said;
        }
        for octet in octets {
            match octet {
                b'\n' | b'\r' => self.end_line(),
                0x0c => {
                    self.end_line();
                    let lines = std::mem::take(&mut self.lines);
                    said.extend(self.message(&lines));
                }
                _ if self.line.len() < LINE_MAX => self.line.push(*octet),
                _ => {}
            }
        }
        said
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        if line.starts_with("@PJL") {
            // A new message, whatever became of the one before.
            self.lines.clear();
        }
        if !line.is_empty() && self.lines.len() < LINES_MAX {
            self.lines.push(line);
        }
    }

    fn message(&mut self, lines: &[String]) -> Option<Said> {
        let (first, rest) = lines.split_first()?;
        let mut words = first.split_ascii_whitespace();
        if words.next() != Some("@PJL") || words.next() != Some("USTATUS") {
            return None;
        }
        let value = |key: &str| {
            rest.iter().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                name.trim().eq_ignore_ascii_case(key).then(|| value.trim().trim_matches('"'))
            })
        };
        match words.next()? {
            "JOB" => {
                let ours = value("NAME").map_or(self.ours, |name| self.is_our_name(name));
                let pages = value("PAGES").and_then(|pages| pages.parse().ok()).filter(|pages| *pages <= PAGES_MAX);
                match rest.first()?.as_str() {
                    "START" => {
                        self.ours = ours;
                        ours.then_some(Said::Began)
                    }
                    "END" if ours => {
                        self.ours = false;
                        Some(Said::Ended(pages))
                    }
                    "CANCELED" if ours => {
                        self.ours = false;
                        Some(Said::Canceled(pages))
                    }
                    _ => None,
                }
            }
            "PAGE" if self.ours => {
                let page = rest.first()?.parse().ok().filter(|page| *page <= PAGES_MAX)?;
                Some(Said::Page(page))
            }
            "DEVICE" => {
                let code = value("CODE")?.parse().ok()?;
                Some(Said::Trouble(reason(code).map(str::to_owned).into_iter().collect()))
            }
            _ => None,
        }
    }

    /// A printer may cut the name, but not within the tag.
    fn is_our_name(&self, name: &str) -> bool {
        name.strip_prefix(&self.tag).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }
}

/// The `printer-state-reasons` keyword of a PJL status code (PJL manual, appendix D); `None` for what is no trouble.
fn reason(code: u32) -> Option<&'static str> {
    Some(match code {
        10006 => "toner-low",
        40010 | 40038 => "toner-empty",
        40019 | 40024 => "output-area-full",
        40021 => "cover-open",
        40022 => "media-jam",
        40079 => "offline",
        41000..=41999 => "media-needed",
        42000..=42999 | 44000..=44999 => "media-jam",
        40000..=49999 => "operator-action-required",
        50000..=59999 => "device-error",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_wrapper_is_what_the_manual_says_and_names_end_nothing() {
        let settings = ["COPIES = 2".to_owned()];
        let wrapper = Wrapper::new("pgabcdef.1", "a\"\r\n\x1b%-12345X@PJL RESET\u{fc}", "PCL", &settings);
        assert_eq!(
            String::from_utf8(wrapper.head).unwrap(),
            "\x1b%-12345X@PJL\r\n@PJL USTATUS DEVICE = ON\r\n@PJL USTATUS JOB = ON\r\n@PJL USTATUS PAGE = ON\r\n\
             @PJL JOB NAME = \"pgabcdef.1 a____%-12345X@PJL RESET_\"\r\n@PJL SET COPIES = 2\r\n\
             @PJL ENTER LANGUAGE = PCL\r\n"
        );
        assert_eq!(
            String::from_utf8(wrapper.tail).unwrap(),
            "\x1b%-12345X@PJL EOJ NAME = \"pgabcdef.1 a____%-12345X@PJL RESET_\"\r\n\x1b%-12345X"
        );
    }

    #[test]
    fn options_become_settings_and_the_rest_is_named() {
        let options = Options {
            copies: Some(3),
            sides: Some(Sides::TwoSidedShortEdge),
            media: Some("iso_a4_210x297mm".into()),
            tray: Some("tray-1".into()),
            ..Options::default()
        };
        let (set, left_out) = settings(&options);
        assert_eq!(set, ["COPIES = 3", "DUPLEX = ON", "BINDING = SHORTEDGE", "PAPER = A4"]);
        assert_eq!(left_out, ["options.tray"]);
    }

    #[test]
    fn a_job_is_heard_from_begin_to_end_in_any_pieces() {
        let talk = b"@PJL USTATUS JOB\r\nSTART\r\nNAME=\"pgabcdef.1 Invoice\"\r\n\x0c@PJL USTATUS PAGE\r\n1\r\n\x0c\
            @PJL USTATUS DEVICE\r\nCODE=40022\r\nDISPLAY=\"JAM\"\r\nONLINE=FALSE\r\n\x0c\
            @PJL USTATUS DEVICE\r\nCODE=10001\r\nDISPLAY=\"Ready\"\r\nONLINE=TRUE\r\n\x0c\
            @PJL USTATUS JOB\r\nEND\r\nNAME=\"pgabcdef.1 Inv\"\r\nPAGES=2\r\n\x0c";
        let wanted = [
            Said::Began,
            Said::Page(1),
            Said::Trouble(vec!["media-jam".into()]),
            Said::Trouble(vec![]),
            Said::Ended(Some(2)),
        ];
        for size in [1, 2, 7, 1000] {
            let mut listener = Listener::new("pgabcdef.1");
            let said: Vec<Said> = talk.chunks(size).flat_map(|piece| listener.hear(piece)).collect();
            assert_eq!(said, wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn other_jobs_are_not_ours() {
        let mut listener = Listener::new("pgabcdef.1");
        let others = b"@PJL USTATUS JOB\r\nSTART\r\nNAME=\"pgabcdef.12 x\"\r\n\x0c@PJL USTATUS PAGE\r\n1\r\n\x0c\
            @PJL USTATUS JOB\r\nEND\r\nNAME=\"x pgabcdef.1\"\r\nPAGES=2\r\n\x0c@PJL USTATUS JOB\r\nEND\r\nPAGES=2\r\n\x0c";
        assert_eq!(listener.hear(others), []);
        let nameless = b"@PJL USTATUS JOB\r\nSTART\r\nNAME=\"pgabcdef.1\"\r\n\x0c@PJL USTATUS JOB\r\nEND\r\n\x0c";
        assert_eq!(listener.hear(nameless), [Said::Began, Said::Ended(None)]);
    }

    proptest! {
        #[test]
        fn a_uel_is_found_wherever_it_is_cut(before in proptest::collection::vec(any::<u8>(), 0..40), cut in 1_usize..12,
                                             with in any::<bool>()) {
            let mut document: Vec<u8> = before.into_iter().filter(|octet| *octet != b'X').collect();
            if with {
                document.extend_from_slice(UEL);
            }
            document.extend_from_slice(b"\x1b%-1234");
            let mut finder = Finder::default();
            let mut found = false;
            for piece in document.chunks(cut) {
                found |= finder.found_in(piece);
            }
            prop_assert_eq!(found, with);
        }

        #[test]
        fn any_talk_is_heard_within_bounds(pieces in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..400), 0..20)) {
            let mut listener = Listener::new("pgabcdef.1");
            for piece in &pieces {
                let _ = listener.hear(piece);
                prop_assert!(listener.line.len() <= LINE_MAX && listener.lines.len() <= LINES_MAX);
            }
        }
    }
}
