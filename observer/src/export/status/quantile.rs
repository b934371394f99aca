//! Quantiles of buckets, as Prometheus takes them.
#![forbid(unsafe_code)]

use super::Durations;

/// The value that a share of `q` lies at or below, interpolated within its bucket; infinite above
/// the last bound, `None` where nothing was measured.
///
/// ```text
///   bounds    0.1   0.2   +Inf
///   buckets    10    30     40      cumulative: the median is the 20th, halfway into (0.1, 0.2]
/// ```
#[must_use]
pub fn quantile(bounds: &[f64], buckets: &[u64], q: f64) -> Option<f64> {
    let all = buckets.last().copied().filter(|all| *all > 0)?;
    let rank = q * float(all);
    let (mut below, mut start) = (0, 0.0);
    for (bound, count) in bounds.iter().zip(buckets) {
        if float(*count) >= rank && *count > below {
            let share = (rank - float(below)) / float(count - below);
            return Some(start + (bound - start) * share.clamp(0.0, 1.0));
        }
        (below, start) = ((*count).max(below), *bound);
    }
    Some(f64::INFINITY)
}

impl Durations {
    /// The quantiles of these buckets.
    pub(super) fn new(bounds: &[f64], buckets: Vec<u64>) -> Self {
        let most = bounds.last().copied().unwrap_or_default();
        // JSON has no infinity, and digits below a microsecond say nothing.
        let shown = |value: f64| (value.min(most) * 1e6).round() / 1e6;
        let of = |q| quantile(bounds, &buckets, q).map(shown);
        Self {
            p50: of(0.5),
            p95: of(0.95),
            p99: of(0.99),
            buckets,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_as_prometheus_does() {
        let cases = [
            (&[10, 20, 20], 0.5, Some(1.0)),
            (&[10, 20, 20], 0.75, Some(1.5)),
            (&[10, 20, 20], 1.0, Some(2.0)),
            (&[0, 4, 4], 0.5, Some(1.5)),
            (&[1, 1, 2], 0.99, Some(f64::INFINITY)),
            (&[0, 0, 0], 0.5, None),
        ];
        for (buckets, q, expected) in cases {
            assert_eq!(quantile(&[1.0, 2.0], buckets, q), expected, "{buckets:?}");
        }
        assert_eq!(quantile(&[1.0], &[], 0.5), None);
    }

    #[test]
    fn what_json_shows_ends_at_the_last_bound() {
        let durations = Durations::new(&[1.0, 2.0], vec![0, 0, 3]);
        assert_eq!(durations.p50, Some(2.0));
    }
}
