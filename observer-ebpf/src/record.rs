//! The records that travel through the ring.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of [`Header`].
pub const HEADER_SIZE: usize = size_of::<Header>();
/// Bytes of [`Identity`].
pub const IDENTITY_SIZE: usize = size_of::<Identity>();

const _: () = assert!(HEADER_SIZE == 64);
const _: () = assert!(IDENTITY_SIZE == 96);

/// The layout's version; a recording made with another one is refused.
pub struct Version;

impl Version {
    /// Raised whenever a field of this crate moves.
    pub const CURRENT: u16 = 1;
}

/// The first 64 bytes of every record.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// When the hook ran: `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// The kernel's handle of the local socket (`bpf_get_socket_cookie`); 0 for process records.
    pub cookie: u64,
    /// Position of the payload's first byte in its direction; 0 is the first byte after the SYN.
    ///
    /// Unwrapped to 64 bits. At an active opener whose SYN was not seen ([`Opener::Unknown`]) every
    /// sent position is one too high, consistently for the connection's life.
    pub position: u64,
    /// Room for who sent it: process and thread, later the goroutine. 0 is unknown.
    pub sender: u64,
    /// Payload bytes the segment really has.
    pub length: u32,
    /// How many of them were copied, from the segment's start.
    pub head: u32,
    /// How many more were copied, from the segment's end; they follow the head.
    pub tail: u32,
    /// Received segments: how far `position` lies ahead of what TCP had accepted then; what lies
    /// below was accepted, so if it is missing here it will never come.
    pub ahead: u32,
    /// Smoothed round-trip time in microseconds; 0 where none was measured yet.
    pub round_trip_us: u32,
    /// Records of this connection that found no room in the ring since the last one that did.
    pub lost: u32,
    /// [`Flags`].
    pub flags: u16,
    /// [`Kind`].
    pub kind: u8,
    /// [`Direction`].
    pub direction: u8,
    /// [`Protocol`], as the kernel sees it now; provisional.
    pub protocol: u8,
    /// [`Reason`] of `Failed` and `Closed`.
    pub reason: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// Who a connection is: sent before its first segment, with life-cycle records, and again on demand.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Identity {
    /// The cgroup v2 id of the socket: of the process that created it.
    pub cgroup: u64,
    /// Bytes received and accepted by TCP at this moment, as a position.
    pub received: u64,
    /// Bytes sent at this moment, as a position.
    pub sent: u64,
    /// Local address, IPv4 as v4-mapped IPv6, network order. From the socket, never from the packet.
    pub local: [u8; 16],
    /// Remote address, likewise.
    pub remote: [u8; 16],
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// TCP sequence number of the first byte received: `rcv_nxt − bytes_received`.
    pub received_first: u32,
    /// TCP sequence number of the first byte sent: `snd_una − bytes_acked`, corrected where the
    /// opener is known; with [`Opener::Unknown`] it may be one too low.
    pub sent_first: u32,
    /// Process (thread group) that was seen sending on it; 0 where none was.
    pub process: u32,
    /// Name of that process (`task->comm`), zero-padded; empty where none was seen.
    pub command: [u8; 16],
    /// [`Opener`].
    pub opener: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

/// A process began, ended or was killed for memory.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Process {
    /// Its cgroup v2 id.
    pub cgroup: u64,
    /// Thread group id in the host's pid namespace.
    pub process: u32,
    /// Zero.
    pub reserved: u32,
    /// `task->comm`, zero-padded.
    pub command: [u8; 16],
}

macro_rules! closed_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $value:literal, $label:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $value,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value of a byte; `None` for a byte no side writes.
            #[inline]
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($value => Some(Self::$variant),)* _ => None }
            }

            /// As a label value.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

closed_enum! {
    /// What a record says.
    Kind {
        /// Who a connection is; comes before its first segment.
        Connection = 1, "connection";
        /// Payload passed, or a flag (FIN, RST, retransmission) without payload.
        Segment = 2, "segment";
        /// Payload that arrived on the listener's socket, before its child existed.
        Early = 3, "early";
        /// A connect succeeded.
        Opened = 4, "opened";
        /// A listener's child was established.
        Accepted = 5, "accepted";
        /// A connect did not succeed.
        Failed = 6, "failed";
        /// The socket reached `TCP_CLOSE`.
        Closed = 7, "closed";
        /// A selected process executed a program.
        ProcessExec = 8, "process_exec";
        /// A selected process exited.
        ProcessExit = 9, "process_exit";
        /// The kernel chose a process to kill for memory.
        ProcessOutOfMemory = 10, "process_out_of_memory";
    }
}

closed_enum! {
    /// Which way a segment went, seen from the local socket.
    Direction {
        /// Into the socket.
        Received = 0, "received";
        /// Out of the socket.
        Sent = 1, "sent";
    }
}

closed_enum! {
    /// What a connection carries, as far as is known.
    Protocol {
        /// Not decided yet.
        Undecided = 0, "undecided";
        /// HTTP/1.0 or HTTP/1.1.
        Http1 = 1, "http1";
        /// PostgreSQL protocol 3.
        Postgres = 2, "postgres";
        /// RESP2 or RESP3.
        Redis = 3, "redis";
        /// HTTP/2 with prior knowledge or after an upgrade.
        Http2 = 4, "http2";
        /// TLS: a ClientHello, or bytes after an SSLRequest was granted.
        Tls = 5, "tls";
        /// None of these, after several turns.
        Other = 6, "other";
        /// The other end of this connection is observed and answers for both.
        OtherEnd = 7, "other_end";
        /// The agent's own listener.
        Own = 8, "own";
        /// An opaque stream after a protocol switch (WebSocket, CONNECT, replication).
        Upgraded = 9, "upgraded";
    }
}

closed_enum! {
    /// Who sent the SYN.
    Opener {
        /// The connection is older than the agent.
        Unknown = 0, "unknown";
        /// The local socket.
        Active = 1, "active";
        /// The remote end.
        Passive = 2, "passive";
    }
}

closed_enum! {
    /// How a connection ended, or why it never began.
    Reason {
        /// Not an ending.
        None = 0, "none";
        /// Both ends sent FIN, or the socket was closed in order.
        Finished = 1, "finished";
        /// The peer sent RST.
        ResetByPeer = 2, "reset_by_peer";
        /// The local end sent RST.
        ResetByUs = 3, "reset_by_us";
        /// Retransmissions or the connect ran out of time.
        TimedOut = 4, "timed_out";
        /// RST in answer to a SYN.
        Refused = 5, "refused";
        /// Anything else in answer to a SYN, or an ICMP error that ended the connection.
        Unreachable = 6, "unreachable";
        /// The local end gave the connect up before it was answered.
        Abandoned = 7, "abandoned";
    }
}

/// Bits of [`Header::flags`].
pub struct Flags;

impl Flags {
    /// The segment has FIN; the direction ends behind its payload.
    pub const FIN: u16 = 1;
    /// The segment has RST.
    pub const RST: u16 = 1 << 1;
    /// The segment was sent before: no payload is carried, only that it happened.
    pub const RETRANSMITTED: u16 = 1 << 2;
    /// First segment of this direction since the other direction last carried payload.
    pub const TURN: u16 = 1 << 3;
    /// Copied less than the segment has, because the direction's budget of this turn is spent.
    pub const BUDGET: u16 = 1 << 4;
    /// Copied less than the segment has, because the ring was filling up.
    pub const SHED: u16 = 1 << 6;
    /// The payload began a message with nothing in flight, so [`Header::sender`] names its author.
    pub const AUTHOR: u16 = 1 << 5;
}
