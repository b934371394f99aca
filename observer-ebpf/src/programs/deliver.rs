//! What becomes of new bytes: skipped, or a record.

use aya_ebpf::bindings::{__sk_buff, bpf_sock, bpf_tcp_sock};
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_skb_cgroup_id};
use observer_ebpf::{
    Counter, Direction, Flags, Header, Kind, Protocol, Reason, TAIL_MAX, VERDICT_SLOTS,
};

use super::classify::classify;
use super::count::count;
use super::state::{State, note_process};
use super::{budget, life, ring, setting, shed};
use crate::maps::{EPOCHS, VERDICTS};

/// Most bytes a record holds from a segment's start.
pub(super) const HEAD_MAX: u32 = 65536;

/// New bytes of one direction, or an ending without any.
pub(super) struct Passing {
    /// Position of the first byte.
    pub(super) position: u64,
    /// How many.
    pub(super) length: u32,
    /// Where they begin in the packet.
    pub(super) offset: u32,
    /// As [`Header::ahead`].
    pub(super) ahead: u32,
    /// [`Flags`].
    pub(super) flags: u16,
    /// `Direction`.
    pub(super) direction: u8,
}

/// Counts the bytes, and sends a record of them unless the connection is not to be looked at.
#[inline(always)]
pub(super) fn deliver(
    skb: *mut __sk_buff,
    sk: *mut bpf_sock,
    tcp: *mut bpf_tcp_sock,
    state: *mut State,
    passing: &Passing,
) {
    let length = passing.length;
    let offset = passing.offset;
    let direction = passing.direction & 1;
    let mut flags = passing.flags;
    look_for_verdict(state);
    let own = unsafe { (*state).protocol } == Protocol::Own as u8;
    if own {
        count(Counter::OwnSegments, 1);
        return;
    }
    // Its end was told: nothing more is to be, except bytes, which there should be none of.
    if length == 0 && unsafe { (*state).closed } != 0 {
        return;
    }
    count(Counter::SeenBytes, u64::from(length));
    if length > 0 && unsafe { (*state).last } != direction + 1 {
        unsafe {
            (*state).last = direction + 1;
            *spent(state, direction) = 0;
        }
        flags |= Flags::TURN;
        classify(skb, state, offset, length);
        // Only with nothing in flight: what acknowledgements release leaves under whoever runs.
        if direction == Direction::Sent as u8
            && unsafe { (*state).process } == 0
            && unsafe { (*tcp).packets_out } == 0
        {
            note_process(state);
        }
    }
    let protocol = unsafe { (*state).protocol };
    if flags & Flags::RETRANSMITTED == 0
        && let Some(counter) = skipped(protocol)
    {
        count(counter, u64::from(length));
        return;
    }
    if unsafe { (*state).identified } == 0 {
        if unsafe { (*state).cgroup } == 0 {
            unsafe { (*state).cgroup = bpf_skb_cgroup_id(skb) };
        }
        if !life::tell(state, sk, tcp, Kind::Connection as u32, Reason::None as u32) {
            // Without it the segment means nothing to the agent.
            count(Counter::RecordsRingFull, 1);
            lose(state, length);
            return;
        }
    }
    let to = ring::of(unsafe { (*state).ring });
    let copied = unsafe { *spent(state, direction) };
    let left = budget(protocol).saturating_sub(copied);
    let mut head = length.min(left).min(HEAD_MAX);
    let mut tail = 0;
    let room = shed::room(to, protocol, length);
    if room == shed::NONE {
        count(Counter::RecordsRingFull, 1);
        lose(state, length);
        return;
    }
    let kept = room.saturating_sub(copied);
    if kept < head {
        head = kept;
        flags |= Flags::SHED;
        count(Counter::RecordsShed, 1);
    } else if head < length {
        flags |= Flags::BUDGET;
        tail = (length - head).min(setting!(tail)).min(TAIL_MAX);
    }
    unsafe { *spent(state, direction) += head };
    let header = Header {
        time: unsafe { bpf_ktime_get_ns() },
        cookie: unsafe { (*state).cookie },
        position: passing.position,
        sender: 0,
        length,
        head,
        tail,
        ahead: passing.ahead,
        round_trip_us: unsafe { (*tcp).srtt_us } >> 3,
        lost: unsafe { (*state).lost },
        flags,
        kind: Kind::Segment as u8,
        direction,
        protocol,
        reason: 0,
        reserved: [0; 2],
    };
    if !to.is_null() && ring::segment(to, skb, &header, offset) {
        unsafe { (*state).lost = 0 };
    } else {
        lose(state, length);
    }
}

/// Bytes copied of a direction since its turn.
#[inline(always)]
fn spent(state: *mut State, direction: u8) -> *mut u32 {
    unsafe {
        (&raw mut (*state).spent)
            .cast::<u32>()
            .add(usize::from(direction & 1))
    }
}

/// The record found no room; the next one that does will say so.
#[inline(always)]
fn lose(state: *mut State, length: u32) {
    count(Counter::LostRing, u64::from(length));
    unsafe { (*state).lost += 1 };
}

/// Takes over what the agent decided, if anything in this cookie's slot is new.
#[inline(always)]
fn look_for_verdict(state: *mut State) {
    let cookie = unsafe { (*state).cookie };
    let Some(epoch) = EPOCHS.get(cookie as u32 & (VERDICT_SLOTS - 1)) else {
        return;
    };
    let epoch = *epoch;
    if epoch == unsafe { (*state).epoch } {
        return;
    }
    unsafe { (*state).epoch = epoch };
    if let Some(verdict) = unsafe { VERDICTS.get(cookie) } {
        if verdict.protocol != Protocol::Undecided as u8 {
            unsafe { (*state).protocol = verdict.protocol };
        }
        if verdict.tell != 0 {
            unsafe { (*state).identified = 0 };
        }
    }
}

/// The counter of a protocol whose payload is not looked at.
#[inline(always)]
fn skipped(protocol: u8) -> Option<Counter> {
    const TLS: u8 = Protocol::Tls as u8;
    const HTTP2: u8 = Protocol::Http2 as u8;
    const OTHER: u8 = Protocol::Other as u8;
    const OTHER_END: u8 = Protocol::OtherEnd as u8;
    const UPGRADED: u8 = Protocol::Upgraded as u8;
    match protocol {
        TLS => Some(Counter::SkippedTls),
        HTTP2 => Some(Counter::SkippedHttp2),
        OTHER => Some(Counter::SkippedOther),
        OTHER_END => Some(Counter::SkippedOtherEnd),
        UPGRADED => Some(Counter::SkippedUpgraded),
        _ => None,
    }
}
