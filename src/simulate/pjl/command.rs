//! One PJL command: the text of a line, understood.
//!
//! ```text
//! @PJL [WORD] [modifier : value] [name [= value]]… [CR] LF
//! ```
//! Words are taken in either case; values are strings in double quotes, or words. What cannot be understood is
//! [`Command::Unknown`], which a printer ignores (and reports under `USTATUS DEVICE=VERBOSE` only).

/// Longest name, value or text that is kept, in characters; HP's printers keep 80 of a job's name.
const MAX_TEXT: usize = 80;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::simulate) enum Command {
    /// `@PJL` alone.
    Bare,
    Comment,
    /// `JOB [NAME = "…"]`.
    Job {
        name: Option<String>,
    },
    /// `EOJ [NAME = "…"]`.
    EndOfJob {
        name: Option<String>,
    },
    /// `SET` and `DEFAULT`; the modifier (`LPARM : PCL`) is left out.
    Set {
        variable: String,
        value: String,
    },
    /// `RESET` and `INITIALIZE`.
    Reset,
    /// `ENTER LANGUAGE = …`.
    Enter {
        language: String,
    },
    /// `USTATUS variable = value`.
    Ustatus {
        variable: String,
        value: String,
    },
    UstatusOff,
    /// `INFO category`.
    Info {
        category: String,
    },
    /// `ECHO` and its words as they came.
    Echo {
        words: String,
    },
    /// `INQUIRE` and `DINQUIRE`: which of them, the modifier as it came, the variable.
    Inquire {
        word: &'static str,
        modifier: Option<String>,
        variable: String,
    },
    /// `RDYMSG DISPLAY = "…"`.
    ReadyMessage {
        display: String,
    },
    Unknown,
}

impl Command {
    /// Understands a line that begins with `@PJL` and ends with LF.
    pub(in crate::simulate) fn parse(line: &[u8]) -> Command {
        let line = line.strip_prefix(b"@PJL").unwrap_or(line);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Not UTF-8: the character set of the control panel (Roman-8), of which ASCII is a part.
        let line = String::from_utf8_lossy(line);
        let line = line.trim_matches([' ', '\t']);
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim_start_matches([' ', '\t']);
        match word.to_ascii_uppercase().as_str() {
            "" => Command::Bare,
            "COMMENT" => Command::Comment,
            "JOB" => Command::Job { name: named(rest, "NAME") },
            "EOJ" => Command::EndOfJob { name: named(rest, "NAME") },
            "SET" | "DEFAULT" => {
                let (_, rest) = modifier(rest);
                match assignments(rest).into_iter().next() {
                    Some((variable, Some(value))) => Command::Set { variable, value },
                    _ => Command::Unknown,
                }
            }
            "RESET" | "INITIALIZE" => Command::Reset,
            "ENTER" => match named(rest, "LANGUAGE") {
                Some(language) => Command::Enter { language },
                None => Command::Unknown,
            },
            "USTATUS" => match assignments(rest).into_iter().next() {
                Some((variable, Some(value))) => Command::Ustatus { variable, value: value.to_ascii_uppercase() },
                _ => Command::Unknown,
            },
            "USTATUSOFF" => Command::UstatusOff,
            "INFO" if !rest.is_empty() => Command::Info { category: cut(rest).to_ascii_uppercase() },
            "ECHO" => Command::Echo { words: rest.to_owned() },
            "INQUIRE" => inquire("INQUIRE", rest),
            "DINQUIRE" => inquire("DINQUIRE", rest),
            "RDYMSG" => match named(rest, "DISPLAY") {
                Some(display) => Command::ReadyMessage { display },
                None => Command::Unknown,
            },
            _ => Command::Unknown,
        }
    }
}

fn inquire(word: &'static str, rest: &str) -> Command {
    let (modifier, variable) = modifier(rest);
    let variable = variable.trim();
    if variable.is_empty() {
        return Command::Unknown;
    }
    Command::Inquire { word, modifier, variable: cut(variable).to_ascii_uppercase() }
}

/// `LPARM : PCL` in front, written as it is answered, and what follows it.
fn modifier(rest: &str) -> (Option<String>, &str) {
    let Some((key, after)) = rest.split_once(':') else { return (None, rest) };
    let key = key.trim();
    if !["LPARM", "IPARM"].iter().any(|known| known.eq_ignore_ascii_case(key)) {
        return (None, rest);
    }
    let after = after.trim_start();
    let (value, rest) = after.split_once([' ', '\t']).unwrap_or((after, ""));
    (Some(format!("{}:{}", key.to_ascii_uppercase(), cut(value).to_ascii_uppercase())), rest.trim_start())
}

/// The value given to this name.
fn named(rest: &str, name: &str) -> Option<String> {
    assignments(rest).into_iter().find(|(found, _)| found == name).and_then(|(_, value)| value)
}

/// `name = value` and `name`, one after the other; at most eight, names in upper case.
fn assignments(rest: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut rest = rest.trim_start();
    while !rest.is_empty() && found.len() < 8 {
        let end = rest.find([' ', '\t', '=']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let after = after.trim_start();
        let Some(after) = after.strip_prefix('=') else {
            if !name.is_empty() {
                found.push((cut(name).to_ascii_uppercase(), None));
            }
            rest = after;
            continue;
        };
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once([' ', '\t']).unwrap_or((after, "")),
        };
        found.push((cut(name).to_ascii_uppercase(), Some(cut(value))));
        rest = next.trim_start();
    }
    found
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_understood() {
        let text = |text: &str| text.to_owned();
        for (line, expected) in [
            ("", Command::Bare),
            ("  ", Command::Bare),
            (" COMMENT x = 1", Command::Comment),
            (" JOB NAME = \"a = b\" DISPLAY=\"x\"", Command::Job { name: Some(text("a = b")) }),
            (" job", Command::Job { name: None }),
            (" JOB NAME=\"open", Command::Job { name: Some(text("open")) }),
            (" EOJ NAME=\"x\"", Command::EndOfJob { name: Some(text("x")) }),
            (" SET COPIES = 3", Command::Set { variable: text("COPIES"), value: text("3") }),
            (" SET LPARM : PCL  PITCH=10.00", Command::Set { variable: text("PITCH"), value: text("10.00") }),
            (" SET", Command::Unknown),
            (" SET COPIES", Command::Unknown),
            (" ENTER LANGUAGE=PostScript", Command::Enter { language: text("PostScript") }),
            (" USTATUS JOB = on", Command::Ustatus { variable: text("JOB"), value: text("ON") }),
            (" USTATUSOFF", Command::UstatusOff),
            ("\tinfo\tid ", Command::Info { category: text("ID") }),
            (" INFO", Command::Unknown),
            (" ECHO 08:10:09.1  08-22-92", Command::Echo { words: text("08:10:09.1  08-22-92") }),
            (" INQUIRE COPIES", Command::Inquire { word: "INQUIRE", modifier: None, variable: text("COPIES") }),
            (
                " DINQUIRE LPARM : PCL SYMSET",
                Command::Inquire { word: "DINQUIRE", modifier: Some(text("LPARM:PCL")), variable: text("SYMSET") },
            ),
            (" RDYMSG DISPLAY=\"hi\"", Command::ReadyMessage { display: text("hi") }),
            (" FSDOWNLOAD FORMAT:BINARY", Command::Unknown),
            (" =", Command::Unknown),
        ] {
            for ending in ["\n", "\r\n"] {
                assert_eq!(Command::parse(format!("@PJL{line}{ending}").as_bytes()), expected, "{line}");
            }
        }
    }

    proptest! {
        #[test]
        fn total(line in proptest::collection::vec(any::<u8>(), 0..300), word in "(SET|JOB|INQUIRE|USTATUS|ENTER|INFO)?") {
            let _ = Command::parse(&line);
            let _ = Command::parse(&[b"@PJL ".as_slice(), word.as_bytes(), b" ", &line, b"\n"].concat());
        }
    }
}
