//! Rules are tried on a recording: every row that they speak of, and why it counts or does not.
#![forbid(unsafe_code)]

use std::io::{BufWriter, Write};

use super::replay::{Replay, Source};
use crate::capture::recording::Item;
use crate::cli::rules::Options;
use crate::config::Config;

mod report;

use report::Report;

/// Records between two looks at what was noted.
const STEP: u32 = 512;

/// Runs a recording, and writes what its rows came to.
///
/// # Errors
/// One sentence where the rules cannot be used, or the recording cannot be read or is damaged.
pub fn test(config: &Config, options: &Options, out: &mut dyn Write) -> anyhow::Result<()> {
    let plan = super::plan(config)?;
    let mut source = Source::open(&options.input)?;
    let mut replay = Replay::new(config)?;
    replay.explain();
    if source.preamble.redacted && options.rules.is_some() {
        eprintln!(
            "observer: {} was redacted: what its own rules did not read is overwritten, and other \
             rules read that as it stands",
            options.input.display()
        );
    }
    let started = source.preamble.started;
    let mut report = Report::new(&plan.business, started, options.json);
    let mut out = BufWriter::new(out);
    let mut taken = 0;
    while let Some(item) = source.item()? {
        match item {
            Item::Name(cgroup, path) => replay.name(cgroup, path),
            Item::Record(record) => {
                replay.record(&record);
                taken += 1;
            }
        }
        if taken == STEP {
            taken = 0;
            report.notes(replay.explained(), &mut out)?;
        }
    }
    let (notes, others) = replay.explain_rest(&source.end());
    report.notes(notes, &mut out)?;
    report.end(&others, &mut out)?;
    out.flush()?;
    Ok(())
}
