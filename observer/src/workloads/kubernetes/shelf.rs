//! What one watch has told, bounded, and what each of its events changes of that.

use std::collections::{HashMap, HashSet};

use super::objects::Said;

/// Objects of one watch that are remembered; of those beyond nothing is known.
pub(super) const MOST: usize = 16_384;
/// Bytes of them.
const BYTES: usize = 32 << 20;

/// What a watch tells of its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event<T> {
    /// A list begins: what will not be in it is gone.
    Begun,
    /// It is in the list.
    Listed(T),
    /// The list is complete.
    Complete,
    /// It is there, or has changed.
    Set(T),
    /// It is gone.
    Gone(T),
}

/// What an event came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change<T> {
    /// This is new.
    Set(T),
    /// This is gone.
    Gone(T),
    /// There is no room for one that is new.
    Refused,
}

/// The objects of one watch.
pub(super) struct Shelf<T> {
    kept: HashMap<String, T>,
    /// Those in the list that is being read.
    listed: HashSet<String>,
    /// Bytes of those that are kept.
    size: usize,
    most: usize,
    bytes: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            kept: HashMap::new(),
            listed: HashSet::new(),
            size: 0,
            most: MOST,
            bytes: BYTES,
        }
    }
}

impl<T: Said> Shelf<T> {
    /// What an event changes.
    pub(super) fn take(&mut self, event: Event<T>) -> Vec<Change<T>> {
        match event {
            Event::Begun => {
                self.listed.clear();
                Vec::new()
            }
            Event::Listed(object) => {
                if self.listed.len() < self.most {
                    self.listed.insert(object.key().to_owned());
                }
                self.set(object)
            }
            Event::Complete => {
                let listed = std::mem::take(&mut self.listed);
                let gone = self.kept.extract_if(|key, _| !listed.contains(key));
                let gone = gone.map(|(_, object)| {
                    self.size -= object.size();
                    Change::Gone(object)
                });
                gone.collect()
            }
            Event::Set(object) => self.set(object),
            Event::Gone(object) => {
                let gone = self.kept.remove(object.key());
                self.size -= gone.as_ref().map_or(0, Said::size);
                gone.into_iter().map(Change::Gone).collect()
            }
        }
    }

    fn set(&mut self, object: T) -> Vec<Change<T>> {
        let known = self.kept.get(object.key());
        if known == Some(&object) {
            return Vec::new();
        }
        let size = self.size - known.map_or(0, Said::size) + object.size();
        let is_over = known.is_none() && self.kept.len() >= self.most;
        if is_over || size > self.bytes {
            // What it was no longer holds.
            let gone = self.kept.remove(object.key());
            self.size -= gone.as_ref().map_or(0, Said::size);
            let gone = gone.into_iter().map(Change::Gone);
            return gone.chain([Change::Refused]).collect();
        }
        self.size = size;
        self.kept.insert(object.key().to_owned(), object.clone());
        vec![Change::Set(object)]
    }

    /// One of them.
    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.kept.get(key)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.kept.values()
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Said for (&'static str, u8) {
        fn key(&self) -> &str {
            self.0
        }

        fn size(&self) -> usize {
            usize::from(self.1)
        }
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_too() {
        let mut shelf = Shelf {
            bytes: 10,
            ..Shelf::default()
        };
        for (event, changes, size) in [
            (Event::Set(("a", 6)), vec![Change::Set(("a", 6))], 6),
            (Event::Set(("b", 5)), vec![Change::Refused], 6),
            (Event::Set(("b", 4)), vec![Change::Set(("b", 4))], 10),
            (Event::Set(("b", 3)), vec![Change::Set(("b", 3))], 9),
            // One that has grown is not what it was.
            (
                Event::Set(("b", 5)),
                vec![Change::Gone(("b", 3)), Change::Refused],
                6,
            ),
            (Event::Gone(("b", 5)), vec![], 6),
            (Event::Begun, vec![], 6),
            (Event::Listed(("c", 4)), vec![Change::Set(("c", 4))], 10),
            (Event::Complete, vec![Change::Gone(("a", 6))], 4),
            (Event::Gone(("c", 4)), vec![Change::Gone(("c", 4))], 0),
        ] {
            assert_eq!(shelf.take(event.clone()), changes, "{event:?}");
            assert_eq!(shelf.size, size, "{event:?}");
        }
    }

    #[test]
    fn each_event_changes_what_it_says_and_no_more() {
        let mut shelf = Shelf {
            most: 2,
            ..Shelf::default()
        };
        for (event, changes) in [
            (Event::Set(("a", 1)), vec![Change::Set(("a", 1))]),
            (Event::Set(("a", 1)), vec![]),
            (Event::Set(("a", 2)), vec![Change::Set(("a", 2))]),
            (Event::Set(("b", 1)), vec![Change::Set(("b", 1))]),
            (Event::Set(("c", 1)), vec![Change::Refused]),
            (Event::Gone(("c", 1)), vec![]),
            // A list that breaks off changes what it came to.
            (Event::Begun, vec![]),
            (Event::Listed(("b", 2)), vec![Change::Set(("b", 2))]),
            (Event::Begun, vec![]),
            (Event::Listed(("a", 2)), vec![]),
            (Event::Complete, vec![Change::Gone(("b", 2))]),
            (Event::Set(("c", 1)), vec![Change::Set(("c", 1))]),
            (Event::Gone(("a", 9)), vec![Change::Gone(("a", 2))]),
        ] {
            assert_eq!(shelf.take(event.clone()), changes, "{event:?}");
        }
        assert_eq!((shelf.len(), shelf.get("c")), (1, Some(&("c", 1))));
    }
}
