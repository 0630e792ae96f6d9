//! What can be wrong with a simulated printer, and how it is written on a command line:
//!
//! | text | effect |
//! |---|---|
//! | `out-of-paper` | printer stopped with `media-empty-error`; the job in hand is processing-stopped until cleared |
//! | `slow-pages:MS` | every page takes MS milliseconds |
//! | `slow-bytes:N` | request bodies are read at N bytes a second |
//! | `drop-before[:TIMES]` | a connection is closed as soon as it is there, nothing is read (IPP, AppSocket, LPD) |
//! | `drop-at:N[:TIMES]` | a connection to the IPP port is reset after exactly N bytes were read of it, whatever they are |
//! | `answer-after:SECONDS` | the request is carried out, its answer comes so many seconds later |
//! | `drop-after:N[:TIMES]` | the connection is dropped after N bytes of a document (the document is incomplete: never printed) |
//! | `lose-answer[:OP][:TIMES]` | the request is carried out in full, then the connection is closed without an answer; OP is `print-job`, `create-job` or `send-document`, `lpd` (the acknowledgement of a whole file) or `appsocket` (an answer on the back-channel), default all of them |
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
//!
//! The hostile answers (`garbage` to `nested`) come after the request was carried out, so a document that was
//! received whole is printed; a fault with TIMES clears itself after that many uses.

use std::fmt;
use std::str::FromStr;

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
    /// LPD's acknowledgement of a whole file.
    Lpd,
}

/// One thing that is wrong with a printer; the module header says what each does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Stopped with `media-empty-error`.
    OutOfPaper,
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
    /// Seconds by which answers are late.
    AnswerAfter(u32),
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
}

/// A text that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no fault: use out-of-paper, slow-pages:MS, slow-bytes:N, drop-after:N[:TIMES], \
     lose-answer[:OPERATION][:TIMES], garbage, garbage-http, trickle[:MS], huge[:BYTES], nested[:BYTES], busy, stall[:N], \
     prints-partial, refuse-second or no-create-job"
)]
pub struct UnknownFault(pub String);

impl Fault {
    /// The word that names its kind; two faults of one kind cannot be set together.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::OutOfPaper => "out-of-paper",
            Fault::SlowPages(_) => "slow-pages",
            Fault::SlowBytes(_) => "slow-bytes",
            Fault::DropBefore { .. } => "drop-before",
            Fault::DropAt { .. } => "drop-at",
            Fault::AnswerAfter(_) => "answer-after",
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
        }
    }
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
        [PrintJob, CreateJob, SendDocument, AppSocket, Lpd]
            .into_iter()
            .find(|operation| operation.keyword() == text)
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Fault, UnknownFault> {
        let mut parts = text.split(':');
        let kind = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let number = |index: usize, default: Option<u64>| match rest.get(index) {
            Some(text) => text.parse::<u64>().ok(),
            None => default,
        };
        let times = |index: usize| match rest.get(index) {
            Some(text) => text.parse::<u32>().ok().filter(|n| *n > 0).map(Some),
            None => Some(None),
        };
        let most = |count: usize, fault: Option<Fault>| fault.filter(|_| rest.len() <= count);
        match kind {
            "out-of-paper" => most(0, Some(Fault::OutOfPaper)),
            "slow-pages" => most(1, number(0, None).map(Fault::SlowPages)),
            "slow-bytes" => most(1, number(0, None).filter(|n| *n > 0).map(Fault::SlowBytes)),
            "drop-before" => most(1, times(0).map(|times| Fault::DropBefore { times })),
            "drop-at" => most(2, number(0, None).zip(times(1)).map(|(bytes, times)| Fault::DropAt { bytes, times })),
            "answer-after" => most(1, rest.first().and_then(|text| text.parse().ok()).map(Fault::AnswerAfter)),
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
            _ => None,
        }
        .ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Fault::SlowPages(n) | Fault::SlowBytes(n) | Fault::Trickle(n) | Fault::Huge(n) | Fault::Nested(n) => {
                write!(f, ":{n}")
            }
            Fault::AnswerAfter(n) => write!(f, ":{n}"),
            Fault::Stall { bytes } => write!(f, ":{bytes}"),
            Fault::DropBefore { times } => times.map_or(Ok(()), |times| write!(f, ":{times}")),
            Fault::DropAt { bytes, times } | Fault::DropAfter { bytes, times } => {
                write!(f, ":{bytes}")?;
                times.map_or(Ok(()), |times| write!(f, ":{times}"))
            }
            Fault::LoseAnswer { operation, times } => {
                operation.map_or(Ok(()), |operation| write!(f, ":{}", operation.keyword()))?;
                times.map_or(Ok(()), |times| write!(f, ":{times}"))
            }
            _ => Ok(()),
        }
    }
}

/// The faults of one printer, at most one of each kind.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn set(&mut self, fault: Fault) {
        self.clear(fault.kind());
        self.0.push(fault);
    }

    /// Removes the fault of this kind; false when there was none.
    pub(super) fn clear(&mut self, kind: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|fault| fault.kind() != kind);
        before != self.0.len()
    }

    pub(super) fn clear_all(&mut self) {
        self.0.clear();
    }

    pub(super) fn has(&self, fault: &Fault) -> bool {
        self.0.contains(fault)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    pub(super) fn page_millis(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::SlowPages(millis) => Some(*millis),
            _ => None,
        })
    }

    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::SlowBytes(rate) => Some(*rate),
            _ => None,
        })
    }

    pub(super) fn drop_after(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::DropAfter { bytes, .. } => Some(*bytes),
            _ => None,
        })
    }

    /// Whether a connection is to be closed as soon as it is there; counts as one use.
    pub(super) fn drops_before(&mut self) -> bool {
        self.use_up(|fault| match fault {
            Fault::DropBefore { times } => Some(times),
            _ => None,
        })
    }

    /// At which byte a new connection is to be reset.
    pub(super) fn drop_at(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::DropAt { bytes, .. } => Some(*bytes),
            _ => None,
        })
    }

    /// A connection was reset at its byte.
    pub(super) fn used_drop_at(&mut self) {
        self.use_up(|fault| match fault {
            Fault::DropAt { times, .. } => Some(times),
            _ => None,
        });
    }

    /// Seconds by which answers are late.
    pub(super) fn answer_after(&self) -> Option<u32> {
        self.0.iter().find_map(|fault| match fault {
            Fault::AnswerAfter(seconds) => Some(*seconds),
            _ => None,
        })
    }

    /// The connection was dropped once.
    pub(super) fn used_drop(&mut self) {
        self.use_up(|fault| match fault {
            Fault::DropAfter { times, .. } => Some(times),
            _ => None,
        });
    }

    /// Whether the answer to this operation is to be lost; counts as one use.
    pub(super) fn loses_answer(&mut self, operation: LossyOperation) -> bool {
        self.use_up(|fault| match fault {
            Fault::LoseAnswer { operation: None, times } => Some(times),
            Fault::LoseAnswer { operation: Some(only), times } if *only == operation => Some(times),
            _ => None,
        })
    }

    /// After how many bytes a raw connection is read no further.
    pub(super) fn stall(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Stall { bytes } => Some(*bytes),
            _ => None,
        })
    }

    /// Milliseconds between the single bytes of an answer.
    pub(super) fn trickle(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Trickle(millis) => Some(*millis),
            _ => None,
        })
    }

    fn use_up(&mut self, find: impl Fn(&mut Fault) -> Option<&mut Option<u32>>) -> bool {
        let Some(index) = self.0.iter_mut().position(|fault| find(fault).is_some()) else {
            return false;
        };
        let mut spent = false;
        if let Some(Some(times)) = self.0.get_mut(index).and_then(&find) {
            *times = times.saturating_sub(1);
            spent = *times == 0;
        }
        if spent {
            self.0.remove(index);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_faults_are_one_to_one() {
        for text in [
            "out-of-paper",
            "slow-pages:250",
            "slow-bytes:1000",
            "drop-after:100",
            "drop-after:0:2",
            "lose-answer",
            "lose-answer:3",
            "lose-answer:create-job",
            "lose-answer:send-document:1",
            "garbage",
            "garbage-http",
            "trickle:1000",
            "huge:100000000",
            "nested:320000",
            "busy",
            "lose-answer:lpd:1",
            "lose-answer:appsocket",
            "stall:0",
            "stall:100",
            "prints-partial",
            "refuse-second",
            "no-create-job",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in ["", "paper", "slow-pages", "slow-bytes:0", "drop-after:x", "busy:1", "lose-answer:0", "huge:1:2"] {
            assert_eq!(text.parse::<Fault>(), Err(UnknownFault(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_counted_fault_clears_itself() {
        let mut faults = Faults::default();
        faults.set("lose-answer:create-job:2".parse().unwrap());
        assert!(!faults.loses_answer(LossyOperation::PrintJob));
        assert!(faults.loses_answer(LossyOperation::CreateJob));
        assert!(faults.loses_answer(LossyOperation::CreateJob));
        assert!(!faults.loses_answer(LossyOperation::CreateJob));
        faults.set("drop-after:10".parse().unwrap());
        faults.used_drop();
        assert_eq!(faults.drop_after(), Some(10));
    }
}
