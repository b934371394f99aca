//! What scrapes see of the watches: how current each is, what went wrong, how much is known.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::trouble::Trouble;
use crate::clock;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pods of this node.
    Pods,
    /// Pods of other nodes.
    PodsElsewhere,
    Services,
    EndpointSlices,
}

impl Kind {
    /// Each, at the place of its number.
    const ALL: [Self; 4] = [
        Self::Pods,
        Self::PodsElsewhere,
        Self::Services,
        Self::EndpointSlices,
    ];

    /// As the label `resource` has it.
    fn label(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::PodsElsewhere => "pods_elsewhere",
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
        }
    }

    /// As the API has it.
    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Pods | Self::PodsElsewhere => "pods",
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
        }
    }
}

/// A watch, or all of one kind, as of now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Informed {
    /// What is watched.
    pub resource: &'static str,
    /// When what is known last was what the API says, in Unix time; 0 before the first list.
    pub synchronized: f64,
    /// Requests that came to nothing.
    pub errors: u64,
    /// Objects that are known.
    pub objects: u64,
    /// Objects for which there was no room.
    pub refused: u64,
    /// What is the matter now, in one sentence.
    pub trouble: Option<String>,
}

/// Sentences that are logged at most before all is well again.
const SENTENCES: usize = 32;

/// The books of all watches.
#[derive(Debug, Default)]
pub struct Books {
    rows: [Row; Kind::ALL.len()],
    /// Sentences that were logged since all was well.
    said: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Row {
    /// Bits of a number.
    synchronized: AtomicU64,
    errors: AtomicU64,
    objects: AtomicU64,
    refused: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Books {
    /// A row for each kind.
    #[must_use]
    pub fn read(&self) -> Vec<Informed> {
        let rows = Kind::ALL.iter().zip(&self.rows);
        rows.map(|(kind, row)| Informed {
            resource: kind.label(),
            synchronized: f64::from_bits(row.synchronized.load(Ordering::Relaxed)),
            errors: row.errors.load(Ordering::Relaxed),
            objects: row.objects.load(Ordering::Relaxed),
            refused: row.refused.load(Ordering::Relaxed),
            trouble: lock(&row.trouble).clone(),
        })
        .collect()
    }

    /// What is known was what the API said then.
    pub(super) fn synchronized(&self, kind: Kind, when: f64) {
        let row = self.row(kind);
        row.synchronized.store(when.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn objects(&self, kind: Kind, objects: usize) {
        self.row(kind)
            .objects
            .store(objects as u64, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, kind: Kind, refused: usize) {
        let row = self.row(kind);
        row.refused.fetch_add(refused as u64, Ordering::Relaxed);
    }

    /// A request came to nothing: said once until all is well.
    pub(super) fn failed(&self, kind: Kind, verb: &str, trouble: &Trouble) {
        let row = self.row(kind);
        row.errors.fetch_add(1, Ordering::Relaxed);
        if *trouble == Trouble::Expired {
            return;
        }
        let sentence = sentence(verb, kind.resource(), trouble);
        *lock(&row.trouble) = Some(sentence.clone());
        let mut said = lock(&self.said);
        if said.len() < SENTENCES && said.insert(sentence.clone()) {
            tracing::warn!(
                problem = sentence,
                "the Kubernetes API tells no news; names that are known stay"
            );
        }
    }

    /// All watches of a kind stand.
    pub(super) fn stands(&self, kind: Kind) {
        let healed = lock(&self.row(kind).trouble).take().is_some();
        let well = || self.rows.iter().all(|row| lock(&row.trouble).is_none());
        if healed && well() {
            lock(&self.said).clear();
            tracing::info!("the Kubernetes API tells news again");
        }
    }

    fn row(&self, kind: Kind) -> &Row {
        let [pods, elsewhere, services, slices] = &self.rows;
        match kind {
            Kind::Pods => pods,
            Kind::PodsElsewhere => elsewhere,
            Kind::Services => services,
            Kind::EndpointSlices => slices,
        }
    }
}

/// What is the matter, and where a right is missing which one, and where it is given.
pub(super) fn sentence(verb: &str, resource: &str, trouble: &Trouble) -> String {
    match trouble {
        Trouble::Forbidden => format!(
            "the agent may not {verb} {resource}: the ClusterRole observer \
             (deploy/base/monitoring/observer/cluster-role.yaml) gives it that, once it is bound"
        ),
        _ => trouble.to_string(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Now.
pub(super) fn now() -> f64 {
    clock::unix_seconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sentence_is_logged_once_until_all_is_well_and_no_more_than_so_many() {
        let books = Books::default();
        let said = || lock(&books.said).len();
        for _ in 0..2 {
            books.failed(Kind::Pods, "list", &Trouble::Late);
            books.failed(Kind::Services, "list", &Trouble::Late);
        }
        // What is listed again is no fault.
        books.failed(Kind::Pods, "watch", &Trouble::Expired);
        assert_eq!(said(), 1);
        for status in 0..600 {
            books.failed(Kind::Pods, "list", &Trouble::Status(status));
        }
        assert_eq!(said(), SENTENCES);
        let rows = books.read();
        assert_eq!((rows[0].errors, rows[2].errors), (603, 2));
        assert_eq!(rows[0].trouble.as_deref(), Some("it answers 599"));
        books.stands(Kind::Pods);
        assert_eq!(said(), SENTENCES, "services are still in trouble");
        books.stands(Kind::Services);
        assert_eq!(said(), 0);
    }
}
