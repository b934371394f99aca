//! Arbitrary bytes on the stable compiler: each fuzz target survives its corpus, and three seconds of
//! mutations of it.
//!
//! What libFuzzer finds in longer runs (`cargo xtask fuzz`) is kept in `tests/fuzz/corpus` and is
//! where these mutations begin. The same seed makes the same inputs, so a failure comes again.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use fastrand::Rng;
use observer::fuzz::{TARGETS, Target};

const TIME: Duration = Duration::from_secs(3);
/// Bytes that a mutation may grow an input to.
const LONGEST: usize = 8192;
/// Numbers at which something may turn: signs, widths, lengths, ends of lines.
const EDGES: [u8; 12] = [0, 1, 4, 10, 13, 0x1f, 0x20, 0x7f, 0x80, 0xc0, 0xfe, 0xff];

/// On every processor at once.
#[test]
fn every_target_survives() -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            survives(target)?;
        }
        Ok(())
    };
    let processors = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            let result = worker.join();
            result.map_err(|_| anyhow!("a worker panicked outside a target"))?
        })
    })
}

#[test]
fn every_target_has_a_fuzzer_and_a_corpus() -> Result<()> {
    for target in TARGETS {
        let name = target.name;
        let fuzzer = directory().join("fuzz_targets").join(name);
        ensure!(fuzzer.with_extension("rs").is_file(), "no fuzzer {name}");
        ensure!(!corpus(name)?.is_empty(), "nothing in the corpus of {name}");
    }
    Ok(())
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// By name, so that a run is like the one before.
fn corpus(name: &str) -> Result<Vec<Vec<u8>>> {
    let path = directory().join("corpus").join(name);
    let entries = fs::read_dir(&path).with_context(|| format!("no {}", path.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    paths.iter().map(|path| Ok(fs::read(path)?)).collect()
}

fn survives(target: &Target) -> Result<()> {
    let name = target.name;
    let corpus = corpus(name)?;
    for (number, input) in corpus.iter().enumerate() {
        run(target, number, input)?;
    }
    let mut random = Rng::with_seed(1);
    let start = Instant::now();
    let mut number = corpus.len();
    while start.elapsed() < TIME {
        run(target, number, &mutated(&corpus, &mut random))?;
        number += 1;
    }
    eprintln!("{name}: {number} inputs");
    Ok(())
}

/// Keeps the input that is not survived.
fn run(target: &Target, number: usize, input: &[u8]) -> Result<()> {
    if catch_unwind(|| (target.run)(input)).is_ok() {
        return Ok(());
    }
    let path = std::env::temp_dir().join(format!("observer-fuzz-{}-{number}", target.name));
    fs::write(&path, input)?;
    bail!("{} panics on {}", target.name, path.display())
}

/// An input of the corpus after a few changes.
fn mutated(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut input = random.choice(corpus).cloned().unwrap_or_default();
    for _ in 0..random.usize(1..=6) {
        let at = random.usize(..=input.len());
        let end = (at + 1 + random.usize(..64)).min(input.len());
        match random.u8(..8) {
            0 => input.insert(at, random.u8(..)),
            1 => input.insert(at, random.choice(EDGES).unwrap_or(0)),
            2 => drop(input.drain(at..end)),
            3 => input.extend_from_within(at..end),
            4 => {
                let other = random.choice(corpus).map_or(&[][..], Vec::as_slice);
                let from = random.usize(..=other.len());
                let to = (from + random.usize(..256)).min(other.len());
                let piece = other.get(from..to).unwrap_or_default();
                input.splice(at..at, piece.iter().copied());
            }
            5 => input.truncate(at),
            change => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = match change {
                        6 => *byte ^ 1 << random.u8(..8),
                        _ => random.choice(EDGES).unwrap_or(0),
                    };
                }
            }
        }
    }
    input.truncate(LONGEST);
    input
}
