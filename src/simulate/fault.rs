//! What can be wrong with a simulated printer, and how it is written on a command line:
//!
//! | text | effect |
//! |---|---|
//! | `out-of-paper` | printer stopped with `media-empty-error`; the job in hand is processing-stopped until cleared |
//! | `sheets:N` | N sheets are in the first tray; when they are used up the printer is out of paper; cleared: tray filled |
//! | `jam` | printer stopped with `media-jam-error` |
//! | `door-open` | printer stopped with `cover-open-error` |
//! | `toner-level:COLOUR:PERCENT[:SECONDS]` | the level of this supply (its colour, or its type: `black`, `waste-toner`, `ribbon-wax`) goes there, over so many seconds; at 0 the printer stops; cleared: a fresh supply. One fault for each supply |
//! | `waste-full` | printer stopped with `marker-waste-full-error` |
//! | `staples-empty` | `stapler-empty-warning` |
//! | `slow-pages:MS` | every page takes MS milliseconds |
//! | `slow-bytes:N` | request bodies are read at N bytes a second |
//! | `drop-before[:TIMES]` | a connection is closed as soon as it is there, nothing is read (IPP, AppSocket, LPD) |
//! | `drop-at:N[:TIMES]` | a connection (IPP, AppSocket, LPD) is reset after exactly N bytes were read of it, whatever they are |
//! | `drop-after:N[:TIMES]` | the connection is dropped after N bytes of a document (the document is incomplete: never printed) |
//! | `lose-answer[:OP][:TIMES]` | the request is carried out in full, then the connection is closed without an answer; OP is `print-job`, `create-job` or `send-document`, `lpd` (the last acknowledgement of a job) or `appsocket` (an answer on the back-channel), default all of them |
//! | `answer-after:SECONDS` | the request is carried out, its answer comes so many seconds later |
//! | `garbage` | answers are HTTP 200 with 4 KiB of noise under `application/ipp` |
//! | `garbage-http` | what is sent is not even HTTP |
//! | `trickle[:MS]` | answers arrive one byte every MS milliseconds, default 1000 |
//! | `huge[:BYTES]` | answers carry one attribute with BYTES of values, default 100 MB |
//! | `nested[:BYTES]` | answers carry one collection nested BYTES/16 deep, default 320 KB |
//! | `busy` | Print-Job, Create-Job and Validate-Job answer server-error-busy; AppSocket refuses connections, LPD refuses jobs |
//! | `stall[:N]` | AppSocket and LPD: a connection is accepted and N bytes are read of it, default 0, then no more until cleared |
//! | `prints-partial` | a habit: a document that was cut off on AppSocket or LPD is printed as far as it came |
//! | `refuse-second` | a habit: AppSocket refuses a second connection instead of letting it wait |
//! | `no-create-job` | Create-Job and Send-Document are not supported and not announced |
//! | `false-completed` | jobs end `completed` with all their impressions and nothing is on paper |
//! | `false-aborted` | jobs are put on paper, then end `aborted` with no impression |
//! | `wrong-counts:HOW` | the counters that the printer tells (its own and its jobs') are wrong: `zero`, `frozen` (those of the moment when it was set; jobs 0) or `double` |
//! | `firmware:VERSION` | another firmware version is told |
//! | `clone-of:PRINTER` | UUID and serial number are those of another printer |
//! | `clone-uuid-of:PRINTER` | the UUID only |
//! | `snmp-…` | what is wrong with the SNMP agent: the words are in the module `snmp::fault` |
//!
//! A fault that the kind of device cannot have (`waste-full` without a waste box) is refused. What is no state but an
//! event (power, address, certificate, sleep) is an order: see `order`.
//!
//! On AppSocket and LPD `slow-bytes`, the drops, `answer-after`, `garbage` (64 bytes of noise for an answer) and `trickle`
//! mean the document, the answers on the back-channel and the acknowledgements.
//!
//! The hostile answers (`garbage` to `nested`) come after the request was carried out, so a document that was
//! received whole is printed; a fault with TIMES clears itself after that many uses.

mod active;

pub use super::snmp::fault::SnmpFault;
pub(super) use active::Faults;

use super::profiles::Profile;
use super::snmp::fault::WORDS;
use std::fmt;
use std::str::FromStr;

/// Longest text in a fault, in bytes.
const MAX_TEXT: usize = 127;

/// A job-creating operation whose answer can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossyOperation {
    /// Print-Job.
    PrintJob,
    /// Create-Job.
    CreateJob,
    /// Send-Document.
    SendDocument,
    /// An answer on AppSocket's back-channel.
    AppSocket,
    /// LPD's last acknowledgement of a job.
    Lpd,
}

/// How counters are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongCounts {
    /// All are 0.
    Zero,
    /// They do not move.
    Frozen,
    /// Twice the truth.
    Double,
}

/// One thing that is wrong with a printer; the module header says what each does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Stopped with `media-empty-error`.
    OutOfPaper,
    /// Sheets in the first tray, which nobody fills.
    Sheets(u32),
    /// Stopped with `media-jam-error`.
    Jam,
    /// Stopped with `cover-open-error`.
    DoorOpen,
    /// A supply goes to a level.
    TonerLevel {
        /// Its colorant, or its type when it has no colour.
        colour: String,
        /// The level it goes to, 0 to 100.
        percent: u8,
        /// Over so many seconds; 0 at once.
        seconds: u32,
    },
    /// Stopped with `marker-waste-full-error`.
    WasteFull,
    /// No staples.
    StaplesEmpty,
    /// Milliseconds each page takes.
    SlowPages(u64),
    /// Bytes a second at which request bodies are read; at least 1.
    SlowBytes(u64),
    /// Close a connection before anything is read.
    DropBefore {
        /// Uses left; `None` without end.
        times: Option<u32>,
    },
    /// Reset a connection at a byte.
    DropAt {
        /// Bytes read before.
        bytes: u64,
        /// Uses left; `None` without end.
        times: Option<u32>,
    },
    /// Drop the connection within a document.
    DropAfter {
        /// Document bytes read before.
        bytes: u64,
        /// Uses left; `None` without end.
        times: Option<u32>,
    },
    /// Carry out, then close without an answer.
    LoseAnswer {
        /// Which operation; `None` for all that make or feed a job.
        operation: Option<LossyOperation>,
        /// Uses left; `None` without end.
        times: Option<u32>,
    },
    /// Seconds by which answers are late.
    AnswerAfter(u32),
    /// Noise under a proper HTTP head.
    Garbage,
    /// Noise instead of HTTP.
    GarbageHttp,
    /// Milliseconds between the single bytes of an answer.
    Trickle(u64),
    /// Bytes of values in every answer.
    Huge(u64),
    /// Bytes of nested collection in every answer.
    Nested(u64),
    /// server-error-busy.
    Busy,
    /// Stop reading a raw connection.
    Stall {
        /// Bytes read before.
        bytes: u64,
    },
    /// Print what arrived of a document that was cut off.
    PrintsPartial,
    /// No second AppSocket connection.
    RefuseSecond,
    /// Only Print-Job.
    NoCreateJob,
    /// Nothing is printed of jobs that are told to be completed.
    FalseCompleted,
    /// Jobs that are printed are told to be aborted.
    FalseAborted,
    /// Counters lie.
    WrongCounts(WrongCounts),
    /// Another firmware version.
    Firmware(String),
    /// UUID and serial number of another printer.
    CloneOf(String),
    /// UUID of another printer.
    CloneUuidOf(String),
    /// Something of the SNMP agent.
    Snmp(SnmpFault),
}

/// A text that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no fault: use out-of-paper, sheets:N, jam, door-open, toner-level:COLOUR:PERCENT[:SECONDS], waste-full, \
     staples-empty, slow-pages:MS, slow-bytes:N, drop-before[:TIMES], drop-at:N[:TIMES], drop-after:N[:TIMES], \
     lose-answer[:OPERATION][:TIMES], answer-after:SECONDS, garbage, garbage-http, trickle[:MS], huge[:BYTES], \
     nested[:BYTES], busy, stall[:N], prints-partial, refuse-second, no-create-job, false-completed, false-aborted, \
     wrong-counts:zero|frozen|double, firmware:VERSION, clone-of:PRINTER, clone-uuid-of:PRINTER, {WORDS}"
)]
pub struct UnknownFault(pub String);

impl Fault {
    /// The word that names its kind. Two faults of one kind cannot be set together, except for different supplies.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::OutOfPaper => "out-of-paper",
            Fault::Sheets(_) => "sheets",
            Fault::Jam => "jam",
            Fault::DoorOpen => "door-open",
            Fault::TonerLevel { .. } => "toner-level",
            Fault::WasteFull => "waste-full",
            Fault::StaplesEmpty => "staples-empty",
            Fault::DropBefore { .. } => "drop-before",
            Fault::DropAt { .. } => "drop-at",
            Fault::AnswerAfter(_) => "answer-after",
            Fault::FalseCompleted => "false-completed",
            Fault::FalseAborted => "false-aborted",
            Fault::WrongCounts(_) => "wrong-counts",
            Fault::Firmware(_) => "firmware",
            Fault::CloneOf(_) => "clone-of",
            Fault::CloneUuidOf(_) => "clone-uuid-of",
            Fault::SlowPages(_) => "slow-pages",
            Fault::SlowBytes(_) => "slow-bytes",
            Fault::DropAfter { .. } => "drop-after",
            Fault::LoseAnswer { .. } => "lose-answer",
            Fault::Garbage => "garbage",
            Fault::GarbageHttp => "garbage-http",
            Fault::Trickle(_) => "trickle",
            Fault::Huge(_) => "huge",
            Fault::Nested(_) => "nested",
            Fault::Busy => "busy",
            Fault::Stall { .. } => "stall",
            Fault::PrintsPartial => "prints-partial",
            Fault::RefuseSecond => "refuse-second",
            Fault::NoCreateJob => "no-create-job",
            Fault::Snmp(fault) => fault.kind(),
        }
    }

    /// Why a device of this kind cannot have it.
    ///
    /// # Errors
    /// What the device lacks.
    pub fn fits(&self, profile: &Profile) -> Result<(), &'static str> {
        let there = match self {
            Fault::WasteFull => (profile.supplies.iter().any(|supply| supply.receptacle), "it has no waste box"),
            Fault::StaplesEmpty => {
                (profile.supplies.iter().any(|supply| supply.kind == "staples"), "it has no stapler")
            }
            Fault::TonerLevel { colour, .. } => {
                (profile.supplies.iter().any(|supply| supply.is_called(colour)), "it has no such supply")
            }
            Fault::Sheets(_) => (!profile.trays.is_empty(), "it has no tray"),
            _ => (true, ""),
        };
        if there.0 { Ok(()) } else { Err(there.1) }
    }

    /// Whether it takes the other's place.
    fn replaces(&self, other: &Fault) -> bool {
        match (self, other) {
            (Fault::TonerLevel { colour, .. }, Fault::TonerLevel { colour: other, .. }) => colour == other,
            _ => self.kind() == other.kind(),
        }
    }
}

impl WrongCounts {
    const ALL: [(WrongCounts, &'static str); 3] =
        [(WrongCounts::Zero, "zero"), (WrongCounts::Frozen, "frozen"), (WrongCounts::Double, "double")];
}

impl LossyOperation {
    fn keyword(self) -> &'static str {
        match self {
            LossyOperation::PrintJob => "print-job",
            LossyOperation::CreateJob => "create-job",
            LossyOperation::SendDocument => "send-document",
            LossyOperation::AppSocket => "appsocket",
            LossyOperation::Lpd => "lpd",
        }
    }

    fn from_keyword(text: &str) -> Option<LossyOperation> {
        use LossyOperation::{AppSocket, CreateJob, Lpd, PrintJob, SendDocument};
        [PrintJob, CreateJob, SendDocument, AppSocket, Lpd].into_iter().find(|operation| operation.keyword() == text)
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Fault, UnknownFault> {
        if let Some(fault) = with_text(text) {
            return fault.ok_or_else(|| UnknownFault(text.to_owned()));
        }
        let mut parts = text.split(':');
        let kind = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let number = |index: usize, default: Option<u64>| match rest.get(index) {
            Some(text) => text.parse::<u64>().ok(),
            None => default,
        };
        let small = |index: usize| rest.get(index).and_then(|text| text.parse::<u32>().ok());
        let times = |index: usize| match rest.get(index) {
            Some(text) => text.parse::<u32>().ok().filter(|n| *n > 0).map(Some),
            None => Some(None),
        };
        let most = |count: usize, fault: Option<Fault>| fault.filter(|_| rest.len() <= count);
        match kind {
            "out-of-paper" => most(0, Some(Fault::OutOfPaper)),
            "sheets" => most(1, small(0).map(Fault::Sheets)),
            "jam" => most(0, Some(Fault::Jam)),
            "door-open" => most(0, Some(Fault::DoorOpen)),
            "toner-level" => most(3, toner_level(&rest)),
            "waste-full" => most(0, Some(Fault::WasteFull)),
            "staples-empty" => most(0, Some(Fault::StaplesEmpty)),
            "drop-before" => most(1, times(0).map(|times| Fault::DropBefore { times })),
            "drop-at" => most(2, number(0, None).zip(times(1)).map(|(bytes, times)| Fault::DropAt { bytes, times })),
            "answer-after" => most(1, small(0).map(Fault::AnswerAfter)),
            "false-completed" => most(0, Some(Fault::FalseCompleted)),
            "false-aborted" => most(0, Some(Fault::FalseAborted)),
            "wrong-counts" => {
                let how = WrongCounts::ALL.iter().find(|(_, word)| rest.first() == Some(word));
                most(1, how.map(|(how, _)| Fault::WrongCounts(*how)))
            }
            "slow-pages" => most(1, number(0, None).map(Fault::SlowPages)),
            "slow-bytes" => most(1, number(0, None).filter(|n| *n > 0).map(Fault::SlowBytes)),
            "drop-after" => {
                let fault = number(0, None).zip(times(1)).map(|(bytes, times)| Fault::DropAfter { bytes, times });
                most(2, fault)
            }
            "lose-answer" => match rest.first().and_then(|text| LossyOperation::from_keyword(text)) {
                Some(operation) => {
                    let fault = times(1).map(|times| Fault::LoseAnswer { operation: Some(operation), times });
                    most(2, fault)
                }
                None => most(1, times(0).map(|times| Fault::LoseAnswer { operation: None, times })),
            },
            "garbage" => most(0, Some(Fault::Garbage)),
            "garbage-http" => most(0, Some(Fault::GarbageHttp)),
            "trickle" => most(1, number(0, Some(1000)).map(Fault::Trickle)),
            "huge" => most(1, number(0, Some(100_000_000)).map(Fault::Huge)),
            "nested" => most(1, number(0, Some(320_000)).map(Fault::Nested)),
            "busy" => most(0, Some(Fault::Busy)),
            "stall" => most(1, number(0, Some(0)).map(|bytes| Fault::Stall { bytes })),
            "prints-partial" => most(0, Some(Fault::PrintsPartial)),
            "refuse-second" => most(0, Some(Fault::RefuseSecond)),
            "no-create-job" => most(0, Some(Fault::NoCreateJob)),
            _ => SnmpFault::parse(kind, &rest).map(Fault::Snmp),
        }
        .ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

/// The faults whose value is a text of any kind; `None` for the others.
fn with_text(text: &str) -> Option<Option<Fault>> {
    let (kind, value) = text.split_once(':')?;
    let make: fn(String) -> Fault = match kind {
        "firmware" => Fault::Firmware,
        "clone-of" => Fault::CloneOf,
        "clone-uuid-of" => Fault::CloneUuidOf,
        _ => return None,
    };
    let fits = !value.is_empty() && value.len() <= MAX_TEXT && value.trim() == value;
    Some((fits && !value.chars().any(char::is_control)).then(|| make(value.to_owned())))
}

fn toner_level(rest: &[&str]) -> Option<Fault> {
    let colour = (*rest.first()?).to_owned();
    let word = !colour.is_empty() && colour.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let percent = rest.get(1)?.parse().ok().filter(|percent| word && *percent <= 100)?;
    let seconds = match rest.get(2) {
        Some(text) => text.parse().ok().filter(|seconds| *seconds > 0)?,
        None => 0,
    };
    Some(Fault::TonerLevel { colour, percent, seconds })
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Fault::Snmp(fault) = self {
            return fault.fmt(f);
        }
        f.write_str(self.kind())?;
        match self {
            Fault::SlowPages(n) | Fault::SlowBytes(n) | Fault::Trickle(n) | Fault::Huge(n) | Fault::Nested(n) => {
                write!(f, ":{n}")
            }
            Fault::Sheets(n) | Fault::AnswerAfter(n) => write!(f, ":{n}"),
            Fault::TonerLevel { colour, percent, seconds: 0 } => write!(f, ":{colour}:{percent}"),
            Fault::TonerLevel { colour, percent, seconds } => write!(f, ":{colour}:{percent}:{seconds}"),
            Fault::Firmware(text) | Fault::CloneOf(text) | Fault::CloneUuidOf(text) => write!(f, ":{text}"),
            Fault::WrongCounts(how) => {
                let word = WrongCounts::ALL.iter().find(|(known, _)| known == how).map_or("", |(_, word)| word);
                write!(f, ":{word}")
            }
            Fault::DropBefore { times } => times.map_or(Ok(()), |times| write!(f, ":{times}")),
            Fault::DropAt { bytes, times } | Fault::DropAfter { bytes, times } => {
                write!(f, ":{bytes}")?;
                times.map_or(Ok(()), |times| write!(f, ":{times}"))
            }
            Fault::Stall { bytes } => write!(f, ":{bytes}"),
            Fault::LoseAnswer { operation, times } => {
                operation.map_or(Ok(()), |operation| write!(f, ":{}", operation.keyword()))?;
                times.map_or(Ok(()), |times| write!(f, ":{times}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
