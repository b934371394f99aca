//! A recording comes to the same metrics as what it is of, overwritten or not.
#![expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be read is a failed test"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use observer::agent::replay::Replay;
use observer::capture::recording::{End, Item, Preamble, Reader, Writer};
use observer::config::Config;
use observer::decode::Side;
use observer::decode::transcript::{Data, Step, parse};
use observer::interpret::{Plan, Rules};
use observer::pipeline::redact::overwritten;
use observer::pipeline::synthetic::{End as ConnectionEnd, Recording};
use observer_ebpf::{Direction, Opener, Reason};

fn fixtures() -> Vec<(String, Vec<Step>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let mut found = Vec::new();
    for protocol in ["http1", "postgres", "redis"] {
        for entry in fs::read_dir(root.join(protocol)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                let name = format!("{protocol}/{}", path.file_stem().unwrap().display());
                let steps = parse(&fs::read_to_string(&path).unwrap()).unwrap();
                found.push((name, steps));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found.len() > 100, "{} fixtures", found.len());
    found
}

fn plan() -> Arc<Plan> {
    Plan::new(&Rules::naytife().unwrap()).unwrap()
}

/// Events between stages: how often a stage says that something was hidden depends on where in
/// bytes that it cannot follow it looks for the next message.
const UNCOUNTED: [&str; 2] = [
    "observer_records_total{stage=\"correlate\"}",
    "observer_records_total{stage=\"interpret\"}",
];

fn metrics(recording: &Recording) -> String {
    let mut replay = Replay::new(&Config::default()).unwrap();
    for record in recording.records() {
        replay.record(&record);
    }
    let chunks: Vec<bytes::Bytes> = replay.finish(&End::default()).collect();
    String::from_utf8(chunks.concat()).unwrap()
}

fn bytes(recording: &Recording) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for record in recording.records() {
        let mut one = Recording::default();
        one.add(&record);
        all.push(format!("{one:?}").into_bytes());
    }
    all
}

/// What is seen of a connection that is older than the agent, at its client's end.
fn joined(steps: &[Step]) -> Recording {
    let mut recording = Recording::default();
    let mut end = ConnectionEnd::pair(7, 7).0;
    end.identity.opener = Opener::Unknown as u8;
    end.told(1, &mut recording);
    for step in steps {
        let time = step.time.0;
        match (&step.data, step.side) {
            (Data::Bytes(bytes), Side::Client) => end.send(time, bytes, &mut recording),
            (Data::Bytes(bytes), Side::Server) => end.receive(time, bytes, &mut recording),
            (Data::Hole(length), side) => {
                let direction = match side {
                    Side::Client => Direction::Sent,
                    Side::Server => Direction::Received,
                };
                let length = u32::try_from(*length).unwrap();
                end.cut(time, direction, (&[], length, &[]), &mut recording);
            }
        }
    }
    end.closed(u64::MAX / 2, Reason::Finished, &mut recording);
    recording
}

/// What a recording overwritten comes to otherwise.
fn differs(name: &str, recording: &Recording, plan: &Arc<Plan>) -> Option<String> {
    let once = overwritten(recording, plan);
    let (before, after) = (metrics(recording), metrics(&once));
    let counts = |line: &str| !UNCOUNTED.iter().any(|start| line.starts_with(start));
    let lines = before.lines().zip(after.lines());
    let differ = lines.filter(|(before, after)| before != after && counts(before));
    let mut differ: Vec<_> = differ.map(|(a, b)| format!("\n  - {a}\n  + {b}")).collect();
    if before.lines().count() != after.lines().count() {
        differ.push("\n  other series".to_owned());
    }
    (!differ.is_empty()).then(|| format!("{name}:{}", differ.concat()))
}

fn assert_none(differ: impl Iterator<Item = String>) {
    let all: Vec<_> = differ.collect();
    assert!(all.is_empty(), "{} differ:\n{}", all.len(), all.join("\n"));
}

#[test]
fn every_fixture_comes_to_the_same_overwritten() {
    let plan = plan();
    assert_none(
        fixtures()
            .into_iter()
            .flat_map(|(name, steps)| {
                [Side::Client, Side::Server].map(|vantage| {
                    let recording = Recording::of(&steps, vantage, 7);
                    differs(&format!("{name} at the {vantage:?}"), &recording, &plan)
                })
            })
            .flatten(),
    );
}

#[test]
fn every_fixture_joined_in_its_midst_comes_to_the_same_overwritten() {
    let plan = &plan();
    assert_none(fixtures().iter().flat_map(|(name, steps)| {
        (1..steps.len().min(8)).filter_map(move |skip| {
            let recording = joined(&steps[skip..]);
            differs(&format!("{name} from step {skip}"), &recording, plan)
        })
    }));
}

#[test]
fn every_fixture_with_a_hole_comes_to_the_same_overwritten() {
    let plan = &plan();
    assert_none(fixtures().iter().flat_map(|(name, steps)| {
        (0..steps.len().min(8)).filter_map(move |at| {
            let mut steps = steps.clone();
            let Data::Bytes(bytes) = &steps[at].data else {
                return None;
            };
            steps[at].data = Data::Hole(bytes.len() as u64);
            let recording = Recording::of(&steps, Side::Server, 7);
            differs(&format!("{name} without step {at}"), &recording, plan)
        })
    }));
}

#[test]
fn what_requests_mean_for_the_business_comes_to_the_same_overwritten() {
    let plan = plan();
    for (path, status, body, provider) in [
        (
            "/v1/shops/7/payment",
            200,
            r#"{\"payment_method\":\"stripe\",\"card\":\"4242\"}"#,
            "stripe",
        ),
        (
            "/v1/shops/7/payment",
            200,
            r#"{\"payment_method\":\"jo@example.com\"}"#,
            "_other",
        ),
        (
            "/v1/payments/checkout",
            200,
            r#"{\"shop_id\":7,\"payment_method_type\":\"gift_card\"}"#,
            "gift_card",
        ),
        (
            "/v1/payments/checkout",
            402,
            r#"{\"shop_id\":7,\"payment_method_type\":\"made_up\"}"#,
            "_other",
        ),
        (
            "/v1/payments/checkout",
            400,
            r#"{\"shop_id\":7}"#,
            "unknown",
        ),
        (
            "/v1/payments/7/confirm",
            402,
            r#"{\"order_id\":41}"#,
            "unknown",
        ),
    ] {
        let length = body.replace('\\', "").len();
        let transcript = format!(
            "> \"POST {path} HTTP/1.1\\r\\nContent-Type: application/json\\r\\nContent-Length: {length}\\r\\n\\r\\n{body}\"\n\
             < \"HTTP/1.1 {status} OK\\r\\nContent-Length: 0\\r\\n\\r\\n\""
        );
        let recording = Recording::of(&parse(&transcript).unwrap(), Side::Server, 7);
        let label = format!("{{provider=\"{provider}\"");
        let all = metrics(&recording);
        assert!(all.contains(&label), "{path} {body}: {all}");
        assert_none(differs(path, &recording, &plan).into_iter());
    }
}

#[test]
fn to_overwrite_twice_is_to_overwrite_once() {
    let plan = plan();
    for (name, steps) in fixtures() {
        let once = overwritten(&Recording::of(&steps, Side::Server, 7), &plan);
        assert!(bytes(&overwritten(&once, &plan)) == bytes(&once), "{name}");
    }
}

#[test]
fn every_fixture_comes_back_from_a_file() {
    for (name, steps) in fixtures() {
        let recording = Recording::of(&steps, Side::Client, 7);
        let mut writer = Writer::new(Vec::new(), Preamble::default()).unwrap();
        for record in recording.records() {
            writer.record(&record).unwrap();
        }
        let file = writer.finish(&End::default()).unwrap();
        let (_, mut reader) = Reader::new(file.as_slice()).unwrap();
        let mut again = Recording::default();
        while let Some(item) = reader.item().unwrap() {
            if let Item::Record(record) = item {
                again.add(&record);
            }
        }
        assert_eq!(bytes(&again), bytes(&recording), "{name}");
    }
}
