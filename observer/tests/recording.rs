//! A recording comes to the same metrics as what it is of, overwritten or not.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
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
use observer::pipeline::synthetic::Recording;

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

fn metrics(recording: &Recording) -> String {
    let mut replay = Replay::new(&Config::default()).unwrap();
    for record in recording.records() {
        replay.record(&record);
    }
    let chunks: Vec<Vec<u8>> = replay.finish(&End::default()).collect();
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

/// Asserts that a recording overwritten comes to the same, and that twice is once.
fn stays(name: &str, recording: &Recording, plan: &Arc<Plan>) -> Recording {
    let once = overwritten(recording, plan);
    let (before, after) = (metrics(recording), metrics(&once));
    if before != after {
        let differ = before.lines().zip(after.lines()).filter(|(a, b)| a != b);
        let differ: Vec<_> = differ.take(4).map(|(a, b)| format!("{a}\n    {b}")).collect();
        panic!("{name}:\n    {}", differ.join("\n    "));
    }
    assert_eq!(bytes(&overwritten(&once, plan)), bytes(&once), "{name}: twice is once");
    once
}

#[test]
fn every_fixture_comes_to_the_same_overwritten() {
    let plan = plan();
    for (name, steps) in fixtures() {
        for vantage in [Side::Client, Side::Server] {
            let recording = Recording::of(&steps, vantage, 7);
            stays(&format!("{name} at the {vantage:?}"), &recording, &plan);
        }
    }
}

#[test]
fn every_fixture_joined_in_its_midst_comes_to_the_same_overwritten() {
    let plan = plan();
    for (name, steps) in fixtures() {
        for skip in 1..steps.len().min(12) {
            let recording = Recording::of(&steps[skip..], Side::Client, 7);
            stays(&format!("{name} from step {skip}"), &recording, &plan);
        }
    }
}

#[test]
fn every_fixture_with_a_hole_comes_to_the_same_overwritten() {
    let plan = plan();
    for (name, steps) in fixtures() {
        for at in 0..steps.len().min(10) {
            let mut steps = steps.clone();
            let Data::Bytes(bytes) = &steps[at].data else { continue };
            steps[at].data = Data::Hole(bytes.len() as u64);
            let recording = Recording::of(&steps, Side::Server, 7);
            stays(&format!("{name} without step {at}"), &recording, &plan);
        }
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
        while let Some(item) = reader.next().unwrap() {
            if let Item::Record(record) = item {
                again.add(&record);
            }
        }
        assert_eq!(bytes(&again), bytes(&recording), "{name}");
    }
}
