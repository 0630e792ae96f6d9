//! What an agent answers from: objects in the order of their identifiers.

use async_snmp::{Oid, Value};

/// The objects of one context at one moment. Instances are ordered as OBJECT IDENTIFIERs are (RFC 3416 §4.2.2).
pub(super) trait Objects {
    /// The value of this instance.
    fn get(&self, oid: &Oid) -> Option<Value>;

    /// The first instance behind this identifier.
    fn next(&self, oid: &Oid) -> Option<(Oid, Value)>;

    /// Whether there is an instance at or below this identifier: tells noSuchInstance from noSuchObject.
    fn knows(&self, oid: &Oid) -> bool {
        self.get(oid).is_some() || self.next(oid).is_some_and(|(next, _)| next.starts_with(oid))
    }
}

/// A sorted list without doubles.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sorted<T>(Vec<(Oid, T)>);

impl<T> Sorted<T> {
    /// Sorts; of several entries of one identifier the first stays. The others come back, in their order.
    pub(super) fn new(mut entries: Vec<(Oid, T)>) -> (Sorted<T>, Vec<Oid>) {
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut doubles = Vec::new();
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                doubles.push(later.0.clone());
            }
            same
        });
        entries.shrink_to_fit();
        (Sorted(entries), doubles)
    }

    pub(super) fn get(&self, oid: &Oid) -> Option<&T> {
        let index = self.0.binary_search_by(|(at, _)| at.cmp(oid)).ok()?;
        self.0.get(index).map(|(_, entry)| entry)
    }

    pub(super) fn after(&self, oid: &Oid) -> Option<&(Oid, T)> {
        self.0.get(self.0.partition_point(|(at, _)| at <= oid))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Objects for Sorted<Value> {
    fn get(&self, oid: &Oid) -> Option<Value> {
        Sorted::get(self, oid).cloned()
    }

    fn next(&self, oid: &Oid) -> Option<(Oid, Value)> {
        self.after(oid).cloned()
    }
}

/// `snmp-loop`: goes round within a column of HOST-RESOURCES-MIB and Printer-MIB.
pub(super) struct Looping<'a>(pub(super) &'a dyn Objects);

/// Where the loops are.
const LOOPS: [&[u32]; 2] = [&[1, 3, 6, 1, 2, 1, 25], &[1, 3, 6, 1, 2, 1, 43]];

impl Objects for Looping<'_> {
    fn get(&self, oid: &Oid) -> Option<Value> {
        self.0.get(oid)
    }

    fn next(&self, oid: &Oid) -> Option<(Oid, Value)> {
        let next = self.0.next(oid);
        // A row is meant, not a table or a column on the way to it.
        if self.0.get(oid).is_none() || !LOOPS.iter().any(|subtree| oid.arcs().starts_with(subtree)) {
            return next;
        }
        // Tables are indexed by the device and mostly by a number: x.D.n or x.D, so the column is what is left of both.
        let column = oid.parent().and_then(|parent| if oid.len() > 11 { parent.parent() } else { Some(parent) })?;
        match next {
            Some((next, value)) if next.starts_with(&column) => Some((next, value)),
            _ => self.0.next(&column),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(texts: &[(&str, i32)]) -> (Sorted<Value>, Vec<Oid>) {
        Sorted::new(texts.iter().map(|(oid, value)| (Oid::parse(oid).unwrap(), Value::Integer(*value))).collect())
    }

    #[test]
    fn order_is_that_of_numbers_and_the_first_of_doubles_stays() {
        let (objects, doubles) = sorted(&[("1.3.10", 1), ("1.3.9", 2), ("1.3.9.1", 3), ("1.3.9", 4)]);
        assert_eq!(doubles, [Oid::parse("1.3.9").unwrap()]);
        let mut at = Oid::parse("1.3").unwrap();
        let mut walked = Vec::new();
        while let Some((next, value)) = objects.next(&at) {
            walked.push((next.to_string(), value.as_i32().unwrap()));
            at = next;
        }
        assert_eq!(walked, [("1.3.9".to_owned(), 2), ("1.3.9.1".to_owned(), 3), ("1.3.10".to_owned(), 1)]);
        assert!(objects.knows(&Oid::parse("1.3").unwrap()));
        assert!(!objects.knows(&Oid::parse("1.3.11").unwrap()));
    }

    #[test]
    fn a_loop_stays_in_its_column() {
        let (objects, _) = sorted(&[
            ("1.3.6.1.2.1.43.11.1.1.6.1.1", 1),
            ("1.3.6.1.2.1.43.11.1.1.6.1.2", 2),
            ("1.3.6.1.2.1.43.11.1.1.7.1.1", 3),
        ]);
        let looping = Looping(&objects);
        let next = |oid: &str| looping.next(&Oid::parse(oid).unwrap()).unwrap().0.to_string();
        assert_eq!(next("1.3.6.1.2.1.43.11.1.1.6.1.1"), "1.3.6.1.2.1.43.11.1.1.6.1.2");
        assert_eq!(next("1.3.6.1.2.1.43.11.1.1.6.1.2"), "1.3.6.1.2.1.43.11.1.1.6.1.1");
    }
}
