//! What engines say of containers. Docker and Podman say it alike: Podman speaks Docker's API.
//!
//! Only the fields that are named here are read. A container's environment and its command may hold
//! secrets, and labels too: of those, the ones that name a service are kept.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::workloads::directory::{Container, Labels, is_read};

/// Bytes of a name that are kept.
const LONGEST: usize = 255;

/// A container of an answer to `GET /containers/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    names: Vec<String>,
    #[serde(default)]
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

/// A line of an answer to `GET /events`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    actor: Actor,
}

#[derive(Debug, Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    /// Its name, its image and its labels, among others.
    #[serde(rename = "Attributes", default)]
    attributes: BTreeMap<String, String>,
}

/// What has become of a container.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is there, or has another name.
    There(Container),
    /// It is gone; its id.
    Gone(String),
}

/// The containers of a list.
///
/// # Errors
/// Where it is none.
pub(super) fn list(answer: &[u8]) -> serde_json::Result<Vec<Container>> {
    let listed: Vec<Listed> = serde_json::from_slice(answer)?;
    let containers = listed.into_iter().filter_map(|one| {
        // A container has further names where others link to it: with a second stroke.
        let is_own = |name: &&String| !name.trim_start_matches('/').contains('/');
        let name = one.names.iter().find(is_own)?;
        container(&one.id, name, &one.image, one.labels.unwrap_or_default())
    });
    Ok(containers.collect())
}

/// What an event tells, if anything.
///
/// # Errors
/// Where it is none.
pub(super) fn event(line: &[u8]) -> serde_json::Result<Option<Change>> {
    let Event { action, actor } = serde_json::from_slice(line)?;
    Ok(match action.as_str() {
        "create" | "start" | "rename" => {
            let of = |key| actor.attributes.get(key).cloned().unwrap_or_default();
            let (name, image) = (of("name"), of("image"));
            container(&actor.id, &name, &image, actor.attributes).map(Change::There)
        }
        // As Docker, and as Podman says it.
        "destroy" | "remove" => Some(Change::Gone(actor.id)),
        _ => None,
    })
}

/// A container with what of its labels is read; none without an id or a name.
pub(super) fn container(id: &str, name: &str, image: &str, labels: Labels) -> Option<Container> {
    let name = name.strip_prefix('/').unwrap_or(name);
    if id.is_empty() || id.len() > LONGEST || name.is_empty() {
        return None;
    }
    let labels = labels.into_iter().filter(|(name, _)| is_read(name));
    Some(Container {
        id: id.to_owned(),
        name: cut(name),
        image: cut(image),
        labels: labels.map(|(name, value)| (name, cut(&value))).collect(),
    })
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &[u8] = include_bytes!("fixtures/docker_list.json");
    const PODMAN: &[u8] = include_bytes!("fixtures/podman_list.json");
    const DOCKER_EVENTS: &str = include_str!("fixtures/docker_events.json");
    const PODMAN_EVENTS: &str = include_str!("fixtures/podman_events.json");

    #[test]
    fn docker_and_podman_list_containers_alike() {
        for answer in [DOCKER, PODMAN] {
            let containers = list(answer).unwrap();
            let [container] = &containers[..] else {
                panic!("{containers:?}");
            };
            assert_eq!(container.id.len(), 64);
            assert_eq!(container.name, "shop_api_1");
            assert_eq!(container.service(), "api");
            assert_eq!(container.project(), Some("shop"));
        }
        assert_eq!(list(b"[]").unwrap(), []);
    }

    #[test]
    fn labels_that_name_nothing_are_not_kept() {
        let containers = list(DOCKER).unwrap();
        let labels: Vec<_> = containers[0].labels.keys().map(String::as_str).collect();
        let read = ["com.docker.compose.project", "com.docker.compose.service"];
        assert_eq!(labels, read);
    }

    #[test]
    fn events_of_both_tell_new_names_and_who_is_gone() {
        for (events, expected) in [
            (DOCKER_EVENTS, ["shop_b", "shop_api_1", "gone"]),
            (PODMAN_EVENTS, ["shop_b", "shop_api_1", "gone"]),
        ] {
            let told: Vec<String> = events
                .lines()
                .filter_map(|line| event(line.as_bytes()).unwrap())
                .map(|change| match change {
                    Change::There(container) => {
                        assert_eq!(container.service(), "api");
                        container.name
                    }
                    Change::Gone(id) => {
                        assert_eq!(id.len(), 64);
                        "gone".to_owned()
                    }
                })
                .collect();
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for garbage in [
            "",
            "{",
            "{}",
            "null",
            "[1]",
            "<html>",
            "[{\"Id\":1}]",
            "\u{0}",
        ] {
            assert!(list(garbage.as_bytes()).is_err(), "{garbage}");
            assert!(event(garbage.as_bytes()).is_err(), "{garbage}");
        }
        let nameless = br#"[{"Id":"a","Names":[],"Labels":null},{"Id":"","Names":["/b"]}]"#;
        assert_eq!(list(nameless).unwrap(), []);
    }

    #[test]
    fn names_are_bounded_and_links_are_none() {
        let long = "é".repeat(1000);
        let text = format!(
            r#"[{{"Id":"a","Names":["/web/db","/db"],"Labels":{{"com.docker.compose.service":"{long}"}}}}]"#
        );
        let containers = list(text.as_bytes()).unwrap();
        assert_eq!(containers[0].name, "db");
        assert_eq!(containers[0].service(), "é".repeat(LONGEST / 2));
    }
}
