//! From records to facts: whatever way the bytes come, and whatever of them does not.

use std::fmt::Write as _;
use std::sync::Arc;

use observer_ebpf::{Direction, Opener, Reason};
use proptest::prelude::*;

use super::super::protocols::Known;
use super::super::synthetic::{End as Wire, Recording};
use super::super::{Books, Settings, Worker};
use crate::correlate::postgres::Shared;
use crate::correlate::vantage::Vantages;
use crate::export::Fact;
use crate::interpret::fuzz::{One, plan};
use crate::interpret::{self, Authority, Interpreter, Needs};

mod nodes;
mod script;
mod server;
mod statements;
mod wire;

use script::{Transaction, stories};
use server::{Session, Sums};

/// Chance, the same for the same seed.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % sides.max(1)
    }

    /// Takes bytes apart.
    fn cut(&mut self, bytes: &[u8], longest: usize) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at((1 + self.roll(longest)).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = tail;
        }
        pieces
    }
}

/// Facts of a kind, summed up by series.
fn facts(recording: &Recording, authority: Authority) -> Sums {
    let plan = plan().unwrap();
    let needs = Needs::new(Arc::clone(&plan));
    let statements = Arc::new(Shared::new(Box::new(needs.clone())));
    let mut worker = Worker::new(
        Settings::default(),
        Books::default(),
        Arc::new(Vantages::default()),
        Box::new(Known::new(Arc::new(needs), statements)),
        Box::new(()),
    );
    let settings = interpret::Settings {
        authority,
        ..interpret::Settings::default()
    };
    let mut interpreter = Interpreter::new(plan, &settings, Box::new(One));
    let mut sums = Sums::new();
    for record in recording.records() {
        worker.record(&record);
        let exchanges = worker.batch(None).exchanges;
        take(&mut interpreter, &exchanges, &mut sums);
    }
    worker.end();
    let exchanges = worker.batch(None).exchanges;
    take(&mut interpreter, &exchanges, &mut sums);
    sums
}

fn take(interpreter: &mut Interpreter, exchanges: &[crate::correlate::Exchange], sums: &mut Sums) {
    for exchange in exchanges {
        let mut facts: Vec<Fact> = Vec::new();
        interpreter.exchange(exchange, &mut |fact| facts.push(fact));
        for fact in facts {
            let mut series = fact.metric.row().name.to_owned();
            for label in &fact.labels {
                write!(series, " {}", interpreter.symbols().value(*label)).unwrap();
            }
            *sums.entry(series).or_default() += fact.value;
        }
    }
}

const PUBLISHED: [&str; 5] = [
    "naytife_orders_total",
    "naytife_orders_value_total",
    "naytife_payments_total",
    "naytife_revenue_total",
    "naytife_revenue_refunded_total",
];

/// What is published of orders and payments.
fn published(sums: &Sums) -> Sums {
    let is_published = |series: &str| PUBLISHED.contains(&series.split(' ').next().unwrap());
    let published = sums.iter().filter(|(series, _)| is_published(series));
    published
        .map(|(series, sum)| (series.clone(), *sum))
        .collect()
}

/// Whether no part of a row that it names was hidden; currencies are never told here.
fn is_known(series: &str) -> bool {
    let counts = ["naytife_orders_total ", "naytife_payments_total "];
    let is_count = counts.iter().any(|name| series.starts_with(name));
    !(is_count && series.contains(" unknown"))
}

fn outcomes(sums: &Sums, rule: &str) -> f64 {
    let prefix = format!("observer_facts_total {rule} ");
    let of = sums
        .iter()
        .filter(|(series, _)| series.starts_with(&prefix));
    of.map(|(_, sum)| sum).sum()
}

/// How a story reaches the observer.
#[derive(Clone, Copy, Debug)]
struct Way {
    seed: u64,
    /// The longest piece.
    longest: usize,
    /// One piece of so many is not captured; none, if it is 0.
    holes: usize,
    /// So many of the first records are from before the observer came.
    late: usize,
}

impl Way {
    /// The end that is observed, of all connections.
    fn authority(self) -> Authority {
        if self.seed.is_multiple_of(2) {
            Authority::Client
        } else {
            Authority::Server
        }
    }

    /// Whether everything is captured.
    fn is_whole(self) -> bool {
        self.holes == 0 && self.late == 0
    }
}

/// What several connections do at the same time, round by round: others go on with the orders of
/// the first, and the second phases of all of them come last.
fn play(stories: &[Vec<Transaction>]) -> [Vec<Session>; 3] {
    let run = |session: &mut Session, story: &[Transaction]| {
        for transaction in story {
            session.run(transaction);
        }
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (number, story) in (1..).zip(stories) {
        let mut session = Session::new(number);
        run(&mut session, &story[..story.len().div_ceil(2)]);
        session.come_to_an_end();
        first.push(session);
    }
    for (number, (story, before)) in (11..).zip(stories.iter().zip(first.iter().rev())) {
        let mut session = Session::new(number);
        session.inherit(before);
        run(&mut session, &story[story.len().div_ceil(2)..]);
        second.push(session);
    }
    let mut closer = Session::new(99);
    let sessions = first.iter().chain(&second);
    for (id, commits) in sessions.flat_map(|session| &session.prepared) {
        closer.second_phase(id, *commits);
    }
    [first, second, vec![closer]]
}

/// One direction of a connection: what is still to be sent, flight by flight.
type Pieces = Vec<Vec<Vec<u8>>>;

/// A connection under way.
struct Lane {
    end: Wire,
    sent: Pieces,
    answered: Pieces,
    /// Flights that were sent as a whole, and those of them that were answered.
    asked: usize,
    told: usize,
}

/// Records of what passed: connections in any order, answers behind what they answer.
fn record(rounds: &[Vec<Session>], way: Way) -> Recording {
    let mut dice = Dice(way.seed);
    let mut recording = Recording::default();
    let mut time = 1;
    let mut passed = 0;
    for (round, sessions) in rounds.iter().enumerate() {
        let mut lanes: Vec<Lane> = Vec::new();
        for (number, session) in (1 + 1000 * round as u64..).zip(sessions) {
            let (client, server) = Wire::pair(number, number);
            let mut end = match way.authority() {
                Authority::Client => client,
                Authority::Server => server,
            };
            end.identity.cgroup = 1 + u64::from(end.identity.opener == Opener::Passive as u8);
            let mut apart = |of: fn(&server::Flight) -> &Vec<u8>| -> Pieces {
                let flights = session.flights.iter();
                flights
                    .map(|flight| dice.cut(of(flight), way.longest))
                    .collect()
            };
            let (sent, answered) = (apart(|flight| &flight.0), apart(|flight| &flight.1));
            if passed >= way.late {
                end.established(time, &mut recording);
            }
            lanes.push(Lane {
                end,
                sent,
                answered,
                asked: 0,
                told: 0,
            });
        }
        while !lanes.is_empty() {
            let lane = dice.roll(lanes.len());
            let Lane {
                end,
                sent,
                answered,
                asked,
                told,
            } = &mut lanes[lane];
            time += 1_000;
            // Once it was let in, a client may send a request before the answer to the last. Where
            // such a one is hidden, whose an answer is cannot be told for sure.
            let ahead = way.is_whole() && *told > 0 && dice.roll(4) == 0;
            let asks = *asked < sent.len() && (*told == *asked || ahead);
            let (flights, at, by_client) = if asks {
                (sent, asked, true)
            } else if *told < answered.len() {
                (answered, told, false)
            } else {
                end.closed(time, Reason::Finished, &mut recording);
                lanes.swap_remove(lane);
                continue;
            };
            let flight = &mut flights[*at];
            let piece = flight.remove(0);
            if flight.is_empty() {
                *at += 1;
            }
            let opened = end.identity.opener == Opener::Active as u8;
            let direction = if opened == by_client {
                Direction::Sent
            } else {
                Direction::Received
            };
            let length = u32::try_from(piece.len()).unwrap();
            passed += 1;
            if passed == way.late {
                end.told(time, &mut recording);
            }
            if passed <= way.late {
                end.lose(direction, u64::from(length));
            } else if way.holes > 0 && dice.roll(way.holes) == 0 {
                if dice.roll(2) == 0 {
                    end.lose(direction, u64::from(length));
                } else {
                    end.cut(time, direction, (&[], length, &[]), &mut recording);
                }
            } else if direction == Direction::Sent {
                end.send(time, &piece, &mut recording);
            } else {
                end.receive(time, &piece, &mut recording);
            }
        }
    }
    recording
}

fn truth(rounds: &[Vec<Session>]) -> Sums {
    let mut truth = Sums::new();
    let sessions = rounds.iter().flatten();
    for (series, sum) in sessions.flat_map(|session| &session.truth) {
        *truth.entry(series.clone()).or_default() += sum;
    }
    truth
}

proptest! {
    #[test]
    fn any_interleaving_and_any_cut_gives_the_same_facts(
        stories in stories(),
        seed: u64,
        longest in prop_oneof![1_usize..20, 20_usize..2000],
    ) {
        let rounds = play(&stories);
        let way = Way { seed, longest, holes: 0, late: 0 };
        let sums = facts(&record(&rounds, way), way.authority());
        prop_assert_eq!(published(&sums), truth(&rounds), "{:?}", sums);
        let returned: u64 = rounds.iter().flatten().map(|session| session.returned).sum();
        #[expect(clippy::cast_precision_loss, reason = "there are some dozens")]
        let returned = returned as f64;
        let outcomes = outcomes(&sums, "CreateOrder");
        prop_assert!((outcomes - returned).abs() < 0.5, "{} of {}: {:?}", outcomes, returned, sums);
    }

    #[test]
    fn any_hole_gives_less_and_never_more(
        stories in stories(),
        seed: u64,
        longest in prop_oneof![1_usize..40, 40_usize..2000],
        holes in 1_usize..40,
        late in prop_oneof![Just(0_usize), 1_usize..60],
    ) {
        let rounds = play(&stories);
        let way = Way { seed, longest, holes, late };
        let sums = facts(&record(&rounds, way), way.authority());
        let truth = truth(&rounds);
        let known = published(&sums).into_iter().filter(|(series, _)| is_known(series));
        for (series, sum) in known {
            let happened = truth.get(&series).copied().unwrap_or(0.0);
            prop_assert!(sum <= happened, "{} of {}: {} {:?}", sum, happened, series, sums);
        }
    }
}
