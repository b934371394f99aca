//! A connection's portals: statements bound to parameters, some of them half fetched.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::split::Words;
use super::statements::Prepared;
use super::values::Selection;
use super::{Execution, Value, Wanted};

/// A portal's name.
pub(super) type Name = SmallVec<[u8; 16]>;

/// Named portals kept for one connection; the oldest is forgotten first.
const LIMIT: usize = 64;
/// First words that are the tag as well.
const TAGS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"];

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
    /// Its execution was handed on before its last row was fetched; the rest belongs to that.
    pub(super) told: bool,
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

    /// The first words of the tag that it will end with, where its text tells them.
    pub(super) fn tag(&self) -> Option<&'static str> {
        let word = Words(&self.prepared.text()?.statement.text).next()?;
        TAGS.into_iter().find(|tag| tag.eq_ignore_ascii_case(word))
    }

    /// Whether it changes rows, all of them at the first fetch; where its text does not tell, what
    /// rules read may.
    pub(super) fn writes(&self) -> bool {
        self.tag().map_or(self.is_read(), |tag| tag != "SELECT")
    }

    /// Whether rules read its rows.
    pub(super) fn is_read(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.rows)
    }

    /// What ran of it, if what runs next must come behind that: a write's effects are those of its
    /// first fetch, and what was read before a savepoint is not read after it.
    fn overtaken(&mut self, steers: bool) -> Option<Box<Execution>> {
        let comes_first = self.writes() || (steers && self.is_read());
        let ran = self.suspended.take_if(|_| comes_first);
        self.told |= ran.is_some();
        ran
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

    /// Another execution than that of the portal `of` ended, and `steers` the transaction; what
    /// comes before it is handed on.
    pub(super) fn overtake(
        &mut self,
        of: Option<&Name>,
        steers: bool,
        each: &mut dyn FnMut(Box<Execution>),
    ) {
        if let Some(portal) = &mut self.unnamed
            && of.is_none_or(|of| !of.is_empty())
            && let Some(ran) = portal.overtaken(steers)
        {
            each(ran);
        }
        for (name, portal) in &mut self.named {
            if of != Some(&*name)
                && let Some(ran) = portal.overtaken(steers)
            {
                each(ran);
            }
        }
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
