//! What is remembered of a socket: at most 176 bytes, in its own storage.

use core::ffi::c_void;
use core::mem::zeroed;
use core::ptr;

use aya_ebpf::bindings::{
    __sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock, bpf_spin_lock, bpf_tcp_sock,
};
use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_get_socket_cookie, bpf_probe_read_kernel, bpf_sk_storage_delete,
    bpf_sk_storage_get, bpf_spin_lock as lock, bpf_spin_unlock as unlock,
};
use observer_ebpf::{Counter, Opener, Part, Protocol, Received};

use super::count::{count, track, tracked};
use super::{ring, setting};
use crate::maps::{OWN, SOCKETS};

/// A socket's state.
///
/// Bytes rather than bits: both directions run at once on two processors, and only what was
/// received, which the ledger's exactness hangs on, is worth the lock.
#[repr(C)]
pub(crate) struct State {
    /// Guards `received`.
    pub(super) lock: bpf_spin_lock,
    /// Sequence number of the first byte sent.
    pub(super) sent_first: u32,
    /// Records that found no room since the last one that did.
    pub(super) lost: u32,
    /// The verdict slot's epoch that was last looked at.
    pub(super) epoch: u32,
    /// What was received.
    pub(super) received: Received,
    /// Position behind the furthest byte sent that was counted.
    pub(super) sent_next: u64,
    /// Its cookie.
    pub(super) cookie: u64,
    /// Its cgroup; 0 until known.
    pub(super) cgroup: u64,
    /// Bytes copied since the last turn, by [`Direction`].
    pub(super) spent: [u32; 2],
    /// Process that was seen sending; 0 until one was.
    pub(super) process: u32,
    /// Its name.
    pub(super) command: [u8; 16],
    /// [`Protocol`].
    pub(super) protocol: u8,
    /// Turns at which it was not recognised, or at which a switch to TLS was looked for.
    pub(super) attempts: u8,
    /// 1 + the [`Direction`] of the last payload; 0 before any.
    pub(super) last: u8,
    /// [`Opener`].
    pub(super) opener: u8,
    /// Not 0: the agent was told who it is.
    pub(super) identified: u8,
    /// Not 0: `sock_ops` will tell of its end.
    pub(super) watched: u8,
    /// Bits by [`Direction`]: FIN passed.
    pub(super) finished: [u8; 2],
    /// Not 0: an RST of the peer passed.
    pub(super) reset: u8,
    /// Not 0: its end was told.
    pub(super) closed: u8,
    /// Its place among the tracked: [`PLACE_NONE`], [`PLACE_TAKEN`] or [`PLACE_BACK`].
    pub(super) place: u8,
    /// The ring its records go to.
    pub(super) ring: u8,
}

const _: () = assert!(size_of::<State>() <= 176);

/// Not counted yet.
const PLACE_NONE: u8 = 0;
/// Counted in `TRACKED`.
const PLACE_TAKEN: u8 = 1;
/// Given back.
const PLACE_BACK: u8 = 2;

/// The state of a socket, or null.
#[inline(always)]
pub(super) fn find(sk: *mut bpf_sock) -> *mut State {
    let map = (&raw const SOCKETS).cast_mut();
    unsafe { bpf_sk_storage_get(map.cast(), sk.cast(), ptr::null_mut(), 0) }.cast()
}

/// Forgets the state.
#[inline(always)]
pub(super) fn remove(sk: *mut bpf_sock) {
    let map = (&raw const SOCKETS).cast_mut();
    unsafe { bpf_sk_storage_delete(map.cast(), sk.cast()) };
}

/// Whether the socket is the agent's listener or came from it.
#[inline(always)]
pub(super) fn is_own(sk: *mut bpf_sock) -> bool {
    let map = (&raw const OWN).cast_mut();
    !unsafe { bpf_sk_storage_get(map.cast(), sk.cast(), ptr::null_mut(), 0) }.is_null()
}

/// Gives state to a socket that is older than the agent, if a segment brings `fresh` new bytes.
#[inline(always)]
pub(super) fn join(
    skb: *mut __sk_buff,
    sk: *mut bpf_sock,
    tcp: *mut bpf_tcp_sock,
    fresh: u32,
) -> *mut State {
    if fresh == 0 {
        return ptr::null_mut();
    }
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    create(sk, tcp, Opener::Unknown as u32, fresh, cookie)
}

/// Gives a socket state, or counts why it has none and returns null. `length` payload bytes are
/// then counted as skipped or lost.
#[inline(never)]
pub(super) fn create(
    sk: *mut bpf_sock,
    tcp: *mut bpf_tcp_sock,
    opener: u32,
    length: u32,
    cookie: u64,
) -> *mut State {
    if tracked() >= u64::from(setting!(sockets)) {
        count(Counter::SeenBytes, u64::from(length));
        count(Counter::SkippedSockets, u64::from(length));
        return ptr::null_mut();
    }
    let mut initial: State = unsafe { zeroed() };
    initial.cookie = cookie;
    initial.ring = ring_for(sk);
    initial.protocol = if is_own(sk) {
        Protocol::Own as u8
    } else {
        Protocol::Undecided as u8
    };
    begin(&raw mut initial, tcp, opener as u8);
    let map = (&raw const SOCKETS).cast_mut();
    let state: *mut State = unsafe {
        bpf_sk_storage_get(
            map.cast(),
            sk.cast(),
            (&raw mut initial).cast(),
            u64::from(BPF_SK_STORAGE_GET_F_CREATE),
        )
    }
    .cast();
    if state.is_null() {
        // Another processor was faster, or there is no memory.
        let other = find(sk);
        if other.is_null() {
            count(Counter::SeenBytes, u64::from(length));
            count(Counter::LostStorage, u64::from(length));
        }
        return other;
    }
    take_place(state);
    state
}

/// Counts the socket among the tracked; once, also where two processors met it at the same time and
/// the second was given what the first had made.
#[inline(always)]
fn take_place(state: *mut State) {
    unsafe { lock(&raw mut (*state).lock) };
    let mine = unsafe { (*state).place } == PLACE_NONE;
    if mine {
        unsafe { (*state).place = PLACE_TAKEN };
    }
    unsafe { unlock(&raw mut (*state).lock) };
    if mine {
        count(Counter::SocketsTracked, 1);
        track(1);
    }
}

/// Gives the socket's place back, once: were it given back twice, the number of tracked sockets
/// would fall below zero and every further socket be over the bound.
#[inline(never)]
pub(super) fn give_back(state: *mut State) {
    unsafe { lock(&raw mut (*state).lock) };
    let mine = unsafe { (*state).place } == PLACE_TAKEN;
    unsafe { (*state).place = PLACE_BACK };
    unsafe { unlock(&raw mut (*state).lock) };
    if mine {
        count(Counter::SocketsReleased, 1);
        track(u64::MAX);
    }
}

/// Marks the socket's end as told; false where it was already.
#[inline(always)]
pub(super) fn close(state: *mut State) -> bool {
    unsafe { lock(&raw mut (*state).lock) };
    let first = unsafe { (*state).closed } == 0;
    unsafe { (*state).closed = 1 };
    unsafe { unlock(&raw mut (*state).lock) };
    first
}

#[inline(always)]
fn ring_for(sk: *mut bpf_sock) -> u8 {
    let local = unsafe { (&raw const (*sk).src_port).read_volatile() } as u16;
    let remote = u16::from_be(unsafe { (&raw const (*sk).dst_port).read_volatile() });
    ring::choose(local, remote)
}

/// Takes a socket's first-byte sequence numbers and present positions from TCP.
///
/// `bytes_received` moves just before `rcv_nxt` and `bytes_acked` just before `snd_una`, under a
/// lock that ingress does not hold: read until two readings agree.
#[inline(always)]
pub(super) fn begin(state: *mut State, tcp: *mut bpf_tcp_sock, opener: u8) {
    let mut received = unsafe { (&raw const (*tcp).bytes_received).read_volatile() };
    let mut acked = unsafe { (&raw const (*tcp).bytes_acked).read_volatile() };
    let mut received_next = 0;
    let mut unacked = 0;
    for _ in 0..3 {
        received_next = unsafe { (&raw const (*tcp).rcv_nxt).read_volatile() };
        unacked = unsafe { (&raw const (*tcp).snd_una).read_volatile() };
        let again = unsafe { (&raw const (*tcp).bytes_received).read_volatile() };
        let acked_again = unsafe { (&raw const (*tcp).bytes_acked).read_volatile() };
        if again == received && acked_again == acked {
            break;
        }
        received = again;
        acked = acked_again;
    }
    // The active opener's own SYN was acknowledged, and counted, before its first byte.
    let own_syn = u32::from(opener == Opener::Active as u8);
    let sent_first = unacked.wrapping_sub(acked as u32).wrapping_add(own_syn);
    let outstanding = unsafe { (*tcp).snd_nxt }.wrapping_sub(unacked);
    unsafe {
        (*state).opener = opener;
        (*state).received.first = received_next.wrapping_sub(received as u32);
        (*state).sent_first = sent_first;
        (*state).received.next = received;
        (*state).sent_next = (acked + u64::from(outstanding)).saturating_sub(u64::from(own_syn));
    }
}

/// What of a segment is new.
///
/// The lock is against the same socket's segments on another processor, and costs a tenth of the
/// program; what simply comes next does without. Of two such at once the second takes the lock,
/// finds the first missing or counted, and counts itself once either way; only a repeat that
/// arrives within the few instructions of its original could be counted with it.
#[inline(always)]
pub(super) fn claim(state: *mut State, start: u64, end: u64, accepted: u64) -> Part {
    if unsafe { (*state).received.advance(start, end, accepted) } {
        return Part {
            start,
            length: (end - start) as u32,
            lost: 0,
        };
    }
    unsafe { lock(&raw mut (*state).lock) };
    let part = unsafe { (*state).received.claim(start, end, accepted) };
    unsafe { unlock(&raw mut (*state).lock) };
    part
}

/// The position of a sequence number, from one that is known to be near.
#[inline(always)]
pub(super) fn position(near: u64, first: u32, sequence: u32) -> i64 {
    let distance = sequence.wrapping_sub(first.wrapping_add(near as u32)) as i32;
    (near as i64).wrapping_add(i64::from(distance))
}

/// Notes the process that runs as the one that sends.
#[inline(never)]
pub(super) fn note_process(state: *mut State) {
    let (tgid, comm) = (setting!(task_tgid), setting!(task_comm));
    if tgid == 0 || comm == 0 {
        return;
    }
    let task = unsafe { bpf_get_current_task() };
    let mut process = 0_u32;
    let from = (task + u64::from(tgid)) as *const c_void;
    if unsafe { bpf_probe_read_kernel((&raw mut process).cast(), 4, from) } != 0 || process == 0 {
        return;
    }
    let from = (task + u64::from(comm)) as *const c_void;
    unsafe {
        bpf_probe_read_kernel((&raw mut (*state).command).cast(), 16, from);
        (*state).process = process;
        // Told again, now with its process.
        (*state).identified = 0;
    }
}
