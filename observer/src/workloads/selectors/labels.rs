//! A label selector, as `kubectl --selector` has it.
//!
//! ```text
//!   app=backend   app==backend   app!=backend   app in (a, b)   app notin (a, b)   app   !app
//! ```
//!
//! What is joined by `,` has to hold together. What is not equal, and not in, holds too where there
//! is no such label.

use crate::workloads::directory::Labels;

/// Characters of a label's name or value (RFC 1123, and `_`).
const NAME: usize = 63;
/// Characters of what may stand before the `/` of a name.
const PREFIX: usize = 253;
/// Pieces of one selector that are looked for.
const PIECES: usize = 64;
/// What may stand between a name and its values.
pub const OPERATORS: [&str; 5] = ["=", "==", "!=", "in", "notin"];

/// What labels have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// There is nothing in it.
    #[error("an empty selector would match every pod; leave it out")]
    Empty,
    /// A word stands where an operator belongs.
    #[error("\"{0}\" is no operator; there are =, ==, !=, in and notin")]
    Operator(String),
    /// A list in parentheses has no end.
    #[error("the end where a comma or ) belongs")]
    Open,
    /// Something stands where something else belongs.
    #[error("{found} where {wanted} belongs")]
    Found {
        /// What stands there.
        found: String,
        /// What does belong there.
        wanted: &'static str,
    },
    /// No label has such a name or value.
    #[error("\"{0}\" can be no {1} of a label")]
    Name(String, &'static str),
}

// === impl LabelSelector ===

impl LabelSelector {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let mut tokens = Tokens { rest: text };
        let mut requirements = Vec::new();
        if tokens.peek() == Token::End {
            return Err(Wrong::Empty);
        }
        loop {
            requirements.push(requirement(&mut tokens)?);
            match tokens.next() {
                Token::End => return Ok(Self(requirements)),
                Token::Sign(",") => {}
                other => return Err(other.instead_of("a comma or the end")),
            }
        }
    }

    /// The selector whose first pieces these are, and how many: a comma in it was taken for one
    /// between selectors.
    pub(super) fn mend(pieces: &[String]) -> Option<(String, usize)> {
        let ends = |piece: &String| piece.contains(')');
        let count = 1 + pieces.iter().take(PIECES).position(ends)?;
        let whole = pieces.get(..count)?.join(", ");
        Self::parse(&whole).is_ok().then_some((whole, count))
    }

    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            let is_in = |values: &[String]| value.is_some_and(|value| values.contains(value));
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => is_in(values),
                Test::NotIn(values) => !is_in(values),
            }
        })
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Requirement, Wrong> {
    let absent = tokens.peek() == Token::Sign("!");
    if absent {
        tokens.next();
    }
    let key = match tokens.next() {
        Token::Word(key) if is_key(key) => key.to_owned(),
        Token::Word(key) => return Err(Wrong::Name(key.to_owned(), "name")),
        other => return Err(other.instead_of("the name of a label")),
    };
    let test = match tokens.peek() {
        _ if absent => Test::Absent,
        Token::End | Token::Sign(",") => Test::Exists,
        Token::Sign(sign @ ("=" | "==" | "!=")) => {
            tokens.next();
            let values = vec![value(tokens)?];
            match sign {
                "!=" => Test::NotIn(values),
                _ => Test::In(values),
            }
        }
        Token::Word(word @ ("in" | "notin")) => {
            tokens.next();
            let values = values(tokens)?;
            match word {
                "notin" => Test::NotIn(values),
                _ => Test::In(values),
            }
        }
        Token::Word(word) => return Err(Wrong::Operator(word.to_owned())),
        other @ Token::Sign(_) => return Err(other.instead_of("an operator")),
    };
    Ok(Requirement { key, test })
}

/// What stands in parentheses.
fn values(tokens: &mut Tokens<'_>) -> Result<Vec<String>, Wrong> {
    match tokens.next() {
        Token::Sign("(") => {}
        other => return Err(other.instead_of("a list in parentheses")),
    }
    let mut values = Vec::new();
    loop {
        values.push(value(tokens)?);
        match tokens.next() {
            Token::Sign(",") => {}
            Token::Sign(")") => return Ok(values),
            Token::End => return Err(Wrong::Open),
            other => return Err(other.instead_of("a comma or )")),
        }
    }
}

/// A value, which may be empty.
fn value(tokens: &mut Tokens<'_>) -> Result<String, Wrong> {
    match tokens.peek() {
        Token::Word(value) if is_name(value) => {
            tokens.next();
            Ok(value.to_owned())
        }
        Token::Word(value) => Err(Wrong::Name(value.to_owned(), "value")),
        Token::End | Token::Sign("," | ")") => Ok(String::new()),
        other @ Token::Sign(_) => Err(other.instead_of("a value")),
    }
}

fn is_key(key: &str) -> bool {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let domain = |prefix: &str| {
        prefix.len() <= PREFIX && prefix.split('.').all(is_name) && !prefix.contains('_')
    };
    prefix.is_none_or(domain) && is_name(name)
}

fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    name.len() <= NAME && ends && name.chars().all(inner)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Sign(&'t str),
    End,
}

impl Token<'_> {
    fn instead_of(self, wanted: &'static str) -> Wrong {
        let found = match self {
            Self::Word(text) | Self::Sign(text) => format!("\"{text}\""),
            Self::End => "the end".to_owned(),
        };
        Wrong::Found { found, wanted }
    }
}

struct Tokens<'t> {
    rest: &'t str,
}

impl<'t> Tokens<'t> {
    /// The next one, and what is left after it.
    fn split(&self) -> (Token<'t>, &'t str) {
        const SIGNS: [&str; 9] = ["==", "!=", "=", "!", ",", "(", ")", ">", "<"];
        let rest = self.rest.trim_start();
        if rest.is_empty() {
            return (Token::End, rest);
        }
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            let (_, after) = rest.split_at(sign.len());
            return (Token::Sign(sign), after);
        }
        let ends = |c: char| c.is_whitespace() || "=!,()<>".contains(c);
        let (word, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        (Token::Word(word), after)
    }

    fn peek(&self) -> Token<'t> {
        self.split().0
    }

    fn next(&mut self) -> Token<'t> {
        let (token, rest) = self.split();
        self.rest = rest;
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_selector_matches_what_kubectl_says_it_does() {
        let backend = labels(&[("app", "backend"), ("tier", "api"), ("empty", "")]);
        let cases = [
            ("app=backend", true),
            ("app==backend", true),
            ("app = backend", true),
            ("app=other", false),
            ("app!=backend", false),
            ("app!=other", true),
            ("absent!=other", true),
            ("app in (backend)", true),
            ("app in ( a , backend )", true),
            ("app in(a,b)", false),
            ("app notin (a, b)", true),
            ("app notin (backend)", false),
            ("absent notin (a)", true),
            ("app", true),
            ("absent", false),
            ("!absent", true),
            ("! app", false),
            ("app=backend,tier=api", true),
            ("app=backend, tier=web", false),
            ("app,!absent,tier in (api)", true),
            ("empty=", true),
            ("app=", false),
            ("in in (a)", false),
            ("in", false),
        ];
        for (text, expected) in cases {
            let selector = LabelSelector::parse(text).unwrap();
            assert_eq!(selector.matches(&backend), expected, "{text}");
        }
        let platform = LabelSelector::parse("app.kubernetes.io/part-of=naytife-platform").unwrap();
        let of = [("app.kubernetes.io/part-of", "naytife-platform")];
        assert!(platform.matches(&labels(&of)));
    }

    #[test]
    fn what_is_no_selector_is_told_in_a_sentence() {
        let cases = [
            ("", "an empty selector would match every pod; leave it out"),
            (" ", "an empty selector would match every pod; leave it out"),
            (
                "app inn (a)",
                "\"inn\" is no operator; there are =, ==, !=, in and notin",
            ),
            ("app in a", "\"a\" where a list in parentheses belongs"),
            ("app in (a", "the end where a comma or ) belongs"),
            ("app=a b", "\"b\" where a comma or the end belongs"),
            ("app=a,", "the end where the name of a label belongs"),
            (",app", "\",\" where the name of a label belongs"),
            ("=a", "\"=\" where the name of a label belongs"),
            ("app>3", "\">\" where an operator belongs"),
            ("app=(a)", "\"(\" where a value belongs"),
            ("!app=a", "\"=\" where a comma or the end belongs"),
            ("-app=a", "\"-app\" can be no name of a label"),
            ("a/b/c=a", "\"a/b/c\" can be no name of a label"),
            ("/app", "\"/app\" can be no name of a label"),
            ("app=ä", "\"ä\" can be no value of a label"),
        ];
        for (text, sentence) in cases {
            let wrong = LabelSelector::parse(text).unwrap_err();
            assert_eq!(wrong.to_string(), sentence, "{text}");
        }
    }
}
