//! Figures as a person reads them.

/// Seconds: `730 µs`, `12.3 ms`, `123 ms`, `1.20 s`: at most seven characters up to 1,000 s.
pub(crate) fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".into(),
        Some(s) if s.is_infinite() => "> 10 s".into(),
        Some(s) if s < 0.001 => format!("{:.0} µs", s * 1e6),
        Some(s) if s < 0.1 => format!("{:.1} ms", s * 1e3),
        Some(s) if s < 1.0 => format!("{:.0} ms", s * 1e3),
        Some(s) => format!("{s:.2} s"),
    }
}

/// Events per second.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second < 1000.0 {
        format!("{per_second:.1}")
    } else {
        format!("{per_second:.0}")
    }
}

/// A part of a whole; nothing where it is none, so that others stand out.
pub(crate) fn share(part: f64, all: f64) -> String {
    if part > 0.0 && all > 0.0 {
        format!("{:.1} %", 100.0 * part / all)
    } else {
        "-".into()
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
            (Some(0.0123), "12.3 ms"),
            (Some(0.123), "123 ms"),
            (Some(1.2), "1.20 s"),
            (Some(f64::INFINITY), "> 10 s"),
        ];
        for (seconds, text) in cases {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn rates_and_shares_read_well() {
        assert_eq!(rate(12.34), "12.3");
        assert_eq!(rate(12_345.6), "12346");
        assert_eq!(share(1.0, 8.0), "12.5 %");
        assert_eq!(share(0.0, 8.0), "-");
        assert_eq!(share(0.0, 0.0), "-");
    }
}
