//! The fields as `core/v1` and `discovery.k8s.io/v1` write them.
//!
//! Go writes `null` for a list without entries, so that may stand for any of them.

use std::net::IpAddr;
use std::sync::Arc;

use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer};

use super::{SaidPod, SaidService, SaidSlice};
use crate::workloads::directory::{self, Labels};

/// Entries of a list that are kept of one object.
const MOST: usize = 1024;
/// The label with what the name of a `ReplicaSet` has behind that of its Deployment.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// The label of an `EndpointSlice` that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Digits behind the name of a `CronJob` in that of its Job: the minute it was due, of Unix time.
const MINUTE: usize = 8;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    uid: String,
    namespace: String,
    name: String,
    resource_version: Option<String>,
    #[serde(deserialize_with = "or_nothing")]
    labels: Labels,
    #[serde(deserialize_with = "or_nothing")]
    annotations: Annotations,
    #[serde(deserialize_with = "or_nothing")]
    owner_references: Vec<Owner>,
}

/// The kubelet's own pods have two uids: the API's, and this one, which their cgroup has.
#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owner {
    kind: String,
    name: String,
    controller: bool,
}

#[derive(Deserialize)]
pub(super) struct Pod {
    metadata: Meta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    node_name: String,
    host_network: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "or_nothing")]
    pod_ips: Vec<Ip>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    #[serde(rename = "hostIPs", deserialize_with = "or_nothing")]
    host_ips: Vec<Ip>,
    #[serde(deserialize_with = "or_nothing")]
    init_container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_nothing")]
    container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_nothing")]
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ip {
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    image: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Service {
    metadata: Meta,
    #[serde(default)]
    spec: ServiceSpec,
    #[serde(default)]
    status: ServiceStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    #[serde(deserialize_with = "or_nothing")]
    selector: Labels,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "or_nothing")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "or_nothing")]
    external_ips: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceStatus {
    load_balancer: LoadBalancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    #[serde(deserialize_with = "or_nothing")]
    ingress: Vec<Ip>,
}

#[derive(Deserialize)]
pub(super) struct EndpointSlice {
    metadata: Meta,
    #[serde(default, deserialize_with = "or_nothing")]
    endpoints: Vec<Endpoint>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Endpoint {
    #[serde(deserialize_with = "or_nothing")]
    addresses: Vec<String>,
    target_ref: Option<Target>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    kind: String,
    uid: String,
}

fn or_nothing<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Meta {
    fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// All that a watch needs of it.
    fn version(&mut self) -> ObjectMeta {
        ObjectMeta {
            resource_version: self.resource_version.take(),
            ..ObjectMeta::default()
        }
    }

    /// Who owns it at last.
    fn owner(&self) -> Option<(String, String)> {
        let owners = &self.owner_references;
        let owner = owners.iter().find(|owner| owner.controller);
        let owner = owner.or_else(|| owners.first())?;
        let at_last = match &*owner.kind {
            "ReplicaSet" => {
                let hash = self.labels.get(TEMPLATE_HASH);
                let name = hash.and_then(|hash| without(&owner.name, hash));
                name.map(|name| ("Deployment", name))
            }
            "Job" => {
                let minute = |(_, end): &(&str, &str)| {
                    end.len() == MINUTE && end.bytes().all(|digit| digit.is_ascii_digit())
                };
                let parts = owner.name.rsplit_once('-').filter(minute);
                parts.map(|(name, _)| ("CronJob", name))
            }
            // One that the kubelet runs by itself is called after its node too.
            "Node" => without(&self.name, &owner.name).map(|name| ("Node", name)),
            _ => None,
        };
        let (kind, name) = at_last.unwrap_or((&owner.kind, &owner.name));
        Some((kind.to_owned(), name.to_owned()))
    }
}

/// A name without this last part of it.
fn without<'n>(name: &'n str, last: &str) -> Option<&'n str> {
    name.strip_suffix(last)?.strip_suffix('-')
}

impl From<Pod> for super::Pod {
    fn from(pod: Pod) -> Self {
        let Pod {
            metadata: mut meta,
            spec,
            status,
        } = pod;
        // One that has ended keeps its address in the API while another one has it.
        let ended = matches!(&*status.phase, "Succeeded" | "Failed");
        let own = !spec.host_network && !ended;
        let uid = meta.annotations.mirror.take();
        let (containers, images) = status
            .init_container_statuses
            .into_iter()
            .chain(status.container_statuses)
            .chain(status.ephemeral_container_statuses)
            .filter_map(ContainerStatus::entry)
            .take(MOST)
            .map(|(id, name, image)| ((id.clone(), name), (id, image)))
            .unzip();
        let pod = directory::Pod {
            uid: uid.unwrap_or_else(|| meta.uid.clone()),
            owner: meta.owner(),
            node: spec.node_name,
            addresses: if own {
                addresses(ips(status.pod_ips).chain(status.pod_ip))
            } else {
                Vec::new()
            },
            containers,
            images,
            namespace: std::mem::take(&mut meta.namespace),
            name: std::mem::take(&mut meta.name),
            labels: std::mem::take(&mut meta.labels),
        };
        Self {
            meta: meta.version(),
            said: SaidPod {
                uid: meta.uid,
                pod: Arc::new(pod),
                host: addresses(ips(status.host_ips).chain(status.host_ip)),
            },
        }
    }
}

impl ContainerStatus {
    /// The id, `containerd://9f86…` without what runs it, the name and the image; nothing before it has run.
    fn entry(self) -> Option<(String, String, String)> {
        let (_, id) = self.container_id.as_deref()?.split_once("://")?;
        Some((id.to_owned(), self.name, self.image))
    }
}

impl From<Service> for super::Service {
    fn from(service: Service) -> Self {
        let Service {
            metadata: mut meta,
            spec,
            status,
        } = service;
        let said = spec.cluster_ips.into_iter().chain(spec.cluster_ip);
        let said = said.chain(spec.external_ips);
        let said = said.chain(ips(status.load_balancer.ingress));
        Self {
            meta: meta.version(),
            said: SaidService {
                key: meta.key(),
                selector: spec.selector,
                addresses: addresses(said),
                name: meta.name,
            },
        }
    }
}

impl From<EndpointSlice> for super::EndpointSlice {
    fn from(slice: EndpointSlice) -> Self {
        let EndpointSlice {
            metadata: mut meta,
            endpoints,
        } = slice;
        let name = meta.labels.remove(SERVICE_NAME);
        let name = name.unwrap_or_else(|| meta.name.clone());
        let mut pods = Vec::new();
        let mut said = Vec::new();
        for endpoint in endpoints {
            let target = endpoint.target_ref;
            pods.extend(target.filter(|is| is.kind == "Pod").map(|pod| pod.uid));
            said.extend(endpoint.addresses);
        }
        pods.truncate(MOST);
        Self {
            meta: meta.version(),
            said: SaidSlice {
                key: meta.key(),
                service: (format!("{}/{name}", meta.namespace), name),
                pods,
                addresses: addresses(said.into_iter()),
            },
        }
    }
}

fn ips(ips: Vec<Ip>) -> impl Iterator<Item = String> {
    ips.into_iter().map(|address| address.ip)
}

/// Those that are addresses (`None` stands for none) of one place, each once.
fn addresses(said: impl Iterator<Item = String>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in said
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .take(MOST)
    {
        // Not those that every host has.
        let here = address.is_loopback() || address.is_unspecified();
        if !here && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}
