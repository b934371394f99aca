//! A template for a path that no rule knows: what may identify someone becomes `{id}`.
#![forbid(unsafe_code)]

/// Segments kept; what follows is `{rest}`.
const SEGMENT_LIMIT: usize = 6;
/// Extensions of files that servers publish; behind any other dot may stand a surname.
const EXTENSIONS: [&str; 18] = [
    "css", "gif", "htm", "html", "ico", "jpeg", "jpg", "js", "json", "map", "php", "png", "svg",
    "txt", "webp", "woff", "woff2", "xml",
];
/// Bytes of a segment that is still a word.
const WORD_LIMIT: usize = 24;

/// Appends the template of a path to `out`; false for a target that is no path.
///
/// A segment stays if it reads as a word of a route: letters, `-` and `_`, at most two digits
/// (`v1`, `oauth2`), not only hexadecimal digits with a digit among them; the last may have an
/// extension (`robots.txt`). Numbers, UUIDs, tokens, percent-encoded text and e-mail addresses
/// do not.
pub fn fold(path: &str, out: &mut String) -> bool {
    let Some(inside) = path.strip_prefix('/') else {
        if path == "*" {
            out.push('*');
        }
        return path == "*";
    };
    let inside = inside.strip_suffix('/').unwrap_or(inside);
    let mut segments = inside.split('/').enumerate().peekable();
    while let Some((at, segment)) = segments.next() {
        out.push('/');
        if at == SEGMENT_LIMIT {
            out.push_str("{rest}");
            break;
        }
        let last = segments.peek().is_none();
        if segment.is_empty() || is_word(segment) || (last && is_file(segment)) {
            out.extend(segment.chars().map(|letter| letter.to_ascii_lowercase()));
        } else {
            out.push_str("{id}");
        }
    }
    true
}

fn is_word(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    segment.len() <= WORD_LIMIT
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && segment.bytes().any(|byte| byte.is_ascii_alphabetic())
        && (digits == 0 || digits <= 2 && !segment.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_file(segment: &str) -> bool {
    segment
        .rsplit_once('.')
        .is_some_and(|(name, extension)| is_word(name) && EXTENSIONS.contains(&extension))
}

/// Any text: a template is short and holds nothing but words and marks.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn fuzz(data: &[u8]) {
    let mut out = String::new();
    fold(&String::from_utf8_lossy(data), &mut out);
    assert!(out.len() <= (SEGMENT_LIMIT + 1) * (WORD_LIMIT + 8));
    assert!(!out.contains(['@', '%', '?', '&', '=']));
}

#[cfg(test)]
mod tests {
    use super::{fold, fuzz};

    #[test]
    fn what_may_identify_someone_is_folded() {
        for (path, want) in [
            ("/", "/"),
            ("/orders/", "/orders"),
            ("/Orders/123", "/orders/{id}"),
            ("/api/v1/oauth2/token", "/api/v1/oauth2/token"),
            ("/u/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/u/{id}"),
            ("/u/deadbeef01", "/u/{id}"),
            ("/u/a1", "/u/{id}"),
            ("/u/jo@example.com", "/u/{id}"),
            ("/u/jo%40example.com/orders", "/u/{id}/orders"),
            ("/u/jo.doe", "/u/{id}"),
            ("/assets/app.js", "/assets/app.js"),
            ("/.env", "/{id}"),
            ("/assets/app.3f2504e04f89.js", "/assets/{id}"),
            ("/t/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "/t/{id}"),
            ("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/{rest}"),
            ("//x", "//x"),
            ("/käse", "/{id}"),
            ("*", "*"),
            ("", ""),
            ("example.com:443", ""),
        ] {
            let mut out = String::new();
            fold(path, &mut out);
            assert_eq!(out, want, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_survived(data in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
            fuzz(&data);
        }
    }
}
