//! A connection's prepared statements, and those known only by name.

use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::texts::{Shared, Text};
use super::values::Selection;
use super::{Wanted, Which};

/// Prepared statements mapped for one connection; pgx caches 512.
const LIMIT: usize = 1024;

/// A prepared statement.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    source: Source,
    /// Its parameters' types, once the server described them.
    pub(super) types: OnceLock<Box<[u32]>>,
    /// Its wanted columns, once the server described them.
    pub(super) selection: OnceLock<Selection>,
}

#[derive(Debug, Default)]
enum Source {
    Text(Arc<Text>),
    Name(Named),
    #[default]
    Unknown,
}

/// A statement of which only the name is known.
#[derive(Debug)]
struct Named {
    name: Box<str>,
    wanted: Option<Arc<Wanted>>,
    /// [`Shared::changes`] when the rules were asked.
    asked: u64,
}

impl Prepared {
    pub(super) fn of(text: Option<Arc<Text>>) -> Self {
        Self {
            source: text.map_or(Source::Unknown, Source::Text),
            ..Self::default()
        }
    }

    pub(super) fn text(&self) -> Option<&Arc<Text>> {
        match &self.source {
            Source::Text(text) => Some(text),
            Source::Name(_) | Source::Unknown => None,
        }
    }

    pub(super) fn which(&self) -> Which {
        match &self.source {
            Source::Text(text) => Which::Known(Arc::clone(&text.statement)),
            Source::Name(named) => Which::Named(named.name.to_string()),
            Source::Unknown => Which::Unknown,
        }
    }

    pub(super) fn wanted(&self) -> Option<Arc<Wanted>> {
        match &self.source {
            Source::Text(text) => Some(text.wanted()),
            Source::Name(named) => named.wanted.clone(),
            Source::Unknown => None,
        }
    }

    /// Whether the rules have changed since they were asked about its name.
    fn is_outdated(&self, changes: u64) -> bool {
        matches!(&self.source, Source::Name(named) if named.asked != changes)
    }
}

/// Prepared statements by name.
#[derive(Debug)]
pub(super) struct Statements {
    shared: Arc<Shared>,
    unnamed: Option<Arc<Prepared>>,
    named: HashMap<Box<[u8]>, Arc<Prepared>, RandomState>,
}

impl Statements {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            unnamed: None,
            named: HashMap::default(),
        }
    }

    /// The server prepared a statement.
    pub(super) fn insert(&mut self, name: &[u8], prepared: Arc<Prepared>) {
        if name.is_empty() {
            self.unnamed = Some(prepared);
        } else if let Some(known) = self.named.get_mut(name) {
            *known = prepared;
        } else if self.named.len() < LIMIT && self.shared.reserve() {
            self.named.insert(name.into(), prepared);
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<Prepared>> {
        if name.is_empty() {
            self.unnamed.as_ref()
        } else {
            self.named.get(name)
        }
    }

    /// What a `Bind` names, as well as it can be told: prepared before the observer saw it, a name
    /// may be one that another connection prepared.
    pub(super) fn resolve(&mut self, name: &[u8]) -> Arc<Prepared> {
        let known = self.get(name);
        if let Some(known) = known
            && (known.text().is_some() || name.is_empty())
        {
            return Arc::clone(known);
        }
        if name.is_empty() {
            return Arc::default();
        }
        let text = self.shared.text_of(name);
        let changes = self.shared.changes();
        if let (None, Some(known)) = (&text, known)
            && !known.is_outdated(changes)
        {
            return Arc::clone(known);
        }
        let prepared = Arc::new(if text.is_some() {
            Prepared::of(text)
        } else {
            let name = String::from_utf8_lossy(name).into_owned();
            let wanted = self.shared.wanted_by_name(&name);
            Prepared {
                source: Source::Name(Named {
                    name: name.into(),
                    wanted,
                    asked: changes,
                }),
                ..Prepared::default()
            }
        });
        self.insert(name, Arc::clone(&prepared));
        prepared
    }

    /// The statement was closed, or its text cannot be told any more.
    pub(super) fn remove(&mut self, name: &[u8]) {
        if name.is_empty() {
            self.unnamed = None;
        } else if self.named.remove(name).is_some() {
            self.shared.free(1);
        }
    }

    pub(super) fn clear(&mut self) {
        self.unnamed = None;
        self.shared.free(self.named.len());
        self.named = HashMap::default();
    }
}

impl Drop for Statements {
    fn drop(&mut self) {
        self.clear();
    }
}
