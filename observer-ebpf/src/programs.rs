//! One file for each thing that happens to a segment, in the order in which it happens.
//!
//! ```text
//!   cgroup_skb ──▶ packet ──▶ ingress / egress ──▶ state ──▶ deliver ──▶ classify
//!   sock_ops   ──▶ life ───────────────────────────▶ │           └──────▶ ring
//!   tracepoints ─▶ process                            └ one State per socket
//! ```

mod classify;
mod count;
mod deliver;
mod egress;
mod ingress;
mod life;
mod packet;
mod process;
mod ring;
mod shed;
mod state;

pub(crate) use state::State;

use core::ptr;

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::generated::bpf_sk_fullsock;
use observer_ebpf::Settings;

/// Set by the agent before it loads the object.
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    budgets: [0; 16],
    tail: 0,
    attempts: 0,
    sockets: 0,
    rings: 1,
    wake: 0,
    ring: 0,
    task_tgid: 0,
    task_comm: 0,
    window: 0,
    sock_error: 0,
    sock_cgroup: 0,
    cgroup_node: 0,
    node_id: 0,
};

/// Reads one setting; volatile, because the compiler believes it knows the initial value.
macro_rules! setting {
    ($name:ident) => {
        unsafe { core::ptr::read_volatile(&raw const $crate::programs::SETTINGS.$name) }
    };
}
use setting;

/// Payload bytes copied per turn and direction for a protocol.
#[inline(always)]
fn budget(protocol: u8) -> u32 {
    let budgets = (&raw const SETTINGS.budgets).cast::<u32>();
    unsafe { ptr::read_volatile(budgets.add(usize::from(protocol & 15))) }
}

/// `IPPROTO_TCP`.
const TCP: u32 = 6;
/// `SOCK_STREAM`: the kernel answers strays from a raw socket that also says TCP.
const SOCK_STREAM: u32 = 1;

/// The socket a packet belongs to, or null.
#[inline(always)]
fn socket(skb: *mut __sk_buff) -> *mut bpf_sock {
    unsafe { (*skb).__bindgen_anon_2.sk }
}

/// Whether a socket without state yet is a TCP connection's.
#[inline(always)]
fn is_stream(sk: *mut bpf_sock) -> bool {
    let sk = unsafe { bpf_sk_fullsock(sk) };
    !sk.is_null() && unsafe { (*sk).protocol == TCP && (*sk).type_ == SOCK_STREAM }
}

/// `include/net/tcp_states.h`, part of the user-space interface.
mod tcp_state {
    pub(super) const ESTABLISHED: u32 = 1;
    pub(super) const SYN_SENT: u32 = 2;
    pub(super) const SYN_RECV: u32 = 3;
    pub(super) const TIME_WAIT: u32 = 6;
    pub(super) const CLOSE: u32 = 7;
    pub(super) const CLOSE_WAIT: u32 = 8;
    pub(super) const LISTEN: u32 = 10;
}
