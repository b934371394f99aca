//! Whether the API answers, and whether it lets the agent do what it has to: asked once.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{ListParams, WatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use super::books::{Kind, sentence};
use super::follow::{Scope, answered};
use super::objects::{EndpointSlice, Pod, Service, Watched};
use super::reach::Reach;
use super::trouble::Trouble;
use crate::workloads::settings::Kubernetes as Settings;

/// How long each question may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks for one object of each kind and begins to watch it. `None` where no node is named.
///
/// # Errors
/// What is missing, a sentence each.
#[must_use]
pub fn check(settings: &Settings) -> Option<Result<String, Vec<String>>> {
    let node = settings.node.as_ref()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Some(Err(vec![error.to_string()])),
    };
    // Nothing is attached yet that could see it.
    let reach = Reach::new(settings.kubeconfig.clone(), Arc::new(|_| Ok(())));
    let missing = runtime.block_on(ask(&reach));
    runtime.shutdown_background();
    Some(if missing.is_empty() {
        Ok(format!(
            "tells of the pods of {node}, of services and endpoint slices"
        ))
    } else {
        Err(missing)
    })
}

/// Why the API cannot even be asked from here, as far as files tell. `None` where it can, or no node
/// is named.
#[must_use]
pub fn unreachable(settings: &Settings) -> Option<String> {
    settings.node.as_ref()?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Some(error.to_string()),
    };
    let reach = Reach::new(settings.kubeconfig.clone(), Arc::new(|_| Ok(())));
    let trouble = runtime.block_on(reach.config()).err();
    trouble.map(|trouble| trouble.to_string())
}

async fn ask(reach: &Reach) -> Vec<String> {
    let client = match reach.client().await {
        Ok(client) => client,
        Err(trouble) => return vec![trouble.to_string()],
    };
    let mut missing = Vec::new();
    for asked in [
        ask_for::<Pod>(client.clone(), Kind::Pods).await,
        ask_for::<Service>(client.clone(), Kind::Services).await,
        ask_for::<EndpointSlice>(client, Kind::EndpointSlices).await,
    ] {
        let sentence = asked.err();
        missing.extend(sentence.filter(|sentence| !missing.contains(sentence)));
    }
    missing
}

async fn ask_for<K>(client: Client, kind: Kind) -> Result<(), String>
where
    K: Watched + Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api = Scope::default().api::<K>(client);
    let failed = |verb| move |trouble: Trouble| sentence(verb, kind.resource(), &trouble);
    let one = ListParams::default().limit(1);
    let list = answered(PATIENCE, api.list(&one)).await;
    let version = list.map_err(failed("list"))?.metadata.resource_version;
    let brief = WatchParams::default().timeout(1);
    let from = version.unwrap_or_default();
    let watch = answered(PATIENCE, api.watch(&brief, &from)).await;
    watch.map(drop).map_err(failed("watch"))
}
