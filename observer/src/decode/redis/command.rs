//! The command table: what a verb does to the conversation, and how it is found.

mod table;

pub use self::table::COMMANDS;

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// The server's own name in lower case, subcommand included.
    pub name: &'static str,
    /// What it does to the rest of the conversation.
    pub role: Role,
    /// What of its reply is a look-up.
    pub lookup: Lookup,
    /// Whether it waits for something other than the server.
    pub blocks: Blocks,
    /// Its place in the table, from 1 on; 0 is [`OTHER`].
    pub number: u16,
}

/// What a command does to the rest of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing: one reply.
    Plain,
    /// Its first argument names the command.
    Container,
    /// Commands behind it are queued.
    Multi,
    /// Its reply holds those of the queued commands.
    Exec,
    /// The connection begins anew.
    Reset,
    /// Every command the server runs is sent from then on.
    Monitor,
    /// Switches replies on or off.
    Reply,
    /// The server's stream becomes that of replication.
    Replicate,
    /// One acknowledgement per channel.
    Subscribe(Family),
    /// One acknowledgement per channel; without arguments, per subscribed channel.
    Unsubscribe(Family),
}

/// The three separate kinds of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `SUBSCRIBE`.
    Channel,
    /// `PSUBSCRIBE`.
    Pattern,
    /// `SSUBSCRIBE`.
    Shard,
}

/// What of a reply is a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing.
    None,
    /// The reply: nil is a miss.
    One,
    /// Each element of the reply.
    Each,
}

/// Whether a command waits for something other than the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// Never.
    Never,
    /// By nature.
    Always,
    /// With the option `BLOCK`.
    OnOption,
}

/// A verb or subcommand that is not in the table.
pub static OTHER: Command = row("_other");

/// Bytes of the longest word of a name.
pub(crate) const LONGEST_WORD: usize = 24;

/// The command of a verb, in any case; `None` for one not in the table.
#[must_use]
pub fn find(verb: &[u8]) -> Option<&'static Command> {
    let found = probe(hash(FNV_OFFSET, verb), |name| {
        name.eq_ignore_ascii_case(verb)
    });
    // `client|setname` is one name for two words; as one word no server knows it.
    found.filter(|_| !verb.contains(&b'|'))
}

/// The command of a container's subcommand.
pub(crate) fn find_sub(container: &Command, sub: &[u8]) -> Option<&'static Command> {
    let verb = container.name.as_bytes();
    let start = hash(hash(hash(FNV_OFFSET, verb), b"|"), sub);
    probe(start, |name| {
        name.strip_prefix(verb)
            .and_then(|rest| rest.strip_prefix(b"|"))
            .is_some_and(|rest| rest.eq_ignore_ascii_case(sub))
    })
}

/// Walks the open-addressed index from where `hash` points to the first empty slot.
fn probe(hash: u32, is: impl Fn(&[u8]) -> bool) -> Option<&'static Command> {
    let mut slot = hash as usize % SLOTS;
    loop {
        let entry = usize::from(*INDEX.get(slot)?);
        let command = COMMANDS.get(entry.checked_sub(1)?)?;
        if is(command.name.as_bytes()) {
            return Some(command);
        }
        slot = (slot + 1) % SLOTS;
    }
}

const FNV_OFFSET: u32 = 0x811c_9dc5;

/// FNV-1a over lower-cased bytes.
const fn hash(mut state: u32, word: &[u8]) -> u32 {
    let mut rest = word;
    while let [byte, tail @ ..] = rest {
        state = (state ^ byte.to_ascii_lowercase() as u32).wrapping_mul(0x0100_0193);
        rest = tail;
    }
    state
}

/// At least twice the rows, so that a probe ends soon and always.
const SLOTS: usize = 1024;
const _: () = assert!(COMMANDS.len() * 2 <= SLOTS);

/// Position of a row in [`COMMANDS`], plus one; 0 is empty.
static INDEX: [u16; SLOTS] = index();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler, over fewer than 65,535 rows"
)]
const fn index() -> [u16; SLOTS] {
    let mut index = [0; SLOTS];
    let mut row = 0;
    while row < COMMANDS.len() {
        let mut slot = hash(FNV_OFFSET, COMMANDS[row].name.as_bytes()) as usize % SLOTS;
        while index[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        index[slot] = row as u16 + 1;
        row += 1;
    }
    index
}

const fn row(name: &'static str) -> Command {
    Command {
        name,
        role: Role::Plain,
        lookup: Lookup::None,
        blocks: Blocks::Never,
        number: 0,
    }
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler, over fewer than 65,535 rows"
)]
const fn numbered<const ROWS: usize>(mut rows: [Command; ROWS]) -> [Command; ROWS] {
    let mut row = 0;
    while row < ROWS {
        rows[row].number = row as u16 + 1;
        row += 1;
    }
    rows
}

impl Command {
    const fn role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    const fn lookup(self, lookup: Lookup) -> Self {
        Self { lookup, ..self }
    }

    const fn blocks(self, blocks: Blocks) -> Self {
        Self { blocks, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_words_in_any_case() {
        for command in COMMANDS {
            let found = match command.name.split_once('|') {
                None => find(command.name.to_ascii_uppercase().as_bytes()),
                Some((verb, sub)) => find_sub(
                    find(verb.as_bytes()).unwrap(),
                    sub.to_ascii_uppercase().as_bytes(),
                ),
            };
            assert_eq!(found, Some(command));
        }
    }

    #[test]
    fn names_are_sorted_distinct_and_short() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        for command in COMMANDS {
            assert!(command.name.split('|').all(|w| w.len() <= LONGEST_WORD));
        }
    }

    #[test]
    fn what_no_server_knows_is_not_found() {
        for verb in ["", "gett", "ge", "_other", "client|id", "\u{e9}"] {
            assert_eq!(find(verb.as_bytes()), None, "{verb}");
        }
        assert_eq!(find_sub(find(b"client").unwrap(), b"nothing"), None);
    }
}
