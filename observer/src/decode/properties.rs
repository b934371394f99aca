//! The properties every decoder has, run over a transcript.

use super::transcript::{Data, Step, parse};
use super::{Decoder, Fed, Side};
use crate::reassemble::{Cause, Input};

/// What a decoder said of a transcript.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Every message as text, with who sent it; without the stamps.
    pub(crate) messages: Vec<(Side, String)>,
    /// Bytes given up.
    pub(crate) lost: u64,
}

/// Reads a fixture below `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> Vec<Step> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/");
    let text = std::fs::read_to_string(format!("{path}{name}")).unwrap();
    parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every fixture in a folder below `tests/fixtures`: (name, steps).
pub(crate) fn fixtures(folder: &str) -> Vec<(String, Vec<Step>)> {
    let path = format!("{}/../tests/fixtures/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            std::path::Path::new(name)
                .extension()
                .is_some_and(|e| e == "txt")
        })
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no fixtures in {folder}");
    names
        .iter()
        .map(|name| (name.clone(), fixture(&format!("{folder}/{name}"))))
        .collect()
}

/// Feeds steps to a decoder. `show` turns a message into text, `None` leaves it out.
pub(crate) fn run<D: Decoder>(
    mut decoder: D,
    steps: &[Step],
    show: &dyn Fn(&D::Message<'_>) -> Option<String>,
) -> Said {
    let mut said = Said::default();
    for step in steps {
        let input = match &step.data {
            Data::Bytes(bytes) => Input::Bytes(bytes),
            Data::Hole(length) => Input::Hole(*length, Cause::Budget),
        };
        let Fed { lost } = decoder.feed(step.side, step.time, input, &mut |message| {
            said.messages
                .extend(show(&message).map(|text| (step.side, text)));
        });
        said.lost += lost.map_or(0, |(_, bytes)| bytes);
    }
    said
}

fn one_side(said: &Said, side: Side) -> Vec<&str> {
    said.messages
        .iter()
        .filter(|(s, _)| *s == side)
        .map(|(_, text)| text.as_str())
        .collect()
}

fn cut(steps: &[Step], index: usize, at: usize) -> Vec<Step> {
    let mut cut = steps.to_vec();
    if let Data::Bytes(bytes) = &steps[index].data {
        let (left, right) = bytes.split_at(at);
        cut[index].data = Data::Bytes(left.to_vec());
        cut.insert(
            index + 1,
            Step {
                data: Data::Bytes(right.to_vec()),
                ..steps[index].clone()
            },
        );
    }
    cut
}

fn boundaries(steps: &[Step]) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if let Data::Bytes(bytes) = &step.data {
            // Every boundary of short steps; of long ones the first, the last and a sample.
            let stride = (bytes.len() / 512).max(1);
            all.extend(
                (0..=bytes.len())
                    .filter(|at| *at < 64 || at % stride == 0)
                    .map(|at| (index, at)),
            );
        }
    }
    all
}

/// **Split everywhere**: cut at any boundary, and into single bytes, the messages are the same.
pub(crate) fn split_anywhere<D: Decoder>(
    make: &dyn Fn() -> D,
    steps: &[Step],
    show: &dyn Fn(&D::Message<'_>) -> Option<String>,
) {
    let whole = run(make(), steps, show);
    for (index, at) in boundaries(steps) {
        assert_eq!(
            run(make(), &cut(steps, index, at), show),
            whole,
            "step {index} cut at {at}"
        );
    }
    let mut single = Vec::new();
    for step in steps {
        match &step.data {
            Data::Bytes(bytes) => single.extend(bytes.iter().map(|b| Step {
                data: Data::Bytes(vec![*b]),
                ..step.clone()
            })),
            Data::Hole(_) => single.push(step.clone()),
        }
    }
    assert_eq!(run(make(), &single, show), whole, "byte by byte");
}

/// **Truncate everywhere**: every prefix yields a prefix of each side's messages.
pub(crate) fn truncate_anywhere<D: Decoder>(
    make: &dyn Fn() -> D,
    steps: &[Step],
    show: &dyn Fn(&D::Message<'_>) -> Option<String>,
) {
    let whole = run(make(), steps, show);
    for (index, at) in boundaries(steps) {
        let mut prefix = cut(steps, index, at);
        prefix.truncate(index + 1);
        let said = run(make(), &prefix, show);
        for side in [Side::Client, Side::Server] {
            let (part, all) = (one_side(&said, side), one_side(&whole, side));
            assert!(
                all.starts_with(&part),
                "step {index} ended at {at}: {part:#?} of {all:#?}"
            );
        }
    }
}

/// **Start anywhere**: with the head of the transcript missing, each side's messages are some of
/// the whole's, in order: nothing false.
pub(crate) fn start_anywhere<D: Decoder>(
    make: &dyn Fn() -> D,
    steps: &[Step],
    show: &dyn Fn(&D::Message<'_>) -> Option<String>,
) {
    let whole = run(make(), steps, show);
    for (index, at) in boundaries(steps) {
        let rest = cut(steps, index, at).split_off(index + 1);
        let said = run(make(), &rest, show);
        for side in [Side::Client, Side::Server] {
            let mut all = one_side(&whole, side).into_iter();
            for text in one_side(&said, side) {
                assert!(
                    all.any(|candidate| candidate == text),
                    "begun at step {index} byte {at}: {text} is not of the whole"
                );
            }
        }
    }
}
