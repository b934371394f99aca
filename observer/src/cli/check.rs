//! `observer check`: one line per requirement, and what to do about it.

use std::fmt::Write as _;

use super::Parts;
use crate::config::{Config, Selection};
use crate::export::http;
use crate::workloads::kubernetes;
use crate::workloads::selectors::Absent;
use crate::workloads::{Directory, Selectors};

/// Workloads that are named.
const NAMED: usize = 10;

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
    requirements.extend(selected(config, &Directory::default()));
    requirements.extend(absent(config));
    requirements.push(address(config));
    requirements.extend(kubernetes(config));
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
    let state = match Selection::of(config) {
        Ok(Selection::Everything(mount)) => {
            State::Met(format!("everything below {}", mount.display()))
        }
        Ok(Selection::Cgroups(paths)) if paths.is_empty() => {
            State::Met("those of the workloads that are selected".into())
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

/// What is selected now by who it is, where anything is.
pub(super) fn selected(config: &Config, directory: &Directory) -> Option<Requirement> {
    if config.select.is_empty() {
        return None;
    }
    let told = "pods and containers are known once the agent runs";
    let asks = Selectors::new(&config.select).is_ok_and(|selectors| selectors.asks());
    let state = match Selection::chosen(config, directory) {
        Ok(chosen) if chosen.is_empty() && asks => State::Met(format!("nothing yet; {told}")),
        Ok(chosen) if chosen.is_empty() => {
            State::Degraded("nothing that is selected is here now".into())
        }
        Ok(chosen) => {
            let first = chosen.iter().take(NAMED);
            let mut names: Vec<String> = first
                .map(|(service, path)| format!("{service} ({})", path.display()))
                .collect();
            if chosen.len() > NAMED {
                names.push(format!("and {} more", chosen.len() - NAMED));
            }
            let list = names.join(", ");
            State::Met(if asks {
                format!("{list}; {told}")
            } else {
                list
            })
        }
        Err(error) => State::Degraded(error.to_string()),
    };
    Some(Requirement {
        name: "selected".into(),
        state,
        remedy: "the agent waits for it; what there is: systemd-cgls".into(),
    })
}

/// A row for each item of the selection that names nothing now.
fn absent(config: &Config) -> Vec<Requirement> {
    // Where there is no cgroup v2 there is a row that says so.
    let absent = Selection::absent(config).unwrap_or_default();
    let row = |absent: &Absent| Requirement {
        name: "selected".into(),
        state: State::Degraded(absent.to_string()),
        remedy: String::new(),
    };
    absent.iter().take(NAMED).map(row).collect()
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

/// A row for each right that is missing, one where all is well, none where no node is named.
fn kubernetes(config: &Config) -> Vec<Requirement> {
    let row = |state| Requirement {
        name: "Kubernetes API".into(),
        state,
        remedy: String::new(),
    };
    match kubernetes::check(&config.kubernetes) {
        None => Vec::new(),
        Some(Ok(found)) => vec![row(State::Met(found))],
        Some(Err(missing)) => {
            let missing = missing.into_iter();
            missing.map(|why| row(State::Degraded(why))).collect()
        }
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
    fn what_is_selected_now_is_named_and_nothing_is_said_to_be() {
        let mut config = Config::default();
        let directory = Directory::default();
        assert_eq!(selected(&config, &directory), None);
        if Selection::of(&config).is_err() {
            // A machine without cgroup v2 has a row that says so.
            return;
        }
        config.select.cgroups = vec!["/no/such/*".into()];
        let nothing = selected(&config, &directory).unwrap().sentence();
        assert_eq!(
            nothing,
            "selected: nothing that is selected is here now; the agent waits for it; what there \
             is: systemd-cgls"
        );
        config.select.services = vec!["backend".into()];
        assert_eq!(
            selected(&config, &directory).unwrap().sentence(),
            "selected: nothing yet; pods and containers are known once the agent runs"
        );
        let cgroups = cgroups(&config).sentence();
        assert_eq!(cgroups, "cgroups: those of the workloads that are selected");
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
