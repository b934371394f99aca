use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("observer.yaml"), text).map_err(|error| error.to_string())
}

fn environment(variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(None, variables).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_valid() {
    Config::default().validate().unwrap();
    assert_eq!(Config::default().listen.to_string(), "127.0.0.1:9464");
}

#[test]
fn an_empty_file_gives_the_defaults() {
    for text in ["", "\n", "# nothing but a comment\n", "---\n", "{}"] {
        assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
    }
}

#[test]
fn what_is_shown_gives_the_same_configuration() {
    let mut config = Config {
        cgroups: vec!["a b".into(), "kubepods.slice".into(), "yes".into()],
        rules: Some("/etc/observer/rules.yaml".into()),
        interpret: interpret::Settings {
            trust_path_ids: true,
            ..interpret::Settings::default()
        },
        ..Config::default()
    };
    config.limits.metrics = [("naytife_redis_commands_total".to_owned(), 7)].into();
    config.log.level = "info,observer::capture=debug".into();
    for config in [config, Config::default()] {
        let text = settings::show(&config);
        assert_eq!(parse(&text), Ok(config), "{text}");
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
            "observer.yaml:1:1: unknown key \"lisen\", did you mean \"listen\"?",
        ),
        (
            "capture:\n  rings: 1\n  ringbytes: 3\n",
            "observer.yaml:3:3: unknown key \"ringbytes\", did you mean \"ring_bytes\"?",
        ),
        (
            "capture:\n  budgets: {colour: 1}\n",
            "observer.yaml:2:13: unknown key \"colour\"; there are: undecided, http1, postgres, redis",
        ),
        (
            "log:\n  format: jsn\n",
            "observer.yaml:2:11: unknown value \"jsn\", did you mean \"json\"?",
        ),
        ("listen: here\n", "observer.yaml:1:9: "),
        ("limits:\n  stale: soon\n", "observer.yaml:2:3: "),
        (
            "limits:\n  lines: -1\n",
            "observer.yaml:2:10: not a whole number that fits",
        ),
        (
            "interpret: {trust_path_ids: 7}\n",
            "observer.yaml:1:29: neither true nor false",
        ),
        ("listen: [\n", "observer.yaml:1:9: "),
        ("a: 1\na: 2\n", "observer.yaml:1:1: "),
        ("- 1\n", "observer.yaml:1:1: "),
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
fn a_file_that_cannot_be_read_is_one_clear_sentence() {
    let none = std::iter::empty();
    let error = Config::load(Some(Path::new("/nowhere/observer.yaml")), none).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the configuration /nowhere/observer.yaml: No such file or directory (os error 2)"
    );
    let none = std::iter::empty();
    let error = Config::load(Some(Path::new("/dev/zero")), none).unwrap_err();
    assert!(error.to_string().contains("more than 1048576 bytes"));
}

#[test]
fn the_environment_is_over_the_file() {
    let directory = std::env::temp_dir().join(format!("observer-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("observer.yaml");
    std::fs::write(&path, "listen: 127.0.0.1:1\nlimits: {lines: 5000}\n").unwrap();
    let variables = [("OBSERVER_LISTEN".to_owned(), "127.0.0.1:2".to_owned())];
    let config = Config::load(Some(&path), variables.into_iter());
    std::fs::remove_dir_all(&directory).unwrap();
    let config = config.unwrap();
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
        ("OBSERVER_LIMITS_METRICS", "a=1, b = 2"),
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
        [("a".to_owned(), 1), ("b".to_owned(), 2)].into()
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
            "OBSERVER_LIMIT_LINES: there is no such setting, did you mean OBSERVER_LIMITS_LINES?",
        ),
    ];
    for (variable, expected) in cases {
        assert_eq!(environment(&[variable]), Err(expected.to_owned()));
    }
}

#[test]
fn a_value_outside_its_bounds_is_named() {
    let cases = [
        (
            "capture: {ring_bytes: 3000000}",
            "capture.ring_bytes is 3000000; it must be a power of two",
        ),
        (
            "capture: {rings: 9}",
            "capture.rings is 9; it must be 1, 2, 4 or 8",
        ),
        (
            "capture: {poll_min: 2s}",
            "capture.poll_min is 2000000; it must be ",
        ),
        ("limits: {lines: 3}", "limits.lines: 3 is not within "),
        (
            "limits: {metrics: {naytife_redis_lookup_total: 5}}",
            "limits.metrics: unknown metric \"naytife_redis_lookup_total\", did you mean \"naytife_redis_lookups_total\"?",
        ),
        ("log: {level: 'a=b=c'}", "log.level: \"a=b=c\": "),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap().validate().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}
