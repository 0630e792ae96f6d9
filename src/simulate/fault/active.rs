//! The faults that a printer has at present.

use super::super::profiles::SupplySpec;
use super::{Fault, LossyOperation, SnmpFault, WrongCounts};

/// The faults of one printer, at most one of each kind.
#[derive(Debug, Clone, Default)]
pub(in crate::simulate) struct Faults(Vec<Fault>);

impl Faults {
    pub(in crate::simulate) fn set(&mut self, fault: Fault) {
        self.0.retain(|other| !fault.replaces(other));
        self.0.push(fault);
    }

    /// Removes the faults of this kind, or those whose text begins so (`toner-level:black`); false when there was none.
    pub(in crate::simulate) fn clear(&mut self, kind: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|fault| {
            let text = fault.to_string();
            !text.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
        before != self.0.len()
    }

    pub(in crate::simulate) fn clear_all(&mut self) {
        self.0.clear();
    }

    pub(in crate::simulate) fn has(&self, fault: &Fault) -> bool {
        self.0.contains(fault)
    }

    pub(in crate::simulate) fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// What is wrong with the SNMP agent.
    pub(in crate::simulate) fn snmp(&self) -> impl Iterator<Item = SnmpFault> {
        self.0.iter().filter_map(|fault| match fault {
            Fault::Snmp(fault) => Some(*fault),
            _ => None,
        })
    }

    pub(in crate::simulate) fn page_millis(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::SlowPages(millis) => Some(*millis),
            _ => None,
        })
    }

    pub(in crate::simulate) fn bytes_per_second(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::SlowBytes(rate) => Some(*rate),
            _ => None,
        })
    }

    pub(in crate::simulate) fn drop_after(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::DropAfter { bytes, .. } => Some(*bytes),
            _ => None,
        })
    }

    /// Whether a connection is to be closed as soon as it is there; counts as one use.
    pub(in crate::simulate) fn drops_before(&mut self) -> bool {
        self.use_up(|fault| match fault {
            Fault::DropBefore { times } => Some(times),
            _ => None,
        })
    }

    /// At which byte a new connection is to be reset.
    pub(in crate::simulate) fn drop_at(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::DropAt { bytes, .. } => Some(*bytes),
            _ => None,
        })
    }

    /// Whether a connection that came to its byte is to be reset; counts as one use.
    pub(in crate::simulate) fn used_drop_at(&mut self) -> bool {
        self.use_up(|fault| match fault {
            Fault::DropAt { times, .. } => Some(times),
            _ => None,
        })
    }

    /// Seconds by which answers are late.
    pub(in crate::simulate) fn answer_after(&self) -> Option<u32> {
        self.0.iter().find_map(|fault| match fault {
            Fault::AnswerAfter(seconds) => Some(*seconds),
            _ => None,
        })
    }

    /// Sheets in the first tray.
    pub(in crate::simulate) fn sheets(&self) -> Option<u32> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Sheets(sheets) => Some(*sheets),
            _ => None,
        })
    }

    /// The level this supply goes to: percent, and over how many seconds.
    pub(in crate::simulate) fn level_of(&self, supply: &SupplySpec) -> Option<(u8, u32)> {
        self.0.iter().find_map(|fault| match fault {
            Fault::TonerLevel { colour, percent, seconds } if supply.is_called(colour) => Some((*percent, *seconds)),
            _ => None,
        })
    }

    /// How the counters lie.
    pub(in crate::simulate) fn wrong_counts(&self) -> Option<WrongCounts> {
        self.0.iter().find_map(|fault| match fault {
            Fault::WrongCounts(how) => Some(*how),
            _ => None,
        })
    }

    /// The firmware version told instead of the profile's.
    pub(in crate::simulate) fn firmware(&self) -> Option<&str> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Firmware(version) => Some(version.as_str()),
            _ => None,
        })
    }

    /// The connection was dropped once.
    pub(in crate::simulate) fn used_drop(&mut self) {
        self.use_up(|fault| match fault {
            Fault::DropAfter { times, .. } => Some(times),
            _ => None,
        });
    }

    /// Whether the answer to this operation is to be lost; counts as one use.
    pub(in crate::simulate) fn loses_answer(&mut self, operation: LossyOperation) -> bool {
        self.use_up(|fault| match fault {
            Fault::LoseAnswer { operation: None, times } => Some(times),
            Fault::LoseAnswer { operation: Some(only), times } if *only == operation => Some(times),
            _ => None,
        })
    }

    /// After how many bytes a raw connection is read no further.
    pub(in crate::simulate) fn stall(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::Stall { bytes } => Some(*bytes),
            _ => None,
        })
    }

    /// Milliseconds between the single bytes of an answer.
    pub(in crate::simulate) fn trickle(&self) -> Option<u64> {
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
