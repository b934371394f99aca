//! Figures as a person reads them, each within eight characters; a dash stands for none.
#![forbid(unsafe_code)]

const THOUSANDS: [&str; 7] = ["", " k", " M", " G", " T", " P", " E"];

/// Seconds: `730 µs`, `12.3 ms`, `123 ms`, `1.20 s`; above a histogram's last bound `> 10 s`.
#[must_use]
pub fn time(seconds: Option<f64>, most: f64) -> String {
    match seconds {
        None => "-".into(),
        Some(s) if s.is_infinite() => format!("> {most} s"),
        Some(s) if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        Some(s) if s < 0.099_95 => format!("{:.1} ms", s * 1e3),
        Some(s) if s < 0.999_5 => format!("{:.0} ms", s * 1e3),
        Some(s) if s < 99.995 => format!("{s:.2} s"),
        Some(s) => format!("{s:.0} s"),
    }
}

/// Events per second, or a number of them.
#[must_use]
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r <= 0.0 => "0".into(),
        r if r < 0.01 => "< 0.01".into(),
        r if r < 0.995 => format!("{r:.2}"),
        r if r < 99.95 => format!("{r:.1}"),
        r => scaled(r, 1000.0, &THOUSANDS),
    }
}

/// A whole number of events.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
pub fn count(count: u64) -> String {
    if count < 100_000 {
        return count.to_string();
    }
    scaled(count as f64, 1000.0, &THOUSANDS)
}

/// Bytes, or bytes per second: `512 B`, `1.50 KiB`, `23.4 MiB`.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    scaled(
        bytes.max(0.0),
        1024.0,
        &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"],
    )
}

/// A part of a whole; a dash where it is none, so that others stand out.
#[must_use]
pub fn share(part: f64, all: f64) -> String {
    match 100.0 * part / all {
        percent if percent.is_nan() || percent <= 0.0 => "-".into(),
        percent if percent < 0.1 => "< 0.1 %".into(),
        percent => format!("{percent:.1} %"),
    }
}

/// A long time: `4 s`, `12 min`, `3 h 20 min`, `2 d 4 h`.
#[must_use]
pub fn span(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is cut to what fits"
    )]
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Three digits that count, and the unit they fit.
fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut units = units.iter();
    let mut unit = units.next();
    // 999.5 would be written as four digits.
    while value >= step.min(999.5)
        && let Some(next) = units.next()
    {
        value /= step;
        unit = Some(next);
    }
    let unit = unit.copied().unwrap_or_default();
    let whole = matches!(unit, "" | " B");
    match value {
        v if whole || v >= 99.95 => format!("{v:.0}{unit}"),
        v if v >= 9.995 => format!("{v:.1}{unit}"),
        v => format!("{v:.2}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let cases = [
            (None, "-"),
            (Some(0.000_73), "730 µs"),
            (Some(0.000_999_9), "1.0 ms"),
            (Some(0.0123), "12.3 ms"),
            (Some(0.123), "123 ms"),
            (Some(0.9999), "1.00 s"),
            (Some(1.2), "1.20 s"),
            (Some(123.4), "123 s"),
            (Some(f64::INFINITY), "> 10 s"),
        ];
        for (seconds, text) in cases {
            assert_eq!(time(seconds, 10.0), text);
        }
    }

    #[test]
    fn rates_and_counts_read_well() {
        let cases = [
            (-1.0, "0"),
            (0.001, "< 0.01"),
            (0.25, "0.25"),
            (0.999, "1.0"),
            (12.34, "12.3"),
            (412.4, "412"),
            (999.7, "1.00 k"),
            (12_345.6, "12.3 k"),
            (4e9, "4.00 G"),
        ];
        for (per_second, text) in cases {
            assert_eq!(rate(per_second), text);
        }
        assert_eq!(count(99_999), "99999");
        assert_eq!(count(1_234_567), "1.23 M");
    }

    #[test]
    fn sizes_shares_and_spans_read_well() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(512.4), "512 B");
        assert_eq!(bytes(1536.0), "1.50 KiB");
        assert_eq!(bytes(1023.0 * 1024.0), "1.00 MiB");
        assert_eq!(share(1.0, 8.0), "12.5 %");
        assert_eq!(share(1.0, 80_000.0), "< 0.1 %");
        assert_eq!(share(0.0, 8.0), "-");
        assert_eq!(share(0.0, 0.0), "-");
        let cases = [
            (4.9, "4 s"),
            (61.0, "1 min"),
            (12_000.0, "3 h 20 min"),
            (187_200.0, "2 d 4 h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_figure_takes_at_most_eight_characters() {
        for exponent in -30..60 {
            let value = 1.999_6 * 2_f64.powi(exponent);
            for text in [
                rate(value),
                bytes(value),
                time(Some(value.min(9_999.0)), 10.0),
            ] {
                assert!(text.chars().count() <= 8, "{value}: {text}");
            }
        }
    }
}
