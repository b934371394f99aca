//! Sessions on one node of several: whose client is observed on another.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use observer_ebpf::Protocol;

use super::client;
use crate::correlate::vantage::{Elsewhere, Vantages, Whereabouts};
use crate::decode::Side;
use crate::ledger::Fate;
use crate::pipeline::Settings;
use crate::pipeline::session::fake::Run;
use crate::pipeline::synthetic::{End, Recording};

/// Where the client's address of [`End::pair`] is said to be observed, and from this look on.
struct Known {
    from: u64,
    before: Whereabouts,
    then: Whereabouts,
    looks: AtomicU64,
}

impl Elsewhere for Known {
    fn observes(&self, client: IpAddr) -> Whereabouts {
        let known = self.looks.load(Ordering::Relaxed) >= self.from;
        match client == Ipv4Addr::new(127, 0, 0, 2) {
            true if known => self.then,
            true => self.before,
            false => Whereabouts::Unobserved,
        }
    }

    fn generation(&self) -> u64 {
        self.looks.fetch_add(1, Ordering::Relaxed) + 1
    }
}

fn known(from: u64, before: Whereabouts, then: Whereabouts, owner: Side) -> Vantages {
    let looks = AtomicU64::new(0);
    let others = Known {
        from,
        before,
        then,
        looks,
    };
    Vantages::new(Box::new(others), owner)
}

fn observed(from: u64, owner: Side) -> Vantages {
    known(from, Whereabouts::Unobserved, Whereabouts::Observed, owner)
}

/// Nobody knows who the client is until the second look; from then on it is this.
fn unknown(then: Whereabouts) -> Vantages {
    known(2, Whereabouts::Unknown, then, Side::Client)
}

/// The server's end of a connection on which each says one line, and one more.
fn served(recording: &mut Recording, line: &[u8]) {
    let mut server = End::pair(1, 2).1;
    server.accepted(10, recording);
    for time in [20, 40] {
        server.receive(time, line, recording);
        server.send(time + 10, b"A!\n", recording);
    }
}

/// The server's end of a connection on which the client says a line, and again a tenth of a second
/// later.
fn late(line: &[u8]) -> Recording {
    let mut server = End::pair(1, 2).1;
    let mut recording = Recording::default();
    server.accepted(10, &mut recording);
    server.receive(20, line, &mut recording);
    server.send(100_000_030, b"A\n", &mut recording);
    server.receive(100_000_040, line, &mut recording);
    recording
}

#[test]
fn whose_client_is_observed_on_another_node_counts_there() {
    let begun = ["2: server elsewhere", "2: accepted"];
    let exchange = ["2: asked", "2: let in", "2: answered"];
    for (line, owner, said, skipped) in [
        (b"Q\n", Side::Client, vec![], 10),
        // Whether it serves has to be seen, and what owns the facts read.
        (b"P\n", Side::Client, exchange.to_vec(), 5),
        (b"P\n", Side::Server, [exchange, exchange].concat(), 0),
        (b"H\n", Side::Client, [exchange, exchange].concat(), 0),
    ] {
        let mut r = Recording::default();
        served(&mut r, line);
        let run = Run::among(&r, Settings::default(), observed(0, owner));
        let all = [&begun[..], &said, &["2: evicted"]].concat();
        assert_eq!(run.said, all, "{line:?} {owner:?}");
        assert_eq!(run.ledger.settled(Fate::SkippedOtherEnd), skipped);
        let is_told = run.kernel.told().contains(&(2, Protocol::OtherEnd, 0));
        assert_eq!(is_told, skipped > 0, "{line:?} {owner:?}");
    }
}

#[test]
fn the_clients_end_counts_wherever_the_server_is() {
    let (mut end, mut r) = client();
    std::mem::swap(&mut end.identity.local, &mut end.identity.remote);
    end.opened(10, &mut r);
    end.send(20, b"Q\n", &mut r);
    let run = Run::among(&r, Settings::default(), observed(0, Side::Client));
    assert_eq!(run.said[..3], ["1: client", "1: opened", "1: asked"]);
}

#[test]
fn a_client_that_is_known_late_counts_elsewhere_from_then_on() {
    let r = late(b"Q\n");
    let run = Run::among(&r, Settings::default(), observed(2, Side::Client));
    assert_eq!(
        run.said,
        [
            "2: server",
            "2: accepted",
            "2: asked",
            "2: answered",
            "2: server elsewhere",
            "2: evicted",
        ]
    );
    assert_eq!(run.ledger.settled(Fate::SkippedOtherEnd), 2);
}

#[test]
fn a_client_that_nobody_knows_is_missed_until_it_is_known_and_read_all_the_time() {
    for line in [b"Q\n", b"P\n"] {
        let r = late(line);
        let vantages = unknown(Whereabouts::Unobserved);
        let run = Run::among(&r, Settings::default(), vantages);
        assert_eq!(run.said[0], "2: server elsewhere", "{:?}", run.said);
        assert!(
            run.said.contains(&"2: server".to_owned()),
            "told again once it is nobody's: {:?}",
            run.said
        );
        // What was said before belongs to nobody, and is counted as that.
        let known = run
            .said
            .iter()
            .position(|said| said == "2: server")
            .unwrap();
        let before = run.said[..known].iter();
        let exchange = ["2: asked", "2: let in", "2: answered"];
        let before = before.filter(|said| exchange.contains(&said.as_str()));
        assert_eq!(run.unattributed, before.count() as u64);
        assert!(run.unattributed > 0);
        assert_eq!(run.ledger.settled(Fate::SkippedOtherEnd), 0);
        assert!(!run.kernel.told().contains(&(2, Protocol::OtherEnd, 0)));
    }
}

#[test]
fn a_connection_that_idles_is_told_again_once_its_client_is_known() {
    let (mut idle, other) = (End::pair(1, 2).1, End::pair(3, 4).0);
    let mut r = Recording::default();
    idle.accepted(10, &mut r);
    idle.receive(20, b"P\n", &mut r);
    idle.send(30, b"A\n", &mut r);
    other.opened(100_000_040, &mut r);
    let vantages = unknown(Whereabouts::Unobserved);
    let run = Run::among(&r, Settings::default(), vantages);
    let again = run.said.iter().position(|said| said == "2: server");
    let later = run.said.iter().position(|said| said == "2: evicted");
    assert!(again.is_some() && again < later, "{:?}", run.said);
}

#[test]
fn a_client_that_turns_out_to_be_observed_counts_nothing_here() {
    let r = late(b"Q\n");
    let vantages = unknown(Whereabouts::Observed);
    let run = Run::among(&r, Settings::default(), vantages);
    assert!(
        !run.said.contains(&"2: server".to_owned()),
        "{:?}",
        run.said
    );
    assert_eq!(run.ledger.settled(Fate::SkippedOtherEnd), 2);
}
