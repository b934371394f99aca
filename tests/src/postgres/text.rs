//! Just enough of SQL's lexical structure to count the statements of a text.

/// How many statements a text holds; comments and white space alone are none.
pub fn statements(text: &str) -> usize {
    let mut count = 0;
    let mut inside = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = token(rest);
        match first {
            ';' => inside = false,
            _ if first.is_whitespace() || rest.starts_with("--") || rest.starts_with("/*") => {}
            _ if !inside => {
                inside = true;
                count += 1;
            }
            _ => {}
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    count
}

/// Length in bytes of the comment, literal or character at the start; a literal that does not
/// end takes the rest.
fn token(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let after = |close: &str, skip: usize| {
        text.get(skip..)
            .and_then(|rest| rest.find(close))
            .map_or(text.len(), |at| skip + at + close.len())
    };
    if text.starts_with("--") {
        return after("\n", 2);
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    match text.as_bytes() {
        // E'…' alone has escapes; a doubled quote is two literals here, which counts the same.
        [b'E' | b'e', b'\'', ..] => escaped(text),
        [b'\'', ..] => after("'", 1),
        [b'"', ..] => after("\"", 1),
        [b'$', ..] => match dollar_quote(text) {
            Some(quote) => after(quote, quote.len()),
            None => first,
        },
        _ => first,
    }
}

/// `/* they /* nest */ */`
fn block_comment(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn escaped(text: &str) -> usize {
    let mut characters = text.char_indices().skip(2);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `$$` or `$tag$`, but not the parameter `$1`.
fn dollar_quote(text: &str) -> Option<&str> {
    let end = text.get(1..)?.find('$')? + 2;
    let quote = text.get(..end)?;
    let tag = quote.trim_matches('$');
    let is_tag = !tag.starts_with(|c: char| c.is_ascii_digit())
        && tag.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_tag.then_some(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        for (text, count) in [
            ("", 0),
            ("-- ping", 0),
            (" ; ;; /* a; /* b; */ c; */", 0),
            ("SELECT 1", 1),
            ("-- name: A :one\nSELECT 1;", 1),
            ("begin; select 1; rollback", 3),
            ("SELECT ';', 'it''s;', \"a;b\", E'\\';' ; SELECT 2", 2),
            ("DO $$ BEGIN; END $$; SELECT $1, $2; SELECT $a$;$a$", 3),
            ("SELECT 'never ends; ; ;", 1),
        ] {
            assert_eq!(statements(text), count, "{text}");
        }
    }
}
