//! What leaves a selected socket.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_tcp_sock;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use observer_ebpf::{Counter, Direction, Flags, Opener, Reason};

use super::count::count;
use super::deliver::{Passing, deliver};
use super::packet::{self, FIN, RST, SYN, beyond};
use super::state::{self, find, join};
use super::{is_stream, life, socket, tcp_state};

/// Always 1: the packet goes on.
#[cgroup_skb(egress)]
fn observer_egress(ctx: SkBuffContext) -> i32 {
    egress(ctx.skb.skb);
    1
}

#[inline(always)]
fn egress(skb: *mut __sk_buff) {
    let Some(segment) = packet::parse(skb) else {
        return;
    };
    let sk = socket(skb);
    if sk.is_null() {
        return;
    }
    let tcp_state = unsafe { (*sk).state };
    // On a listener: the answer to a SYN, sent in its child's name.
    if tcp_state == tcp_state::LISTEN {
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
    if tcp_state == tcp_state::CLOSE {
        // An abort sends its RST when the socket is closed already.
        if segment.flags & RST != 0 && !state.is_null() {
            life::end_unwatched(state, sk, tcp, Reason::ResetByUs as u32);
        }
        return;
    }
    if state.is_null() {
        state = join(skb, sk, tcp, beyond(&segment, unsafe { (*tcp).snd_nxt }));
        if state.is_null() {
            return;
        }
    }
    if segment.flags & SYN != 0 {
        // TCP Fast Open: data on the SYN itself (RFC 7413).
        unsafe {
            (*state).sent_first = segment.sequence;
            (*state).sent_next = 0;
            (*state).opener = Opener::Active as u8;
        }
    }
    let next = unsafe { (*state).sent_next };
    let first = unsafe { (*state).sent_first };
    let start = state::position(next, first, segment.sequence);
    let end = start + i64::from(segment.length);
    let finished_before = unsafe { (*state).finished[Direction::Sent as usize] } != 0;
    // Short of memory, TCP puts its FIN on a segment that was sent before.
    let ends = segment.flags & FIN != 0 && !finished_before && end == next as i64;
    let again = end < next as i64
        || (end == next as i64 && segment.length > 0 && !ends)
        || (segment.length == 0 && segment.flags & FIN != 0 && finished_before);
    let mut passing = Passing {
        position: if ends { end as u64 } else { start as u64 },
        length: 0,
        offset: segment.offset,
        ahead: 0,
        flags: 0,
        direction: Direction::Sent as u8,
    };
    if again && segment.flags & RST == 0 {
        count(Counter::SegmentsRetransmitted, 1);
        passing.flags = Flags::RETRANSMITTED;
    } else {
        if end > next as i64 {
            let fresh = if start < next as i64 {
                next as i64
            } else {
                start
            };
            passing.position = fresh as u64;
            passing.offset += (fresh - start) as u32;
            passing.length = (end - fresh) as u32;
            unsafe { (*state).sent_next = end as u64 };
        }
        if segment.flags & FIN != 0 {
            passing.flags |= Flags::FIN;
            unsafe { (*state).finished[Direction::Sent as usize] = 1 };
        }
        if segment.flags & RST != 0 {
            passing.flags |= Flags::RST;
        }
    }
    deliver(skb, sk, tcp, state, &passing);
    if segment.flags & RST != 0 {
        life::end_unwatched(state, sk, tcp, Reason::ResetByUs as u32);
    } else if segment.flags & FIN != 0 {
        if unsafe { (*state).finished[Direction::Received as usize] } != 0 {
            life::end_unwatched(state, sk, tcp, Reason::Finished as u32);
        } else if unsafe { (*state).watched } == 0 {
            // What the peer still says may pass a socket that is not this one any more.
            state::give_back(state);
        }
    }
}
