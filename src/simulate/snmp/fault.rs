//! What can be wrong with an SNMP agent:
//!
//! | text | effect |
//! |---|---|
//! | `snmp-silent` | no answer to anything |
//! | `snmp-slow:MS` | every answer comes MS milliseconds late |
//! | `snmp-garbage` | answers are noise that is no BER |
//! | `snmp-wrong-id` | answers carry another request-id (and msgID) than the request |
//! | `snmp-loop` | GetNext and GetBulk go round within a column of HOST-RESOURCES-MIB and Printer-MIB: the successor of its last row is its first |
//! | `snmp-gen-err` | every request is answered with error-status genErr(5) |
//! | `snmp-too-big` | every request is answered with error-status tooBig(1) |
//! | `snmp-wrong-count` | answers carry one variable binding less than they should |
//! | `snmp-wrong-type` | INTEGER, Counter32 and Gauge32 come as OCTET STRING with the number in decimal |
//! | `snmp-truncated` | answers are cut in the middle |
//!
//! `snmp-silent` outdoes all others; then each does its part.

use std::fmt;

/// One thing that is wrong with an SNMP agent; the module header says what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnmpFault {
    /// No answer.
    Silent,
    /// Milliseconds an answer comes late.
    Slow(u64),
    /// No BER.
    Garbage,
    /// Another request-id.
    WrongId,
    /// GetNext goes round.
    Loop,
    /// genErr.
    GenErr,
    /// tooBig.
    TooBig,
    /// A variable binding too few.
    WrongCount,
    /// Numbers as strings.
    WrongType,
    /// Cut in the middle.
    Truncated,
}

/// The words, for messages.
pub(in crate::simulate) const WORDS: &str = "snmp-silent, snmp-slow:MS, snmp-garbage, snmp-wrong-id, snmp-loop, \
     snmp-gen-err, snmp-too-big, snmp-wrong-count, snmp-wrong-type, snmp-truncated";

impl SnmpFault {
    /// The word that names its kind.
    pub fn kind(self) -> &'static str {
        match self {
            SnmpFault::Silent => "snmp-silent",
            SnmpFault::Slow(_) => "snmp-slow",
            SnmpFault::Garbage => "snmp-garbage",
            SnmpFault::WrongId => "snmp-wrong-id",
            SnmpFault::Loop => "snmp-loop",
            SnmpFault::GenErr => "snmp-gen-err",
            SnmpFault::TooBig => "snmp-too-big",
            SnmpFault::WrongCount => "snmp-wrong-count",
            SnmpFault::WrongType => "snmp-wrong-type",
            SnmpFault::Truncated => "snmp-truncated",
        }
    }

    /// The fault of this word with what follows its colons; `None` when it is none of these.
    pub(in crate::simulate) fn parse(kind: &str, rest: &[&str]) -> Option<SnmpFault> {
        if let ("snmp-slow", [millis]) = (kind, rest) {
            return millis.parse().ok().map(SnmpFault::Slow);
        }
        [
            SnmpFault::Silent,
            SnmpFault::Garbage,
            SnmpFault::WrongId,
            SnmpFault::Loop,
            SnmpFault::GenErr,
            SnmpFault::TooBig,
            SnmpFault::WrongCount,
            SnmpFault::WrongType,
            SnmpFault::Truncated,
        ]
        .into_iter()
        .find(|fault| fault.kind() == kind && rest.is_empty())
    }
}

impl fmt::Display for SnmpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            SnmpFault::Slow(millis) => write!(f, ":{millis}"),
            _ => Ok(()),
        }
    }
}
