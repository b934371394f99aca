//! What types cannot say.

use std::ops::RangeInclusive;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::{Config, ConfigError, suggest};
use crate::export::Limits;
use crate::export::catalog::CATALOG;

pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    config.capture.validate()?;
    let reassembly = &config.reassembly;
    within(
        "reassembly.connections",
        reassembly.connections,
        1..=4_000_000,
    )?;
    within("reassembly.held_bytes", reassembly.held_bytes, 0..=1 << 30)?;
    within(
        "reassembly.held_segments",
        reassembly.held_segments,
        0..=65_536,
    )?;
    within(
        "interpret.label_values",
        config.interpret.label_values,
        1024..=16_000_000,
    )?;
    within(
        "interpret.connections",
        config.interpret.connections,
        1..=4_000_000,
    )?;
    within("interpret.shops", config.interpret.shops, 1..=4_000_000)?;
    within(
        "interpret.statements",
        config.interpret.statements,
        1..=1_000_000,
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
