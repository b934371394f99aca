//! Statement texts, one copy each for the whole agent, within a budget.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use schnellru::{ByLength, LruMap};
use sha2::{Digest as _, Sha256};

use super::control::Control;
use super::{Interest, Statement, Wanted};

/// Memory that texts may take, in bytes.
const TEXT_BUDGET: usize = 8 * 1024 * 1024;
/// What a text takes beside its bytes, about.
const OVERHEAD: usize = 256;
/// So much of a text that is cut shows what it is not.
const TELLING: usize = 64;
/// Names of pgx whose text is remembered beyond the connection that prepared it.
const NAMES: u32 = 4096;
/// Prepared statements mapped by all connections together.
const PREPARED_LIMIT: usize = 200_000;

/// A text and what was once found out about it.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) statement: Arc<Statement>,
    /// What the rules in force read of it.
    wanted: ArcSwap<Wanted>,
    /// What it does to its transaction; `None` where too little of it is known to tell.
    pub(super) control: Option<Control>,
    /// Whether it was asked for since the budget last looked at it.
    used: AtomicBool,
}

impl Text {
    /// The values that the rules in force read.
    pub(super) fn wanted(&self) -> Arc<Wanted> {
        self.wanted.load_full()
    }
}

/// What all connections share: the texts, the names that pgx gives them, and which values of them
/// the rules read.
pub struct Shared {
    texts: Mutex<Texts>,
    prepared: AtomicUsize,
    /// How often the rules changed.
    changes: AtomicU64,
}

struct Texts {
    interest: Arc<dyn Interest>,
    hasher: RandomState,
    by_text: HashTable<Arc<Text>>,
    /// The same, in the order in which the budget looks at them.
    order: VecDeque<Arc<Text>>,
    by_name: LruMap<[u8; 24], Arc<Text>>,
    bytes: usize,
    next_id: u64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// With the rules' interest in values.
    #[must_use]
    pub fn new(interest: Box<dyn Interest>) -> Self {
        Self {
            texts: Mutex::new(Texts {
                interest: interest.into(),
                hasher: RandomState::default(),
                by_text: HashTable::new(),
                order: VecDeque::new(),
                by_name: LruMap::new(ByLength::new(NAMES)),
                bytes: 0,
                next_id: 1,
            }),
            prepared: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
        }
    }

    /// The rules have changed: asks again what they want of every statement. Values that were kept
    /// say what they were kept for, so none is taken for another.
    pub fn ask_again(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        let (interest, texts) = {
            let texts = self.lock();
            (Arc::clone(&texts.interest), texts.order.clone())
        };
        // Not under the lock: connections go on meanwhile, and new texts ask by themselves.
        for text in texts {
            text.wanted.store(interest.wanted(&text.statement));
        }
    }

    /// How often the rules changed: what was asked for before is out of date.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The one copy of a text; `None` where the budget has no room for it.
    pub(super) fn text(&self, bytes: &[u8], cut: bool) -> Option<Arc<Text>> {
        self.lock().text(&lossy(bytes, cut), cut)
    }

    /// A text under the name that pgx made of it: other connections may use the name unseen.
    pub(super) fn learn(&self, name: &[u8], bytes: &[u8], text: &Arc<Text>) {
        if let Some(digest) = pgx_digest(name)
            && Sha256::digest(bytes).first_chunk() == Some(&digest)
        {
            self.lock().by_name.insert(digest, Arc::clone(text));
        }
    }

    /// The text of a name that pgx made.
    pub(super) fn text_of(&self, name: &[u8]) -> Option<Arc<Text>> {
        let digest = pgx_digest(name)?;
        self.lock().by_name.get(&digest).cloned()
    }

    /// The values wanted of a statement of which only the name is known.
    pub(super) fn wanted_by_name(&self, name: &str) -> Option<Arc<Wanted>> {
        self.lock().interest.wanted_by_name(name)
    }

    /// Takes room for a prepared statement; `false` where there is none.
    pub(super) fn reserve(&self) -> bool {
        let taken = self.prepared.fetch_add(1, Ordering::Relaxed) < PREPARED_LIMIT;
        if !taken {
            self.free(1);
        }
        taken
    }

    /// Gives it back.
    pub(super) fn free(&self, count: usize) {
        self.prepared.fetch_sub(count, Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Texts {
    fn text(&mut self, text: &str, cut: bool) -> Option<Arc<Text>> {
        let hash = self.hasher.hash_one((text, cut));
        let same = |known: &Arc<Text>| known.statement.text == text && known.statement.cut == cut;
        if let Some(known) = self.by_text.find(hash, same) {
            known.used.store(true, Ordering::Relaxed);
            return Some(Arc::clone(known));
        }
        let size = text.len().saturating_add(OVERHEAD);
        if !self.make_room(size) {
            return None;
        }
        let statement = Arc::new(Statement {
            id: self.next_id,
            text: text.to_owned(),
            cut,
        });
        self.next_id = self.next_id.saturating_add(1);
        let known = Arc::new(Text {
            wanted: ArcSwap::new(self.interest.wanted(&statement)),
            control: Some(Control::of(text))
                .filter(|control| !cut || *control == Control::Other && text.len() >= TELLING),
            statement,
            used: AtomicBool::new(false),
        });
        self.bytes = self.bytes.saturating_add(size);
        self.order.push_back(Arc::clone(&known));
        let hasher = &self.hasher;
        self.by_text
            .insert_unique(hash, Arc::clone(&known), |known| {
                hasher.hash_one((known.statement.text.as_str(), known.statement.cut))
            });
        Some(known)
    }

    /// Forgets texts that no connection holds and that were not asked for lately.
    fn make_room(&mut self, size: usize) -> bool {
        // A bounded look: the data path does not pay for a budget that is all in use.
        for look in 0..64 {
            if self.bytes.saturating_add(size) <= TEXT_BUDGET {
                return true;
            }
            if look >= 32 {
                self.by_name.pop_oldest();
            }
            let Some(oldest) = self.order.pop_front() else {
                return false;
            };
            // One for the table, one in hand; a name or a connection would be the third.
            if oldest.used.swap(false, Ordering::Relaxed) || Arc::strong_count(&oldest) > 2 {
                self.order.push_back(oldest);
                continue;
            }
            let statement = &oldest.statement;
            let hash = self
                .hasher
                .hash_one((statement.text.as_str(), statement.cut));
            if let Ok(entry) = self
                .by_text
                .find_entry(hash, |known| Arc::ptr_eq(known, &oldest))
            {
                entry.remove();
            }
            let freed = statement.text.len().saturating_add(OVERHEAD);
            self.bytes = self.bytes.saturating_sub(freed);
        }
        false
    }
}

/// As UTF-8; a character that the cut went through is left out.
fn lossy(bytes: &[u8], cut: bool) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Err(error) if cut && error.error_len().is_none() => {
            String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default())
        }
        _ => String::from_utf8_lossy(bytes),
    }
}

/// pgx names a statement `stmtcache_` and the first 24 bytes of its text's SHA-256 in hexadecimal.
fn pgx_digest(name: &[u8]) -> Option<[u8; 24]> {
    let hexadecimal = name.strip_prefix(b"stmtcache_")?;
    if hexadecimal.len() != 48 {
        return None;
    }
    let mut digest = [0; 24];
    for (byte, pair) in digest.iter_mut().zip(hexadecimal.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Interest for Nothing {
        fn wanted(&self, _: &Statement) -> Arc<Wanted> {
            Arc::default()
        }
        fn wanted_by_name(&self, _: &str) -> Option<Arc<Wanted>> {
            None
        }
    }

    #[test]
    fn equal_texts_are_one() {
        let shared = Shared::new(Box::new(Nothing));
        let first = shared.text(b"SELECT 1", false).unwrap();
        let again = shared.text(b"SELECT 1", false).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let cut = shared.text(b"SELECT 1", true).unwrap();
        assert_ne!(first.statement.id, cut.statement.id);
    }

    #[test]
    fn the_budget_holds_and_what_is_in_use_stays() {
        let shared = Shared::new(Box::new(Nothing));
        let held = shared.text(b"held", false).unwrap();
        let long = "x".repeat(10_000);
        for n in 0..3000 {
            assert!(
                shared
                    .text(format!("{n}{long}").as_bytes(), false)
                    .is_some()
            );
        }
        assert!(shared.lock().bytes <= TEXT_BUDGET);
        assert!(Arc::ptr_eq(&held, &shared.text(b"held", false).unwrap()));
        let all: Vec<_> = (0..3000)
            .filter_map(|n| shared.text(format!("in use {n}{long}").as_bytes(), false))
            .collect();
        assert!(all.len() < 3000, "a budget all in use refuses");
    }

    #[test]
    fn a_pgx_name_is_learnt_only_from_its_own_text() {
        let shared = Shared::new(Box::new(Nothing));
        let sql = b"SELECT 1";
        let name = "stmtcache_e004ebd5b5532a4b85984a62f8ad48a81aa3460c1ca07701";
        let text = shared.text(sql, false).unwrap();
        shared.learn(name.as_bytes(), b"SELECT 2", &text);
        assert!(shared.text_of(name.as_bytes()).is_none());
        shared.learn(name.as_bytes(), sql, &text);
        assert!(shared.text_of(name.as_bytes()).is_some());
        assert!(shared.text_of(b"stmtcache_zz").is_none());
    }
}
