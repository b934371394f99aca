//! Which containers are shown, and how many.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

/// Settings of the containers' metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether `/metrics` has them.
    pub enabled: bool,
    /// All of the machine, rather than those that are observed.
    pub all: bool,
    /// Cgroups that are shown at most.
    pub limit: usize,
    /// How long all of them together may take.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", regex(pattern = r"^ *([0-9]+ *[a-zA-Zµ]+ *)+$"))]
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            all: false,
            // Some 60 lines each, of the 50,000 that a scrape may have beside the platform's.
            limit: 500,
            timeout: Duration::from_secs(1),
        }
    }
}
