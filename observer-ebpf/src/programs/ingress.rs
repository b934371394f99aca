//! What arrives at a selected socket, seen before TCP has judged it.

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_skb_cgroup_id, bpf_skb_load_bytes, bpf_tcp_sock,
};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use observer_ebpf::{Counter, Direction, Flags, Header, Identity, Kind, Opener, Protocol, Reason};

use super::count::count;
use super::deliver::{HEAD_MAX, Passing, deliver};
use super::packet::{self, FIN, RST, SYN, Segment, beyond};
use super::state::{self, claim, find, is_own, join};
use super::{budget, is_stream, life, ring, setting, socket, tcp_state};

/// Always 1: the packet goes on.
#[cgroup_skb(ingress)]
fn observer_ingress(ctx: SkBuffContext) -> i32 {
    ingress(ctx.skb.skb);
    1
}

#[inline(always)]
fn ingress(skb: *mut __sk_buff) {
    let Some(segment) = packet::parse(skb) else {
        return;
    };
    let sk = socket(skb);
    if sk.is_null() {
        return;
    }
    let tcp_state = unsafe { (*sk).state };
    if tcp_state == tcp_state::LISTEN {
        if segment.length > 0 {
            early(skb, sk, &segment);
        }
        return;
    }
    if tcp_state == tcp_state::CLOSE || tcp_state == tcp_state::TIME_WAIT {
        return;
    }
    let mut state = find(sk);
    if state.is_null() && !is_stream(sk) {
        return;
    }
    let tcp = unsafe { bpf_tcp_sock(sk) };
    if tcp.is_null() {
        return;
    }
    if tcp_state == tcp_state::SYN_SENT {
        if segment.flags & RST != 0 && !state.is_null() {
            unsafe { (*state).reset = 1 };
        }
        return;
    }
    let accepted_sequence = unsafe { (*tcp).rcv_nxt };
    if state.is_null() {
        state = join(skb, sk, tcp, beyond(&segment, accepted_sequence));
        if state.is_null() {
            return;
        }
    }
    let distance = segment.sequence.wrapping_sub(accepted_sequence) as i32;
    if distance.unsigned_abs() > setting!(window) {
        count(Counter::SegmentsOutsideWindow, 1);
        return;
    }
    let near = unsafe { (*state).received.next };
    let first = unsafe { (*state).received.first };
    let accepted = state::position(near, first, accepted_sequence);
    let start = accepted + i64::from(distance);
    let end = start + i64::from(segment.length);
    let mut passing = Passing {
        position: end as u64,
        length: 0,
        offset: segment.offset,
        ahead: 0,
        flags: 0,
        direction: Direction::Received as u8,
    };
    if segment.length > 0 {
        // Known bytes may come again with the FIN that the first time they had not.
        if end < accepted || end == accepted && segment.flags & FIN == 0 {
            count(Counter::SegmentsDuplicate, 1);
            return;
        }
        let from = if start < 0 { 0 } else { start as u64 };
        let part = claim(state, from, end as u64, accepted as u64);
        if part.lost > 0 {
            count(Counter::SeenBytes, u64::from(part.lost));
            count(Counter::LostReordered, u64::from(part.lost));
        }
        if part.length > 0 {
            passing.position = part.start;
            passing.length = part.length;
            passing.offset += (part.start as i64 - start) as u32;
        } else if part.lost == 0 {
            count(Counter::SegmentsDuplicate, 1);
        }
    }
    let behind = passing.position + u64::from(passing.length);
    if segment.flags & FIN != 0
        && end >= accepted
        && behind == end as u64
        && unsafe { (*state).finished[Direction::Received as usize] } == 0
    {
        passing.flags |= Flags::FIN;
        unsafe { (*state).finished[Direction::Received as usize] = 1 };
    }
    // TCP believes an RST only at exactly what it expects next (RFC 5961 section 3.2).
    let reset = segment.flags & RST != 0 && distance == 0;
    if reset {
        passing.flags |= Flags::RST;
        unsafe { (*state).reset = 1 };
    }
    if passing.length == 0 && passing.flags == 0 {
        return;
    }
    let ahead = passing.position as i64 - accepted;
    passing.ahead = if ahead > 0 { ahead as u32 } else { 0 };
    deliver(skb, sk, tcp, state, &passing);
    if reset {
        life::end_unwatched(state, sk, tcp, Reason::ResetByPeer as u32);
    } else if unsafe { (*state).finished } == [1, 1] && passing.ahead == 0 {
        life::end_unwatched(state, sk, tcp, Reason::Finished as u32);
    }
}

/// Payload on a listener: with deferred accept, TCP Fast Open or data on the third ACK the child
/// does not exist yet. No state is touched; the child is known by its addresses and sequence
/// numbers, which here only the packet has.
#[inline(never)]
fn early(skb: *mut __sk_buff, sk: *mut bpf_sock, segment: &Segment) {
    if is_own(sk) {
        count(Counter::OwnSegments, 1);
        return;
    }
    let length = segment.length;
    count(Counter::SeenBytes, u64::from(length));
    let mut identity = Identity {
        cgroup: unsafe { bpf_skb_cgroup_id(skb) },
        received_first: segment.sequence,
        // On a SYN nothing is acknowledged yet.
        sent_first: if segment.flags & SYN == 0 {
            segment.acknowledged
        } else {
            0
        },
        opener: Opener::Passive as u8,
        ..Identity::default()
    };
    let mut ports = [0_u16; 2];
    let ports_at = ports.as_mut_ptr().cast();
    let failed = unsafe { bpf_skb_load_bytes(skb.cast(), segment.transport, ports_at, 4) } != 0
        || addresses(skb, segment.version, &mut identity);
    identity.remote_port = u16::from_be(ports[0]);
    identity.local_port = u16::from_be(ports[1]);
    let head = length.min(budget(Protocol::Undecided as u8).clamp(1, HEAD_MAX));
    let header = Header {
        time: unsafe { bpf_ktime_get_ns() },
        cookie: unsafe { bpf_get_socket_cookie(skb.cast()) },
        length,
        head,
        flags: if head < length { Flags::BUDGET } else { 0 },
        kind: Kind::Early as u8,
        direction: Direction::Received as u8,
        ..Header::default()
    };
    // Where the child's records will go.
    let to = ring::of(ring::choose(identity.local_port, identity.remote_port));
    let done = !failed
        && !to.is_null()
        && match head {
            0..=512 => ring::early::<512>(to, skb, &header, &identity, segment.offset),
            513..=4096 => ring::early::<4096>(to, skb, &header, &identity, segment.offset),
            _ => ring::early::<65536>(to, skb, &header, &identity, segment.offset),
        };
    if !done {
        count(Counter::LostRing, u64::from(length));
    }
}

/// The packet's addresses; IPv4 as v4-mapped IPv6. True where they cannot be read.
#[inline(always)]
fn addresses(skb: *mut __sk_buff, version: u8, identity: &mut Identity) -> bool {
    let (width, from) = if version == 6 { (16, 8) } else { (4, 12) };
    let read = |to: &mut [u8; 16], offset: u32| {
        let at = 16 - width as usize;
        if width == 4 {
            to[10] = 0xff;
            to[11] = 0xff;
        }
        unsafe {
            bpf_skb_load_bytes(skb.cast(), offset, to.as_mut_ptr().add(at).cast(), width) != 0
        }
    };
    read(&mut identity.remote, from) || read(&mut identity.local, from + width)
}
