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
            format!("observer: {file}:1:1: unknown key \"lisen\", did you mean \"listen\"?\n");
        let absent = "observer: cannot read the configuration /nowhere.yaml: ";
        let busy = format!("observer: cannot listen on {taken}: another process already does; ");
        let cases: [Case<'_>; 6] = [
            (&["run", "--config", file], &[], &unknown),
            (&["config", "check"], &[("OBSERVER_CONFIG", file)], &unknown),
            (&["run", "--config", "/nowhere.yaml"], &[], absent),
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
    fn what_is_shown_is_a_valid_file() {
        let shown = observer(&["config", "show", "--listen", "127.0.0.1:1234"], &[]);
        assert!(shown.status.success());
        let file = std::env::temp_dir().join(format!("observer-shown-{}.yaml", std::process::id()));
        std::fs::write(&file, &shown.stdout).unwrap();
        let again = observer(&["config", "show", "--config", file.to_str().unwrap()], &[]);
        std::fs::remove_file(file).unwrap();
        assert_eq!(text(&again.stdout), text(&shown.stdout));
        assert!(text(&again.stdout).contains("listen: 127.0.0.1:1234\n"));
    }

    #[test]
    fn a_missing_requirement_fails_the_check() {
        let output = observer(&["check", "--cgroup", "no-such-cgroup"], &[]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stdout);
        assert!(said.contains("missing   cgroups: "), "{said}");
    }

    #[test]
    fn metrics_prints_the_page() {
        let output = observer(&["metrics"], &[]);
        assert_eq!(text(&output.stdout), observer::export::document::metrics());
    }
}
