//! `docs/configuration.md`, from the table.

use std::fmt::Write as _;

use super::{Config, SETTINGS, print};

/// The whole page.
#[must_use]
pub fn configuration() -> String {
    let config = Config::default();
    let mut page = String::from(HEAD);
    let live = SETTINGS.iter().filter(|setting| setting.is_live());
    let live: Vec<String> = live.map(|setting| format!("`{}`", setting.key)).collect();
    page.push_str(&LIVE.replace("{keys}", &live.join(", ")));
    for setting in SETTINGS {
        let default = setting.value(&config);
        let default = if matches!(default.as_str(), "null" | "[]" | "{}") {
            "none".to_owned()
        } else {
            // A bar would end the column, in code too.
            format!("`{}`", default.replace('|', "\\|"))
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
    page.push_str(&print::print(&config, None));
    page.push_str("```\n");
    page
}

const HEAD: &str = "\
<!-- Written by `observer config document`; a test fails when it is stale. -->
# Configuration

Nothing has to be configured: without a file the agent observes everything on its host but itself.
What is set later wins: defaults, the file (`--config FILE` or `OBSERVER_CONFIG`, YAML), environment
variables, the options `--listen`, `--web.config.file`, `--cgroup`, `--log-level` and `--path.*`.

```sh
observer config print             # every key with its value in force and where it comes from
observer config check FILE        # the file and what it names, rules and web: 0 where all is valid
observer config check --rules FILE
observer config schema            # JSON schema of the file; --rules: of the rules
```

What is printed is a valid file to start from. `check` tells everything that is wrong at once, a line
each, as `FILE:LINE:COLUMN: what; did you mean …?`: an unknown key, a variable that is nearly a key, a
value of another kind or outside its bounds, a rule that names nothing (the rules are read once the
rest is right). Nothing is ignored. `run` refuses to start with the same lines. Only what is no YAML
at all, and rules of another shape, end the reading at the first mistake.

A note after that, which is no error, tells at its place what is valid and does nothing here and now:
a pattern, a unit or an executable that names nothing that is on this machine, and what selects pods
where no Kubernetes API is asked about them.

Relative paths in the file are relative to the directory of that file, in the environment and in
options to the working directory; those of `cgroups` are everywhere relative to the cgroup v2 mount.
What a web configuration may hold is in [operations](operations/nodes.md#who-may-scrape).

Editors complete and underline with the schemas in [schema](schema):

```yaml
# yaml-language-server: $schema=schema/configuration.json
```

In the environment a list is separated by commas, `limits.metrics` is written `name=lines,…`, and an
empty value is none. Durations are written `10ms`, `5s`, `5m`.
";

const LIVE: &str = "
These take effect [while the agent runs](operations.md#change-it-while-it-runs), on SIGHUP or when the
file changes: {keys}. So does what is in the file that `rules` names, and in the one that `web_config`
does. What else changes takes effect at the next start, and the log names it.

| key | default | variable | |
|---|---|---|---|
";

const FILE: &str = "
## The file with every default

```yaml
";
