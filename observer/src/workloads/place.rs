//! What the path of a cgroup says by itself of who is in it.
//!
//! ```text
//!   /kubepods/besteffort/pod<uid>/<container>                                  driver cgroupfs
//!   /kubepods.slice/kubepods-pod<uid>.slice/cri-containerd-<container>.scope   driver systemd
//!   /docker/<container>   /system.slice/docker-<container>.scope   /libpod_parent/libpod-<container>
//!   /system.slice/nginx.service
//! ```
#![forbid(unsafe_code)]

/// Who a cgroup belongs to, as far as its path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'p> {
    /// A pod of Kubernetes, or one of its containers.
    Pod {
        /// Its uid, as the path writes it: the driver `systemd` has `_` where the API has `-`.
        uid: &'p str,
        /// The container, by the id its runtime gave it.
        container: Option<&'p str>,
    },
    /// A container of Docker or Podman, by its id.
    Container(&'p str),
    /// A unit of systemd.
    Unit(&'p str),
    /// Another cgroup, by its last component.
    Other(&'p str),
    /// The root: a cgroup of nobody.
    Root,
}

/// Hexadecimal digits of a container's id.
const ID: usize = 64;

impl<'p> Place<'p> {
    /// Of a path below the cgroup v2 mount.
    #[must_use]
    pub fn of(path: &'p str) -> Self {
        let mut parts = path.split('/').filter(|part| !part.is_empty()).rev();
        let Some(last) = parts.next() else {
            return Self::Root;
        };
        let above = parts.find_map(pod);
        if let Some(uid) = pod(last).or(above) {
            return Self::Pod {
                uid,
                container: container(last),
            };
        }
        match container(last) {
            Some(id) => Self::Container(id),
            None if last.ends_with(".service") => Self::Unit(last),
            None => Self::Other(last),
        }
    }
}

/// The uid in the name of a pod's cgroup.
fn pod(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let (before, uid) = name.rsplit_once("pod")?;
    let begins = before.is_empty() || before.starts_with("kubepods") && before.ends_with('-');
    let is_uid = uid.len() == 36 || uid.len() == 32;
    let digits = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-' || byte == b'_';
    (begins && is_uid && uid.bytes().all(digits)).then_some(uid)
}

/// The id in the name of a container's cgroup.
fn container(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let id = name.rsplit('-').next()?;
    (id.len() == ID && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";
    const UNDERSCORED: &str = "7c5d3a8e_0f6b_4d0a_9d5e_1f2a3b4c5d6e";
    const CONTAINER: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn a_path_tells_whose_it_is() {
        let (pod, container) = (|uid, container| Place::Pod { uid, container }, CONTAINER);
        let cases = [
            (
                format!("/kubepods/besteffort/pod{UID}/{container}"),
                pod(UID, Some(container)),
            ),
            (format!("/kubepods/pod{UID}"), pod(UID, None)),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice/\
                     cri-containerd-{container}.scope"
                ),
                pod(UNDERSCORED, Some(container)),
            ),
            (format!("/docker/{container}"), Place::Container(container)),
            (
                format!("/system.slice/docker-{container}.scope"),
                Place::Container(container),
            ),
            (
                format!("/libpod_parent/libpod-{container}"),
                Place::Container(container),
            ),
            (
                "/system.slice/nginx.service".into(),
                Place::Unit("nginx.service"),
            ),
            ("/shop".into(), Place::Other("shop")),
            ("/podcast".into(), Place::Other("podcast")),
            ("/".into(), Place::Root),
            (String::new(), Place::Root),
        ];
        for (path, place) in &cases {
            assert_eq!(Place::of(path), *place, "{path}");
        }
    }
}
