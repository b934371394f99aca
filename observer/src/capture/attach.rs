//! Attaches the table of probes to what is selected.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{ArrayOfMaps, MapData, MapError, SkStorage};
use aya::programs::cgroup_skb::CgroupSkbLink;
use aya::programs::sock_ops::SockOpsLink;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, Program, SockOps};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use super::cgroup;
use super::counters::Counters;
use super::error::CaptureError;
use super::host::{self, KERNEL_TYPES};
use super::leftovers;
use super::load::{OBJECT, load_object, prepare, sentence, take, take_rings};
use super::probes::{Hook, PROBES, Probe, Status};
use super::ring::RingReader;
use super::settings::{MapMemory, Settings};
use super::verdicts::Verdicts;
use crate::mounts;

/// How long the programs stay on a cgroup that is gone: sockets outlive it, and their ends are to be
/// told. TCP gives an orphan up within about this time.
const GRACE: Duration = Duration::from_mins(2);

/// The kernel side, loaded. Dropping it, or the process's death, detaches everything.
pub struct Capture {
    ebpf: Ebpf,
    mount: PathBuf,
    selected: HashMap<PathBuf, Selected>,
    /// Of cgroups that are gone, and since when.
    gone: Vec<(Instant, Vec<(usize, Link)>)>,
    states: Vec<Status>,
    cgroups: aya::maps::HashMap<MapData, u64, u8>,
    own: Own,
    rings: Vec<RingReader>,
    counters: Counters,
    verdicts: Verdicts,
    settings: Settings,
    /// Keeps the rings' places in the kernel's array.
    _rings: ArrayOfMaps<MapData>,
}

#[derive(Debug)]
struct Selected {
    id: u64,
    /// With the index of the probe.
    links: Vec<(usize, Link)>,
}

/// What became of a selection.
#[derive(Debug, Default)]
pub struct Followed {
    /// Directories that the programs were attached to.
    pub added: Vec<PathBuf>,
    /// Those that are selected no more.
    pub gone: Vec<PathBuf>,
    /// Those that a required program could not be attached to.
    pub refused: Vec<CaptureError>,
}

/// Held, not used: an attachment ends when its link is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its drop, which detaches")]
enum Link {
    Skb(CgroupSkbLink),
    Ops(SockOpsLink),
}

impl Capture {
    /// Loads the programs and attaches those that belong to the node; nothing is selected yet.
    ///
    /// # Errors
    /// One sentence for what is missing: a privilege, a kernel feature, the cgroup v2 tree, or a
    /// setting outside its range.
    pub fn load(settings: &Settings) -> Result<Self, CaptureError> {
        settings.validate()?;
        if OBJECT.is_empty() {
            return Err(CaptureError::NoPrograms);
        }
        if let Some(missing) = host::requirements()
            .into_iter()
            .find(|r| r.required && !r.met)
        {
            return Err(CaptureError::Machine {
                name: missing.name,
                found: missing.found,
                remedy: missing.remedy,
            });
        }
        let mount = mounts::find().map_err(|error| CaptureError::Machine {
            name: host::CGROUP_TREE,
            found: error.to_string(),
            remedy: host::CGROUP_TREE_REMEDY,
        })?;
        if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
            // Only kernels before 5.11 count maps against it.
            tracing::debug!(%error, "the limit on locked memory stays as it is");
        }
        let types = fs::read(KERNEL_TYPES).map_err(|error| CaptureError::Machine {
            name: "kernel type information (BTF)",
            found: error.to_string(),
            remedy: "make /sys/kernel/btf/vmlinux readable",
        })?;
        let mut ebpf = load_object(settings, &types)?;
        let states = PROBES
            .iter()
            .map(|probe| prepare(&mut ebpf, probe))
            .collect::<Vec<_>>();
        if let Some((probe, reason)) = states.iter().find_map(|state| {
            state
                .failure
                .clone()
                .filter(|_| state.probe.required)
                .map(|why| (state.probe, why))
        }) {
            return Err(CaptureError::Program {
                program: probe.program,
                reason,
            });
        }
        let (rings, array) = take_rings(&mut ebpf, settings)?;
        let counters = Counters::new(take(&mut ebpf, "COUNTERS")?, take(&mut ebpf, "TRACKED")?);
        let verdicts = Verdicts::new(take(&mut ebpf, "VERDICTS")?, take(&mut ebpf, "EPOCHS")?);
        // The last that is large goes first.
        drop(types);
        leftovers::give_back();
        Ok(Self {
            mount,
            selected: HashMap::new(),
            gone: Vec::new(),
            states,
            cgroups: take(&mut ebpf, "CGROUPS")?,
            own: Own(Arc::new(Mutex::new(take(&mut ebpf, "OWN")?))),
            rings,
            counters,
            verdicts,
            settings: settings.clone(),
            _rings: array,
            ebpf,
        })
    }

    /// Selects a cgroup, by its directory or its path below the cgroup v2 mount, with everything
    /// below it. Where it or one above it is selected already, nothing changes; what is selected
    /// below it becomes part of it, so that no packet is seen twice.
    ///
    /// # Errors
    /// Where there is no such cgroup, or a required program cannot be attached to it; then it is
    /// not selected.
    pub fn attach(&mut self, selection: &Path) -> Result<(), CaptureError> {
        let path = cgroup::resolve(&self.mount, selection);
        let failed = |source| CaptureError::Cgroup {
            path: path.clone(),
            mount: self.mount.clone(),
            source,
        };
        let path = fs::canonicalize(&path).map_err(failed)?;
        let directory = File::open(&path).map_err(failed)?;
        let id = cgroup::id(&path).map_err(failed)?;
        // One that was removed and made again is another cgroup.
        if self
            .selected
            .get(&path)
            .is_some_and(|selected| selected.id != id)
        {
            self.let_go(&path, Instant::now());
        }
        if self.is_selected(&path) {
            return Ok(());
        }
        let links = self.links(&path, &directory)?;
        let below: Vec<PathBuf> = self
            .selected
            .keys()
            .filter(|other| other.starts_with(&path))
            .cloned()
            .collect();
        for other in below {
            self.detach(&other);
        }
        self.enter(path, Selected { id, links });
        Ok(())
    }

    /// Attaches every program to a cgroup; all of those that are required, or none.
    fn links(&mut self, path: &Path, directory: &File) -> Result<Vec<(usize, Link)>, CaptureError> {
        let mut links = Vec::new();
        for (index, probe) in PROBES.iter().enumerate() {
            let Some(state) = self.states.get_mut(index) else {
                continue;
            };
            // What could not be loaded has said so.
            if !probe.hook.is_per_cgroup() || state.failure.is_some() && state.attached == 0 {
                continue;
            }
            match link(&mut self.ebpf, probe, directory) {
                Ok(link) => {
                    state.attached += 1;
                    links.push((index, link));
                }
                Err(reason) if probe.required => {
                    let error = CaptureError::Attach {
                        program: probe.program,
                        path: path.to_owned(),
                        reason,
                    };
                    self.forget(links);
                    return Err(error);
                }
                Err(reason) => state.failure = Some(reason),
            }
        }
        Ok(links)
    }

    /// Selects these and no others; those that are not there are left out. What is new is attached
    /// before anything is let go: what stays selected, if by another directory, is seen without a
    /// gap. The directories that are selected no more are returned.
    ///
    /// # Errors
    /// Where a required program cannot be attached to one of them; then nothing has changed.
    pub fn select(&mut self, selection: &[PathBuf]) -> Result<Vec<PathBuf>, CaptureError> {
        let wanted: HashSet<PathBuf> = selection
            .iter()
            .filter_map(|path| fs::canonicalize(cgroup::resolve(&self.mount, path)).ok())
            .collect();
        let tops = tops(&wanted);
        let (added, refused) = self.add(&tops);
        if let Some(error) = refused.into_iter().next() {
            for (_, selected) in added {
                self.forget(selected.links);
            }
            return Err(error);
        }
        Ok(self.exchange(&tops, added))
    }

    /// The same of directories as they are, each by itself: one that cannot be attached keeps none
    /// of the others from it.
    pub fn follow(&mut self, wanted: &HashSet<PathBuf>) -> Followed {
        let tops = tops(wanted);
        let (added, refused) = self.add(&tops);
        let new = added.iter().map(|(path, _)| path.clone()).collect();
        Followed {
            added: new,
            gone: self.exchange(&tops, added),
            refused,
        }
    }

    /// Attaches to those that are not selected yet.
    fn add(&mut self, tops: &HashSet<&PathBuf>) -> (Vec<(PathBuf, Selected)>, Vec<CaptureError>) {
        let mut added = Vec::new();
        let mut refused = Vec::new();
        for path in tops {
            if self.selected.contains_key(*path) {
                continue;
            }
            // One that is gone by now is nobody's loss.
            let (Ok(id), Ok(directory)) = (cgroup::id(path), File::open(path)) else {
                continue;
            };
            match self.links(path, &directory) {
                Ok(links) => added.push(((*path).clone(), Selected { id, links })),
                Err(_) if cgroup::id(path).ok() != Some(id) => {}
                Err(error) => refused.push(error),
            }
        }
        (added, refused)
    }

    /// Lets go of what is not among these, and enters what was attached; what was let go.
    fn exchange(
        &mut self,
        tops: &HashSet<&PathBuf>,
        added: Vec<(PathBuf, Selected)>,
    ) -> Vec<PathBuf> {
        let gone: Vec<PathBuf> = self
            .selected
            .keys()
            .filter(|path| !tops.contains(path))
            .cloned()
            .collect();
        for path in &gone {
            self.detach(path);
        }
        for (path, selected) in added {
            self.enter(path, selected);
        }
        gone
    }

    fn enter(&mut self, path: PathBuf, selected: Selected) {
        if let Err(error) = self.cgroups.insert(selected.id, 1, 0) {
            tracing::warn!(%error, "a selected cgroup has no process records");
        }
        self.selected.insert(path, selected);
    }

    /// Ends a selection; true where there was one. Connections that go on are not seen any more.
    pub fn detach(&mut self, selection: &Path) -> bool {
        let path = cgroup::resolve(&self.mount, selection);
        match self.deselect(&path) {
            Some(links) => {
                self.forget(links);
                true
            }
            None => false,
        }
    }

    fn deselect(&mut self, path: &Path) -> Option<Vec<(usize, Link)>> {
        let selected = self.selected.remove(path)?;
        if let Err(error) = self.cgroups.remove(&selected.id) {
            tracing::debug!(%error, "a cgroup was not among those with process records");
        }
        Some(selected.links)
    }

    fn let_go(&mut self, path: &Path, now: Instant) {
        if let Some(links) = self.deselect(path) {
            self.gone.push((now, links));
        }
    }

    fn forget(&mut self, links: Vec<(usize, Link)>) {
        for (index, _) in links {
            if let Some(state) = self.states.get_mut(index) {
                state.attached = state.attached.saturating_sub(1);
            }
        }
    }

    /// Ends the selections whose cgroup is gone; how many there were. What is left of their sockets
    /// is seen for another two minutes.
    pub fn sweep(&mut self) -> usize {
        let now = Instant::now();
        while let Some((since, _)) = self.gone.first()
            && now.saturating_duration_since(*since) >= GRACE
        {
            let (_, links) = self.gone.remove(0);
            self.forget(links);
        }
        let gone: Vec<PathBuf> = self
            .selected
            .iter()
            .filter(|(path, selected)| cgroup::id(path).ok() != Some(selected.id))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &gone {
            self.let_go(path, now);
        }
        gone.len()
    }

    /// Whether a directory, or one above it, is selected.
    pub fn is_selected(&self, directory: &Path) -> bool {
        self.selected
            .keys()
            .any(|selected| directory.starts_with(selected))
    }

    /// What is selected.
    pub fn selected(&self) -> impl Iterator<Item = &Path> {
        self.selected.keys().map(PathBuf::as_path)
    }

    /// Where the cgroup v2 tree is mounted.
    pub fn cgroup_mount(&self) -> &Path {
        &self.mount
    }

    /// The readers, one for each ring; the first call takes them.
    pub fn rings(&mut self) -> Vec<RingReader> {
        std::mem::take(&mut self.rings)
    }

    /// What the kernel counted.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// To tell the kernel what was found out about connections.
    pub fn verdicts(&self) -> Verdicts {
        self.verdicts.clone()
    }

    /// Every probe: attached how often, or why not.
    pub fn probes(&self) -> &[Status] {
        &self.states
    }

    /// Bytes of each ring.
    pub fn ring_bytes(&self) -> u64 {
        u64::from(self.settings.ring_bytes)
    }

    /// Bytes of each map at its bound.
    pub fn map_memory(&self) -> Vec<MapMemory> {
        self.settings.map_memory()
    }

    /// By which sockets are marked as the agent's own.
    pub fn own(&self) -> Own {
        self.own.clone()
    }
}

/// Marks sockets as the agent's own. All clones are one.
#[derive(Clone, Debug)]
pub struct Own(Arc<Mutex<SkStorage<MapData, u32>>>);

impl Own {
    /// Nothing of this socket, nor of the connections it accepts from now on, is looked at or
    /// counted as traffic. One that is to connect has to be marked before it does.
    ///
    /// # Errors
    /// Where the kernel refuses, as for a descriptor that is no socket.
    pub fn mark(&self, socket: &impl AsRawFd) -> Result<(), MapError> {
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        own.insert(socket, 1, 0)
    }
}

/// Those that are not below another of them.
fn tops(wanted: &HashSet<PathBuf>) -> HashSet<&PathBuf> {
    let is_top = |path: &&PathBuf| !path.ancestors().skip(1).any(|above| wanted.contains(above));
    wanted.iter().filter(is_top).collect()
}

fn link(ebpf: &mut Ebpf, probe: &Probe, directory: &File) -> Result<Link, String> {
    let skb = |program: &mut CgroupSkb, direction| {
        // Links let several programs share a cgroup; their flags have to be 0.
        let id = program.attach(directory, direction, CgroupAttachMode::Single)?;
        program.take_link(id).map(Link::Skb)
    };
    let ops = |program: &mut SockOps| {
        let id = program.attach(directory, CgroupAttachMode::Single)?;
        program.take_link(id).map(Link::Ops)
    };
    match (probe.hook, ebpf.program_mut(probe.program)) {
        (Hook::CgroupEgress, Some(Program::CgroupSkb(program))) => {
            skb(program, CgroupSkbAttachType::Egress)
        }
        (Hook::CgroupIngress, Some(Program::CgroupSkb(program))) => {
            skb(program, CgroupSkbAttachType::Ingress)
        }
        (Hook::SockOps, Some(Program::SockOps(program))) => ops(program),
        _ => return Err("of another type in the object".to_owned()),
    }
    .map_err(|error| sentence(&error))
}
