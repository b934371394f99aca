//! How connections begin and end.

use core::ffi::c_void;
use core::mem::transmute;

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
    BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, bpf_sock, bpf_sock_ops, bpf_tcp_sock,
};
use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_probe_read_kernel, bpf_sock_ops_cb_flags_set,
    bpf_tcp_sock as tcp_sock,
};
use aya_ebpf::macros::sock_ops;
use aya_ebpf::programs::SockOpsContext;
use observer_ebpf::{
    Direction, HEADER_SIZE, Header, IDENTITY_SIZE, Identity, Kind, Opener, Protocol, Reason,
};

use super::state::{self, State, begin, create, find, note_process, position};
use super::{ring, setting, tcp_state};

const AF_INET: u32 = 2;

/// Bytes of a record that tells who a connection is.
const SIZE: usize = HEADER_SIZE + IDENTITY_SIZE;

// `errno` values of `sock.sk_err`.
const EPIPE: u32 = 32;
const ENETUNREACH: u32 = 101;
const ECONNRESET: u32 = 104;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;
const EHOSTUNREACH: u32 = 113;

#[sock_ops]
fn observer_life(ctx: SockOpsContext) -> u32 {
    life(ctx.ops);
    1
}

#[inline(always)]
fn life(ops: *mut bpf_sock_ops) {
    let op = unsafe { (*ops).op };
    if op != BPF_SOCK_OPS_TCP_CONNECT_CB
        && op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB
        && op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB
        && op != BPF_SOCK_OPS_STATE_CB
    {
        return;
    }
    let sk = unsafe { (*ops).__bindgen_anon_2.sk };
    if sk.is_null() {
        return;
    }
    let tcp = unsafe { tcp_sock(sk) };
    if tcp.is_null() {
        return;
    }
    if op == BPF_SOCK_OPS_STATE_CB {
        let [before, after] = unsafe {
            [
                (*ops).__bindgen_anon_1.args[0],
                (*ops).__bindgen_anon_1.args[1],
            ]
        };
        if after == tcp_state::CLOSE {
            ended(sk, tcp, before);
        }
        return;
    }
    let passive = op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
    let opener = if passive {
        Opener::Passive
    } else {
        Opener::Active
    };
    let mut state = find(sk);
    if state.is_null() {
        let cookie = unsafe { bpf_get_socket_cookie(ops.cast()) };
        state = create(sk, tcp, opener as u32, 0, cookie);
        if state.is_null() {
            return;
        }
    }
    if unsafe { (*state).protocol } == Protocol::Own as u8 {
        // Its place is given back when it ends, without a word.
        unsafe { (*state).watched = 1 };
    }
    let flags = unsafe { (*ops).bpf_sock_ops_cb_flags };
    unsafe { bpf_sock_ops_cb_flags_set(ops, (flags | BPF_SOCK_OPS_STATE_CB_FLAG) as i32) };
    if unsafe { (*state).cgroup } == 0 {
        unsafe { (*state).cgroup = cgroup_of(sk) };
    }
    unsafe { (*state).watched = 1 };
    if op == BPF_SOCK_OPS_TCP_CONNECT_CB {
        // In the connecting process; its first segment, the SYN, has not been sent.
        note_process(state);
        unsafe { (*state).opener = Opener::Active as u8 };
        return;
    }
    // Data may have been sent on the SYN already.
    let sent_next = unsafe { (*state).sent_next };
    begin(state, tcp, opener as u8);
    if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        unsafe { (*state).sent_next = sent_next };
    }
    if unsafe { (*state).protocol } != Protocol::Own as u8 {
        let kind = if passive {
            Kind::Accepted
        } else {
            Kind::Opened
        };
        tell(state, sk, tcp, kind as u32, Reason::None as u32);
    }
}

/// The socket goes from `before` to `TCP_CLOSE`.
#[inline(never)]
fn ended(sk: *mut bpf_sock, tcp: *mut bpf_tcp_sock, before: u32) {
    let state = find(sk);
    if state.is_null() {
        return;
    }
    let reset = unsafe { (*state).reset } != 0;
    let connecting = before == tcp_state::SYN_SENT;
    let reason = match error_of(sk) {
        ECONNREFUSED if connecting => Reason::Refused,
        ECONNRESET | EPIPE | ECONNREFUSED => Reason::ResetByPeer,
        ETIMEDOUT => Reason::TimedOut,
        ENETUNREACH | EHOSTUNREACH => Reason::Unreachable,
        _ if connecting && reset => Reason::Refused,
        _ if connecting => Reason::Abandoned,
        _ if reset => Reason::ResetByPeer,
        _ if before == tcp_state::ESTABLISHED
            || before == tcp_state::CLOSE_WAIT
            || before == tcp_state::SYN_RECV =>
        {
            Reason::ResetByUs
        }
        _ => Reason::Finished,
    };
    let kind = if connecting {
        Kind::Failed
    } else {
        Kind::Closed
    };
    end(state, sk, tcp, kind as u32, reason as u32);
    state::remove(sk);
}

/// Tells the end of a connection older than the agent, of which `sock_ops` does not.
#[inline(always)]
pub(super) fn end_unwatched(
    state: *mut State,
    sk: *mut bpf_sock,
    tcp: *mut bpf_tcp_sock,
    reason: u32,
) {
    if unsafe { (*state).watched } == 0 {
        end(state, sk, tcp, Kind::Closed as u32, reason);
    }
}

#[inline(never)]
fn end(state: *mut State, sk: *mut bpf_sock, tcp: *mut bpf_tcp_sock, kind: u32, reason: u32) {
    if !state::close(state) {
        return;
    }
    if unsafe { (*state).protocol } != Protocol::Own as u8 {
        tell(state, sk, tcp, kind, reason);
    }
    state::give_back(state);
}

/// Sends who a connection is, and what happened to it; false where the ring is full.
#[inline(never)]
pub(super) fn tell(
    state: *mut State,
    sk: *mut bpf_sock,
    tcp: *mut bpf_tcp_sock,
    kind: u32,
    reason: u32,
) -> bool {
    let cookie = unsafe { (*state).cookie };
    let to = ring::of(unsafe { (*state).ring });
    if to.is_null() {
        return false;
    }
    let record = ring::reserve(to, SIZE);
    if record.is_null() {
        unsafe { (*state).lost += 1 };
        return false;
    }
    let header = Header {
        time: unsafe { bpf_ktime_get_ns() },
        cookie,
        round_trip_us: unsafe { (*tcp).srtt_us } >> 3,
        lost: unsafe { (*state).lost },
        kind: kind as u8,
        protocol: unsafe { (*state).protocol },
        reason: reason as u8,
        ..Header::default()
    };
    unsafe {
        record.cast::<Header>().write(header);
        identify(record.add(HEADER_SIZE).cast(), state, sk, tcp);
    }
    ring::submit(to, record, SIZE, header.time);
    unsafe {
        (*state).lost = 0;
        (*state).identified = 1;
    }
    true
}

#[inline(always)]
fn identify(to: *mut Identity, state: *mut State, sk: *mut bpf_sock, tcp: *mut bpf_tcp_sock) {
    let state = unsafe { &*state };
    let received = so_far(
        position(state.received.next, state.received.first, unsafe {
            (*tcp).rcv_nxt
        }),
        state.received.next,
        state.finished[Direction::Received as usize],
    );
    let sent = so_far(
        position(state.sent_next, state.sent_first, unsafe { (*tcp).snd_nxt }),
        state.sent_next,
        state.finished[Direction::Sent as usize],
    );
    let (local, remote) = addresses(sk);
    let identity = Identity {
        cgroup: state.cgroup,
        received,
        sent,
        local,
        remote,
        local_port: unsafe { (&raw const (*sk).src_port).read_volatile() } as u16,
        remote_port: u16::from_be(unsafe { (&raw const (*sk).dst_port).read_volatile() }),
        received_first: state.received.first,
        sent_first: state.sent_first,
        process: state.process,
        command: state.command,
        opener: state.opener,
        reserved: [0; 7],
    };
    unsafe { to.write(identity) };
}

/// The socket's addresses, local and remote; IPv4 as v4-mapped IPv6.
///
/// Both families' fields are read, word by word and volatile: the verifier takes neither a wider
/// load of them nor an offset that depends on the family.
#[inline(always)]
fn addresses(sk: *mut bpf_sock) -> ([u8; 16], [u8; 16]) {
    let source = unsafe { (&raw const (*sk).src_ip4).read_volatile() };
    let destination = unsafe { (&raw const (*sk).dst_ip4).read_volatile() };
    let mut local = unsafe { words((&raw const (*sk).src_ip6).cast()) };
    let mut remote = unsafe { words((&raw const (*sk).dst_ip6).cast()) };
    if unsafe { (*sk).family } == AF_INET {
        local = [0, 0, 0xffff_u32.to_be(), source];
        remote = [0, 0, 0xffff_u32.to_be(), destination];
    }
    unsafe {
        (
            transmute::<[u32; 4], [u8; 16]>(local),
            transmute::<[u32; 4], [u8; 16]>(remote),
        )
    }
}

/// Four words, without a loop: a socket's fields have to be at constant offsets.
#[inline(always)]
unsafe fn words(from: *const u32) -> [u32; 4] {
    unsafe {
        [
            from.read_volatile(),
            from.add(1).read_volatile(),
            from.add(2).read_volatile(),
            from.add(3).read_volatile(),
        ]
    }
}

/// TCP's position, without the FIN it counts as a byte.
#[inline(always)]
fn so_far(position: i64, known: u64, finished: u8) -> u64 {
    let position = if position < 0 { 0 } else { position as u64 };
    if finished != 0 && position > known {
        known
    } else {
        position
    }
}

/// `sk->sk_err`; 0 where the kernel has not said where it is.
#[inline(always)]
fn error_of(sk: *mut bpf_sock) -> u32 {
    let offset = setting!(sock_error);
    let mut error = 0_u32;
    if offset != 0 {
        let from = (address_of(sk) + u64::from(offset)) as *const c_void;
        unsafe { bpf_probe_read_kernel((&raw mut error).cast(), 4, from) };
    }
    error
}

/// The socket's address as a number: the verifier allows no arithmetic on the pointer itself.
#[inline(always)]
fn address_of(sk: *mut bpf_sock) -> u64 {
    let pointer = sk;
    let mut address = 0_u64;
    let size = size_of::<u64>() as u32;
    unsafe { bpf_probe_read_kernel((&raw mut address).cast(), size, (&raw const pointer).cast()) };
    address
}

/// The cgroup v2 id of a socket; `sock_ops` has no helper for it.
#[inline(always)]
fn cgroup_of(sk: *mut bpf_sock) -> u64 {
    let offset = setting!(sock_cgroup);
    if offset == 0 {
        return 0;
    }
    let mut at = address_of(sk) + u64::from(offset);
    let mut value = 0_u64;
    for step in [0, setting!(cgroup_node), setting!(node_id)] {
        let from = (at + u64::from(step)) as *const c_void;
        if unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 8, from) } != 0 {
            return 0;
        }
        at = value;
    }
    value
}
