//! How well the clock is kept, as the kernel tells whoever disciplines it.

use nix::libc::{STA_NANO, TIME_ERROR};

use super::host::Failure;
use super::{Families, Machine, Type};
use adjtimex::Discipline;

mod adjtimex;

/// Frequencies are parts in a million, with 16 bits behind the point.
const PARTS: f64 = 1e6 * 65_536.0;

/// Family, type, help, value; the last argument is what one second is in the clock's small unit.
type Column = (
    &'static str,
    Type,
    &'static str,
    fn(&Discipline, f64) -> f64,
);

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    ("node_timex_offset_seconds", Type::Gauge, "Time offset in between local system and reference clock.", |clock, unit| clock.offset / unit),
    ("node_timex_frequency_adjustment_ratio", Type::Gauge, "Local clock frequency adjustment.", |clock, _| 1.0 + clock.frequency / PARTS),
    ("node_timex_maxerror_seconds", Type::Gauge, "Maximum error in seconds.", |clock, _| clock.maximum_error / 1e6),
    ("node_timex_estimated_error_seconds", Type::Gauge, "Estimated error in seconds.", |clock, _| clock.estimated_error / 1e6),
    ("node_timex_status", Type::Gauge, "Value of the status array bits.", |clock, _| f64::from(clock.status)),
    ("node_timex_loop_time_constant", Type::Gauge, "Phase-locked loop time constant.", |clock, _| clock.constant),
    ("node_timex_tick_seconds", Type::Gauge, "Seconds between clock ticks.", |clock, _| clock.tick / 1e6),
    ("node_timex_pps_frequency_hertz", Type::Gauge, "Pulse per second frequency.", |clock, _| clock.pulse_frequency / PARTS),
    ("node_timex_pps_jitter_seconds", Type::Gauge, "Pulse per second jitter.", |clock, unit| clock.jitter / unit),
    ("node_timex_pps_shift_seconds", Type::Gauge, "Pulse per second interval duration.", |clock, _| clock.shift),
    ("node_timex_pps_stability_hertz", Type::Gauge, "Pulse per second stability, average of recent frequency changes.", |clock, _| clock.stability / PARTS),
    ("node_timex_pps_jitter_total", Type::Counter, "Pulse per second count of jitter limit exceeded events.", |clock, _| clock.jitter_count),
    ("node_timex_pps_calibration_total", Type::Counter, "Pulse per second count of calibration intervals.", |clock, _| clock.calibration_count),
    ("node_timex_pps_error_total", Type::Counter, "Pulse per second count of calibration errors.", |clock, _| clock.error_count),
    ("node_timex_pps_stability_exceeded_total", Type::Counter, "Pulse per second count of stability limit exceeded events.", |clock, _| clock.stability_count),
    ("node_timex_tai_offset_seconds", Type::Gauge, "International Atomic Time (TAI) offset.", |clock, _| f64::from(clock.tai)),
    ("node_timex_sync_status", Type::Gauge, "Is clock synchronized to a reliable server (1 = yes, 0 = no).", |clock, _| f64::from(u8::from(clock.state != TIME_ERROR))),
];

pub(super) fn collect(_: &Machine, families: &mut Families) -> Result<(), Failure> {
    let clock = adjtimex::read().map_err(|error| Failure::Refused("adjtimex", error))?;
    let unit = if clock.status & STA_NANO == 0 {
        1e6
    } else {
        1e9
    };
    for (name, kind, help, value) in COLUMNS {
        let mut samples = families.family(*name, *kind, help);
        samples.put(&[], value(&clock, unit));
    }
    Ok(())
}
