//! What the path of a cgroup says by itself of who is in it.
//!
//! ```text
//!   /kubepods/besteffort/pod<uid>/<container>                                  driver cgroupfs
//!   /kubepods.slice/kubepods-pod<uid>.slice/cri-containerd-<container>.scope   driver systemd
//!   /docker/<container>   /system.slice/docker-<container>.scope   /libpod_parent/libpod-<container>
//!   /system.slice/nginx.service
//! ```
//!
//! Every shape with what makes it is a row of `tests/fixtures/workloads/places.txt`. A cgroup below a
//! container's is the container's, whatever it calls itself: systemd runs in there, and Docker. A pod
//! below a container's is a pod: nodes run in containers.
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
    /// A unit of systemd: a service, a scope or a slice.
    Unit(&'p str),
    /// Another cgroup, by its last component.
    Other(&'p str),
    /// The root: a cgroup of nobody.
    Root,
}

/// Hexadecimal digits of a container's id.
const ID: usize = 64;
/// The lengths of the parts of a uid, RFC 9562.
const UID: [usize; 5] = [8, 4, 4, 4, 12];
/// Digits of the uid of a pod that a file describes rather than the API: an MD5.
const STATIC_UID: usize = 32;
/// Units of systemd that have what is in the cgroups below theirs.
const OWNERS: [&str; 2] = [".service", ".scope"];

impl<'p> Place<'p> {
    /// Of a path below the cgroup v2 mount.
    #[must_use]
    pub fn of(path: &'p str) -> Self {
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        let mut pod = None;
        let mut container = None;
        let mut unit = None;
        let mut last = None;
        while let Some(part) = parts.next() {
            last = Some(part);
            if pod.is_none()
                && let Some(uid) = uid(part)
            {
                pod = Some(uid);
                container = None;
            } else if container.is_none() {
                // Podman's pods are called as Docker's containers are.
                let is_pod = parts.peek().is_some_and(|part| part.starts_with("libpod-"));
                container = id(part).filter(|id| *id != part || !is_pod);
            }
            // What is below a slice is another unit, or nobody's.
            let is_last = parts.peek().is_none();
            if is_unit(part, &OWNERS) || is_last && is_unit(part, &[".slice"]) {
                unit = Some(part);
            }
        }
        match (pod, container, unit, last) {
            (Some(uid), container, ..) => Self::Pod { uid, container },
            (None, Some(id), ..) => Self::Container(id),
            (None, None, Some(unit), _) => Self::Unit(unit),
            (None, None, None, Some(name)) => Self::Other(name),
            (None, None, None, None) => Self::Root,
        }
    }
}

/// Whether this is the name of a unit of systemd's that ends like that.
fn is_unit(name: &str, suffixes: &[&str]) -> bool {
    let mut stems = suffixes.iter().filter_map(|end| name.strip_suffix(end));
    stems.any(|stem| !stem.is_empty())
}

/// The uid in the name of a pod's cgroup: `pod<uid>`, `kubepods-burstable-pod<uid>.slice`.
fn uid(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let (before, uid) = name.rsplit_once("pod")?;
    let begins = before.is_empty() || before.contains("kubepods") && before.ends_with('-');
    (begins && (is_uid(uid) || uid.len() == STATIC_UID && is_hexadecimal(uid))).then_some(uid)
}

fn is_uid(text: &str) -> bool {
    let parts = text.split(['-', '_']);
    parts.clone().map(str::len).eq(UID) && parts.clone().all(is_hexadecimal)
}

/// The id in the name of a container's cgroup: `<id>`, `docker-<id>.scope`. What watches over a
/// container, by the name `crio-conmon-<id>.scope` or so, is not the container.
fn id(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (runtime, id) = name.rsplit_once('-').unwrap_or(("", name));
    let is_id = id.len() == ID && is_hexadecimal(id) && !runtime.ends_with("conmon");
    is_id.then_some(id)
}

fn is_hexadecimal(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = include_str!("../../../tests/fixtures/workloads/places.txt");
    const NAMES: [(&str, &str); 5] = [
        (
            "{id}",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
        (
            "{other}",
            "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        ),
        ("{uid}", "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e"),
        ("{uid_}", "7c5d3a8e_0f6b_4d0a_9d5e_1f2a3b4c5d6e"),
        ("{static}", "8c1b1b2d4a5c3f0d9e7a6b5c4d3e2f10"),
    ];

    /// As the table writes it.
    fn written(place: Place<'_>) -> String {
        match place {
            Place::Pod {
                uid,
                container: Some(id),
            } => format!("pod {uid} {id}"),
            Place::Pod { uid, .. } => format!("pod {uid}"),
            Place::Container(id) => format!("container {id}"),
            Place::Unit(unit) => format!("unit {unit}"),
            Place::Other(name) => format!("other {name}"),
            Place::Root => "root".to_owned(),
        }
    }

    #[test]
    fn the_path_of_each_runtime_tells_whose_it_is() {
        let table = NAMES.iter().fold(TABLE.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        });
        let rows = table
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut tried = 0;
        for row in rows {
            let [what, path, place, source] = row.split('|').map(str::trim).collect::<Vec<_>>()[..]
            else {
                panic!("{row}");
            };
            assert_eq!(written(Place::of(path)), place, "{what}");
            assert!(!source.is_empty(), "{what}");
            tried += 1;
        }
        assert!(tried > 50, "{tried}");
    }

    #[test]
    fn a_hostile_path_is_read_as_any_other() {
        let id = NAMES[0].1;
        let deep = "/x".repeat(2000);
        assert_eq!(Place::of(&deep), Place::Other("x"));
        assert_eq!(
            Place::of(&format!("{deep}/{id}{deep}")),
            Place::Container(id)
        );
        let long = "a".repeat(100_000);
        assert_eq!(Place::of(&long), Place::Other(&long));
        for odd in [
            "//",
            "/./..",
            "pod",
            "-",
            ".scope",
            "conmon-",
            "\u{0}",
            "\u{fffd}/\n",
        ] {
            let place = Place::of(odd);
            assert!(matches!(place, Place::Root | Place::Other(_)), "{place:?}");
        }
        let capitals = id.to_uppercase();
        assert_eq!(Place::of(&capitals), Place::Other(&capitals));
    }
}
