//! The name by which a TLS client calls its server, from the first record it sends.
//!
//! ```text
//!   record 22 version length | hello 1 length version random[32]
//!   session[1] ciphers[2] compressions[1] extensions[2]
//!   extension kind length | server_name: list[2] kind 0 name[2]
//! ```
//!
//! RFC 8446, sections 4.1.2 and 5.1; RFC 6066, section 3. With Encrypted Client Hello it is the
//! name that everybody may read.

/// Content type of a record.
const HANDSHAKE: u8 = 22;
/// Type of a handshake message.
const CLIENT_HELLO: u8 = 1;
/// Type of an extension.
const SERVER_NAME: usize = 0;
/// Type of a name.
const HOST_NAME: u8 = 0;

/// The host that a `ClientHello` names; `None` where none does, or its place was not captured, or
/// lies in a second record.
#[must_use]
pub fn server_name(first: &[u8]) -> Option<&str> {
    let mut hello = Rest(first);
    (hello.byte()? == HANDSHAKE).then_some(())?;
    hello.take(4)?;
    (hello.byte()? == CLIENT_HELLO).then_some(())?;
    hello.take(3 + 2 + 32)?;
    hello.counted::<1>()?;
    hello.counted::<2>()?;
    hello.counted::<1>()?;
    hello.number::<2>()?;
    loop {
        let kind = hello.number::<2>()?;
        let body = hello.counted::<2>()?;
        if kind == SERVER_NAME {
            let mut names = Rest(Rest(body).counted::<2>()?);
            (names.byte()? == HOST_NAME).then_some(())?;
            return std::str::from_utf8(names.counted::<2>()?).ok();
        }
    }
}

/// What is left to read; every step is `None` where there is too little.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(length)?;
        self.0 = left;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number of so many bytes, at most two.
    fn number<const BYTES: usize>(&mut self) -> Option<usize> {
        let bytes = self.take(BYTES)?.iter();
        Some(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What stands behind its length of so many bytes.
    fn counted<const BYTES: usize>(&mut self) -> Option<&'a [u8]> {
        let length = self.number::<BYTES>()?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A length of two bytes, and what it counts.
    fn counted(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap();
        [&length.to_be_bytes(), body].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &counted(body)].concat()
    }

    fn named(host: &str) -> Vec<u8> {
        extension(0, &counted(&[&[0][..], &counted(host.as_bytes())].concat()))
    }

    fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[32],
            &[9; 32],
            &counted(&[0x13, 1, 0x13, 2]),
            &[1, 0],
            &counted(&extensions.concat()),
        ]
        .concat();
        let message = [&[1, 0][..], &counted(&body)].concat();
        [&[22, 3, 1][..], &counted(&message)].concat()
    }

    #[test]
    fn a_hello_names_its_server_wherever_the_name_stands() {
        let (groups, shares) = (extension(10, &[0, 2, 0, 29]), extension(51, &[1; 1200]));
        let host = named("api.stripe.com");
        let rows = [
            (vec![host.clone()], Some("api.stripe.com")),
            (vec![groups.clone(), shares, host], Some("api.stripe.com")),
            (vec![groups], None),
            (vec![], None),
            (vec![extension(0, &[])], None),
            (vec![extension(0, &counted(&[1, 0, 1, b'a']))], None),
            (vec![named("")], Some("")),
        ];
        for (extensions, name) in rows {
            assert_eq!(server_name(&hello(&extensions)), name);
        }
    }

    #[test]
    fn a_hello_that_is_cut_names_its_server_whole_or_not_at_all() {
        let host = [extension(10, &[0, 2, 0, 29]), named("api.stripe.com")];
        let whole = hello(&host);
        for length in 0..whole.len() {
            assert_eq!(server_name(&whole[..length]), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_survived(at in 0_usize..120, bytes: Vec<u8>) {
            let mut hello = hello(&[named("api.stripe.com")]);
            let end = (at + bytes.len()).min(hello.len());
            let start = at.min(end);
            hello.splice(start..end, bytes);
            if let Some(name) = server_name(&hello) {
                prop_assert!(name.len() <= hello.len());
            }
        }
    }
}
