//! What workloads are called, as label values, and which of them other nodes observe.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use super::strangers::Strangers;
use crate::clock;
use crate::config::Config;
use crate::correlate::Connection;
use crate::correlate::vantage::{Elsewhere, Whereabouts};
use crate::export::{Symbol, Symbols};
use crate::interpret::{Peer, Services};
use crate::workloads::directory::{self, Directory, Pod};
use crate::workloads::{Selectors, UNKNOWN, Workloads};

/// Names the ends of recorded connections; who reads the recording says what it calls cgroups.
#[derive(Clone)]
pub(super) struct Recorded(pub(super) Arc<Mutex<Workloads>>);

impl Recorded {
    pub(super) fn lock(&self) -> MutexGuard<'_, Workloads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Services for Recorded {
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        service(&mut self.lock(), connection, symbols)
    }

    /// An external host has no other name here: what a client called it may be overwritten.
    fn peer(&mut self, connection: &Connection, symbols: &mut Symbols) -> Peer {
        match peer(&mut self.lock(), connection, symbols) {
            Peer::External => Peer::Named(symbols.intern("external")),
            named @ Peer::Named(_) => named,
        }
    }
}

/// Names the ends of connections.
pub(super) struct Names(pub(super) Workloads);

impl Services for Names {
    fn service(&mut self, connection: &Connection, symbols: &mut Symbols) -> Symbol {
        service(&mut self.0, connection, symbols)
    }

    fn peer(&mut self, connection: &Connection, symbols: &mut Symbols) -> Peer {
        peer(&mut self.0, connection, symbols)
    }
}

fn service(workloads: &mut Workloads, connection: &Connection, symbols: &mut Symbols) -> Symbol {
    symbols.intern(&workloads.name(&connection.identity))
}

fn peer(workloads: &mut Workloads, connection: &Connection, symbols: &mut Symbols) -> Peer {
    match workloads.peer(&connection.identity) {
        Some(name) if &*name == UNKNOWN => Peer::Named(Symbol::UNKNOWN),
        Some(name) => Peer::Named(symbols.intern(&name)),
        None => Peer::External,
    }
}

/// What every agent selects, as the configuration in force has it: those of other nodes have the
/// same. Cheap to clone, all clones are one.
#[derive(Clone)]
pub(super) struct Wanted(Arc<Inner>);

struct Inner {
    /// `None` where everything is.
    selectors: ArcSwapOption<Selectors>,
    /// How often it was replaced.
    replaced: AtomicU64,
}

impl Wanted {
    pub(super) fn new(config: &Config, selectors: &Selectors) -> Self {
        Self(Arc::new(Inner {
            selectors: ArcSwapOption::new(Self::of(config, selectors)),
            replaced: AtomicU64::new(0),
        }))
    }

    /// Another configuration is in force.
    pub(super) fn replace(&self, config: &Config, selectors: &Selectors) {
        self.0.selectors.store(Self::of(config, selectors));
        self.0.replaced.fetch_add(1, Ordering::Release);
    }

    fn of(config: &Config, selectors: &Selectors) -> Option<Arc<Selectors>> {
        (!config.selects_everything()).then(|| Arc::new(selectors.clone()))
    }

    fn selects(&self, pod: &Pod) -> bool {
        let selectors = self.0.selectors.load();
        let selects = |selectors: &Arc<Selectors>| selectors.selects_pod(pod);
        selectors.as_ref().is_none_or(selects)
    }

    /// Whether pods are selected by who they are, as far as their address can tell.
    fn selects_pods(&self) -> bool {
        let selectors = self.0.selectors.load();
        selectors
            .as_ref()
            .is_none_or(|selectors| selectors.selects_pods())
    }

    fn generation(&self) -> u64 {
        self.0.replaced.load(Ordering::Acquire)
    }
}

/// The selected pods of other nodes, as far as a directory knows them.
pub(super) struct Others {
    directory: Directory,
    /// The node that this agent is on; without it nobody is known to be on another.
    node: Option<String>,
    wanted: Wanted,
    strangers: Mutex<Strangers>,
    /// See [`Wanted::generation`], as strangers were met.
    replaced: AtomicU64,
}

impl Others {
    pub(super) fn new(directory: Directory, node: Option<String>, wanted: Wanted) -> Self {
        Self {
            directory,
            node,
            wanted,
            strangers: Mutex::default(),
            replaced: AtomicU64::new(0),
        }
    }

    fn may_become_known(&self, client: IpAddr) -> bool {
        let mut strangers = self.strangers();
        // Of pods that were not asked for, nobody could have told.
        let replaced = self.wanted.generation();
        if self.replaced.swap(replaced, Ordering::Relaxed) != replaced {
            strangers.forget_all();
        }
        strangers.may_become_known(client, clock::now())
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        let strangers = self.strangers.lock();
        strangers.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Elsewhere for Others {
    fn observes(&self, client: IpAddr) -> Whereabouts {
        let Some(node) = self.node.as_deref() else {
            return Whereabouts::Unobserved;
        };
        match self.directory.at(client) {
            Some(known) => {
                self.strangers().forget(client);
                match known {
                    directory::Peer::Pod(pod)
                        if !pod.node.is_empty()
                            && pod.node != node
                            && self.wanted.selects(&pod) =>
                    {
                        Whereabouts::Observed
                    }
                    directory::Peer::Pod(_) | directory::Peer::Named(_) => Whereabouts::Unobserved,
                }
            }
            None if self.wanted.selects_pods() && self.may_become_known(client) => {
                Whereabouts::Unknown
            }
            None => Whereabouts::Unobserved,
        }
    }

    fn generation(&self) -> u64 {
        // All of them only rise, and so does their sum.
        let told = self.directory.generation();
        let ended = self.strangers().ended(clock::now());
        told.wrapping_add(self.wanted.generation())
            .wrapping_add(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::Whereabouts::{Observed, Unknown, Unobserved};
    use super::*;

    #[test]
    fn a_selected_pod_of_another_node_is_observed_there_while_it_is_known() {
        let directory = Directory::default();
        let config = |namespace: &str| {
            let mut config = Config::default();
            config.select.namespaces = vec![namespace.to_owned()];
            config
        };
        let selectors = |config: &Config| Selectors::new(&config.select).unwrap();
        let naytife = config("naytife");
        let wanted = Wanted::new(&naytife, &selectors(&naytife));
        let others = |node: Option<&str>| {
            Others::new(directory.clone(), node.map(str::to_owned), wanted.clone())
        };
        let (here, nowhere) = (others(Some("one")), others(None));
        let pod = |last: u8, namespace: &str, node: &str| Pod {
            uid: last.to_string(),
            namespace: namespace.into(),
            node: node.into(),
            addresses: vec![[10, 0, 0, last].into()],
            ..Pod::default()
        };
        let before = here.generation();
        for (last, namespace, node, whereabouts) in [
            (1, "naytife", "two", Observed),
            (2, "naytife", "one", Unobserved),
            (3, "kube-system", "two", Unobserved),
            (4, "naytife", "", Unobserved),
        ] {
            let address = [10, 0, 0, last].into();
            // A pod that has just begun is not known at first.
            assert_eq!(here.observes(address), Unknown);
            directory.set_pod(pod(last, namespace, node));
            assert_eq!(here.observes(address), whereabouts, "{namespace} {node}");
            assert_eq!(nowhere.observes(address), Unobserved);
        }
        let known = here.generation();
        assert_ne!(known, before);
        directory.set_pod(pod(1, "naytife", "two"));
        assert_eq!(here.generation(), known, "nothing has changed");
        let system = config("kube-system");
        wanted.replace(&system, &selectors(&system));
        assert_ne!(here.generation(), known);
        let observed = [1, 3].map(|last| here.observes([10, 0, 0, last].into()));
        assert_eq!(
            observed,
            [Unobserved, Observed],
            "as the configuration in force has it"
        );
        let everything = Config::default();
        wanted.replace(&everything, &selectors(&everything));
        assert_eq!(here.observes([10, 0, 0, 1].into()), Observed);
        directory.remove_pod("1");
        assert_eq!(here.observes([10, 0, 0, 1].into()), Unknown);
        assert_eq!(here.observes([127, 0, 0, 1].into()), Unobserved);
        // No pod is selected as one: who is elsewhere cannot be told.
        let mut unit = Config::default();
        unit.select.units = vec!["nginx.service".to_owned()];
        wanted.replace(&unit, &selectors(&unit));
        assert_eq!(here.observes([10, 0, 0, 1].into()), Unobserved);
        wanted.replace(&everything, &selectors(&everything));
        let (key, addresses) = ("service", vec![[10, 0, 0, 1].into()]);
        let name = "pooler".to_owned();
        directory.set_addressee(key, directory::Addressee { name, addresses });
        assert_eq!(here.observes([10, 0, 0, 1].into()), Unobserved);
    }
}
