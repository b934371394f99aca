//! What was measured of one variant, round by round, and how two of them compare.

/// One figure a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

/// How far apart two measurements of the same thing lay, and so what a ratio cannot tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread(pub(crate) f64);

impl Series {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The smallest; what noise only adds to is closest to the truth there.
    pub(crate) fn minimum(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn maximum(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Interpolated between the two nearest.
    fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let [below, above] = nearest(q, last).map(|at| sorted.get(at).copied().unwrap_or(f64::NAN));
        #[expect(clippy::cast_precision_loss, reason = "a handful of rounds")]
        let share = (q * last as f64).fract();
        below + (above - below) * share
    }

    /// Round by round, this over the other.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// Of the ratios of two variants that are the same: the farther of the quartiles from 1. Half
    /// of all rounds lie within it.
    pub(crate) fn spread(&self) -> Spread {
        let far = |q| (self.quantile(q) - 1.0).abs();
        Spread(far(0.25).max(far(0.75)))
    }
}

fn nearest(q: f64, last: usize) -> [usize; 2] {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an index into a handful of rounds"
    )]
    let below = (q * last as f64) as usize;
    [below, (below + 1).min(last)]
}
