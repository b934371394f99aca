//! Overwrites heads of HTTP messages, and knows which bodies are read.

use std::ops::Range;
use std::sync::Arc;

use super::json::Read;
use super::walk::{HIDDEN, hide};
use crate::decode::http1::{fields, is_known, request_line};
use crate::interpret::Plan;
use crate::interpret::business::Told;
use crate::interpret::business::program::Source;
use crate::interpret::routes::{self, Place, Route, fold};

/// What rules read of a request.
pub(super) struct Asked {
    /// Of its body, where that is JSON.
    pub(super) request: Option<Read>,
    /// Of its response's.
    pub(super) response: Option<Read>,
}

/// Overwrites heads by the rules.
pub(super) struct Heads(pub(super) Arc<Plan>);

/// What of a field's value stays.
enum Kept {
    /// All of it.
    All,
    /// What stands before its parameters.
    Token,
    /// The first label of a host.
    Label,
    /// All of it where it is a switch to HTTP/2.
    Http2,
    /// Nothing that makes a difference.
    Indifferent,
}

impl Heads {
    /// Overwrites a request's head, the end of which may be missing; what rules read of the rest.
    pub(super) fn request(&self, head: &mut [u8]) -> Asked {
        let before = head.to_vec();
        let Ok(line) = request_line(&before, false) else {
            cut_line(head);
            return Asked {
                request: None,
                response: None,
            };
        };
        let method = String::from_utf8_lossy(line.method);
        let (_, path) = parts(line.target);
        let path = line.target.get(path).filter(|path| !path.is_empty());
        let text = String::from_utf8_lossy(path.unwrap_or(b"/"));
        let route = self
            .0
            .routes
            .find(&text)
            .and_then(|at| self.0.routes.get(at));
        let places: &[Place] = route.map_or(&[], |route| &route.places);
        let told = route.map_or_else(Vec::new, |route| self.0.business.told(route, &method));
        let (method_end, target) = (line.method.len(), span(&before, line.target));
        overwrite_fields(head, &before, line.length, |name, value| {
            kept(name, places).or_else(|| told_by(&told, name, value))
        });
        if !is_known(line.method)
            && let Some(method) = head.get_mut(..method_end)
        {
            method.fill(b'X');
        }
        if let Some(target) = head.get_mut(target) {
            overwrite_target(target, line.method == b"CONNECT", route, &told);
        }
        let parts = self.0.routes.parts(&method, &text);
        let graphql = route.is_some_and(|route| route.graphql);
        let bodies = places.iter().filter_map(|place| match place {
            Place::Body(name, _) => Some(name.clone()),
            _ => None,
        });
        let (answers, requests): (Vec<Told>, Vec<Told>) = told
            .into_iter()
            .partition(|told| matches!(told.source, Source::Answer(_)));
        Asked {
            request: parts.request.then(|| Read {
                fields: bodies.collect(),
                told: requests,
                operation: graphql,
                errors: false,
            }),
            response: parts.response.then(|| Read {
                told: answers,
                errors: graphql,
                ..Read::default()
            }),
        }
    }

    /// Overwrites a response's head, the end of which may be missing.
    pub(super) fn response(head: &mut [u8]) {
        let before = head.to_vec();
        let end = memchr::memchr(b'\n', &before).map_or(before.len(), |end| end + 1);
        let status = b"HTTP/1.1 200".len();
        if let Some(reason) = head.get_mut(status..end) {
            overwrite_text(reason);
        }
        overwrite_fields(head, &before, end, |name, _| kept(name, &[]));
    }
}

/// A line that is not whole: of a method and a path that begin, what detection looks at.
fn cut_line(head: &mut [u8]) {
    let method = head
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(head.len());
    let (method, rest) = head.split_at_mut(method);
    if rest.is_empty() {
        // Some of a method; none is that long.
        if method.len() > 7 || !method.iter().all(u8::is_ascii_uppercase) {
            hide(method);
        }
        return;
    }
    if !is_known(method) {
        method.fill(b'X');
    }
    let slash = rest.get(1) == Some(&b'/');
    overwrite_text(
        rest.get_mut(if slash { 2 } else { 1 }..)
            .unwrap_or_default(),
    );
}

/// Overwrites everything but white space.
fn overwrite_text(text: &mut [u8]) {
    for byte in text {
        if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            *byte = HIDDEN;
        }
    }
}

/// Overwrites field lines from `start` on; names stay, and of the values what `kept` says.
fn overwrite_fields(
    head: &mut [u8],
    before: &[u8],
    start: usize,
    kept: impl Fn(&[u8], &[u8]) -> Option<Kept>,
) {
    overwrite_text(head.get_mut(start..).unwrap_or_default());
    let mut restore = |place: Range<usize>| {
        if let (Some(to), Some(from)) = (head.get_mut(place.clone()), before.get(place)) {
            to.copy_from_slice(from);
        }
    };
    let mut indifferent = Vec::new();
    fields(before, start, &mut |name, value| {
        let place = span(before, name);
        restore(place.start..place.end + 1);
        let value_at = span(before, value).start;
        let length = match kept(name, value) {
            Some(Kept::All) => value.len(),
            Some(Kept::Token) => {
                let end = value.iter().position(|byte| *byte == b';');
                end.map_or(value.len(), |end| end + 1)
            }
            Some(Kept::Label) => {
                let marks = value.iter().enumerate();
                for (at, _) in marks.filter(|(_, byte)| matches!(byte, b'.' | b':' | b',')) {
                    restore(value_at + at..value_at + at + 1);
                }
                let end = value
                    .iter()
                    .position(|byte| matches!(byte, b'.' | b':' | b','));
                end.unwrap_or(value.len())
            }
            Some(Kept::Http2) if value.eq_ignore_ascii_case(b"h2c") => value.len(),
            Some(Kept::Indifferent) => {
                indifferent.push(value_at..value_at + value.len());
                0
            }
            Some(Kept::Http2) | None => 0,
        };
        restore(value_at..value_at + length);
    });
    for place in indifferent {
        fill(head.get_mut(place).unwrap_or_default());
    }
}

/// What stays of the values of fields with this name: what decoder and rules read of them.
fn kept(name: &[u8], places: &[Place]) -> Option<Kept> {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let asks = |asks: fn(&Place) -> bool| places.iter().any(asks);
    if is("content-length") || is("transfer-encoding") || is("content-encoding") || is("expect") {
        Some(Kept::All)
    } else if is("upgrade") {
        Some(Kept::Http2)
    } else if is("content-type") {
        Some(Kept::Token)
    } else if is("x-shop-subdomain") && asks(|place| matches!(place, Place::Header(_))) {
        Some(Kept::All)
    } else if (is("host") || is("x-forwarded-host"))
        && asks(|place| matches!(place, Place::HostLabel(_)))
    {
        Some(Kept::Label)
    } else {
        None
    }
}

/// What stays of the value of a field that a rule of the business reads.
fn told_by(told: &[Told], name: &[u8], value: &[u8]) -> Option<Kept> {
    let mut told = told.iter().filter(|told| {
        matches!(&told.source, Source::Header(known) if name.eq_ignore_ascii_case(known.as_bytes()))
    });
    let first = told.next()?;
    let matters = first.matters(value) || told.any(|told| told.matters(value));
    Some(if matters {
        Kept::All
    } else {
        Kept::Indifferent
    })
}

/// Overwrites a value that rules read, and that makes no difference, with another such.
fn fill(value: &mut [u8]) {
    value.fill(b'~');
}

/// Where in a target its authority, its path and its query are.
fn parts(target: &[u8]) -> (Range<usize>, Range<usize>) {
    let scheme = memchr::memmem::find(target, b"://").filter(|_| !target.starts_with(b"/"));
    let authority = scheme.map_or(0, |at| at + 3);
    let rest = target.get(authority..).unwrap_or_default();
    let path = match scheme {
        Some(_) => memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len()),
        None => 0,
    };
    let path = authority + path;
    let rest = target.get(path..).unwrap_or_default();
    let end = memchr::memchr(b'?', rest).unwrap_or(rest.len());
    (authority..path, path..path + end)
}

fn overwrite_target(target: &mut [u8], connect: bool, route: Option<&Route>, told: &[Told]) {
    if connect {
        return shape(target);
    }
    let (authority, path) = parts(target);
    let (before, query) = target.split_at_mut(path.end);
    if let Some(path) = before.get_mut(path) {
        overwrite_path(path, route, told);
    }
    let places: &[Place] = route.map_or(&[], |route| &route.places);
    if let Some(authority) = before.get_mut(authority) {
        let label = authority
            .iter()
            .position(|byte| matches!(byte, b'.' | b':' | b'@'));
        let user = authority.contains(&b'@');
        let keeps = !user
            && places
                .iter()
                .any(|place| matches!(place, Place::HostLabel(_)));
        let kept = if keeps {
            label.unwrap_or(authority.len())
        } else {
            0
        };
        shape(authority.get_mut(kept..).unwrap_or_default());
    }
    let Some((_, query)) = query.split_first_mut() else {
        return;
    };
    for pair in query.split_mut(|byte| *byte == b'&') {
        overwrite_pair(pair, places, told);
    }
}

/// Overwrites a parameter of a query string: its name too, unless rules read it.
fn overwrite_pair(pair: &mut [u8], places: &[Place], told: &[Told]) {
    let end = pair.iter().position(|byte| *byte == b'=');
    let (name, value) = pair.split_at_mut(end.unwrap_or(pair.len()));
    let value = value.get_mut(1..);
    let is = |known: &String| known.as_bytes() == name;
    let shop = |place: &Place| matches!(place, Place::Query(known, _) if is(known));
    let mut told = told
        .iter()
        .filter(|told| matches!(&told.source, Source::Query(known) if is(known)))
        .peekable();
    match value {
        Some(_) if places.iter().any(shop) => {}
        Some(value) if told.peek().is_some() => {
            if !told.any(|told| told.matters(value)) {
                fill(value);
            }
        }
        _ => {
            let marks = |byte: &&mut u8| **byte != b'=';
            pair.iter_mut()
                .filter(marks)
                .for_each(|byte| *byte = HIDDEN);
        }
    }
}

/// Overwrites the segments that are in no label and name no shop.
fn overwrite_path(path: &mut [u8], route: Option<&Route>, told: &[Told]) {
    let Some(route) = route else {
        return overwrite_unknown(path);
    };
    let mut template = route.template.split('/');
    let mut rest = false;
    for (at, segment) in path.split_mut(|byte| *byte == b'/').enumerate() {
        let known = template.next();
        rest |= known.is_none_or(|known| known.starts_with("{*"));
        let parameter = rest || known.is_some_and(|known| known.starts_with('{'));
        let names = |place: &Place| matches!(place, Place::Segment(of, _) if *of == at);
        if !parameter || route.places.iter().any(names) {
            continue;
        }
        let is_at = |told: &&Told| match &told.source {
            Source::Path(name) => routes::place(&route.template, name) == Some(at),
            _ => false,
        };
        let mut told = told.iter().filter(is_at).peekable();
        if told.peek().is_none() {
            shape(segment);
        } else if !told.any(|told| told.matters(segment)) {
            fill(segment);
        }
    }
}

/// Of a path that no rule knows, what its label has stays.
fn overwrite_unknown(path: &mut [u8]) {
    let text = String::from_utf8_lossy(path);
    let mut label = String::new();
    fold::fold(&text, &mut label);
    let mut folded = label.split('/');
    let text = text.into_owned();
    let mut segments = text.split('/');
    for segment in path.split_mut(|byte| *byte == b'/') {
        let (label, segment_text) = (folded.next(), segments.next().unwrap_or_default());
        if !label.is_some_and(|label| label.eq_ignore_ascii_case(segment_text)) {
            shape(segment);
        }
    }
}

/// Overwrites what a segment says, not what it is made of: letters stay letters, digits digits, and
/// what may be a hexadecimal number one.
fn shape(segment: &mut [u8]) {
    for byte in segment {
        *byte = match byte {
            b'0'..=b'9' => b'0',
            b'a'..=b'f' => b'a',
            b'g'..=b'z' => b'x',
            b'A'..=b'F' => b'A',
            b'G'..=b'Z' => b'X',
            b'!'..=b'~' => *byte,
            _ => b'~',
        };
    }
}

/// Where a part lies in what it is a part of.
fn span(whole: &[u8], part: &[u8]) -> Range<usize> {
    let at = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    at..at.saturating_add(part.len())
}

#[cfg(test)]
mod tests;
