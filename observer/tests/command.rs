//! The command as a user types it: one clear sentence, and an exit code.

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::{Command, Output};

    fn observer(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_observer"))
            .args(arguments)
            .env_remove("OBSERVER_CONFIG")
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Arguments, environment, how the sentence begins.
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

    #[test]
    fn what_is_wrong_is_one_clear_sentence_and_a_failure() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        let file = std::env::temp_dir().join(format!("observer-{}.yaml", std::process::id()));
        std::fs::write(&file, "lisen: 127.0.0.1:0\n").unwrap();
        let file = file.to_str().unwrap();
        let unknown =
            format!("observer: {file}:1:1: unknown key \"lisen\"; did you mean \"listen\"?\n");
        // As compilers write it.
        let plain = unknown.trim_start_matches("observer: ");
        let absent = "observer: cannot read the configuration /nowhere.yaml: ";
        let busy = format!("observer: cannot listen on {taken}: another process already does; ");
        let unruly = format!("observer: {file}:1:1: unknown key \"lisen\"");
        let cases: [Case<'_>; 11] = [
            (&["run", "--config", file], &[], &unknown),
            (&["config", "check"], &[("OBSERVER_CONFIG", file)], plain),
            (&["config", "check", file], &[], plain),
            (&["config", "check", "--config", file], &[], plain),
            (&["config", "print", "--config", file], &[], &unknown),
            (&["run", "--config", "/nowhere.yaml"], &[], absent),
            (
                &["rules", "test", "/nowhere.rec"],
                &[],
                "observer: cannot open /nowhere.rec: ",
            ),
            (
                &["rules", "test", "/nowhere.rec", "--rules", file],
                &[],
                &unruly,
            ),
            (&["run", "--listen", &taken], &[], &busy),
            (&["run"], &[("OBSERVER_LISTEN", &taken)], &busy),
            (
                &["check"],
                &[("OBSERVER_CAPTURE_RINGS", "many")],
                "observer: OBSERVER_CAPTURE_RINGS: \"many\" is not a whole number below 2^32\n",
            ),
        ];
        for (arguments, environment, expected) in cases {
            let output = observer(arguments, environment);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
            assert!(said.starts_with(expected), "{arguments:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(output.stdout.is_empty());
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn what_is_printed_is_a_valid_file_that_says_where_values_come_from() {
        let arguments = ["config", "print", "--listen", "127.0.0.1:1234"];
        let printed = observer(&arguments, &[("OBSERVER_LIMITS_LINES", "7000")]);
        assert!(printed.status.success());
        let printed = text(&printed.stdout);
        for line in [
            "listen: 127.0.0.1:1234 # --listen\n",
            "  lines: 7000 # OBSERVER_LIMITS_LINES\n",
            "  level: info # default\n",
        ] {
            assert!(printed.contains(line), "{printed}");
        }
        let path = std::env::temp_dir().join(format!("observer-print-{}.yaml", std::process::id()));
        std::fs::write(&path, &printed).unwrap();
        let file = path.to_str().unwrap();
        let again = observer(&["config", "print", "--config", file], &[]);
        let checked = observer(&["config", "check", file], &[]);
        std::fs::remove_file(&path).unwrap();
        let again = text(&again.stdout);
        assert!(
            again.contains(&format!("listen: 127.0.0.1:1234 # {file}:2\n")),
            "{again}"
        );
        let values = |text: &str| {
            let lines = text
                .lines()
                .map(|line| line.split(" # ").next().unwrap().to_owned());
            lines.collect::<Vec<_>>()
        };
        assert_eq!(values(&again), values(&printed));
        assert_eq!(text(&checked.stdout), format!("{file} is valid\n"));
        assert!(checked.status.success());
    }

    #[test]
    fn the_rules_built_in_are_printed_as_a_valid_file() {
        let printed = observer(&["rules", "print"], &[]);
        assert!(printed.status.success());
        let path = std::env::temp_dir().join(format!("observer-naytife-{}", std::process::id()));
        std::fs::write(&path, &printed.stdout).unwrap();
        let file = path.to_str().unwrap();
        let checked = observer(&["config", "check", "--rules", file], &[]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text(&checked.stdout), format!("{file} is valid\n"));
        assert!(text(&printed.stdout).contains("\n  money_scale: 2\n"));
    }

    #[test]
    fn rules_are_checked_with_the_configuration_that_names_them_and_alone() {
        let directory = std::env::temp_dir().join(format!("observer-check-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let config = directory.join("observer.yaml");
        let rules = directory.join("rules.yaml");
        std::fs::write(&config, "rules: rules.yaml\n").unwrap();
        let valid = "http: {services: {shop: {routes: [/orders]}}}\nsql: {}\n";
        let cases = [
            (valid, ""),
            (
                "http: {services: {shop: {routes: [/orders], graphql: [/ordres]}}}\nsql: {}\n",
                ":1:55: http.services.shop.graphql[0]: the service has no route `/ordres`; did you mean `/orders`?\n",
            ),
        ];
        for (content, problem) in cases {
            std::fs::write(&rules, content).unwrap();
            let alone = rules.to_str().unwrap();
            let named = config.to_str().unwrap();
            for (arguments, file) in [(["--rules", alone], alone), (["--config", named], named)] {
                let output = observer(&[&["config", "check"], &arguments[..]].concat(), &[]);
                let (said, complained) = (text(&output.stdout), text(&output.stderr));
                assert_eq!(output.status.success(), problem.is_empty(), "{complained}");
                if problem.is_empty() {
                    assert_eq!(said, format!("{file} is valid\n"));
                } else {
                    assert_eq!(complained, format!("{alone}{problem}"));
                }
            }
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_missing_requirement_fails_the_check() {
        let output = observer(&["check", "--cgroup", "no-such-cgroup"], &[]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stdout);
        assert!(said.contains("missing   cgroups: "), "{said}");
    }

    #[test]
    fn pages_are_printed() {
        for (arguments, page) in [
            (&["metrics"][..], observer::export::document::metrics()),
            (
                &["config", "document"],
                observer::config::document::configuration(),
            ),
        ] {
            let printed = text(&observer(arguments, &[]).stdout);
            assert!(printed == page, "observer {}", arguments.join(" "));
        }
    }

    #[test]
    fn schemas_are_printed_as_they_are_shipped() {
        for (arguments, file) in [
            (&["config", "schema"][..], "configuration.json"),
            (&["config", "schema", "--rules"], "rules.json"),
        ] {
            let path = format!("{}/../docs/schema/{file}", env!("CARGO_MANIFEST_DIR"));
            let shipped = std::fs::read_to_string(path).unwrap_or_default();
            let printed = text(&observer(arguments, &[]).stdout);
            assert!(
                printed == shipped,
                "docs/schema/{file} is stale: cargo run -p observer -- {} > docs/schema/{file}",
                arguments.join(" ")
            );
        }
    }
}
