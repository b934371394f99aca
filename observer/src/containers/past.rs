//! What is remembered of a cgroup from one scrape to the next.

use super::processes::First;

/// Seconds by which a counter may seem to have gone back. By more, somebody has reset it.
const SLACK: f64 = 1.0;

/// Of one cgroup.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Which one had the path.
    id: u64,
    /// CPU seconds, by the metric's place in the table.
    seconds: Vec<(usize, f64)>,
    /// Its oldest process.
    pub(super) first: Option<First>,
}

impl Past {
    /// This cgroup has the path now; of another one nothing holds any more.
    pub(super) fn is_of(&mut self, id: u64) {
        if self.id != id {
            *self = Self {
                id,
                ..Self::default()
            };
        }
    }

    /// A counter of seconds, which the kernel puts together from parts that move on their own, so
    /// that it may tell a little less than before.
    pub(super) fn forward(&mut self, metric: usize, seconds: f64) -> f64 {
        let known = self.seconds.iter_mut().find(|(place, _)| *place == metric);
        let Some((_, last)) = known else {
            self.seconds.push((metric, seconds));
            return seconds;
        };
        if seconds >= *last || seconds < *last - SLACK {
            *last = seconds;
        }
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_go_back_only_with_their_cgroup_or_when_they_are_reset() {
        let mut past = Past::default();
        past.is_of(7);
        let told: Vec<String> = [5.0, 5.5, 5.25, 6.0, 1.0, 1.5]
            .map(|seconds| past.forward(0, seconds).to_string())
            .into();
        assert_eq!(told, ["5", "5.5", "5.5", "6", "1", "1.5"]);
        assert_eq!(past.forward(1, 0.5).to_string(), "0.5");
        past.is_of(7);
        assert_eq!(past.forward(0, 1.25).to_string(), "1.5");
        past.is_of(8);
        assert_eq!(past.forward(0, 1.25).to_string(), "1.25");
    }
}
