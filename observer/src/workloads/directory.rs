//! What is known of pods, containers, services and their addresses, whoever told it.
//!
//! Sources (the Kubernetes API, a container engine) write here; the data path, the selection and the
//! metrics of containers read. Nothing is read from the wire here.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::place::Place;
use super::pod_logs::PodLogs;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
/// Told of an id.
type Asked = dyn Fn(&str) + Send + Sync;
/// Labels of a pod or a container.
pub type Labels = BTreeMap<String, String>;

/// A pod of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// As the API writes it, with `-`.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who owns it at last: the Deployment rather than its `ReplicaSet`. Kind and name.
    pub owner: Option<(String, String)>,
    /// Its labels.
    pub labels: Labels,
    /// The node it runs on; empty where only its logs tell of it.
    pub node: String,
    /// Its own addresses; none where it uses the node's network.
    pub addresses: Vec<IpAddr>,
    /// Names of its containers by id.
    pub containers: BTreeMap<String, String>,
    /// Their images by id, as far as they are known.
    pub images: BTreeMap<String, String>,
}

/// A container of Docker or Podman.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels; Compose writes the project and the service there.
    pub labels: Labels,
    /// Its image; empty where it is not known.
    pub image: String,
}

/// What has addresses and is no pod: a service, an endpoint that Kubernetes does not run, a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressee {
    /// As a peer is called.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Who owns a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What the label `service` calls it.
    pub service: Arc<str>,
    /// What it is.
    pub kind: Kind,
}

/// What a workload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pod, and where the cgroup is of one of its containers, that one's name.
    Pod(Arc<Pod>, Option<String>),
    /// A container.
    Container(Arc<Container>),
    /// A unit of systemd, `nginx.service`.
    Unit(String),
    /// A pod or container that nobody told about, or another cgroup.
    Cgroup,
}

/// Who answers at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A pod.
    Pod(Arc<Pod>),
    /// Another one, by its name.
    Named(Arc<str>),
}

/// All of it; cheap to clone, all clones are one.
#[derive(Clone, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    known: RwLock<Known>,
    generation: AtomicU64,
    listener: OnceLock<Box<dyn Fn() + Send + Sync>>,
    asked: OnceLock<Box<Asked>>,
    logs: OnceLock<PodLogs>,
    /// A pod was met that nobody knows.
    misses: AtomicBool,
}

#[derive(Default)]
struct Known {
    pods: Map<String, Arc<Pod>>,
    containers: Map<String, Arc<Container>>,
    /// By whoever told, under its key.
    addressees: Map<String, Arc<Addressee>>,
    addresses: Map<IpAddr, Claims>,
}

/// All who were told to have an address.
#[derive(Default)]
struct Claims {
    /// The one told last has it.
    pods: SmallVec<[Arc<Pod>; 1]>,
    /// Where no pod has it, the first of these keys does.
    named: BTreeMap<String, Arc<str>>,
}

// === impl Directory ===

impl Directory {
    /// Has this called after each change, on the thread of whoever made it. Only the first counts.
    pub fn listen(&self, listener: impl Fn() + Send + Sync + 'static) {
        let _first = self.0.listener.set(Box::new(listener));
    }

    /// Has this called with the id of each container that nobody told about, as often as it is met
    /// and on the thread of whoever meets it: what is told before it returns is the answer. Only the
    /// first counts.
    pub fn ask(&self, asked: impl Fn(&str) + Send + Sync + 'static) {
        let _first = self.0.asked.set(Box::new(asked));
    }

    /// Another number after each change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// A pod is there, or has changed.
    pub fn set_pod(&self, pod: impl Into<Arc<Pod>>) {
        let pod: Arc<Pod> = pod.into();
        let known = self.read().pods.get(&pod.uid).cloned();
        if known.is_some_and(|known| known == pod) {
            return;
        }
        self.change(|known| known.enter_pod(pod));
    }

    /// A pod is gone.
    pub fn remove_pod(&self, uid: &str) {
        self.change(|known| known.leave_pod(uid));
    }

    /// A container is there, or has changed.
    pub fn set_container(&self, container: Container) {
        self.change(|known| {
            known
                .containers
                .insert(container.id.clone(), Arc::new(container));
        });
    }

    /// A container is gone.
    pub fn remove_container(&self, id: &str) {
        self.change(|known| {
            known.containers.remove(id);
        });
    }

    /// Somebody else has these addresses, as told under this key. A pod's own address stays its; of
    /// others that have one address, the first key has it.
    pub fn set_addressee(&self, key: &str, addressee: Addressee) {
        self.change(|known| {
            known.leave_addressee(key);
            let name: Arc<str> = addressee.name.as_str().into();
            for address in &addressee.addresses {
                let claims = known.addresses.entry(address.to_canonical()).or_default();
                claims.named.insert(key.to_owned(), Arc::clone(&name));
            }
            known.addressees.insert(key.to_owned(), Arc::new(addressee));
        });
    }

    /// What was told under this key holds no more.
    pub fn remove_addressee(&self, key: &str) {
        self.change(|known| known.leave_addressee(key));
    }

    /// A pod that nobody has told about is looked for here from now on. Only the first counts.
    pub fn look_among(&self, logs: PodLogs) {
        let _first = self.0.logs.set(logs);
    }

    /// A pod by its uid, with `-` or `_` in it.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<Arc<Pod>> {
        let uid = uid.replace('_', "-");
        let known = self.read().pods.get(&uid).cloned();
        known.or_else(|| self.look_for(&uid))
    }

    /// Whether a pod was met since the last time of which nobody knows.
    pub fn misses_pods(&self) -> bool {
        self.0.misses.swap(false, Ordering::Relaxed)
    }

    fn look_for(&self, uid: &str) -> Option<Arc<Pod>> {
        let look = self.0.logs.get()?.look(Instant::now());
        if !(look.pods.is_empty() && look.gone.is_empty()) {
            self.change(|known| {
                // Whoever told more of a pod will also tell when it is gone.
                for gone in look.gone {
                    if known.pods.get(&gone).is_some_and(|pod| pod.node.is_empty()) {
                        known.leave_pod(&gone);
                    }
                }
                for pod in look.pods {
                    if !known.pods.contains_key(&pod.uid) {
                        known.enter_pod(Arc::new(pod));
                    }
                }
            });
        }
        let pod = self.read().pods.get(uid).cloned();
        if pod.is_none() {
            self.0.misses.store(true, Ordering::Relaxed);
        }
        pod
    }

    /// A container by its id.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<Arc<Container>> {
        self.read().containers.get(id).cloned()
    }

    /// The same, asked for where nobody told about it.
    fn find_container(&self, id: &str) -> Option<Arc<Container>> {
        self.container(id).or_else(|| {
            let asked = self.0.asked.get()?;
            asked(id);
            self.container(id)
        })
    }

    /// Who has an address.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Option<Peer> {
        let known = self.read();
        let claims = known.addresses.get(&address.to_canonical())?;
        if let Some(pod) = claims.pods.last() {
            return Some(Peer::Pod(Arc::clone(pod)));
        }
        let (_, name) = claims.named.first_key_value()?;
        Some(Peer::Named(Arc::clone(name)))
    }

    /// Every pod that is known.
    #[must_use]
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.read().pods.values().cloned().collect()
    }

    /// Who owns the cgroup at a path; `None` for the root, which nobody does.
    #[must_use]
    pub fn workload(&self, path: &str) -> Option<Workload> {
        let (kind, service) = match Place::of(path) {
            Place::Root => return None,
            Place::Pod { uid, container } => match self.pod(uid) {
                Some(pod) => {
                    let container = container.and_then(|id| pod.containers.get(id).cloned());
                    let service = word(pod.service());
                    (Kind::Pod(pod, container), service)
                }
                None => (Kind::Cgroup, word(container.unwrap_or(uid))),
            },
            Place::Container(id) => match self.find_container(id) {
                Some(container) => {
                    let service = word(container.service());
                    (Kind::Container(container), service)
                }
                None => (Kind::Cgroup, word(id)),
            },
            Place::Unit(unit) => (Kind::Unit(unit.to_owned()), word(unit)),
            Place::Other(name) => (Kind::Cgroup, word(name)),
        };
        Some(Workload { service, kind })
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.known.write().unwrap_or_else(PoisonError::into_inner));
        self.0.generation.fetch_add(1, Ordering::Release);
        if let Some(listener) = self.0.listener.get() {
            listener();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

// === impl Known ===

impl Known {
    fn enter_pod(&mut self, pod: Arc<Pod>) {
        self.leave_pod(&pod.uid);
        for address in &pod.addresses {
            let claims = self.addresses.entry(address.to_canonical()).or_default();
            claims.pods.push(Arc::clone(&pod));
        }
        self.pods.insert(pod.uid.clone(), pod);
    }

    fn leave_pod(&mut self, uid: &str) {
        let Some(pod) = self.pods.remove(uid) else {
            return;
        };
        for address in &pod.addresses {
            self.leave(*address, |claims| {
                claims.pods.retain(|other| other.uid != uid);
            });
        }
    }

    fn leave_addressee(&mut self, key: &str) {
        let Some(addressee) = self.addressees.remove(key) else {
            return;
        };
        for address in &addressee.addresses {
            self.leave(*address, |claims| {
                claims.named.remove(key);
            });
        }
    }

    fn leave(&mut self, address: IpAddr, leave: impl FnOnce(&mut Claims)) {
        let address = address.to_canonical();
        if let Some(claims) = self.addresses.get_mut(&address) {
            leave(claims);
            if claims.pods.is_empty() && claims.named.is_empty() {
                self.addresses.remove(&address);
            }
        }
    }
}

/// A name as the value of a label: whoever makes a cgroup or labels a container chooses it.
fn word(name: &str) -> Arc<str> {
    name.replace(char::is_control, "_").into()
}

/// Labels of a pod that name its service, the first there is: what people set, then what the
/// operator of the platform's database does.
const SERVICE_LABELS: [&str; 4] = [
    "app.kubernetes.io/name",
    "app",
    "cnpg.io/poolerName",
    "cnpg.io/cluster",
];
/// The same of a container: Compose, then Swarm.
const COMPOSE_LABELS: [&str; 2] = [
    "com.docker.compose.service",
    "com.docker.swarm.service.name",
];
const PROJECT_LABELS: [&str; 2] = ["com.docker.compose.project", "io.podman.compose.project"];

/// Whether something is made of a container's label by this name. Others may hold secrets.
pub(super) fn is_read(label: &str) -> bool {
    COMPOSE_LABELS.contains(&label) || PROJECT_LABELS.contains(&label)
}

impl Pod {
    /// What the label `service` calls it.
    #[must_use]
    pub fn service(&self) -> &str {
        let label = label_of_service(&self.labels);
        let owner = || self.owner.as_ref().map(|(_, name)| name.as_str());
        label.or_else(owner).unwrap_or(&self.name)
    }
}

impl Container {
    /// What the label `service` calls it.
    #[must_use]
    pub fn service(&self) -> &str {
        named(&self.labels, &COMPOSE_LABELS).unwrap_or(&self.name)
    }

    /// The Compose project it belongs to.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        named(&self.labels, &PROJECT_LABELS)
    }
}

/// What pods with these labels are called by them.
pub(super) fn label_of_service(labels: &Labels) -> Option<&str> {
    named(labels, &SERVICE_LABELS)
}

fn named<'l>(labels: &'l Labels, names: &[&str]) -> Option<&'l str> {
    let values = names.iter().filter_map(|name| labels.get(*name));
    values.map(String::as_str).find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
