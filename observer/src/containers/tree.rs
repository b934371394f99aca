//! Which cgroups are shown: each where somebody begins.
//!
//! ```text
//!   /system.slice                 nobody
//!   /system.slice/nginx.service   a unit
//!   /kubepods/pod<uid>            a pod
//!   /kubepods/pod<uid>/<id>       one of its containers
//!   /kubepods/pod<uid>/<id>/init  is the container's
//!   /shop/api                     of nobody who is known, with processes
//! ```

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::Lack;
use super::mounts::Hierarchies;
use crate::workloads::place::Place;

/// Cgroups looked at in one scrape.
const LIMIT: usize = 16_384;
/// Bytes of a list of processes at most: some 100,000 of them.
const MOST: u64 = 1 << 20;

/// A cgroup that is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Below the mount, with `/` in front.
    pub(super) path: Arc<str>,
    /// It and all below it, itself first; of the root itself alone.
    pub(super) below: Vec<Arc<str>>,
}

/// A cgroup, as it was come by.
struct Found {
    path: Arc<str>,
    above: Option<usize>,
    /// The place of the nearest one, itself included, where somebody begins.
    owner: Option<usize>,
}

/// Those in or below the selected ones, at most `limit`, in the order of a walk from the root down.
pub(super) fn shown(
    hierarchies: &Hierarchies,
    selected: &[String],
    limit: usize,
    is_late: &dyn Fn() -> bool,
) -> (Vec<Shown>, Option<Lack>) {
    let (found, mut lack) = walk(&hierarchies.unified, selected, is_late);
    let mut shown: Vec<Shown> = Vec::new();
    // Where each one that is shown stands in the list.
    let mut places = vec![None; found.len()];
    for (place, of) in found.iter().enumerate() {
        let begins = match of.owner {
            Some(owner) => owner == place,
            // A cgroup that is named stays when its processes are gone.
            None => {
                selected.iter().any(|named| **named == *of.path)
                    || of.path.len() > 1 && has_processes(&hierarchies.unified, &of.path)
            }
        };
        if begins && is_selected(&of.path, selected) {
            if shown.len() >= limit {
                lack = Some(Lack::Room);
                continue;
            }
            if let Some(entry) = places.get_mut(place) {
                *entry = Some(shown.len());
            }
            shown.push(Shown {
                path: Arc::clone(&of.path),
                below: Vec::new(),
            });
        }
    }
    for (place, of) in found.iter().enumerate() {
        let mut at = Some(place);
        while let Some(above) = at {
            let entry = places.get(above).copied().flatten();
            if let Some(entry) = entry.and_then(|entry| shown.get_mut(entry))
                && (entry.path.len() > 1 || above == place)
            {
                entry.below.push(Arc::clone(&of.path));
            }
            at = found.get(above).and_then(|of| of.above);
        }
    }
    (shown, lack)
}

/// Every cgroup in, below or above the selected ones, from the root down, each level in the order
/// of the names.
fn walk(
    mount: &Path,
    selected: &[String],
    is_late: &dyn Fn() -> bool,
) -> (Vec<Found>, Option<Lack>) {
    let mut found: Vec<Found> = Vec::new();
    let mut next = VecDeque::from([(Arc::<str>::from("/"), None)]);
    while let Some((path, above)) = next.pop_front() {
        if is_late() {
            return (found, Some(Lack::Time));
        }
        let below = fs::read_dir(mount.join(path.trim_start_matches('/')));
        let mut names: Vec<String> = below
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        let place = found.len();
        for name in names {
            let path = format!("{}/{name}", path.trim_end_matches('/'));
            if is_selected(&path, selected) || leads_to(&path, selected) {
                if found.len() + next.len() >= LIMIT {
                    return (found, Some(Lack::Room));
                }
                next.push_back((Arc::from(path), Some(place)));
            }
        }
        let owner = owner(&path, place, above, &found);
        found.push(Found { path, above, owner });
    }
    (found, None)
}

/// Where whoever a cgroup belongs to begins.
fn owner(path: &str, place: usize, above: Option<usize>, found: &[Found]) -> Option<usize> {
    let outer = above.and_then(|above| found.get(above)?.owner);
    let outer_path = outer.and_then(|outer| Some(&*found.get(outer)?.path));
    let begins = match (Place::of(path), outer_path.map(Place::of)) {
        (Place::Root | Place::Other(_), _) => false,
        // A slice is where units are; what is below another unit is that unit's.
        (Place::Unit(unit), _) if is_slice(unit) || !path.ends_with(unit) => false,
        // What is in a container is the container's, but for another pod or container.
        (Place::Unit(_), Some(outer)) => matches!(outer, Place::Unit(_)),
        (
            Place::Pod {
                uid,
                container: None,
            },
            Some(Place::Pod { uid: outer, .. }),
        ) => uid != outer,
        (own, outer) => outer != Some(own),
    };
    if begins { Some(place) } else { outer }
}

fn is_slice(unit: &str) -> bool {
    unit.strip_suffix(".slice").is_some()
}

fn is_selected(path: &str, selected: &[String]) -> bool {
    selected.iter().any(|named| is_in(path, named))
}

fn leads_to(path: &str, selected: &[String]) -> bool {
    selected.iter().any(|named| is_in(named, path))
}

fn is_in(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    let below = path.strip_prefix(above);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn has_processes(mount: &Path, path: &str) -> bool {
    let directory = mount.join(path.trim_start_matches('/'));
    let mut byte = [0];
    let file = File::open(directory.join("cgroup.procs"));
    file.and_then(|mut file| file.read(&mut byte))
        .is_ok_and(|length| length > 0)
}

/// The processes in a cgroup itself.
pub(super) fn processes(mount: &Path, path: &str) -> Option<Vec<u32>> {
    let directory = mount.join(path.trim_start_matches('/'));
    let file = File::open(directory.join("cgroup.procs")).ok()?;
    let mut text = String::new();
    // Threads of a process that is elsewhere cannot be listed so: an error of reading.
    file.take(MOST).read_to_string(&mut text).ok()?;
    Some(text.lines().filter_map(|line| line.parse().ok()).collect())
}
