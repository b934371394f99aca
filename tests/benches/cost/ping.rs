//! Two sockets that talk in turns: what programs cost where hardly anything else happens.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aya::sys::{Stats, enable_stats};
use nix::time::{ClockId, clock_gettime};
use observer_tests::cgroup::Cgroup;

use crate::bed::Bed;
use crate::floor::{Ran, Shape, attach_empty, attach_floor};
use crate::machine::Core;
use crate::report::{Report, Verdict, figure, progress};
use crate::series::Series;

const ROUNDS: usize = 9;
const TRIPS: u32 = 30_000;
/// Until caches are warm and the protocol is known.
const WARM: u32 = 1_000;
/// Bytes of a record besides what is copied.
const HEADER: u64 = 64;
/// The type of `cgroup_skb` programs in `/proc/<pid>/fdinfo`: `BPF_PROG_TYPE_CGROUP_SKB`.
const CGROUP_SKB: &str = "8";

/// Mean time of the programs per record, by the kernel's own statistics, over that of the floor.
pub(crate) fn program_time(bed: &Bed, report: &mut Report) -> Result<()> {
    let _counting = enable_stats(Stats::RunTime)?;
    for (size, class) in [(100, 128), (1000, 1024)] {
        let shape = Shape {
            record: HEADER + class,
            copied: size,
        };
        let comparison = format!("kernel time per record, {size} bytes");
        progress(&comparison);
        let attached = attach_floor(&bed.object, &bed.floor, shape, bed.cores.observer)?;
        let [mut floor, mut again, mut observed] = [const { Series::new() }; 3];
        for _ in 0..ROUNDS {
            for series in [&mut floor, &mut again] {
                let before = attached.ran()?;
                trips(bed.cores.observed, &bed.floor, None, size)?;
                series.push(attached.ran()?.per_record_since(before));
            }
            let before = agent_ran(bed)?;
            trips(bed.cores.observed, &bed.observed, None, size)?;
            observed.push(agent_ran(bed)?.per_record_since(before));
        }
        let ratio = observed.over(&floor).median();
        report.add(
            format!("{comparison}, over the floor program's"),
            format!("{} × ({} ns)", figure(ratio), figure(observed.median())),
            "2 ×",
            Verdict::within(ratio - 1.0, 1.0, again.over(&floor).spread()),
        );
        report.keep(
            &comparison,
            "ns",
            [
                ("floor", floor),
                ("floor again", again),
                ("observed", observed),
            ],
        );
    }
    Ok(())
}

/// Processor time of a round trip of 100 bytes, both ends on one core.
pub(crate) fn round_trips(bed: &Bed, report: &mut Report) -> Result<()> {
    const SIZE: u32 = 100;
    let shape = Shape {
        record: HEADER + 128,
        copied: SIZE,
    };
    let _empty = attach_empty(&bed.object, &bed.empty)?;
    let _floor = attach_floor(&bed.object, &bed.floor, shape, bed.cores.observer)?;
    let variants = [
        ("bare", &bed.bare),
        ("bare again", &bed.again),
        ("empty programs", &bed.empty),
        ("floor program", &bed.floor),
        ("observed", &bed.observed),
    ];
    for (ends, both) in [("the server's end", false), ("both ends", true)] {
        let comparison = format!("CPU per round trip, {ends} in the cgroup");
        progress(&comparison);
        let mut all = variants.map(|(name, _)| (name, Series::new()));
        for _ in 0..ROUNDS {
            for ((_, series), (_, cgroup)) in all.iter_mut().zip(variants) {
                let client = both.then_some(cgroup);
                series.push(trips(bed.cores.observed, cgroup, client, SIZE)?);
            }
        }
        let [(_, bare), (_, again), rest @ ..] = &all;
        // Of processor time that noise only adds to, the least is the nearest to the truth.
        let (least, apart) = (bare.minimum(), (again.minimum() - bare.minimum()).abs());
        for (name, series) in rest {
            let minimum = series.minimum();
            report.add(
                format!("{comparison}, {name}"),
                format!(
                    "{} µs, {:+.1} µs (A/A {:.1} µs)",
                    figure(minimum),
                    minimum - least,
                    apart
                ),
                "",
                Verdict::Stated,
            );
        }
        report.keep(&comparison, "µs", all);
    }
    Ok(())
}

/// A connection whose ends are on one core: processor time of a round trip, in microseconds.
fn trips(core: Core, server: &Cgroup, client: Option<&Cgroup>, size: u32) -> Result<f64> {
    let listener = server.host(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
    let connect = || Ok(TcpStream::connect(listener.local_addr()?)?);
    let mut asks = client.map_or_else(connect, |cgroup| cgroup.host(connect))?;
    let (mut answers, _) = listener.accept()?;
    for end in [&asks, &answers] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(Duration::from_secs(10)))?;
    }
    let (request, response) = (request(size), response(size));
    let answering = thread::spawn(move || {
        core.keep()?;
        let mut buffer = vec![0; request_length(size)];
        turn(&mut answers, &mut buffer, &response, WARM)?;
        let before = thread_time()?;
        turn(&mut answers, &mut buffer, &response, TRIPS)?;
        Ok::<_, anyhow::Error>(thread_time()?.saturating_sub(before))
    });
    let asking = thread::spawn(move || {
        core.keep()?;
        let mut buffer = vec![0; request_length(size)];
        let mut ask = |times| {
            for _ in 0..times {
                asks.write_all(&request)?;
                asks.read_exact(&mut buffer)?;
            }
            Ok::<_, anyhow::Error>(())
        };
        ask(WARM)?;
        let before = thread_time()?;
        ask(TRIPS)?;
        Ok::<_, anyhow::Error>(thread_time()?.saturating_sub(before))
    });
    let panicked = |_| anyhow!("a thread panicked");
    let used = answering.join().map_err(panicked)?? + asking.join().map_err(panicked)??;
    Ok(used.as_secs_f64() * 1e6 / f64::from(TRIPS))
}

fn turn(end: &mut TcpStream, buffer: &mut [u8], response: &[u8], times: u32) -> Result<()> {
    for _ in 0..times {
        end.read_exact(buffer)?;
        end.write_all(response)?;
    }
    Ok(())
}

fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

fn request_length(size: u32) -> usize {
    size as usize
}

/// A Redis command of that many bytes: what is not recognised is soon not looked at any more.
fn request(size: u32) -> Vec<u8> {
    padded(b"*2\r\n$3\r\nGET\r\n", size)
}

/// Its reply, as long.
fn response(size: u32) -> Vec<u8> {
    padded(b"", size)
}

/// `start`, and a string that fills the rest.
fn padded(start: &[u8], size: u32) -> Vec<u8> {
    let rest = request_length(size) - start.len();
    // The length's own digits count: $85\r\n … \r\n
    let digits = (1..5)
        .find(|digits| (rest - 5 - digits).to_string().len() == *digits)
        .unwrap_or(1);
    let length = rest - 5 - digits;
    let mut bytes = start.to_vec();
    bytes.extend_from_slice(format!("${length}\r\n").as_bytes());
    bytes.resize(bytes.len() + length, b'x');
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// What the agent's programs did so far.
fn agent_ran(bed: &Bed) -> Result<Ran> {
    let directory = format!("/proc/{}/fdinfo", bed.agent.process().pid());
    // By the program's id: several descriptors may be of one.
    let mut programs = BTreeMap::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {directory}"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        if field("prog_type") != Some(CGROUP_SKB) {
            continue;
        }
        if let (Some(id), Some(time)) = (field("prog_id"), field("run_time_ns")) {
            programs.insert(id.to_owned(), time.parse::<f64>()?);
        }
    }
    let scrape = bed.agent.settled()?;
    Ok(Ran {
        nanoseconds: programs.values().sum(),
        records: scrape
            .select("observer_records_total")
            .with("stage", "kernel")
            .sum(),
    })
}
