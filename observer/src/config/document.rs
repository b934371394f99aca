//! `docs/configuration.md`, from the table.

use std::fmt::Write as _;

use super::{Config, SETTINGS, settings};

/// The whole page.
#[must_use]
pub fn configuration() -> String {
    let config = Config::default();
    let mut page = String::from(HEAD);
    for setting in SETTINGS {
        let default = setting.value(&config);
        let default = if matches!(default.as_str(), "null" | "[]" | "{}") {
            "none".to_owned()
        } else {
            format!("`{default}`")
        };
        let written = writeln!(
            page,
            "| `{}` | {default} | `{}` | {} |",
            setting.key,
            setting.variable(),
            setting.help
        );
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
    }
    page.push_str(FILE);
    page.push_str(&settings::show(&config));
    page.push_str("```\n");
    page
}

const HEAD: &str = "\
<!-- Written by `observer config document`; a test fails when it is stale. -->
# Configuration

Nothing has to be configured: without a file the agent observes everything on its host but itself.
What is set later wins: defaults, the file (`--config FILE` or `OBSERVER_CONFIG`, YAML), environment
variables, the options `--listen`, `--cgroup` and `--log-level`.

```sh
observer config show                      # every key with its value in force: a valid file to start from
observer config check --config FILE       # 0 where it is valid, else what is wrong, with line and column
```

An unknown key, a variable that is nearly a key, a value of another kind or outside its bounds are
errors that name the place and the nearest thing that would be right; nothing is ignored.

In the environment a list is separated by commas, `limits.metrics` is written `name=lines,…`, and an
empty value is none. Durations are written `10ms`, `5s`, `5m`.

| key | default | variable | |
|---|---|---|---|
";

const FILE: &str = "
## The file with every default

```yaml
";
