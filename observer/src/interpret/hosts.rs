//! External hosts by the names that our own workloads call them by.
#![forbid(unsafe_code)]

use super::names::Names;
use crate::export::{Symbol, Symbols};

/// Bytes of the longest name of a host (RFC 1035, section 2.3.4, as written).
const LONGEST: usize = 253;
/// Bytes of its longest part.
const LONGEST_PART: usize = 63;

/// Names of hosts, in a bounded number.
pub(super) struct Hosts {
    /// A host of which nothing but its address is known.
    pub(super) external: Symbol,
    names: Names,
    text: String,
}

impl Hosts {
    pub(super) fn new(limit: usize, symbols: &mut Symbols) -> Self {
        Self {
            external: symbols.intern("external"),
            names: Names::new(limit),
            text: String::new(),
        }
    }

    /// What a host is called that a client calls so, in a `ClientHello` or a `Host` field; `None`
    /// where that is no name of a host.
    pub(super) fn learn(&mut self, said: &str, symbols: &mut Symbols) -> Option<Symbol> {
        let name = name(said)?;
        self.text.clear();
        self.text.push_str(name);
        self.text.make_ascii_lowercase();
        Some(self.names.learn(&self.text, symbols))
    }
}

/// The name of a host without a port and the root's dot: letters, digits and hyphens between dots.
/// What a resolver would read as an address is none (RFC 6943, section 3.1.1: `127.1`, `0x7f000001`).
fn name(said: &str) -> Option<&str> {
    let name = match said.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => said,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=LONGEST_PART).contains(&part.len()) && part.bytes().all(plain)
    };
    let is_name = name.len() <= LONGEST && name.split('.').all(is_part);
    let last = name.rsplit('.').next()?;
    (is_name && !is_number(last)).then_some(name)
}

/// Whether a resolver takes a name's last part for a part of an address.
fn is_number(part: &str) -> bool {
    let is_hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hexadecimal = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
    hexadecimal.is_some_and(is_hexadecimal) || part.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_of_a_host_is_one_and_never_an_address() {
        let long = format!("{}.example", "a".repeat(64));
        let longest = "a.".repeat(127);
        let rows = [
            ("api.stripe.com", Some("api.stripe.com")),
            ("API.Stripe.com:443", Some("API.Stripe.com")),
            ("api.stripe.com.", Some("api.stripe.com")),
            ("localhost", Some("localhost")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("7.example", Some("7.example")),
            ("0xabc.de", Some("0xabc.de")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("a_b.example", None),
            ("bücher.example", None),
            ("user@example.com", None),
            ("a b", None),
            ("192.0.2.7", None),
            ("192.0.2.7:80", None),
            ("192.0.2.7.", None),
            ("127.1", None),
            ("2130706433", None),
            ("0x7f000001", None),
            ("a.0x7F", None),
            ("[2001:db8::7]:80", None),
            ("2001:db8::7", None),
            ("::1", None),
            (long.as_str(), None),
            (longest.as_str(), Some(longest.trim_end_matches('.'))),
            ("example.com:http", None),
        ];
        for (said, host) in rows {
            assert_eq!(name(said), host, "{said}");
        }
    }

    #[test]
    fn hosts_are_told_apart_in_a_bounded_number_whatever_their_case() {
        let mut symbols = Symbols::new(100);
        let mut hosts = Hosts::new(1, &mut symbols);
        let first = hosts.learn("API.example", &mut symbols);
        assert_eq!(first, hosts.learn("api.EXAMPLE:443", &mut symbols));
        assert_eq!(symbols.value(first.unwrap()), "api.example");
        assert_eq!(hosts.learn("b.example", &mut symbols), Some(Symbol::OTHER));
        assert_eq!(hosts.learn("192.0.2.7", &mut symbols), None);
    }
}
