//! Exchanges by what they were, whoever says so: client, server or agent.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use anyhow::{Context as _, Result, ensure};
use observer_tests::scrape::{Scrape, Selection};

/// A request that got no whole answer.
pub(super) const ABORTED: &str = "aborted";

/// `GET /plain 200`, or [`ABORTED`], and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub(super) fn add(&mut self, what: &str, count: u64) {
        if count > 0 {
            *self.0.entry(what.to_owned()).or_default() += count;
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (what, count) in other.0 {
            self.add(&what, count);
        }
    }

    /// What a client program printed.
    pub(super) fn of_json(text: &str) -> Result<Self> {
        let issued = serde_json::from_str(text);
        Ok(Self(issued.with_context(|| format!("no tally: {text}"))?))
    }

    /// What a server printed, a line for each answer, among whatever its libraries say.
    pub(super) fn of_log(text: &str) -> Self {
        let mut tally = Self::default();
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                [_, _, ABORTED] => tally.add(ABORTED, 1),
                [_, _, status] if status.parse::<u16>().is_ok() => tally.add(line, 1),
                _ => {}
            }
        }
        tally
    }

    /// What was counted at the server's end.
    pub(super) fn at_server(scrape: &Scrape, service: &str) -> Self {
        let of = |metric| scrape.select(metric).with("service", service);
        Self::counted(
            &of("naytife_http_request_duration_seconds_count"),
            &of("naytife_http_requests_aborted_total"),
        )
    }

    /// What was counted at the client's end.
    pub(super) fn at_client(scrape: &Scrape, service: &str) -> Self {
        let of = |metric| scrape.select(metric).with("service", service);
        Self::counted(
            &of("naytife_http_client_request_duration_seconds_count"),
            &of("naytife_http_client_requests_aborted_total"),
        )
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a counter is a whole number that is not negative"
    )]
    fn counted(durations: &Selection<'_>, aborted: &Selection<'_>) -> Self {
        let mut tally = Self::default();
        for ([method, endpoint, status], count) in
            durations.by(["method", "endpoint", "status_code"])
        {
            tally.add(&format!("{method} {endpoint} {status}"), count as u64);
        }
        tally.add(ABORTED, aborted.sum() as u64);
        tally
    }

    /// Without those that got no whole answer.
    pub(super) fn whole(mut self) -> Self {
        self.0.remove(ABORTED);
        self
    }

    /// How often it was this.
    pub(super) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Whether both say the same.
    pub(super) fn agrees(&self, other: &Self, who: &str) -> Result<()> {
        ensure!(self == other, "issued:\n{self}{who}:\n{other}");
        Ok(())
    }
}

impl<const N: usize> From<[(&str, u64); N]> for Tally {
    fn from(rows: [(&str, u64); N]) -> Self {
        let mut tally = Self::default();
        for (what, count) in rows {
            tally.add(what, count);
        }
        tally
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(what, count)| writeln!(f, "  {count:>6} {what}"))
    }
}
