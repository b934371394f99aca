//! What workloads are called until they are known better: by their cgroup.
#![forbid(unsafe_code)]

use schnellru::{ByLength, LruMap};

use crate::correlate::Connection;
use crate::export::{Symbol, Symbols};
use crate::interpret::Services;
use crate::workloads::cgroup::Cgroups;

/// Ends of connections whose service is remembered, so that the other end can name it.
const ENDS: u32 = 65_536;

/// Names services after their cgroups' last component.
pub(super) struct Names {
    cgroups: Cgroups,
    /// By first sequence numbers: received, sent.
    ends: LruMap<(u32, u32), Symbol, ByLength>,
}

impl Names {
    pub(super) fn new(cgroups: Cgroups) -> Self {
        Self {
            cgroups,
            ends: LruMap::new(ByLength::new(ENDS)),
        }
    }
}

impl Services for Names {
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        let identity = &connection.identity;
        let service = match self.cgroups.path(identity.cgroup).as_deref() {
            // In the root cgroup everything lives together: the executable tells it apart.
            Some("/") => symbols.intern(&command(&identity.command)),
            Some(path) => symbols.intern(path.rsplit('/').next().unwrap_or(path)),
            None => Symbol::UNKNOWN,
        };
        let end = (identity.received_first, identity.sent_first);
        self.ends.insert(end, service);
        service
    }

    fn peer(&mut self, connection: &Connection, _symbols: &mut Symbols) -> Symbol {
        let identity = &connection.identity;
        let (received, sent) = (identity.received_first, identity.sent_first);
        // The first sent number may be one too low where the SYN was not seen, at either end.
        let ends = [
            (sent, received),
            (sent.wrapping_add(1), received),
            (sent, received.wrapping_sub(1)),
        ];
        let found = ends.iter().find_map(|end| self.ends.peek(end));
        found.copied().unwrap_or(Symbol::UNKNOWN)
    }
}

/// `task->comm`: at most 15 bytes, zero-padded; `unknown` where no sender was seen.
fn command(bytes: &[u8; 16]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    if name.is_empty() {
        return "unknown".to_owned();
    }
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use observer_ebpf::Identity;

    use super::*;
    use crate::decode::Side;
    use crate::reassemble::ConnectionKey;

    fn connection(received_first: u32, sent_first: u32) -> Connection {
        Connection {
            key: ConnectionKey(1),
            identity: Identity {
                received_first,
                sent_first,
                ..Identity::default()
            },
            vantage: Side::Client,
            both_ends: true,
        }
    }

    #[test]
    fn a_peer_is_named_by_the_other_end_and_never_by_its_address() {
        let directory = std::env::temp_dir().join("observer-names-no-such-directory");
        let mut names = Names::new(Cgroups::at(directory));
        let mut symbols = Symbols::new(100);
        assert_eq!(names.peer(&connection(1, 2), &mut symbols), Symbol::UNKNOWN);
        let shop = symbols.intern("shop");
        names.ends.insert((2, 1), shop);
        assert_eq!(names.peer(&connection(1, 2), &mut symbols), shop);
        // The other end received one more than this one thinks it sent first.
        names.ends.insert((8, 9), shop);
        assert_eq!(names.peer(&connection(9, 7), &mut symbols), shop);
    }

    #[test]
    fn a_process_that_was_not_seen_is_unknown() {
        assert_eq!(command(&[0; 16]), "unknown");
        assert_eq!(command(b"nginx\0\0\0\0\0\0\0\0\0\0\0"), "nginx");
    }

}
