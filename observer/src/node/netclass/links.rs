//! Network devices, by one request of rtnetlink: rtnetlink(7), `rtnl_fill_ifinfo` of the kernel's
//! `net/core/rtnetlink.c`.
//!
//! sysfs has the same, a file for each attribute of each device, and opening them was a third of what
//! a scrape took. What rtnetlink does not say, or says otherwise, stays with sysfs.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage, State};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// Bytes of an answer at once; the kernel gives at most this (`NETLINK_GOODSIZE` and up to 32 KiB).
const PIECE: usize = 32 * 1024;
/// Pieces of one answer at most: some ten thousand devices.
const PIECES: usize = 1024;

/// A device, as far as the names of its attributes in sysfs mean the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    index: u32,
    kind: u16,
    is_up: bool,
    is_dormant: bool,
    carrier: Option<u8>,
    carrier_changes: Option<u32>,
    carrier_up: Option<u32>,
    carrier_down: Option<u32>,
    other_index: Option<u32>,
    mode: Option<u8>,
    mtu: Option<u32>,
    group: Option<u32>,
    queue: Option<u32>,
    state: Option<&'static str>,
    alias: String,
    address: String,
    broadcast: String,
}

/// Every device of this process's network, by name.
pub(super) fn dump() -> io::Result<HashMap<String, Link>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    sendto(
        socket.as_raw_fd(),
        &request(),
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )?;
    let mut links = HashMap::new();
    let mut buffer = vec![0; PIECE];
    for _ in 0..PIECES {
        if receive(&socket, &mut buffer, &mut links)? {
            return Ok(links);
        }
    }
    Err(io::Error::other("an answer without end"))
}

fn request() -> Vec<u8> {
    let mut message = LinkMessage::default();
    // Counters are read elsewhere.
    let mask = vec![LinkExtentMask::SkipStats];
    message.attributes.push(LinkAttribute::ExtMask(mask));
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let payload = RouteNetlinkMessage::GetLink(message);
    let mut message = NetlinkMessage::new(header, payload.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Takes one piece of the answer; whether it was the last.
fn receive(
    socket: &OwnedFd,
    buffer: &mut [u8],
    links: &mut HashMap<String, Link>,
) -> io::Result<bool> {
    let length = recv(socket.as_raw_fd(), buffer, MsgFlags::empty())?;
    let mut rest = buffer.get(..length).unwrap_or_default();
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                let (name, link) = Link::of(link);
                links.insert(name, link);
            }
            _ => {}
        }
        // Messages begin at multiples of four.
        let step = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        let step = step.max(1).checked_next_multiple_of(4);
        rest = step.and_then(|step| rest.get(step..)).unwrap_or_default();
    }
    Ok(false)
}

impl Link {
    fn of(message: LinkMessage) -> (String, Self) {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            kind: message.header.link_layer_type.into(),
            is_up: flags.contains(LinkFlags::Up),
            is_dormant: flags.contains(LinkFlags::Dormant),
            ..Self::default()
        };
        let mut name = String::new();
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(value) => name = value,
                LinkAttribute::Carrier(value) => link.carrier = Some(value),
                LinkAttribute::CarrierChanges(value) => link.carrier_changes = Some(value),
                LinkAttribute::CarrierUpCount(value) => link.carrier_up = Some(value),
                LinkAttribute::CarrierDownCount(value) => link.carrier_down = Some(value),
                LinkAttribute::Link(value) => link.other_index = Some(value),
                LinkAttribute::Mode(value) => link.mode = Some(value.into()),
                LinkAttribute::Mtu(value) => link.mtu = Some(value),
                LinkAttribute::Group(value) => link.group = Some(value),
                LinkAttribute::TxQueueLen(value) => link.queue = Some(value),
                LinkAttribute::OperState(value) => link.state = state(value),
                LinkAttribute::IfAlias(value) => link.alias = value,
                LinkAttribute::Address(value) => link.address = colons(&value),
                LinkAttribute::Broadcast(value) => link.broadcast = colons(&value),
                _ => {}
            }
        }
        (name, link)
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    /// The value of an attribute by its name in sysfs; `None` where that has to be read.
    pub(super) fn figure(&self, attribute: &str) -> Option<f64> {
        // These two have a value while the device is up.
        let while_up = |value: Option<u8>| value.filter(|_| self.is_up).map(u32::from);
        let value = match attribute {
            "carrier" => while_up(self.carrier),
            "dormant" => while_up(Some(self.is_dormant.into())),
            "carrier_changes" => self.carrier_changes,
            "carrier_up_count" => self.carrier_up,
            "carrier_down_count" => self.carrier_down,
            "ifindex" => Some(self.index),
            // Told only where it is another one.
            "iflink" => self.other_index.or(Some(self.index)),
            "link_mode" => self.mode.map(u32::from),
            "mtu" => self.mtu,
            "netdev_group" => self.group,
            "type" => Some(self.kind.into()),
            "tx_queue_len" => self.queue,
            _ => None,
        };
        value.map(f64::from)
    }

    /// The same of an attribute that is text.
    pub(super) fn text(&self, attribute: &str) -> Option<&str> {
        match attribute {
            "operstate" => self.state,
            "address" => Some(&self.address),
            "broadcast" => Some(&self.broadcast),
            "ifalias" => Some(&self.alias),
            _ => None,
        }
    }

    /// Whether an attribute cannot be had in this state of the device.
    pub(super) fn lacks(&self, attribute: &str) -> bool {
        !self.is_up && matches!(attribute, "carrier" | "dormant")
    }
}

/// As `operstates` of the kernel's `net/core/net-sysfs.c` has them.
fn state(state: State) -> Option<&'static str> {
    match state {
        State::Unknown => Some("unknown"),
        State::NotPresent => Some("notpresent"),
        State::Down => Some("down"),
        State::LowerLayerDown => Some("lowerlayerdown"),
        State::Testing => Some("testing"),
        State::Dormant => Some("dormant"),
        State::Up => Some("up"),
        _ => None,
    }
}

fn colons(address: &[u8]) -> String {
    let parts: Vec<String> = address.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::host::Attributes;
    use super::*;

    /// Names of attributes that both have.
    const FIGURES: [&str; 12] = [
        "carrier",
        "dormant",
        "carrier_changes",
        "carrier_up_count",
        "carrier_down_count",
        "ifindex",
        "iflink",
        "link_mode",
        "mtu",
        "netdev_group",
        "type",
        "tx_queue_len",
    ];
    const TEXTS: [&str; 4] = ["operstate", "address", "broadcast", "ifalias"];

    #[test]
    fn every_device_of_this_machine_is_as_sysfs_has_it() {
        let links = dump().unwrap();
        assert!(links.contains_key("lo"), "{links:?}");
        for (name, link) in links {
            let mut files = Attributes::of(&Path::new("/sys/class/net").join(&name)).unwrap();
            for attribute in FIGURES {
                let file = files.read(attribute).filter(|text| !text.is_empty());
                let figure = link.figure(attribute).map(|figure| figure.to_string());
                assert_eq!(figure, file, "{attribute} of {name}");
                assert_eq!(
                    link.lacks(attribute),
                    file.is_none(),
                    "{attribute} of {name}"
                );
            }
            for attribute in TEXTS {
                let file = files.read(attribute);
                assert_eq!(
                    link.text(attribute),
                    file.as_deref(),
                    "{attribute} of {name}"
                );
            }
        }
    }
}
