//! What being observed costs: the servers, in the kernel and in throughput, and the agent, in
//! processor time and memory. Each figure beside its limit.
//!
//! ```text
//!   core 0   servers in cgroups of their own, and what loads them
//!            bare · bare again · empty programs · floor program · observed
//!   core 1   the agent; who empties the floor program's ring
//! ```
//!
//! Variants take turns (A B C A B C …), so that what the machine does besides falls on all alike; a
//! ratio is the median of the rounds' ratios. The bare variant is there twice: how far its two
//! copies lie apart is what a ratio cannot tell.
#![forbid(unsafe_code)]

mod bed;
mod document;
mod floor;
mod machine;
mod memory;
mod node;
mod ping;
mod pipeline;
mod report;
mod series;
mod servers;
mod workload;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use self::bed::Bed;
use self::report::Report;

#[derive(Debug, Parser)]
struct Args {
    /// Put the figures into docs/performance.md
    #[arg(long)]
    write: bool,
    /// What cargo tells every bench
    #[arg(long, hide = true)]
    bench: bool,
    /// The floor programs' object
    #[arg(long, env = "OBSERVER_FLOOR", default_value = DEFAULT_FLOOR)]
    floor: PathBuf,
    /// Only what has this in its name: kernel, trip, nginx, redis, pgbench, pipeline, memory, node
    filter: Option<String>,
}

const DEFAULT_FLOOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bpf/floor.o");

impl Args {
    fn wants(&self, name: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|part| name.contains(part.as_str()))
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut report = Report::default();
    if args.wants("pipeline") {
        pipeline::measure(&mut report)?;
    }
    if args.wants("memory") {
        memory::measure(&mut report)?;
    }
    if args.wants("node") {
        node::measure(&mut report)?;
    }
    let bed = Bed::make(args.floor.clone())?;
    if args.wants("kernel") {
        ping::program_time(&bed, &mut report)?;
    }
    if args.wants("trip") {
        ping::round_trips(&bed, &mut report)?;
    }
    for workload in workload::WORKLOADS {
        if args.wants(workload.name) {
            servers::measure(&bed, workload, &mut report)?;
        }
    }
    if args.filter.is_none() {
        servers::idle(&bed, &mut report)?;
    }
    report.print()?;
    if args.write {
        document::write(&report)?;
    }
    Ok(())
}
