//! An announcement as the book keeps it: there are thousands. The TXT strings, its largest part, lie in one piece of memory
//! and are read out only when it is judged again; what is asked of every service at each change is at hand.

use crate::discovery::record::{Announcement, is_queue};
use std::ops::Deref;

#[derive(Debug)]
pub(super) struct Kept {
    /// Without its TXT strings.
    record: Announcement,
    txt: Box<[u8]>,
    queue: bool,
}

/// All but the TXT strings.
impl Deref for Kept {
    type Target = Announcement;

    fn deref(&self) -> &Announcement {
        &self.record
    }
}

impl Kept {
    pub(super) fn of(mut record: Announcement) -> Self {
        let queue = is_queue(&record);
        let txt = pack(std::mem::take(&mut record.txt));
        record.addresses.shrink_to_fit();
        Self { record, txt, queue }
    }

    /// The announcement as it came.
    pub(super) fn whole(&self) -> Announcement {
        Announcement { txt: unpack(&self.txt), ..self.record.clone() }
    }

    /// Whether its path is that of a queue of CUPS.
    pub(super) fn is_queue(&self) -> bool {
        self.queue
    }
}

/// Keys and values in turn, each behind its length. A DNS message holds nothing that is longer than the length can say.
fn pack(txt: Vec<(String, Vec<u8>)>) -> Box<[u8]> {
    let size = txt.iter().map(|(key, value)| key.len() + value.len() + 4).sum();
    let mut packed = Vec::with_capacity(size);
    for (key, value) in &txt {
        for part in [key.as_bytes(), value] {
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            packed.extend_from_slice(&length.to_be_bytes());
            packed.extend_from_slice(part.get(..length.into()).unwrap_or(part));
        }
    }
    packed.into_boxed_slice()
}

fn unpack(mut packed: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut txt = Vec::new();
    while let Some((key, behind)) = part(packed)
        && let Some((value, behind)) = part(behind)
    {
        txt.push((String::from_utf8_lossy(key).into_owned(), value.to_vec()));
        packed = behind;
    }
    txt
}

fn part(packed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, behind) = packed.split_first_chunk::<2>()?;
    behind.split_at_checked(u16::from_be_bytes(*length).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_are_read_out_as_they_were_put_in(
            txt in proptest::collection::vec((".{0,20}", proptest::collection::vec(any::<u8>(), 0..300)), 0..20)
        ) {
            prop_assert_eq!(unpack(&pack(txt.clone())), txt);
        }
    }

    #[test]
    fn what_is_too_long_costs_nobody_else_anything() {
        let txt = vec![("k".repeat(70_000), vec![1]), ("rp".to_owned(), b"ipp/print".to_vec())];
        let read = unpack(&pack(txt));
        assert_eq!((read[0].0.len(), &read[1]), (65_535, &("rp".to_owned(), b"ipp/print".to_vec())));
        assert!(unpack(&[0, 9, 1]).is_empty());
    }
}
