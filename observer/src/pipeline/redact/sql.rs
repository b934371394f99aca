//! Overwrites what is literal in SQL, byte for byte, so that it still reads as the same statement.

use super::walk::{HIDDEN, hide};
use crate::interpret::sql::lexer::{Lexer, Token};
use crate::interpret::sql::text;

/// Overwrites the strings, numbers and comments of a text; what names things stays, and the name
/// that sqlc gives the statement.
pub(super) fn overwrite(sql: &mut [u8]) {
    let shown = if let Ok(text) = std::str::from_utf8(sql) {
        text.to_owned()
    } else {
        // Of another encoding: what is beyond ASCII is read as letters, as the server reads it.
        let letter = |byte: &u8| {
            if byte.is_ascii() {
                char::from(*byte)
            } else {
                'z'
            }
        };
        sql.iter().map(letter).collect()
    };
    let mut lexer = Lexer::new(&shown);
    let mut begun = false;
    loop {
        let from = shown.len() - lexer.rest().trim_ascii_start().len();
        let Some(token) = lexer.next() else { return };
        let to = shown.len() - lexer.rest().len();
        let Some(piece) = sql.get_mut(from..to) else {
            return;
        };
        match token {
            Token::Comment(inside) => comment(piece, inside, begun),
            Token::String => string(piece),
            Token::Number => number(piece),
            _ => {}
        }
        begun = match token {
            Token::Comment(_) => begun,
            // What follows is another statement, with a name of its own.
            Token::Mark(';') => false,
            _ => true,
        };
    }
}

/// Between its marks, but for a name that comes before the statement.
fn comment(piece: &mut [u8], inside: &str, begun: bool) {
    let end = match piece {
        [b'/', ..] => piece.strip_suffix(b"*/").map_or(piece.len(), <[u8]>::len),
        _ => piece.len(),
    };
    let name = text::named(inside).filter(|_| !begun);
    let kept = name.and_then(|name| Some(2 + inside.find(name)? + name.len() + 2));
    for (at, byte) in piece.iter_mut().enumerate().take(end).skip(2) {
        // Behind the name stands ` :` and the kind of its result.
        let white = byte.is_ascii_whitespace();
        if !white && kept.is_none_or(|kept| at >= kept) {
            *byte = HIDDEN;
        }
    }
}

/// Between its quotes, whichever they are.
fn string(piece: &mut [u8]) {
    let begin = match piece {
        [b'$', tag @ ..] => tag.iter().position(|byte| *byte == b'$').map(|at| at + 2),
        _ => piece
            .iter()
            .position(|byte| *byte == b'\'')
            .map(|at| at + 1),
    };
    let begin = begin.unwrap_or(0);
    let (open, rest) = piece.split_at_mut(begin);
    let close = match open {
        [b'$', ..] if rest.ends_with(open) => open.len(),
        [.., b'\''] if rest.ends_with(b"'") => 1,
        _ => 0,
    };
    let inside = rest.len() - close;
    hide(rest.get_mut(..inside).unwrap_or_default());
}

/// Its digits; what tells where it ends stays.
fn number(piece: &mut [u8]) {
    let radix = matches!(piece, [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..]);
    for (at, byte) in piece.iter_mut().enumerate() {
        let sign = radix && at < 2 || !radix && matches!(byte, b'e' | b'E');
        if byte.is_ascii_alphanumeric() && !sign {
            *byte = b'0';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::sql::text::{Columns, Facts, name, read};

    fn overwritten(sql: &str) -> String {
        let mut bytes = sql.as_bytes().to_vec();
        overwrite(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    fn facts(sql: &str) -> (Facts, Option<String>) {
        let shop = ["shop_id".to_owned()];
        let columns = Columns {
            shop: &shop,
            subdomain: &[],
        };
        (read(sql, columns), name(sql).map(str::to_owned))
    }

    #[test]
    fn literals_go_and_the_statement_stays() {
        for (sql, want) in [
            ("select 'it''s', x", "select 'xxxxx', x"),
            (r"select E'a\'b', 12", r"select E'xxxx', 00"),
            ("select $$a b$$, $t$x$t$, $1", "select $$xxx$$, $t$x$t$, $1"),
            ("select 'unterminated", "select 'xxxxxxxxxxxx"),
            ("select 1.5e-7, 0xFFe-1, .5", "select 0.0e-0, 0x000-0, .0"),
            (
                "where a = 'é' and \"é\" = 7",
                "where a = 'xx' and \"é\" = 0",
            ),
            (
                "-- name: GetShop :one for jo\nselect /* jo's */ 1 -- jo",
                "-- name: GetShop :xxx xxx xx\nselect /* xxxx */ 0 -- xx",
            ),
            (
                "select 1; -- name: GetShop :one\nselect 2",
                "select 0; -- name: GetShop :xxx\nselect 0",
            ),
            (
                "select 1 -- name: GetShop :one",
                "select 0 -- xxxxx xxxxxxx xxxx",
            ),
        ] {
            assert_eq!(overwritten(sql), want);
            assert_eq!(facts(want), facts(sql), "{sql}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_keeps_its_length_and_what_is_read_of_it(
            sql in "(select|from|shop_id|=|\\$1|'[a-z']{0,3}|E'|\\\\|\\$\\$|[0-9]{1,3}|[.eE+-]|--|/\\*|\\*/|\n|\"|;| |é){0,30}",
        ) {
            let again = overwritten(&sql);
            proptest::prop_assert_eq!(again.len(), sql.len());
            proptest::prop_assert_eq!(facts(&again), facts(&sql), "{}", again);
            proptest::prop_assert_eq!(overwritten(&again), again);
        }
    }
}
