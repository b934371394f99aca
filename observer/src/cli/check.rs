//! `observer check`: one line per requirement, and what to do about it.

use std::fmt::Write as _;

use super::Parts;
use crate::config::{Config, Selection};
use crate::export::http;

/// Something this machine must or should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What it is, in a few words.
    pub name: String,
    /// Whether it is there.
    pub state: State,
    /// What to do where it is not: a command, or a sentence; empty where the state says it.
    pub remedy: String,
}

/// Whether a requirement is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there; how so, in a few words.
    Met(String),
    /// It is not there, and this is lost without it.
    Degraded(String),
    /// It is not there, and nothing runs without it; why.
    Missing(String),
}

impl Requirement {
    /// Whether nothing runs without it and it is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self.state, State::Missing(_))
    }

    /// What is the matter and what to do, in one sentence.
    pub(super) fn sentence(&self) -> String {
        match &self.state {
            State::Met(how) => format!("{}: {how}", self.name),
            State::Degraded(why) | State::Missing(why) if self.remedy.is_empty() => {
                format!("{}: {why}", self.name)
            }
            State::Degraded(why) | State::Missing(why) => {
                format!("{}: {why}; {}", self.name, self.remedy)
            }
        }
    }
}

/// The host's requirements and the command's own.
pub(super) fn all(config: &Config, parts: Parts) -> Vec<Requirement> {
    let mut requirements = (parts.requirements)(config);
    requirements.push(cgroups(config));
    requirements.push(address(config));
    requirements
}

/// A line each; the mark tells what can be ignored.
pub(super) fn report(requirements: &[Requirement]) -> String {
    let mut text = String::new();
    for requirement in requirements {
        let mark = match requirement.state {
            State::Met(_) => "ok      ",
            State::Degraded(_) => "degraded",
            State::Missing(_) => "missing ",
        };
        let written = writeln!(text, "{mark}  {}", requirement.sentence());
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
    }
    text
}

fn cgroups(config: &Config) -> Requirement {
    let state = match Selection::resolve(&config.cgroups) {
        Ok(Selection::Everything(mount)) => {
            State::Met(format!("everything below {}", mount.display()))
        }
        Ok(Selection::Cgroups(paths)) => {
            let paths: Vec<String> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            State::Met(paths.join(", "))
        }
        Err(error) => State::Missing(error.to_string()),
    };
    Requirement {
        name: "cgroups".into(),
        state,
        remedy: "name cgroups that exist (--cgroup, or the key cgroups)".into(),
    }
}

fn address(config: &Config) -> Requirement {
    let state = match http::listen(config.listen) {
        Ok(_) => State::Met(format!("{} is free", config.listen)),
        Err(error) => State::Missing(error.to_string()),
    };
    Requirement {
        name: "address".into(),
        state,
        remedy: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_requirement_is_a_line_that_says_what_to_do() {
        let requirement = |state| Requirement {
            name: "BTF".into(),
            state,
            remedy: "boot a kernel with CONFIG_DEBUG_INFO_BTF=y".into(),
        };
        let requirements = [
            requirement(State::Met("/sys/kernel/btf/vmlinux".into())),
            requirement(State::Degraded("no names of processes".into())),
            requirement(State::Missing(
                "/sys/kernel/btf/vmlinux is not there".into(),
            )),
        ];
        assert_eq!(
            report(&requirements),
            "\
ok        BTF: /sys/kernel/btf/vmlinux
degraded  BTF: no names of processes; boot a kernel with CONFIG_DEBUG_INFO_BTF=y
missing   BTF: /sys/kernel/btf/vmlinux is not there; boot a kernel with CONFIG_DEBUG_INFO_BTF=y
"
        );
        assert!(requirements[2].is_missing() && !requirements[1].is_missing());
    }

    #[test]
    fn a_busy_address_and_an_absent_cgroup_are_missing() {
        let taken = http::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let config = Config {
            listen: taken.local_addr().unwrap(),
            cgroups: vec!["no-such-cgroup".into()],
            ..Config::default()
        };
        assert!(address(&config).is_missing());
        assert!(cgroups(&config).is_missing());
    }
}
