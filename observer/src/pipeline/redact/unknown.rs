//! Bytes of which it was told what they begin, or not yet, and which nobody decodes.

use observer_ebpf::Protocol;

use super::super::conversation::{Detected, Opening, Protocols as _};
use super::conversation::{Overwriting, Said, Sink};
use super::walk::NOTHING;
use crate::decode::Side;
use crate::reassemble::Input;
use crate::time::Timestamp;

/// Lengths of what streams are told by: the head of a TLS record and of the message in it, HTTP/2's
/// preface.
const BEGINNINGS: [usize; 3] = [6, 11, 24];

/// The same number of bytes that are told alike; as few of the given ones as that takes.
pub(super) fn overwrite(bytes: &[u8], protocols: &Overwriting, sink: &Sink) -> Vec<u8> {
    let nothing = vec![NOTHING; bytes.len()];
    let told = protocols.detect(bytes);
    let alike = |other: &Vec<u8>| protocols.detect(other) == told;
    if alike(&nothing) {
        return nothing;
    }
    if let Detected::Protocol(Protocol::Tls | Protocol::Http2, _) = told {
        let beginnings = BEGINNINGS.iter().filter_map(|length| {
            let mut other = nothing.clone();
            other
                .get_mut(..*length)?
                .copy_from_slice(bytes.get(..*length)?);
            Some(other)
        });
        return beginnings.into_iter().find(alike).unwrap_or(nothing);
    }
    let protocol = [Protocol::Http1, Protocol::Postgres, Protocol::Redis];
    let readings = protocol
        .into_iter()
        .flat_map(|protocol| [Side::Client, Side::Server].map(|side| (protocol, side)))
        .filter_map(|(protocol, side)| decoded(bytes, protocol, side, protocols, sink));
    readings.into_iter().find(alike).unwrap_or(nothing)
}

/// The bytes overwritten by a decoder that is shown nothing else.
fn decoded(
    bytes: &[u8],
    protocol: Protocol,
    side: Side,
    protocols: &Overwriting,
    sink: &Sink,
) -> Option<Vec<u8>> {
    let opening = Opening {
        protocol,
        vantage: side,
        joined: false,
    };
    let mut conversation = protocols.open(opening)?;
    conversation.feed(side, Timestamp(0), Input::Bytes(bytes), &mut |_| {});
    drop(conversation);
    let said = sink.take().into_iter().filter_map(|said| match said {
        Said::Overwritten(_, bytes) => Some(bytes),
        Said::Fed(..) | Said::Stripped(..) => None,
    });
    let all: Vec<u8> = said.flatten().collect();
    (all.len() == bytes.len()).then_some(all)
}
