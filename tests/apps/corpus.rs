//! Writes transcripts as the fuzzers read them, for a corpus to begin with.
#![forbid(unsafe_code)]

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use observer::decode::Side;
use observer::decode::transcript::{Data, Step, parse};
use observer::pipeline::synthetic::Recording;

#[derive(Debug, Parser)]
struct Args {
    /// A directory of transcripts
    from: PathBuf,
    /// The corpus; what is there stays
    to: PathBuf,
    /// What a fuzzer reads
    #[arg(long, value_enum, default_value_t = Form::Marked)]
    form: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// Stretches of both directions, each behind a mark
    Marked,
    /// Only what the client sent
    Plain,
    /// What the ring would hold
    Records,
}

fn main() -> Result<()> {
    let args = Args::parse();
    fs::create_dir_all(&args.to)?;
    for entry in fs::read_dir(&args.from)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let steps = parse(&text).with_context(|| format!("in {}", path.display()))?;
        let name = path.file_stem().unwrap_or_default();
        let bytes = match args.form {
            Form::Marked => marked(&steps),
            Form::Plain => plain(&steps),
            Form::Records => Recording::of(&steps, Side::Server, 1).framed(),
        };
        fs::write(args.to.join(name), bytes)?;
    }
    Ok(())
}

fn plain(steps: &[Step]) -> Vec<u8> {
    let mut all = Vec::new();
    for step in steps {
        if let (Side::Client, Data::Bytes(bytes)) = (step.side, &step.data) {
            all.extend_from_slice(bytes);
        }
    }
    all
}

/// Stretches of at most 63 bytes, each behind a mark: length, whether a hole, side. A hole is a
/// thousand times as long as the bytes that stand for it.
fn marked(steps: &[Step]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut stretch = |side: Side, hole: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap_or(63);
        all.push(length << 2 | hole << 1 | u8::from(side == Side::Server));
        all.extend_from_slice(bytes);
    };
    for step in steps {
        match &step.data {
            Data::Bytes(bytes) => bytes
                .chunks(63)
                .for_each(|part| stretch(step.side, 0, part)),
            Data::Hole(length) => {
                let length = length.div_ceil(1000).clamp(1, 63);
                let filler = [0; 63];
                let filler = filler.get(..usize::try_from(length).unwrap_or(1));
                stretch(step.side, 1, filler.unwrap_or(&[0]));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_marked_as_the_fuzzers_read_them() {
        let steps = parse("> \"ab\"\n~ < 1500\n").unwrap();
        assert_eq!(
            marked(&steps),
            [2 << 2, b'a', b'b', 2 << 2 | 1 << 1 | 1, 0, 0]
        );
        assert_eq!(plain(&steps), b"ab");
    }
}
