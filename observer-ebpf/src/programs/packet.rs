//! What a packet's headers say: only sequence, flags, and where its payload is.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use observer_ebpf::Counter;

use super::count::count;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;

const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const TCP_HEADER: u32 = 20;
/// Most bytes of network headers.
const TRANSPORT_MAX: u32 = 255;
const PROTOCOL_TCP: u8 = 6;

/// A TCP segment.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    /// Sequence number of the first payload byte.
    pub(super) sequence: u32,
    /// Acknowledgement number.
    pub(super) acknowledged: u32,
    /// Where the payload begins in the packet.
    pub(super) offset: u32,
    /// Payload bytes. From the packet's length, not from the IP header, which cannot hold that of
    /// a segment over 64 KiB.
    pub(super) length: u32,
    /// Where the TCP header begins.
    pub(super) transport: u32,
    /// FIN, SYN, RST.
    pub(super) flags: u8,
    /// 4 or 6.
    pub(super) version: u8,
}

/// Reads a packet that begins at its network header; `None` for what is not TCP or has neither
/// payload nor an ending to tell of, which is most of what passes.
#[inline(always)]
pub(super) fn parse(skb: *mut __sk_buff) -> Option<Segment> {
    let data = unsafe { (*skb).data } as usize;
    let end = unsafe { (*skb).data_end } as usize;
    if data + IPV4_HEADER as usize > end {
        return None;
    }
    let version = unsafe { *(data as *const u8) } >> 4;
    let transport = match version {
        4 => {
            if unsafe { *((data + 9) as *const u8) } != PROTOCOL_TCP {
                return None;
            }
            u32::from(unsafe { *(data as *const u8) } & 15) * 4
        }
        6 => {
            if data + IPV6_HEADER as usize > end {
                return None;
            }
            let next = unsafe { *((data + 6) as *const u8) };
            if next == PROTOCOL_TCP {
                IPV6_HEADER
            } else {
                behind_extensions(skb, next)
            }
        }
        _ => return None,
    };
    if transport == 0 || transport > TRANSPORT_MAX {
        return None;
    }
    // The stack has pulled the TCP header into the linear part before anyone else reads it.
    let header = data + transport as usize;
    if transport < IPV4_HEADER || header + TCP_HEADER as usize > end {
        count(Counter::SegmentsMalformed, 1);
        return None;
    }
    let [sequence, acknowledged, control] = unsafe {
        let word = |at: usize| ((header + at) as *const u32).read();
        [word(4), word(8), word(12)]
    };
    let control = u32::from_be(control);
    let flags = (control >> 16) as u8 & (FIN | SYN | RST);
    let offset = transport + ((control >> 28) * 4);
    let total = unsafe { (*skb).len };
    if offset < transport + TCP_HEADER || offset > total {
        count(Counter::SegmentsMalformed, 1);
        return None;
    }
    let length = total - offset;
    if length == 0 && flags & (FIN | RST) == 0 {
        return None;
    }
    Some(Segment {
        sequence: u32::from_be(sequence).wrapping_add(u32::from(flags & SYN != 0)),
        acknowledged: u32::from_be(acknowledged),
        offset,
        length,
        transport,
        flags,
        version,
    })
}

/// How many of a segment's bytes lie beyond a sequence number.
#[inline(always)]
pub(super) fn beyond(segment: &Segment, sequence: u32) -> u32 {
    let end = segment.sequence.wrapping_add(segment.length);
    let beyond = end.wrapping_sub(sequence);
    // What lies before it wraps around to a very large number.
    if beyond as i32 <= 0 {
        0
    } else {
        beyond.min(segment.length)
    }
}

/// Where TCP begins behind IPv6 extension headers, 0 if it does not; at most four, more is nobody's
/// traffic.
#[inline(never)]
fn behind_extensions(skb: *mut __sk_buff, first: u8) -> u32 {
    let mut next = first;
    let mut offset = IPV6_HEADER;
    for _ in 0..4 {
        // Hop-by-hop options, routing, destination options: RFC 8200 section 4.
        if !matches!(next, 0 | 43 | 60) {
            return 0;
        }
        let mut start = [0_u8; 2];
        if unsafe { bpf_skb_load_bytes(skb.cast(), offset, start.as_mut_ptr().cast(), 2) } != 0 {
            return 0;
        }
        next = start[0];
        offset += (u32::from(start[1]) + 1) * 8;
        if next == PROTOCOL_TCP {
            return offset;
        }
    }
    0
}
