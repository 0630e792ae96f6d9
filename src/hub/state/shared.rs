//! What printers have in common is kept once.
//!
//! Capabilities are the largest part of what a printer says (a hundred names of media alone), and printers of one model
//! and equipment say the same. Nothing is kept here of what no printer says any more; at most twice as many entries as
//! there are different capabilities.

use crate::domain::state::Capabilities;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

/// Entries before those that nobody has any more are looked for.
const LOOK: usize = 64;

/// The capabilities that printers have, by hash.
#[derive(Debug, Default)]
pub(super) struct Shared {
    known: HashMap<u64, Weak<Capabilities>>,
    /// So many entries at the last look.
    lived: usize,
}

impl Shared {
    /// The same, and the very one that others have if any has it.
    pub(super) fn one(&mut self, said: Arc<Capabilities>) -> Arc<Capabilities> {
        let mut hasher = DefaultHasher::new();
        said.hash(&mut hasher);
        let key = hasher.finish();
        if let Some(known) = self.known.get(&key).and_then(Weak::upgrade).filter(|known| *known == said) {
            return known;
        }
        if self.known.len() >= LOOK.max(self.lived * 2) {
            self.known.retain(|_, known| known.strong_count() > 0);
            self.lived = self.known.len();
        }
        self.known.insert(key, Arc::downgrade(&said));
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(media: usize) -> Arc<Capabilities> {
        Arc::new(Capabilities { media: vec![format!("m{media}")], ..Capabilities::default() })
    }

    #[test]
    fn equal_capabilities_are_one_and_different_ones_are_not() {
        let mut shared = Shared::default();
        let first = shared.one(takes(1));
        assert!(Arc::ptr_eq(&first, &shared.one(takes(1))));
        let other = shared.one(takes(2));
        assert_eq!(other, takes(2));
        assert!(Arc::ptr_eq(&other, &shared.one(takes(2))));
    }

    #[test]
    fn what_nobody_has_any_more_is_not_kept() {
        let mut shared = Shared::default();
        let kept: Vec<_> = (0..100).map(|n| shared.one(takes(n))).collect();
        for n in 100..10_000 {
            drop(shared.one(takes(n)));
        }
        assert!(shared.known.len() <= 2 * kept.len() + 1, "{}", shared.known.len());
        assert!((0..100).all(|n| Arc::ptr_eq(&kept[n], &shared.one(takes(n)))));
    }
}
