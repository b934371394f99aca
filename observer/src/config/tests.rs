use std::path::Path;

use super::layers::Origin;
use super::settings::Setting;
use super::*;

mod rules;

fn layers(variables: &[(&str, &str)]) -> Layers {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Layers {
        environment: variables.collect(),
        ..Layers::default()
    }
}

fn load(layers: &Layers, text: &str) -> Result<Loaded, String> {
    layers
        .load_from(Some((Path::new("observer.yaml"), text)))
        .map_err(|problems| problems.to_string())
}

fn parse(text: &str) -> Result<Config, String> {
    load(&Layers::default(), text).map(|loaded| loaded.config)
}

fn environment(variables: &[(&str, &str)]) -> Result<Config, String> {
    match layers(variables).load() {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) => Err(problems.to_string()),
    }
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(environment(&[]), Ok(Config::default()));
    assert_eq!(Config::default().listen.to_string(), "127.0.0.1:9464");
}

#[test]
fn an_empty_file_gives_the_defaults() {
    for text in ["", "\n", "# nothing but a comment\n", "---\n", "{}"] {
        assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
    }
}

#[test]
fn what_is_printed_gives_the_same_configuration() {
    let mut config = Config {
        cgroups: ["a b", "kubepods.slice", "yes", "12e4", "0123", "# no"]
            .map(PathBuf::from)
            .into(),
        rules: Some("/etc/observer/rules.yaml".into()),
        interpret: interpret::Settings {
            authority: interpret::Authority::Server,
            trust_path_ids: true,
            ..interpret::Settings::default()
        },
        ..Config::default()
    };
    config.limits.metrics = [("naytife_redis_commands_total".to_owned(), 7)].into();
    config.log.level = "info,observer::capture=debug".into();
    for config in [config, Config::default()] {
        for origins in [None, Some(layers::Origins::default())] {
            let text = print::print(&config, origins.as_ref());
            assert_eq!(parse(&text).as_ref(), Ok(&config), "{text}");
        }
    }
}

#[test]
fn every_key_of_the_file_is_a_setting() {
    fn keys(prefix: &str, value: &serde_json::Value, out: &mut Vec<String>) {
        match value {
            // Its keys are the metrics' names.
            serde_json::Value::Object(map) if prefix != "limits.metrics" => {
                for (name, value) in map {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    keys(&format!("{prefix}{dot}{name}"), value, out);
                }
            }
            _ => out.push(prefix.to_owned()),
        }
    }
    let mut from_types = Vec::new();
    let value = serde_json::to_value(Config::default()).unwrap();
    keys("", &value, &mut from_types);
    let mut from_table: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    from_types.sort_unstable();
    from_table.sort_unstable();
    assert_eq!(from_types, from_table);
}

#[test]
fn the_page_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == document::configuration(),
        "docs/configuration.md is stale: \
         cargo run -p observer -- config document > docs/configuration.md"
    );
}

#[test]
fn the_page_shows_a_valid_file() {
    let page = document::configuration();
    let (_, file) = page.split_once("```yaml\n").unwrap();
    let (file, _) = file.split_once("```\n").unwrap();
    assert_eq!(parse(file), Ok(Config::default()));
    assert!(page.contains("| `listen` | `127.0.0.1:9464` | `OBSERVER_LISTEN` |"));
    assert!(page.contains("| `cgroups` | none | `OBSERVER_CGROUPS` |"));
}

#[test]
fn helps_are_sentences() {
    for setting in SETTINGS {
        assert!(setting.help.ends_with('.'), "{}", setting.key);
    }
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_place() {
    let cases = [
        (
            "lisen: 1.2.3.4:80",
            "observer.yaml:1:1: unknown key \"lisen\"; did you mean \"listen\"?",
        ),
        (
            "capture:\n  rings: 1\n  ringbytes: 3\n",
            "observer.yaml:3:3: unknown key \"ringbytes\"; did you mean \"ring_bytes\"?",
        ),
        (
            "capture:\n  budgets: {colour: 1}\n",
            "observer.yaml:2:13: unknown key \"colour\"; there are: undecided, http1, postgres, redis",
        ),
        (
            "log:\n  format: jsn\n",
            "observer.yaml:2:11: log.format: unknown value \"jsn\"; did you mean \"json\"?",
        ),
        (
            "listen: here\n",
            "observer.yaml:1:9: listen: \"here\" is not an address and a port",
        ),
        (
            "limits:\n  stale: soon\n",
            "observer.yaml:2:10: limits.stale: \"soon\" is not a duration",
        ),
        (
            "limits:\n  lines: -1\n",
            "observer.yaml:2:10: limits.lines: \"-1\" is not a whole number",
        ),
        (
            "interpret: {trust_path_ids: 7}\n",
            "observer.yaml:1:29: interpret.trust_path_ids: \"7\" is not true or false",
        ),
        (
            "interpret: {authority: sever}\n",
            "observer.yaml:1:24: interpret.authority: unknown value \"sever\"; did you mean \"server\"?",
        ),
        (
            "limits: {lines: }\n",
            "observer.yaml:1:15: limits.lines: nothing where a single value belongs",
        ),
        (
            "limits: {metrics: {a: x}}\n",
            "observer.yaml:1:19: limits.metrics: a: \"x\" is not a whole number",
        ),
        (
            "cgroups: shop.slice\n",
            "observer.yaml:1:10: cgroups: a single value where a list belongs: [one, two]",
        ),
        (
            "capture: fast\n",
            "observer.yaml:1:10: a single value where the keys of capture belong",
        ),
        ("listen: [\n", "observer.yaml:1:9: "),
        (
            "rules: a\nrules: b\n",
            "observer.yaml:2:1: the key \"rules\" is here a second time; leave one of the two out",
        ),
        ("- 1\n", "observer.yaml:1:1: a list where keys belong"),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        eprintln!("{error}");
        assert!(error.starts_with(expected), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
        assert!(error.len() < 200, "{error}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_in_its_order() {
    let layers = layers(&[
        ("OBSERVER_CAPTURE_RINGS", "many"),
        ("OBSERVER_LIMITS_STALE", "1s"),
    ]);
    let text = "\
log: {level: a=b=c, colour: red}
limits:
  lines: 3
  metrics:
    naytife_redis_lookups_total: 0
    naytife_redis_lookup_total: 5
  stale: 5m
lisen: 1
capture: {ring_bytes: 3000000}
";
    let problems = load(&layers, text).unwrap_err();
    let problems: Vec<&str> = problems.lines().collect();
    let expected = [
        "observer.yaml:1:14: log.level: \"a=b=c\": ",
        "observer.yaml:1:21: unknown key \"colour\"; there are: level, format",
        "observer.yaml:3:10: limits.lines is 3; it must be from ",
        "observer.yaml:5:5: limits.metrics.naytife_redis_lookups_total is 0; it must be from 2 to ",
        "observer.yaml:6:5: limits.metrics: unknown metric \"naytife_redis_lookup_total\"; did you mean \"naytife_redis_lookups_total\"?",
        "observer.yaml:8:1: unknown key \"lisen\"; did you mean \"listen\"?",
        "observer.yaml:9:23: capture.ring_bytes is 3000000; it must be a power of two from 4096 to 1073741824; did you mean 4194304?",
        "OBSERVER_CAPTURE_RINGS: \"many\" is not a whole number below 2^32",
        "OBSERVER_LIMITS_STALE: limits.stale is 1s; it must be from 10s to 1day; did you mean 10s?",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}");
    }
}

#[test]
fn a_value_that_another_contradicts_is_blamed_on_the_one_that_was_set() {
    let problem = parse("capture:\n  ring_bytes: 4096\n").unwrap_err();
    let expected = "observer.yaml:2:15: capture.wake_bytes is 2097152; it must be from 1 to 4095";
    assert!(problem.starts_with(expected), "{problem}");
}

#[test]
fn a_word_that_is_no_level_is_refused_where_a_filter_would_be_silent() {
    let problem = parse("log: {level: debgu}").unwrap_err();
    let expected =
        "observer.yaml:1:14: log.level: unknown level \"debgu\"; did you mean \"debug\"?";
    assert_eq!(problem, expected);
    assert!(parse("log: {level: loud}").is_err());
    assert!(parse("log: {level: Warn}").is_ok());
    assert!(parse("log: {level: \"info,observer::capture=debug\"}").is_ok());
}

#[test]
fn what_is_wrong_with_the_machines_settings_is_told_with_its_place() {
    let cases = [
        (
            "node:\n  disk_exclude: \"(\"\n",
            "observer.yaml:2:17: node.disk_exclude: \"(\" is not a regular expression",
        ),
        (
            "node: {disable: [hwmom]}\n",
            "observer.yaml:1:18: node.disable[0]: unknown collector \"hwmom\"; did you mean \"hwmon\"?",
        ),
        (
            "node: {procfs: }\n",
            "observer.yaml:1:14: node.procfs: nothing where text belongs",
        ),
        (
            "node: {timeout: 1m}\n",
            "observer.yaml:1:17: node.timeout is 1m; it must be from 10ms to 7s",
        ),
        (
            "containers: {timeout: 4s}\n",
            "observer.yaml:1:23: containers.timeout is 4s; it must be from 10ms to 1s 250ms",
        ),
        (
            "node: {timeout: 7s}\n",
            "observer.yaml:1:17: containers.timeout is 1s; it must be from 10ms to 250ms",
        ),
    ];
    for (text, expected) in cases {
        let problem = parse(text).unwrap_err();
        assert!(problem.starts_with(expected), "{problem}");
    }
    let file = "node: {enable: [processes], disable: [hwmon, mdadm], textfiles: /var/t}";
    assert!(parse(file).is_ok());
}

#[test]
fn a_selector_that_cannot_be_meant_is_told_with_its_place() {
    let cases = [
        (
            "select: {labels: ['app inn (a)']}\n",
            "observer.yaml:1:19: select.labels[0]: \"app inn (a)\": unknown operator \"inn\"; did you \
             mean \"in\"?",
        ),
        (
            "select:\n  cgroups: [/sys/fs/cgroup/shop]\n",
            "observer.yaml:2:13: select.cgroups[0]: \"/sys/fs/cgroup/shop\": a pattern begins below \
             the mount; did you mean \"/shop\"?",
        ),
        (
            "select: {executables: [/usr/bin/node]}\n",
            "observer.yaml:1:24: select.executables[0]: \"/usr/bin/node\": an executable goes by its \
             name, without the directory; did you mean \"node\"?",
        ),
        (
            "select:\n  labels:\n  - app\n  - {a: b}\n",
            "observer.yaml:4:5: select.labels[1]: a map where text belongs",
        ),
        (
            "select: {labels: [app, tier in (a, b)]}\n",
            "observer.yaml:1:24: select.labels[1]: \"tier in (a\": the comma in it ends it here; write \
             it in quotes, and in the configuration file: \"tier in (a, b)\"",
        ),
        (
            "select: {units: [nginx, nginx.servic]}\n",
            "observer.yaml:1:25: select.units[1]: \"nginx.servic\": the name of a unit with \
             processes ends in .service, .scope or .slice; did you mean \"nginx.service\"?",
        ),
        (
            "select: {namespace: [naytife]}\n",
            "observer.yaml:1:10: unknown key",
        ),
    ];
    for (text, expected) in cases {
        let problem = parse(text).unwrap_err();
        assert!(problem.starts_with(expected), "{problem}");
    }
    let file = "select: {namespaces: [naytife], labels: ['a in (b, c)'], units: [nginx]}";
    assert!(parse(file).is_ok());
}

#[test]
fn what_may_have_been_meant_with_a_unit_is_one_that_has_processes() {
    for (unit, meant) in [
        ("app.slce", "app.slice"),
        ("app.Service", "app.service"),
        ("backup.timer", "backup.service"),
        ("dbus.socket", "dbus.service"),
        (
            "dbus-org.freedesktop.hostname1",
            "dbus-org.freedesktop.hostname1.service",
        ),
        ("nginx.", "nginx.service"),
    ] {
        let problem = parse(&format!("select: {{units: ['{unit}']}}")).unwrap_err();
        let expected = format!("; did you mean \"{meant}\"?");
        assert!(problem.ends_with(&expected), "{problem}");
    }
}

#[test]
fn an_item_of_a_variables_list_is_told_by_its_number() {
    let wrong = [("OBSERVER_SELECT_LABELS", "app, b c")];
    let expected = "OBSERVER_SELECT_LABELS: select.labels[1]: \"b c\": ";
    let problem = environment(&wrong).unwrap_err();
    assert!(problem.starts_with(expected), "{problem}");
    // It is not the file's, which it is over.
    let problem = load(&layers(&wrong), "select: {labels: [app, tier]}").unwrap_err();
    assert!(problem.starts_with(expected), "{problem}");
}

#[test]
fn the_page_names_the_keys_that_are_live_and_no_others() {
    let page = document::configuration();
    let (_, list) = page.split_once("when the\nfile changes: ").unwrap();
    let (list, _) = list.split_once(". ").unwrap();
    let live: Vec<&str> = list.split(", ").map(|key| key.trim_matches('`')).collect();
    let expected = [
        "cgroups",
        "rules",
        "select.namespaces",
        "select.labels",
        "select.projects",
        "select.services",
        "select.units",
        "select.cgroups",
        "select.executables",
    ];
    assert_eq!(live, expected);
}

#[test]
fn where_each_value_comes_from_is_told() {
    let mut layers = layers(&[("OBSERVER_LIMITS_LINES", "5000"), ("OBSERVER_RULES", "")]);
    layers.options.log_level = Some("debug".into());
    let text = "rules: a.yaml\nlog:\n  level: warn\n  format: json\nlimits: {lines: 6000}\n";
    let loaded = load(&layers, text).unwrap();
    let of = |key| loaded.origins.of(key).to_string();
    assert_eq!(of("log.format"), "observer.yaml:4");
    assert_eq!(of("log.level"), "--log-level");
    assert_eq!(of("limits.lines"), "OBSERVER_LIMITS_LINES");
    assert_eq!(of("rules"), "OBSERVER_RULES");
    assert_eq!(loaded.origins.of("listen"), Origin::Default);
    let printed = print::print(&loaded.config, Some(&loaded.origins));
    assert!(
        printed.contains("  format: json # observer.yaml:4\n"),
        "{printed}"
    );
    assert!(printed.contains("\nlisten: 127.0.0.1:9464 # default\n"));
}

#[test]
fn every_path_of_the_file_is_relative_to_it_but_those_below_the_mount() {
    let path = Path::new("/etc/observer/observer.yaml");
    let shown = |setting: &Setting, value: &str| {
        let (section, name) = setting.key.rsplit_once('.').unwrap_or(("", setting.key));
        let text = match section {
            "" => format!("{name}: {value}\n"),
            _ => format!("{section}: {{{name}: {value}}}\n"),
        };
        let loaded = Layers::default().load_from(Some((path, &text))).ok()?;
        Some(setting.value(&loaded.config))
    };
    let mut beside = Vec::new();
    for setting in SETTINGS {
        let one = shown(setting, "a/b").is_some_and(|value| value == "/etc/observer/a/b");
        let list = shown(setting, "[a/b]").is_some_and(|value| value == "[/etc/observer/a/b]");
        if one || list {
            beside.push(setting.key);
            let absolute = if list { "[/a]" } else { "/a" };
            assert_eq!(shown(setting, absolute).as_deref(), Some(absolute));
        }
    }
    let expected = [
        "web_config",
        "rules",
        "kubernetes.kubeconfig",
        "kubernetes.pod_logs",
        "engines.sockets",
        "engines.directories",
        "node.procfs",
        "node.sysfs",
        "node.rootfs",
        "node.udev",
        "node.textfiles",
    ];
    assert_eq!(beside, expected);
    let cgroups = parse("cgroups: [a/b]").unwrap().cgroups;
    assert_eq!(cgroups, [PathBuf::from("a/b")]);
    let named = environment(&[("OBSERVER_KUBERNETES_KUBECONFIG", "config")]).unwrap();
    assert_eq!(named.kubernetes.kubeconfig.unwrap(), Path::new("config"));
    let named = environment(&[("OBSERVER_RULES", "shop.yaml")]).unwrap();
    assert_eq!(named.rules.unwrap(), Path::new("shop.yaml"));
}

#[test]
fn what_is_wrong_in_rules_is_told_with_its_place() {
    let directory = std::env::temp_dir().join(format!("observer-rules-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("rules.yaml");
    let cases = [
        (
            "http:\n  services:\n    a:\n      routes: [/a, /b]\n      graphql: [/c]\n      shops:\n        - {route: /d, places: []}\nsql: {}\n",
            &[
                "5:17: http.services.a.graphql[0]: the service has no route `/c`; did you mean `/a`?",
                "7:19: http.services.a.shops[0].route: the service has no route `/d`; did you mean `/a`?",
            ][..],
        ),
        (
            "http: {service: {}}\n",
            &["1:8: unknown key \"service\"; did you mean \"services\"?"],
        ),
        ("http: [\n", &["1:7: expected mapping start"]),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, text).unwrap();
        let problems = file::rules(&path).unwrap_err().to_string();
        let expected: Vec<String> = expected
            .iter()
            .map(|line| format!("{}:{line}", path.display()))
            .collect();
        assert_eq!(problems, expected.join("\n"));
    }
    std::fs::remove_dir_all(&directory).unwrap();
    let absent = file::rules(&path).unwrap_err().to_string();
    assert!(absent.starts_with("cannot read the rules /"), "{absent}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_clear_sentence() {
    let load = |path: &str| {
        let layers = Layers {
            file: Some(path.into()),
            ..Layers::default()
        };
        layers.load().unwrap_err().to_string()
    };
    assert_eq!(
        load("/nowhere/observer.yaml"),
        "cannot read the configuration /nowhere/observer.yaml: No such file or directory (os error 2)"
    );
    assert!(load("/dev/zero").contains("more than 1048576 bytes"));
}

#[test]
fn the_environment_is_over_the_file() {
    let layers = layers(&[("OBSERVER_LISTEN", "127.0.0.1:2")]);
    let config = load(&layers, "listen: 127.0.0.1:1\nlimits: {lines: 5000}\n")
        .unwrap()
        .config;
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.limits.lines, 5000);
}

#[test]
fn every_setting_can_come_from_the_environment() {
    let expected = Config::default();
    for setting in SETTINGS {
        assert!(setting.variable().starts_with("OBSERVER_"));
    }
    let config = environment(&[
        ("OBSERVER_CGROUPS", "a, /sys/fs/cgroup/b,,"),
        ("OBSERVER_CAPTURE_BUDGETS_HTTP1", "4096"),
        ("OBSERVER_CAPTURE_POLL_MAX", "5ms"),
        (
            "OBSERVER_LIMITS_METRICS",
            "naytife_redis_lookups_total=100, naytife_redis_commands_total = 200",
        ),
        ("OBSERVER_LOG_FORMAT", "json"),
        ("OBSERVER_RULES", ""),
        ("OBSERVER_INTERPRET_TRUST_PATH_IDS", "true"),
        // Not ours: what Kubernetes sets for a Service named `observer`.
        ("OBSERVER_PORT", "tcp://10.0.0.1:9464"),
        ("OBSERVER_SERVICE_HOST", "10.0.0.1"),
        ("HOME", "/root"),
    ])
    .unwrap();
    assert_eq!(
        config.cgroups,
        [PathBuf::from("a"), "/sys/fs/cgroup/b".into()]
    );
    assert_eq!(config.capture.budgets.http1, 4096);
    assert_eq!(config.capture.poll_max, std::time::Duration::from_millis(5));
    assert_eq!(
        config.limits.metrics,
        [
            ("naytife_redis_lookups_total".to_owned(), 100),
            ("naytife_redis_commands_total".to_owned(), 200)
        ]
        .into()
    );
    assert!(config.interpret.trust_path_ids);
    assert_eq!(config.rules, expected.rules);
}

#[test]
fn a_variable_that_is_wrong_is_one_clear_sentence() {
    let cases = [
        (
            ("OBSERVER_LISTEN", "here"),
            "OBSERVER_LISTEN: \"here\" is not an address and a port such as 127.0.0.1:9464",
        ),
        (
            ("OBSERVER_LIMITS_STALE", "soon"),
            "OBSERVER_LIMITS_STALE: \"soon\" is not a duration such as 5m or 10ms",
        ),
        (
            ("OBSERVER_LIMIT_LINES", "5"),
            "OBSERVER_LIMIT_LINES: there is no such setting; did you mean OBSERVER_LIMITS_LINES?",
        ),
    ];
    for (variable, expected) in cases {
        assert_eq!(environment(&[variable]), Err(expected.to_owned()));
    }
}

#[test]
fn a_web_configuration_that_is_wrong_is_one_sentence_without_what_is_secret() {
    let cases = [
        (
            "basic_auth_user: {}",
            ":1:1: unknown key \"basic_auth_user\"; did you mean \"basic_auth_users\"?",
        ),
        (
            "basic_auth_users: {a: 12345678}",
            ": basic_auth_users: what a has is no bcrypt hash",
        ),
        (
            "basic_auth_users: 12345678",
            ": this is no web configuration",
        ),
        (
            "bearer_token_file: absent",
            ": cannot read the bearer token",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b}",
            ": cannot read the certificate",
        ),
    ];
    for (text, expected) in cases {
        let file = std::env::temp_dir().join(format!("observer-web-{}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let config = Config {
            web_config: Some(file.clone()),
            ..Config::default()
        };
        let said = config.gate().err().unwrap().to_string();
        std::fs::remove_file(file).unwrap();
        assert!(said.contains(expected), "{said}");
        assert!(
            said.lines().count() == 1 && !said.contains("12345678"),
            "{said}"
        );
    }
}
