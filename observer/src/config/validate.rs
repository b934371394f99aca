//! What types cannot say.

use std::ops::RangeInclusive;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::{Config, ConfigError, suggest};
use crate::export::Limits;
use crate::export::catalog::CATALOG;

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let capture = &config.capture;
    within("capture.rings", capture.rings, 1..=8)?;
    within(
        "capture.ring_bytes",
        capture.ring_bytes,
        128 * KIB..=1024 * MIB,
    )?;
    if !capture.ring_bytes.is_power_of_two() {
        let near = capture.ring_bytes.next_power_of_two();
        let message = format!("{} is not a power of two; {near} is", capture.ring_bytes);
        return Err(invalid("capture.ring_bytes", message));
    }
    within("capture.wake", capture.wake, 1..=capture.ring_bytes)?;
    for (key, budget) in [
        ("capture.budgets.undecided", capture.budgets.undecided),
        ("capture.budgets.http1", capture.budgets.http1),
        ("capture.budgets.postgres", capture.budgets.postgres),
        ("capture.budgets.redis", capture.budgets.redis),
    ] {
        within(key, budget, KIB..=64 * MIB)?;
    }
    within("capture.tail", capture.tail, 0..=64 * KIB)?;
    within("capture.attempts", capture.attempts, 1..=1000)?;
    within("capture.sockets", capture.sockets, 1..=16 * MIB)?;
    let longest = Duration::from_secs(1);
    lasts(
        "capture.poll_idle",
        capture.poll_idle,
        Duration::from_micros(50)..=longest,
    )?;
    lasts(
        "capture.poll_busy",
        capture.poll_busy,
        Duration::ZERO..=capture.poll_idle,
    )?;

    let reassembly = &config.reassembly;
    within(
        "reassembly.connections",
        reassembly.connections,
        1..=4_000_000,
    )?;
    within("reassembly.held", reassembly.held, 64 * 1024..=1 << 30)?;
    within(
        "reassembly.held_per_direction",
        reassembly.held_per_direction,
        0..=reassembly.held,
    )?;

    validate_limits(&config.limits)?;

    if let Err(error) = EnvFilter::try_new(&config.log.level) {
        return Err(invalid(
            "log.level",
            format!("\"{}\": {error}", config.log.level),
        ));
    }
    Ok(())
}

fn validate_limits(limits: &Limits) -> Result<(), ConfigError> {
    within(
        "limits.lines",
        limits.lines,
        Limits::least_lines()..=10_000_000,
    )?;
    // Room for the last label set, and for as much again.
    let least = CATALOG.iter().map(|row| 2 * row.kind.lines()).max();
    let least = least.unwrap_or_default();
    within(
        "limits.lines_per_metric",
        limits.lines_per_metric,
        least..=limits.lines,
    )?;
    within(
        "limits.label_values",
        limits.label_values,
        1024..=16_000_000,
    )?;
    let day = Duration::from_hours(24);
    lasts("limits.stale", limits.stale, Duration::from_secs(10)..=day)?;
    for (name, lines) in &limits.metrics {
        let Some(row) = CATALOG.iter().find(|row| row.name == name) else {
            let names = CATALOG.iter().map(|row| row.name);
            let message = suggest::unknown("metric", name, names);
            return Err(invalid("limits.metrics", message));
        };
        let key = format!("limits.metrics.{name}");
        within(&key, *lines, 2 * row.kind.lines()..=limits.lines)?;
    }
    Ok(())
}

fn within<N: Copy + PartialOrd + std::fmt::Display>(
    key: &str,
    value: N,
    bounds: RangeInclusive<N>,
) -> Result<(), ConfigError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    let (least, most) = bounds.into_inner();
    Err(invalid(
        key,
        format!("{value} is not within {least} and {most}"),
    ))
}

fn lasts(key: &str, value: Duration, bounds: RangeInclusive<Duration>) -> Result<(), ConfigError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    let (least, most) = bounds.into_inner();
    Err(invalid(
        key,
        format!("{value:?} is not within {least:?} and {most:?}"),
    ))
}

fn invalid(key: &str, message: String) -> ConfigError {
    ConfigError::Invalid {
        key: key.to_owned(),
        message,
    }
}
