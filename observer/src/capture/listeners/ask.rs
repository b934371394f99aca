//! The question for listeners and its answers, over `sock_diag(7)`.
//!
//! ```text
//!   request   nlmsghdr 16 │ inet_diag_req_v2 56
//!   answer    nlmsghdr 16 │ inet_diag_msg 72 │ attributes, each: length 2 │ type 2 │ value
//! ```
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use super::Listener;

/// Bytes of `nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `inet_diag_req_v2`.
const REQUEST: usize = 56;
/// Bytes of `inet_diag_msg`.
const MESSAGE: usize = 72;
/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `INET_DIAG_CGROUP_ID` of `linux/inet_diag.h`.
const CGROUP: u16 = 21;
/// `TCP_LISTEN` of `include/net/tcp_states.h`.
const LISTEN: u32 = 10;

/// The listeners of TCP in the caller's network namespace.
pub(super) fn listeners() -> io::Result<Vec<Listener>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let mut listeners = Vec::new();
    let mut answer = vec![0; 65_536];
    for family in [libc::AF_INET, libc::AF_INET6] {
        let kernel = NetlinkAddr::new(0, 0);
        let request = request(u8::try_from(family).unwrap_or(0));
        sendto(socket.as_raw_fd(), &request, &kernel, MsgFlags::empty())?;
        loop {
            let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            if read(answer.get(..length).unwrap_or_default(), &mut listeners)? {
                break;
            }
        }
    }
    Ok(listeners)
}

fn request(family: u8) -> [u8; HEADER + REQUEST] {
    let mut request = [0; HEADER + REQUEST];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in request.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    let length = u32::try_from(HEADER + REQUEST).unwrap_or(0);
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_DUMP).unwrap_or(0);
    put(0, &length.to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &flags.to_ne_bytes());
    let tcp = u8::try_from(libc::IPPROTO_TCP).unwrap_or(0);
    put(HEADER, &[family, tcp]);
    put(HEADER + 4, &(1_u32 << LISTEN).to_ne_bytes());
    request
}

/// Takes the messages of an answer; true where it was the last.
fn read(mut answer: &[u8], listeners: &mut Vec<Listener>) -> io::Result<bool> {
    while let Some(length) = word(answer, 0).and_then(|length| usize::try_from(length).ok()) {
        let Some(message) = answer.get(HEADER..length) else {
            break;
        };
        match short(answer, 4).map(i32::from) {
            Some(libc::NLMSG_DONE) => return Ok(true),
            Some(libc::NLMSG_ERROR) => {
                let error = word(message, 0).unwrap_or(0).cast_signed();
                return Err(io::Error::from_raw_os_error(error.wrapping_neg()));
            }
            _ => listeners.extend(listener(message)),
        }
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn listener(message: &[u8]) -> Option<Listener> {
    let port = u16::from_be_bytes(message.get(4..6)?.try_into().ok()?);
    let address = message.get(8..24)?;
    let host = if i32::from(*message.first()?) == libc::AF_INET6 {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?))
    } else {
        IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address.get(..4)?).ok()?))
    };
    let mut attributes = message.get(MESSAGE..)?;
    loop {
        let length = usize::from(short(attributes, 0)?);
        if short(attributes, 2)? == CGROUP {
            let id = attributes.get(4..length)?.try_into().ok()?;
            return Some(Listener {
                address: SocketAddr::new(host, port),
                inode: word(message, MESSAGE - 4)?,
                cgroup: u64::from_ne_bytes(id),
            });
        }
        // A length that is too short would lead nowhere.
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(bytes))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of one listener on port 80 with the attributes `INET_DIAG_SHUTDOWN` and this one.
    fn answer(family: i32, attribute: u16, value: &[u8]) -> Vec<u8> {
        let mut message = vec![0; MESSAGE];
        message[0] = u8::try_from(family).unwrap();
        message[4..6].copy_from_slice(&80_u16.to_be_bytes());
        message[8..12].copy_from_slice(&[127, 0, 0, 1]);
        message[MESSAGE - 4..].copy_from_slice(&4711_u32.to_ne_bytes());
        message.extend([5_u16, 8].iter().flat_map(|word| word.to_ne_bytes()));
        message.extend([0; 4]);
        let length = u16::try_from(4 + value.len()).unwrap();
        message.extend(
            [length, attribute]
                .iter()
                .flat_map(|word| word.to_ne_bytes()),
        );
        message.extend(value);
        framed(BY_FAMILY, &message)
    }

    fn framed(kind: u16, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + message.len()).unwrap();
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.extend(message);
        bytes
    }

    #[test]
    fn a_listener_is_read_with_its_cgroup_and_nothing_is_made_of_less() {
        let whole = answer(libc::AF_INET, CGROUP, &77_u64.to_ne_bytes());
        let mut listeners = Vec::new();
        assert!(!read(&whole, &mut listeners).unwrap());
        let expected = Listener {
            address: "127.0.0.1:80".parse().unwrap(),
            inode: 4711,
            cgroup: 77,
        };
        assert_eq!(listeners, [expected]);
        for length in 0..whole.len() {
            listeners.clear();
            assert!(!read(&whole[..length], &mut listeners).unwrap());
            assert_eq!(listeners, [], "{length}");
        }
        let other = answer(libc::AF_INET6, CGROUP + 1, &77_u64.to_ne_bytes());
        assert!(!read(&other, &mut listeners).unwrap());
        assert_eq!(listeners, []);
    }

    #[test]
    fn the_end_and_an_error_are_told_apart() {
        let done = framed(u16::try_from(libc::NLMSG_DONE).unwrap(), &[0; 4]);
        assert!(read(&done, &mut Vec::new()).unwrap());
        let refused = (-libc::EPERM).to_ne_bytes();
        let refused = framed(u16::try_from(libc::NLMSG_ERROR).unwrap(), &refused);
        let error = read(&refused, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }
}
