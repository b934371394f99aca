//! A record of the ring, proven to be one.
#![forbid(unsafe_code)]

use observer_ebpf::{HEADER_SIZE, Header, Identity, Kind, Process};
use zerocopy::FromBytes as _;

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its header.
    pub header: Header,
    /// What it says.
    pub body: Body<'a>,
}

/// What a record says.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Payload passed: its first bytes, and its last ones where the budget cut it.
    Segment(&'a [u8], &'a [u8]),
    /// Payload on a listener's socket: the child's identity and its first bytes.
    Early(Identity, &'a [u8]),
    /// Who a connection is, or its life cycle (the kind says which).
    Connection(Kind, Identity),
    /// A process's life cycle (the kind says which).
    Process(Kind, Process),
}

/// Bytes that are no record: a bug of ours, or a damaged recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record of this version's layout")]
pub struct Malformed;

impl<'a> Record<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Malformed`] where lengths or enumerations are not those of the layout.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = Header::read_from_prefix(bytes).map_err(|_| Malformed)?;
        debug_assert_eq!(bytes.len() - rest.len(), HEADER_SIZE);
        let kind = Kind::from_byte(header.kind).ok_or(Malformed)?;
        let body = match kind {
            Kind::Segment => {
                let (head, rest) = split(rest, header.head)?;
                let (tail, _) = split(rest, header.tail)?;
                if u64::from(header.head) + u64::from(header.tail) > u64::from(header.length) {
                    return Err(Malformed);
                }
                Body::Segment(head, tail)
            }
            Kind::Early => {
                let (identity, rest) = Identity::read_from_prefix(rest).map_err(|_| Malformed)?;
                let (head, _) = split(rest, header.head)?;
                Body::Early(identity, head)
            }
            Kind::Connection | Kind::Opened | Kind::Accepted | Kind::Failed | Kind::Closed => {
                let (identity, _) = Identity::read_from_prefix(rest).map_err(|_| Malformed)?;
                Body::Connection(kind, identity)
            }
            Kind::ProcessExec | Kind::ProcessExit | Kind::ProcessOutOfMemory => {
                let (process, _) = Process::read_from_prefix(rest).map_err(|_| Malformed)?;
                Body::Process(kind, process)
            }
        };
        Ok(Self { header, body })
    }
}

fn split(bytes: &[u8], length: u32) -> Result<(&[u8], &[u8]), Malformed> {
    bytes.split_at_checked(length as usize).ok_or(Malformed)
}
