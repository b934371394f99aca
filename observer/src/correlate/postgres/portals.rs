//! A connection's portals: statements bound to parameters, some of them half fetched.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::statements::Prepared;
use super::values::Selection;
use super::{Execution, Value, Wanted};

/// A portal's name.
pub(super) type Name = SmallVec<[u8; 16]>;

/// Named portals kept for one connection; the oldest is forgotten first.
const LIMIT: usize = 64;

/// A statement bound to parameters.
#[derive(Debug, Default)]
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    /// What the rules read of it when it was bound; parameters and selection are of that.
    pub(super) wanted: Option<Arc<Wanted>>,
    pub(super) parameters: SmallVec<[Option<Value>; 2]>,
    /// Its wanted columns, once the server described them.
    pub(super) selection: Option<Selection>,
    /// The formats of its result's columns, where some are wanted.
    pub(super) formats: Option<Box<[bool]>>,
    /// What ran of it, if the server has more rows of it.
    pub(super) suspended: Option<Box<Execution>>,
}

impl Portal {
    /// The wanted columns, with the formats they will have.
    pub(super) fn selection(&self) -> Selection {
        if let Some(selection) = &self.selection {
            return selection.clone();
        }
        let (Some(described), Some(wanted)) = (self.prepared.selection.get(), &self.wanted) else {
            return Selection::default();
        };
        let mut selection = described.of(wanted);
        for selected in selection.iter_mut() {
            // None means all text, one goes for all.
            selected.binary = match self.formats.as_deref() {
                Some([all]) => *all,
                Some(formats) => formats.get(selected.field()).copied().unwrap_or(false),
                None => false,
            };
        }
        selection
    }
}

/// Portals by name.
#[derive(Debug, Default)]
pub(super) struct Portals {
    unnamed: Option<Box<Portal>>,
    named: VecDeque<(Name, Box<Portal>)>,
}

impl Portals {
    pub(super) fn get_mut(&mut self, name: &[u8]) -> Option<&mut Portal> {
        if name.is_empty() {
            return self.unnamed.as_deref_mut();
        }
        let found = self.named.iter_mut().find(|(of, _)| of.as_slice() == name);
        found.map(|(_, portal)| &mut **portal)
    }

    /// A portal was made; what ran of the one in its place is returned.
    pub(super) fn insert(&mut self, name: Name, portal: Box<Portal>) -> Option<Box<Execution>> {
        if name.is_empty() {
            return self
                .unnamed
                .replace(portal)
                .and_then(|before| before.suspended);
        }
        if let Some(place) = self.get_mut(&name) {
            return std::mem::replace(place, *portal).suspended;
        }
        let forgotten = if self.named.len() >= LIMIT {
            self.named.pop_front()
        } else {
            None
        };
        self.named.push_back((name, portal));
        forgotten.and_then(|(_, portal)| portal.suspended)
    }

    /// A portal was closed; what ran of it is returned.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Box<Execution>> {
        if name.is_empty() {
            return self.unnamed.take().and_then(|portal| portal.suspended);
        }
        let place = self
            .named
            .iter()
            .position(|(of, _)| of.as_slice() == name)?;
        self.named
            .remove(place)
            .and_then(|(_, portal)| portal.suspended)
    }

    /// The transaction ended and every portal with it; what ran of each is handed on.
    pub(super) fn clear(&mut self, each: &mut dyn FnMut(Box<Execution>)) {
        let unnamed = self.unnamed.take().and_then(|portal| portal.suspended);
        if let Some(ran) = unnamed {
            each(ran);
        }
        for (_, portal) in std::mem::take(&mut self.named) {
            if let Some(ran) = portal.suspended {
                each(ran);
            }
        }
    }
}
