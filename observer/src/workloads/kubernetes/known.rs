//! All that the watches told, and what the directory is to know of it.
//!
//! Pods go there one by one. Who else has an address follows from all objects together, so it is
//! derived from them anew and only what differs is told: the order of events leaves no trace.
//!
//! ```text
//!   key                    is called                                        addresses
//!   node/<node>            the node                                         of pods' hosts
//!   service/<ns>/<name>    as its pods are, where they agree; as its        its own
//!                          selector's labels would be; its name
//!   slice/<ns>/<name>      as its service                                   behind it, of no known pod
//! ```
//!
//! Where two have one address, the first key of these has it, and a pod has it before all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use super::objects::{SaidPod, SaidService, SaidSlice};
use super::shelf::{Change, Event, Shelf};
use crate::workloads::directory::{Addressee, Directory, label_of_service};

/// See the module.
pub(super) struct Known {
    directory: Directory,
    /// By the number of the watch: a shelf for each that is kept.
    pub(super) pods: BTreeMap<usize, Shelf<SaidPod>>,
    pub(super) services: Shelf<SaidService>,
    pub(super) slices: Shelf<SaidSlice>,
    told: BTreeMap<String, Addressee>,
    /// Whether something has changed since it was told.
    stale: bool,
}

impl Known {
    pub(super) fn new(directory: Directory) -> Self {
        Self {
            directory,
            pods: BTreeMap::new(),
            services: Shelf::default(),
            slices: Shelf::default(),
            told: BTreeMap::new(),
            stale: false,
        }
    }

    /// A watch of pods by this number begins; what one tells that has not, or ended, is not kept.
    pub(super) fn begin_pods(&mut self, watch: usize) {
        self.pods.insert(watch, Shelf::default());
    }

    /// A watch of pods has ended: what it alone told holds no more.
    pub(super) fn end_pods(&mut self, watch: usize) {
        // A list of nothing.
        self.pod(watch, Event::Begun);
        self.pod(watch, Event::Complete);
        self.pods.remove(&watch);
    }

    /// Pods that the others of these watches told.
    pub(super) fn elsewhere(&self, here: usize) -> usize {
        let shelves = self.pods.iter().filter(|(number, _)| **number != here);
        shelves.map(|(_, shelf)| shelf.len()).sum()
    }

    /// Takes what a watch of pods told; returns how many had no room.
    pub(super) fn pod(&mut self, watch: usize, event: Event<SaidPod>) -> usize {
        let Some(kept) = self.pods.get_mut(&watch) else {
            return 0;
        };
        let mut refused = 0;
        for change in kept.take(event) {
            match change {
                Change::Set(pod) => self.directory.set_pod(pod.pod),
                Change::Gone(pod) => {
                    // Two watches tell of one pod as it is given to a node, in no order.
                    // And one of the kubelet's own keeps its uid there as the API's changes.
                    let mut others = self.pods.values().flat_map(Shelf::iter);
                    match others.find(|other| other.pod.uid == pod.pod.uid) {
                        Some(other) => self.directory.set_pod(other.pod.clone()),
                        None => self.directory.remove_pod(&pod.pod.uid),
                    }
                }
                Change::Refused => {
                    refused += 1;
                    continue;
                }
            }
            self.stale = true;
        }
        refused
    }

    /// The same of services.
    pub(super) fn service(&mut self, event: Event<SaidService>) -> usize {
        refused(self.services.take(event), &mut self.stale)
    }

    /// The same of endpoint slices.
    pub(super) fn slice(&mut self, event: Event<SaidSlice>) -> usize {
        refused(self.slices.take(event), &mut self.stale)
    }

    /// Whether there is something to [tell](Self::tell).
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Tells the directory who else has addresses.
    pub(super) fn tell(&mut self) {
        self.stale = false;
        let new = self.addressees();
        for key in self.told.keys().filter(|key| !new.contains_key(*key)) {
            self.directory.remove_addressee(key);
        }
        for (key, addressee) in &new {
            if self.told.get(key) != Some(addressee) {
                self.directory.set_addressee(key, addressee.clone());
            }
        }
        self.told = new;
    }

    fn addressees(&self) -> BTreeMap<String, Addressee> {
        let pods = || self.pods.values().flat_map(Shelf::iter);
        let by_uid: HashMap<&str, &SaidPod> = pods().map(|pod| (&*pod.uid, pod)).collect();
        let own = pods().flat_map(|pod| &pod.pod.addresses);
        let own: HashSet<IpAddr> = own.copied().collect();
        let nodes = self.nodes().into_iter().map(|(node, addresses)| {
            let addresses = addresses.into_iter().collect();
            (format!("node/{node}"), named(node, addresses))
        });
        let words = self.words(&by_uid);
        let services = self
            .services
            .iter()
            .filter(|service| !service.addresses.is_empty());
        let services = services.map(|service| {
            let name = name(service, &words);
            let addressee = named(name, service.addresses.clone());
            (format!("service/{}", service.key), addressee)
        });
        let slices = self.slices.iter().filter_map(|slice| {
            let addresses = slice
                .addresses
                .iter()
                .filter(|address| !own.contains(*address));
            let addresses: Vec<IpAddr> = addresses.copied().collect();
            let (key, service) = &slice.service;
            let name = match self.services.get(key) {
                Some(service) => name(service, &words),
                None => service,
            };
            let who = (!addresses.is_empty()).then(|| named(name, addresses));
            Some((format!("slice/{}", slice.key), who?))
        });
        nodes.chain(services).chain(slices).collect()
    }

    /// Addresses of nodes, as their pods say.
    fn nodes(&self) -> BTreeMap<&str, BTreeSet<IpAddr>> {
        let mut nodes: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
        for pod in self.pods.values().flat_map(Shelf::iter) {
            if !pod.pod.node.is_empty() && !pod.host.is_empty() {
                let addresses = nodes.entry(&pod.pod.node).or_default();
                addresses.extend(&pod.host);
            }
        }
        nodes
    }

    /// What the pods behind each service are called; `None` where they do not agree.
    fn words<'k>(&'k self, pods: &HashMap<&str, &'k SaidPod>) -> Words<'k> {
        let mut words = Words::new();
        for slice in self.slices.iter() {
            for pod in slice.pods.iter().filter_map(|uid| pods.get(&**uid)) {
                let word = pod.pod.service();
                let agreed = words.entry(&slice.service.0).or_insert(Some(word));
                if *agreed != Some(word) {
                    *agreed = None;
                }
            }
        }
        words
    }
}

type Words<'k> = HashMap<&'k str, Option<&'k str>>;

/// What a service is called.
fn name<'k>(service: &'k SaidService, words: &Words<'k>) -> &'k str {
    let agreed = words.get(&*service.key).copied().flatten();
    let agreed = agreed.or_else(|| label_of_service(&service.selector));
    agreed.unwrap_or(&service.name)
}

fn named(name: &str, addresses: Vec<IpAddr>) -> Addressee {
    Addressee {
        name: name.to_owned(),
        addresses,
    }
}

/// How many of these changes were none for want of room.
fn refused<T: PartialEq>(changes: Vec<Change<T>>, stale: &mut bool) -> usize {
    let all = changes.len();
    let refused = changes
        .into_iter()
        .filter(|change| *change == Change::Refused);
    let refused = refused.count();
    *stale |= refused < all;
    refused
}
