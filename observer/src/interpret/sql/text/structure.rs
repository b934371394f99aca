//! What a statement does, and to which table.
#![forbid(unsafe_code)]

use super::super::lexer::Token;
use super::VERBS;

/// Characters of a table's name in a label (PostgreSQL cuts names at 63 bytes).
const NAME_LIMIT: usize = 63;

/// Finds the verb and the main table.
#[derive(Debug, Default)]
pub(super) struct Structure {
    verb: Verb,
    expect: Expect,
    /// The main table is a subquery, whose own table will do.
    derived: bool,
    table: String,
}

#[derive(Clone, Copy, Debug, Default)]
enum Verb {
    /// Nothing was read.
    #[default]
    Awaited,
    /// Among the common tables of WITH.
    Behind,
    /// The statement begins with no keyword of PostgreSQL's.
    Foreign,
    /// Its operation, whether that is its name, and the parentheses around it.
    Found(&'static str, bool, u32),
}

/// What the next word may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Nothing,
    /// The main table's name.
    Table,
    /// A dot, and the name's next part.
    Part,
}

impl Structure {
    pub(super) fn token(&mut self, token: Token<'_>, depth: u32) {
        match (token, self.expect) {
            (Token::Word(word), expect) => self.word(word, expect, depth),
            (Token::Quoted(name), Expect::Table) => self.part(name, true),
            (Token::Mark('.'), Expect::Part) => {
                self.expect = Expect::Table;
                self.table.push('.');
            }
            (Token::Mark('('), Expect::Table) => {
                self.expect = Expect::Nothing;
                self.derived = true;
            }
            _ => self.expect = Expect::Nothing,
        }
    }

    /// The operation, whether it is the statement's name, and the table.
    pub(super) fn finish(self) -> (&'static str, bool, String) {
        let (operation, plain) = match self.verb {
            Verb::Found(operation, plain, _) => (operation, plain),
            Verb::Awaited | Verb::Behind | Verb::Foreign => ("", true),
        };
        let table = self.table.trim_end_matches('.');
        let table = table.strip_prefix("public.").unwrap_or(table).to_owned();
        (operation, plain, table)
    }

    fn word(&mut self, word: &str, expect: Expect, depth: u32) {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        let (operation, verb_depth) = match self.verb {
            Verb::Found(operation, _, depth) => (operation, depth),
            Verb::Foreign => return,
            Verb::Awaited | Verb::Behind => return self.begin(word, depth),
        };
        if expect == Expect::Table {
            if !(is("only") || is("lateral")) {
                self.part(word, false);
            }
            return;
        }
        self.expect = Expect::Nothing;
        let introduces = self.table.is_empty()
            && match operation {
                // The FROM of EXTRACT and SUBSTRING stands deeper than the statement's own.
                "SELECT" | "DELETE" => is("from") && (self.derived || depth == verb_depth),
                "INSERT" | "MERGE" => is("into"),
                _ => false,
            };
        if introduces {
            self.expect = Expect::Table;
        }
    }

    /// The first word, or behind the common tables of WITH the first verb outside parentheses.
    fn begin(&mut self, word: &str, depth: u32) {
        let with = matches!(self.verb, Verb::Behind);
        if with && depth > 0 {
            return;
        }
        if !with && word.eq_ignore_ascii_case("with") {
            self.verb = Verb::Behind;
            return;
        }
        match find(word) {
            Some((keyword, operation, fingerprint)) => {
                self.verb = Verb::Found(operation, !fingerprint, depth);
                if matches!(keyword, "update" | "copy" | "call" | "table") {
                    self.expect = Expect::Table;
                }
            }
            None if with => {}
            None => self.verb = Verb::Foreign,
        }
    }

    fn part(&mut self, name: &str, quoted: bool) {
        for letter in name.chars().take(NAME_LIMIT) {
            // A quoted name may hold anything; a label may not.
            self.table.push(match letter {
                letter if !(letter.is_ascii_alphanumeric() || letter == '_') => '?',
                letter if quoted => letter,
                letter => letter.to_ascii_lowercase(),
            });
        }
        self.expect = Expect::Part;
    }
}

fn find(word: &str) -> Option<(&'static str, &'static str, bool)> {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    let at = VERBS
        .binary_search_by(|(keyword, _, _)| keyword.bytes().cmp(word.bytes().map(lower)))
        .ok()?;
    VERBS.get(at).copied()
}
