//! The octets of LPD (RFC 1179): commands, subcommands, control files. No I/O; total over any input.

/// Longest command line, its LF included.
pub(super) const MAX_LINE: usize = 1024;
/// Largest control file.
pub(super) const MAX_CONTROL: u64 = 64 * 1024;
/// Documents of one job.
const MAX_FILES: usize = 100;
/// Longest text that is kept, in characters (RFC 1179 §7 allows 131 and less).
const MAX_TEXT: usize = 131;
/// Counts from here on stand for "until the end of the stream": what Windows and others write that do not know.
const UNLIMITED: u64 = 4 * 1024 * 1024 * 1024 - 1;

/// A daemon command (RFC 1179 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// 01: print any waiting jobs.
    Print {
        queue: String,
    },
    /// 02: receive a printer job.
    Receive {
        queue: String,
    },
    /// 03 and 04: send queue state, short or long.
    State {
        queue: String,
        long: bool,
        list: Vec<String>,
    },
    /// 05: remove jobs.
    Remove {
        queue: String,
        agent: String,
        list: Vec<String>,
    },
    Unknown,
}

/// A subcommand of "receive a printer job" (RFC 1179 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subcommand {
    /// 01: abort the job.
    Abort,
    /// 02: receive a control file.
    Control {
        size: Size,
        name: String,
    },
    /// 03: receive a data file.
    Data {
        size: Size,
        name: String,
    },
    Unknown,
}

/// How long a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// So many octets, then a zero octet.
    Octets(u64),
    /// Up to the end of the stream: written as 0 (RFC 1179 §6.3, LPRng) or as more than 32 bits hold.
    ToTheEnd,
}

impl Command {
    /// A line without its LF.
    pub(super) fn parse(line: &[u8]) -> Command {
        let Some((code, rest)) = line.split_first() else { return Command::Unknown };
        let rest = text(rest);
        let mut words = rest.split([' ', '\t', '\x0b', '\x0c', '\r']).filter(|word| !word.is_empty());
        let queue = words.next().unwrap_or_default().to_owned();
        match code {
            1 => Command::Print { queue },
            2 => Command::Receive { queue },
            3 | 4 => Command::State { queue, long: *code == 4, list: words.map(str::to_owned).collect() },
            5 => {
                let agent = words.next().unwrap_or_default().to_owned();
                Command::Remove { queue, agent, list: words.map(str::to_owned).collect() }
            }
            _ => Command::Unknown,
        }
    }
}

impl Subcommand {
    /// A line without its LF.
    pub(super) fn parse(line: &[u8]) -> Subcommand {
        let Some((code, rest)) = line.split_first() else { return Subcommand::Unknown };
        if *code == 1 {
            return Subcommand::Abort;
        }
        let rest = text(rest);
        let mut words = rest.split_ascii_whitespace();
        let count = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(count) = count else { return Subcommand::Unknown };
        // More digits than a number holds is more than anybody prints.
        let size = match count.parse().unwrap_or(u64::MAX) {
            0 | UNLIMITED.. => Size::ToTheEnd,
            octets => Size::Octets(octets),
        };
        let name = words.next().unwrap_or_default().chars().take(MAX_TEXT).collect();
        match code {
            2 => Subcommand::Control { size, name },
            3 => Subcommand::Data { size, name },
            _ => Subcommand::Unknown,
        }
    }
}

/// What a control file says (RFC 1179 §7); banner (`L`), class, title, fonts and widths are read over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// `H`.
    pub(super) host: String,
    /// `P`.
    pub(super) user: String,
    /// `J`.
    pub(super) job: String,
    /// The data files in order, each with how often it is printed (lines of the same file, times `K`) and its `N`.
    pub(super) files: Vec<File>,
}

/// A data file to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) copies: u32,
    /// `N`: the name of the source file.
    pub(super) source: String,
}

impl Control {
    pub(super) fn parse(bytes: &[u8]) -> Control {
        let mut control = Control::default();
        let mut source = String::new();
        let mut copies = 1;
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some((letter, rest)) = line.split_first() else { continue };
            let rest = text(rest);
            match letter {
                b'H' => control.host = rest,
                b'P' => control.user = rest,
                b'J' => control.job = rest,
                b'K' => copies = rest.trim().trim_start_matches('=').parse().unwrap_or(1).clamp(1, 999),
                // The name comes before the file's line with some clients and after it with others.
                b'N' => match control.files.last_mut() {
                    Some(file) if file.source.is_empty() => file.source = rest,
                    _ => source = rest,
                },
                // How to print: text, PostScript, raster and the like; the printer looks for itself.
                b'c' | b'd' | b'f' | b'g' | b'l' | b'n' | b'o' | b'p' | b'r' | b't' | b'v' => {
                    if let Some(file) = control.files.iter_mut().find(|file| file.name == rest) {
                        file.copies = file.copies.saturating_add(1).min(999);
                    } else if control.files.len() < MAX_FILES && !rest.is_empty() {
                        control.files.push(File { name: rest, copies: 1, source: std::mem::take(&mut source) });
                    }
                }
                _ => {}
            }
        }
        for file in &mut control.files {
            file.copies = file.copies.saturating_mul(copies).min(999);
        }
        control
    }

    /// `J`, or the name of the file.
    pub(super) fn title(&self, file: &File) -> String {
        let named = [&self.job, &file.source, &file.name].into_iter().find(|name| !name.is_empty());
        named.cloned().unwrap_or_default()
    }
}

/// Cut, and without control characters but blanks.
fn text(bytes: &[u8]) -> String {
    let whole = String::from_utf8_lossy(bytes);
    whole.chars().filter(|c| !c.is_control() || c.is_whitespace()).take(MAX_LINE).collect::<String>().trim().to_owned()
}

/// Which jobs a list of user names and job numbers means; an empty one means all.
pub(super) fn listed(list: &[String], user: &str, numbers: &[i32]) -> bool {
    list.is_empty()
        || list.iter().any(|word| word == user || word.parse().is_ok_and(|number: i32| numbers.contains(&number)))
}

/// The job number in the name of a file: `dfA123host`.
pub(super) fn number(name: &str) -> Option<i32> {
    let digits = name.get(3..6)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn commands_are_understood() {
        let queue = || "lp".to_owned();
        for (line, expected) in [
            (&b"\x01lp"[..], Command::Print { queue: queue() }),
            (b"\x02lp", Command::Receive { queue: queue() }),
            (b"\x02lp \r", Command::Receive { queue: queue() }),
            (b"\x03lp", Command::State { queue: queue(), long: false, list: vec![] }),
            (b"\x04lp bob 12", Command::State { queue: queue(), long: true, list: owned(&["bob", "12"]) }),
            (b"\x05lp alice 7", Command::Remove { queue: queue(), agent: "alice".into(), list: owned(&["7"]) }),
            (b"GET / HTTP/1.1", Command::Unknown),
            (b"", Command::Unknown),
        ] {
            assert_eq!(Command::parse(line), expected, "{}", line.escape_ascii());
        }
        let name = || "dfA001host".to_owned();
        for (line, expected) in [
            (&b"\x01"[..], Subcommand::Abort),
            (b"\x0212 dfA001host", Subcommand::Control { size: Size::Octets(12), name: name() }),
            (b"\x0312 dfA001host", Subcommand::Data { size: Size::Octets(12), name: name() }),
            (b"\x030 dfA001host", Subcommand::Data { size: Size::ToTheEnd, name: name() }),
            (b"\x034294967295 dfA001host", Subcommand::Data { size: Size::ToTheEnd, name: name() }),
            (b"\x03125899906843000 dfA001host", Subcommand::Data { size: Size::ToTheEnd, name: name() }),
            (b"\x0399999999999999999999999 dfA001host", Subcommand::Data { size: Size::ToTheEnd, name: name() }),
            (b"\x03-1 dfA001host", Subcommand::Unknown),
            (b"\x03", Subcommand::Unknown),
            (b"\x06x", Subcommand::Unknown),
        ] {
            assert_eq!(Subcommand::parse(line), expected, "{}", line.escape_ascii());
        }
        assert_eq!((number("dfA123host"), number("dfA12"), number("x")), (Some(123), None, None));
    }

    #[test]
    fn control_files_are_understood() {
        let file = |name: &str, copies, source: &str| File { name: name.into(), copies, source: source.into() };
        let control = Control::parse(
            b"Hhost\nPalice\nJInvoice 17\nCclass\nLalice\nfdfA001host\nfdfA001host\nUdfA001host\nNinvoice.txt\n",
        );
        assert_eq!(
            (control.host.as_str(), control.user.as_str(), control.job.as_str()),
            ("host", "alice", "Invoice 17")
        );
        assert_eq!(control.files, [file("dfA001host", 2, "invoice.txt")]);
        let control = Control::parse(b"Pbob\r\nK3\r\nNa.ps\r\nodfA002h\r\nNb.txt\r\nfdfB002h");
        assert_eq!(control.files, [file("dfA002h", 3, "a.ps"), file("dfB002h", 3, "b.txt")]);
        assert_eq!(control.title(&control.files[1]), "b.txt");
        assert_eq!(Control::parse(b"").files, []);
        assert_eq!(Control::parse(&b"fdfA001h\n".repeat(5000)).files[0].copies, 999);
        let many: String = (0..500).map(|index| format!("fdf{index}\n")).collect();
        assert_eq!(Control::parse(many.as_bytes()).files.len(), MAX_FILES);
    }

    proptest! {
        #[test]
        fn total(bytes in proptest::collection::vec(any::<u8>(), 0..2000), code in 0u8..8) {
            let _ = Command::parse(&[&[code], bytes.as_slice()].concat());
            let _ = Subcommand::parse(&[&[code], bytes.as_slice()].concat());
            let control = Control::parse(&bytes);
            prop_assert!(control.files.len() <= MAX_FILES);
            prop_assert!(control.files.iter().all(|file| (1..=999).contains(&file.copies)));
            let _ = number(&String::from_utf8_lossy(&bytes));
        }
    }
}
