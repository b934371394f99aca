//! Objects of the API, as far as anything is made of them. The rest, `managedFields` and annotations
//! among it, is skipped while it is read, and never held.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::Deserialize;

use crate::workloads::directory::{self, Labels};

mod wire;

/// An object that is watched.
pub(super) trait Watched: Resource<DynamicType = ()> {
    /// What is kept of it.
    type Said: Said;

    /// That.
    fn said(self) -> Self::Said;
}

/// What an object says, without its version.
pub(super) trait Said: Clone + PartialEq + Send + 'static {
    /// What no other of its kind has.
    fn key(&self) -> &str;

    /// Bytes of text and addresses in it.
    fn size(&self) -> usize;
}

/// A pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "wire::Pod")]
pub(super) struct Pod {
    meta: ObjectMeta,
    said: SaidPod,
}

/// What a pod says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SaidPod {
    /// The API's; the directory has that of the cgroup, another one for the kubelet's own pods.
    pub(super) uid: String,
    /// As the directory has it.
    pub(super) pod: Arc<directory::Pod>,
    /// The addresses of its node.
    pub(super) host: Vec<IpAddr>,
}

/// A service.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "wire::Service")]
pub(super) struct Service {
    meta: ObjectMeta,
    said: SaidService,
}

/// What a service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SaidService {
    /// `namespace/name`
    pub(super) key: String,
    pub(super) name: String,
    /// Labels that the pods behind it have.
    pub(super) selector: Labels,
    /// Where it answers itself; nowhere, where it is headless.
    pub(super) addresses: Vec<IpAddr>,
}

/// Some of the endpoints of a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "wire::EndpointSlice")]
pub(super) struct EndpointSlice {
    meta: ObjectMeta,
    said: SaidSlice,
}

/// What an `EndpointSlice` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SaidSlice {
    /// `namespace/name`
    pub(super) key: String,
    /// The key of the service, and its name.
    pub(super) service: (String, String),
    /// Pods behind it, by the API's uid.
    pub(super) pods: Vec<String>,
    /// Every address behind it.
    pub(super) addresses: Vec<IpAddr>,
}

macro_rules! resources {
    ($($object:ident, $said:ident, $group:literal, $plural:literal, $key:ident;)*) => {$(
        impl Resource for $object {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                stringify!($object).into()
            }

            fn group((): &()) -> Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.meta
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.meta
            }
        }

        impl Watched for $object {
            type Said = $said;

            fn said(self) -> $said {
                self.said
            }
        }

        impl Said for $said {
            fn key(&self) -> &str {
                &self.$key
            }

            fn size(&self) -> usize {
                self.bytes()
            }
        }
    )*};
}

impl SaidPod {
    fn bytes(&self) -> usize {
        let pod = &self.pod;
        let words = [&self.uid, &pod.uid, &pod.namespace, &pod.name, &pod.node];
        let owner = pod.owner.iter().map(|(kind, name)| kind.len() + name.len());
        let maps = [&pod.labels, &pod.containers, &pod.images];
        let addresses = size_of_val(&*pod.addresses) + size_of_val(&*self.host);
        length(words) + owner.sum::<usize>() + maps.map(entries).iter().sum::<usize>() + addresses
    }
}

impl SaidService {
    fn bytes(&self) -> usize {
        let words = length([&self.key, &self.name]);
        words + entries(&self.selector) + size_of_val(&*self.addresses)
    }
}

impl SaidSlice {
    fn bytes(&self) -> usize {
        let words = length([&self.key, &self.service.0, &self.service.1]);
        words + length(&self.pods) + size_of_val(&*self.addresses)
    }
}

fn length<'t>(texts: impl IntoIterator<Item = &'t String>) -> usize {
    texts.into_iter().map(String::len).sum()
}

fn entries(map: &BTreeMap<String, String>) -> usize {
    length(map.iter().flat_map(|(key, value)| [key, value]))
}

resources! {
    Pod, SaidPod, "", "pods", uid;
    Service, SaidService, "", "services", key;
    EndpointSlice, SaidSlice, "discovery.k8s.io", "endpointslices", key;
}
