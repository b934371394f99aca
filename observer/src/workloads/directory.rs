//! What is known of pods, containers, services and their addresses, whoever told it.
//!
//! Sources (the Kubernetes API, a container engine) write here; the data path, the selection and the
//! metrics of containers read. Nothing is read from the wire here.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use hashbrown::HashMap;

use super::place::Place;

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
    /// The node it runs on.
    pub node: String,
    /// Its own addresses; none where it uses the node's network.
    pub addresses: Vec<IpAddr>,
    /// Names of its containers by id.
    pub containers: BTreeMap<String, String>,
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
}

#[derive(Default)]
struct Known {
    pods: Map<String, Arc<Pod>>,
    containers: Map<String, Arc<Container>>,
    /// By whoever told, under its key.
    addressees: Map<String, Arc<Addressee>>,
    /// Of pods and addressees.
    addresses: Map<IpAddr, Peer>,
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
    pub fn set_pod(&self, pod: Pod) {
        if self.pod(&pod.uid).is_some_and(|known| *known == pod) {
            return;
        }
        self.change(|known| {
            known.leave_pod(&pod.uid);
            let pod = Arc::new(pod);
            for address in &pod.addresses {
                known
                    .addresses
                    .insert(*address, Peer::Pod(Arc::clone(&pod)));
            }
            known.pods.insert(pod.uid.clone(), pod);
        });
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

    /// Somebody else has these addresses, as told under this key. A pod's own address stays its.
    pub fn set_addressee(&self, key: &str, addressee: Addressee) {
        self.change(|known| {
            known.leave_addressee(key);
            let name: Arc<str> = addressee.name.as_str().into();
            for address in &addressee.addresses {
                let peer = known.addresses.entry(*address);
                peer.or_insert_with(|| Peer::Named(Arc::clone(&name)));
            }
            known.addressees.insert(key.to_owned(), Arc::new(addressee));
        });
    }

    /// What was told under this key holds no more.
    pub fn remove_addressee(&self, key: &str) {
        self.change(|known| known.leave_addressee(key));
    }

    /// A pod by its uid, with `-` or `_` in it.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<Arc<Pod>> {
        let known = self.read();
        let pod = known.pods.get(uid);
        let pod = pod.or_else(|| known.pods.get(&uid.replace('_', "-")));
        pod.cloned()
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
        self.read().addresses.get(&address.to_canonical()).cloned()
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
    fn leave_pod(&mut self, uid: &str) {
        let Some(pod) = self.pods.remove(uid) else {
            return;
        };
        for address in &pod.addresses {
            // Another pod may have it by now.
            let is_its = |peer: &Peer| matches!(peer, Peer::Pod(other) if other.uid == uid);
            if self.addresses.get(address).is_some_and(is_its) {
                self.addresses.remove(address);
            }
        }
    }

    fn leave_addressee(&mut self, key: &str) {
        let Some(addressee) = self.addressees.remove(key) else {
            return;
        };
        for address in &addressee.addresses {
            let is_its =
                |peer: &Peer| matches!(peer, Peer::Named(name) if **name == *addressee.name);
            if self.addresses.get(address).is_some_and(is_its) {
                self.addresses.remove(address);
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
        let label = named(&self.labels, &SERVICE_LABELS);
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

fn named<'l>(labels: &'l Labels, names: &[&str]) -> Option<&'l str> {
    let values = names.iter().filter_map(|name| labels.get(*name));
    values.map(String::as_str).find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";
    const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn pod(pairs: &[(&str, &str)]) -> Pod {
        Pod {
            uid: UID.into(),
            namespace: "naytife".into(),
            name: "backend-5d4f-x2v".into(),
            owner: Some(("Deployment".into(), "backend".into())),
            labels: labels(pairs),
            addresses: vec![[10, 0, 0, 1].into()],
            containers: [(ID.to_owned(), "api".to_owned())].into(),
            ..Pod::default()
        }
    }

    #[test]
    fn a_pod_goes_by_its_label_then_its_owner_then_its_name() {
        let app = ("app", "b");
        let named = ("app.kubernetes.io/name", "a");
        for (pod, service) in [
            (pod(&[app, named]), "a"),
            (pod(&[app]), "b"),
            (
                pod(&[("cnpg.io/cluster", "db"), ("cnpg.io/poolerName", "pooler")]),
                "pooler",
            ),
            (pod(&[("app", "")]), "backend"),
            (
                Pod {
                    owner: None,
                    ..pod(&[])
                },
                "backend-5d4f-x2v",
            ),
        ] {
            assert_eq!(pod.service(), service);
        }
    }

    #[test]
    fn a_cgroup_is_its_pods_while_that_is_known() {
        let directory = Directory::default();
        let path = format!("/kubepods/pod{}/{ID}", UID.replace('-', "_"));
        let service = || directory.workload(&path).unwrap().service;
        assert_eq!(&*service(), ID);
        directory.set_pod(pod(&[]));
        let workload = directory.workload(&path).unwrap();
        assert_eq!(&*workload.service, "backend");
        assert!(matches!(workload.kind, Kind::Pod(_, Some(name)) if name == "api"));
        directory.remove_pod(UID);
        assert_eq!(&*service(), ID);
    }

    #[test]
    fn a_container_that_nobody_told_about_is_asked_for() {
        let directory = Directory::default();
        let path = format!("/docker/{ID}/system.slice/x.service");
        let service = || directory.workload(&path).unwrap().service;
        assert_eq!(&*service(), ID);
        let told = directory.clone();
        directory.ask(move |id| {
            told.set_container(Container {
                id: id.to_owned(),
                name: "shop_api_1".into(),
                labels: labels(&[("com.docker.compose.service", "api\n")]),
            });
        });
        assert_eq!(&*service(), "api_");
        let workload = directory.workload(&path).unwrap();
        assert!(matches!(workload.kind, Kind::Container(container) if container.id == ID));
    }

    #[test]
    fn an_address_is_whose_it_was_told_last_and_goes_with_its_owner() {
        let directory = Directory::default();
        let address = IpAddr::from([10, 0, 0, 1]);
        let other = Pod {
            uid: "other".into(),
            ..pod(&[])
        };
        directory.set_pod(pod(&[]));
        directory.set_pod(other.clone());
        directory.remove_pod(UID);
        let is_other = matches!(directory.at(address), Some(Peer::Pod(pod)) if pod.uid == "other");
        assert!(is_other, "{:?}", directory.at(address));
        directory.remove_pod("other");
        assert_eq!(directory.at(address), None);
        let named = Addressee {
            name: "db".into(),
            addresses: vec![address],
        };
        directory.set_addressee("service/a/db", named);
        assert_eq!(directory.at(address), Some(Peer::Named("db".into())));
        directory.remove_addressee("service/a/db");
        assert_eq!(directory.at(address), None);
    }

    #[test]
    fn who_listens_hears_of_each_change() {
        let directory = Directory::default();
        let (sender, heard) = std::sync::mpsc::channel();
        directory.listen(move || sender.send(()).unwrap());
        directory.set_container(Container {
            id: ID.into(),
            ..Container::default()
        });
        directory.remove_container(ID);
        assert_eq!(heard.try_iter().count(), 2);
    }
}
