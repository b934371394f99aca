//! The labels that say whose a cgroup is, as the kubelet's cAdvisor has them.

use crate::workloads::directory::Kind;
use crate::workloads::place::Place;
use crate::workloads::{Directory, UNKNOWN};

/// Values of the labels that every sample of a cgroup has, empty where there is nothing to say.
///
/// They are written also where they are empty: a Prometheus that honours labels would put those of
/// the agent's own pod in their place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Of a pod's container, as the pod calls it.
    container: String,
    /// The path.
    id: String,
    /// Of a container; [`UNKNOWN`] where nobody told, since dashboards tell containers from what is
    /// above them by its being there.
    image: String,
    /// Of a container: what Docker or Podman calls it, else its id.
    name: String,
    namespace: String,
    pod: String,
    /// Whether it may have a network of its own.
    pub(super) network: bool,
}

impl Identity {
    pub(super) fn of(path: &str, directory: &Directory) -> Self {
        let place = Place::of(path);
        let id = match place {
            Place::Pod { container, .. } => container,
            Place::Container(id) => Some(id),
            _ => None,
        };
        let mut identity = Self {
            container: String::new(),
            id: path.to_owned(),
            image: id.map(|_| UNKNOWN.to_owned()).unwrap_or_default(),
            name: id.unwrap_or_default().to_owned(),
            namespace: String::new(),
            pod: String::new(),
            // All of a pod is in one.
            network: matches!(
                place,
                Place::Pod {
                    container: None,
                    ..
                } | Place::Container(_)
            ),
        };
        match directory.workload(path).map(|workload| workload.kind) {
            Some(Kind::Pod(pod, container)) => {
                identity.namespace.clone_from(&pod.namespace);
                identity.pod.clone_from(&pod.name);
                identity.container = container.unwrap_or_default();
                if let Some(image) = id.and_then(|id| pod.images.get(id)) {
                    identity.image.clone_from(image);
                }
            }
            Some(Kind::Container(container)) => {
                identity.name.clone_from(&container.name);
                if !container.image.is_empty() {
                    identity.image.clone_from(&container.image);
                }
            }
            Some(Kind::Unit(_) | Kind::Cgroup) | None => {}
        }
        identity
    }

    pub(super) fn labels(&self) -> [(&str, &str); 6] {
        [
            ("container", &self.container),
            ("id", &self.id),
            ("image", &self.image),
            ("name", &self.name),
            ("namespace", &self.namespace),
            ("pod", &self.pod),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::directory::{Container, Pod};

    const UID: &str = "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";
    const API: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const PAUSE: &str = "1f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const DOCKER: &str = "2f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn directory() -> Directory {
        let directory = Directory::default();
        directory.set_pod(Pod {
            uid: UID.into(),
            namespace: "naytife".into(),
            name: "backend-x2v".into(),
            containers: [(API.to_owned(), "api".to_owned())].into(),
            images: [(API.to_owned(), "naytife/backend:1".to_owned())].into(),
            ..Pod::default()
        });
        directory.set_container(Container {
            id: DOCKER.into(),
            name: "shop-redis-1".into(),
            image: "redis:7".into(),
            ..Container::default()
        });
        directory
    }

    /// Container, image, name, namespace, pod.
    type Row<'r> = [&'r str; 5];

    #[test]
    fn a_cgroup_has_the_labels_that_the_kubelet_gives_it() {
        let underscored = UID.replace('-', "_");
        let slice = format!("/kubepods.slice/kubepods-pod{underscored}.slice");
        let cases: [(String, Row<'_>, bool); 9] = [
            (
                format!("/kubepods/besteffort/pod{UID}/{API}"),
                ["api", "naytife/backend:1", API, "naytife", "backend-x2v"],
                false,
            ),
            (
                format!("{slice}/cri-containerd-{API}.scope"),
                ["api", "naytife/backend:1", API, "naytife", "backend-x2v"],
                false,
            ),
            (
                format!("{slice}/cri-containerd-{PAUSE}.scope"),
                ["", UNKNOWN, PAUSE, "naytife", "backend-x2v"],
                false,
            ),
            (slice, ["", "", "", "naytife", "backend-x2v"], true),
            (
                format!("/kubepods/pod{}/{PAUSE}", UID.replace('7', "8")),
                ["", UNKNOWN, PAUSE, "", ""],
                false,
            ),
            (
                format!("/system.slice/docker-{DOCKER}.scope"),
                ["", "redis:7", "shop-redis-1", "", ""],
                true,
            ),
            (
                format!("/docker/{PAUSE}"),
                ["", UNKNOWN, PAUSE, "", ""],
                true,
            ),
            ("/system.slice/nginx.service".into(), [""; 5], false),
            ("/".into(), [""; 5], false),
        ];
        let directory = directory();
        for (path, [container, image, name, namespace, pod], network) in cases {
            let identity = Identity::of(&path, &directory);
            let expected = [
                ("container", container),
                ("id", &path),
                ("image", image),
                ("name", name),
                ("namespace", namespace),
                ("pod", pod),
            ];
            assert_eq!(identity.labels(), expected);
            assert_eq!(identity.network, network, "{path}");
        }
    }
}
