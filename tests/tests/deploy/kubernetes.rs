//! The manifests for Kubernetes: what its schemas accept, and what they cannot know.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, anyhow, ensure};
use observer_tests::agent::binary;
use observer_tests::languages::{Language, program};
use observer_tests::process::finish;
use serde_json::{Value, json};

use super::manifests::{CAPABILITIES, build, only, project, read, strings};

/// Whose schemas decide.
const KUBERNETES: &str = "1.34";
const OVERLAYS: [&str; 4] = ["local", "staging", "production", "least-privilege"];

/// The objects of an overlay, which is built once; `None` where none can be.
fn overlay(name: &str) -> Result<Option<Vec<Value>>> {
    static BUILT: Mutex<BTreeMap<String, Vec<Value>>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().map_err(|_| anyhow!("a test broke off"))?;
    if let Some(objects) = built.get(name) {
        return Ok(Some(objects.clone()));
    }
    let objects = build(&project("deploy/overlays").join(name))?;
    if let Some(objects) = &objects {
        built.insert(name.to_owned(), objects.clone());
    }
    Ok(objects)
}

/// For each overlay that can be built here.
fn each(check: impl Fn(&str, &[Value]) -> Result<()>) -> Result<()> {
    for name in OVERLAYS {
        if let Some(objects) = overlay(name)? {
            check(name, &objects).with_context(|| format!("overlay {name}"))?;
        }
    }
    Ok(())
}

/// The base with one of its components, which no overlay has.
fn with_component(name: &str) -> Result<Option<Vec<Value>>> {
    let files = tempfile::tempdir_in(project("target"))?;
    let base = project("deploy/base/monitoring").canonicalize()?;
    let base = Path::new("../..").join(base.strip_prefix(project("").canonicalize()?)?);
    let base = base.display();
    let text = format!("resources: [{base}]\ncomponents: [{base}/observer/{name}]\n");
    fs::write(files.path().join("kustomization.yaml"), text)?;
    build(files.path())
}

fn labels_of_pods(daemon_set: &Value) -> &Value {
    &daemon_set["spec"]["template"]["metadata"]["labels"]
}

fn container(daemon_set: &Value) -> &Value {
    &daemon_set["spec"]["template"]["spec"]["containers"][0]
}

/// Whether labels are as a selector wants them.
fn selects(selector: &Value, labels: &Value) -> Result<()> {
    let wanted = selector.as_object().context("no selector")?;
    ensure!(!wanted.is_empty(), "it selects everything");
    for (name, value) in wanted {
        ensure!(labels[name] == *value, "{name} is {}", labels[name]);
    }
    Ok(())
}

/// What the schemas say of these objects, a line for each complaint.
fn complaints(objects: &[Value]) -> Result<Option<String>> {
    let Some(mut command) = program(Language::Python, "manifests")? else {
        return Ok(None);
    };
    command.arg(KUBERNETES).stdin(Stdio::piped());
    let mut validator = command.stdout(Stdio::piped()).spawn()?;
    let mut input = validator.stdin.take().context("no standard input")?;
    input.write_all(&serde_json::to_vec(objects)?)?;
    drop(input);
    let output = validator.wait_with_output()?;
    ensure!(output.status.success(), "{}", output.status);
    Ok(Some(String::from_utf8(output.stdout)?))
}

#[test]
fn the_schemas_of_kubernetes_accept_every_object_of_every_overlay() -> Result<()> {
    each(|_, objects| {
        ensure!(objects.len() >= 8, "only {} objects", objects.len());
        let known = |object: &&Value| object["apiVersion"] != "monitoring.coreos.com/v1";
        let known: Vec<Value> = objects.iter().filter(known).cloned().collect();
        let complaints = complaints(&known)?.unwrap_or_default();
        ensure!(complaints.is_empty(), "{complaints}");
        Ok(())
    })
}

#[test]
fn a_mistyped_field_would_not_be_accepted() -> Result<()> {
    let Some(mut objects) = overlay("local")? else {
        return Ok(());
    };
    for object in &mut objects {
        if object["kind"] == "DaemonSet" {
            object["spec"]["template"]["spec"]["hostPid"] = true.into();
        }
    }
    if let Some(complaints) = complaints(&objects)? {
        ensure!(complaints.contains("hostPid"), "{complaints}");
    }
    Ok(())
}

#[test]
fn monitors_are_what_the_operator_reads_and_find_the_agents() -> Result<()> {
    let schema = read("tests/fixtures/kubernetes/monitors.json")?;
    let schema = jsonschema::validator_for(&schema)?;
    for (component, kind) in [
        ("service-monitor", "ServiceMonitor"),
        ("pod-monitor", "PodMonitor"),
    ] {
        let Some(objects) = with_component(component)? else {
            continue;
        };
        let monitor = only(&objects, kind)?;
        schema
            .validate(monitor)
            .map_err(jsonschema::ValidationError::to_owned)?;
        let (found, ports, endpoints) = if kind == "ServiceMonitor" {
            let service = only(&objects, "Service")?;
            let found = &service["metadata"]["labels"];
            (found, &service["spec"]["ports"], "endpoints")
        } else {
            let daemon_set = only(&objects, "DaemonSet")?;
            let ports = &container(daemon_set)["ports"];
            (labels_of_pods(daemon_set), ports, "podMetricsEndpoints")
        };
        selects(&monitor["spec"]["selector"]["matchLabels"], found)?;
        ensure!(monitor["metadata"]["namespace"] == "naytife-monitoring");
        ensure!(monitor["spec"][endpoints][0]["port"] == ports[0]["name"]);
    }
    Ok(())
}

#[test]
fn one_agent_is_scraped_by_one_way() -> Result<()> {
    each(|_, objects| {
        let ways = objects.iter().filter(|object| {
            let annotations = &object["spec"]["template"]["metadata"]["annotations"];
            object["apiVersion"] == "monitoring.coreos.com/v1"
                || annotations["prometheus.io/scrape"] == "true"
        });
        ensure!(ways.count() <= 1, "it is counted twice");
        Ok(())
    })
}

#[test]
fn selectors_meet_the_pods_and_ports_their_names() -> Result<()> {
    each(|_, objects| {
        let daemon_set = only(objects, "DaemonSet")?;
        let labels = labels_of_pods(daemon_set);
        selects(&daemon_set["spec"]["selector"]["matchLabels"], labels)?;
        let service = only(objects, "Service")?;
        selects(&service["spec"]["selector"], labels)?;
        let policy = only(objects, "NetworkPolicy")?;
        selects(&policy["spec"]["podSelector"]["matchLabels"], labels)?;
        let container = container(daemon_set);
        let port = &container["ports"][0];
        ensure!(port["containerPort"] == 9464);
        ensure!(service["spec"]["ports"][0]["targetPort"] == port["name"]);
        ensure!(policy["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]);
        for (probe, path) in [
            ("startupProbe", "/readyz"),
            ("readinessProbe", "/readyz"),
            ("livenessProbe", "/healthz"),
        ] {
            let request = &container[probe]["httpGet"];
            ensure!(
                request["path"] == path && request["port"] == port["name"],
                "{probe}"
            );
        }
        for object in objects {
            let namespace = &object["metadata"]["namespace"];
            let own = match object["kind"].as_str() {
                Some("Namespace" | "ClusterRole" | "ClusterRoleBinding") => namespace.is_null(),
                _ => namespace == "naytife-monitoring",
            };
            ensure!(own, "{} is in {namespace}", object["kind"]);
        }
        Ok(())
    })
}

#[test]
fn the_agent_may_read_pods_services_and_endpoint_slices_and_nothing_more() -> Result<()> {
    each(|_, objects| {
        let role = only(objects, "ClusterRole")?;
        let read = json!(["list", "watch"]);
        let allowed = json!([
            { "apiGroups": [""], "resources": ["pods", "services"], "verbs": read },
            { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read },
        ]);
        ensure!(role["rules"] == allowed, "{}", role["rules"]);
        let binding = only(objects, "ClusterRoleBinding")?;
        ensure!(binding["roleRef"]["name"] == role["metadata"]["name"]);
        let account = only(objects, "ServiceAccount")?;
        let subject = json!([{
            "kind": "ServiceAccount",
            "name": account["metadata"]["name"],
            "namespace": account["metadata"]["namespace"],
        }]);
        ensure!(binding["subjects"] == subject);
        let pod = &only(objects, "DaemonSet")?["spec"]["template"]["spec"];
        ensure!(pod["serviceAccountName"] == account["metadata"]["name"]);
        ensure!(objects.iter().all(|object| object["kind"] != "Role"));
        Ok(())
    })
}

#[test]
fn the_agent_is_told_on_which_node_it_is() -> Result<()> {
    each(|_, objects| {
        let variables = &container(only(objects, "DaemonSet")?)["env"];
        let node = json!([{
            "name": "OBSERVER_KUBERNETES_NODE",
            "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } },
        }]);
        ensure!(*variables == node, "{variables}");
        Ok(())
    })
}

#[test]
fn every_overlay_names_the_image_of_this_version() -> Result<()> {
    each(|name, objects| {
        let image = &container(only(objects, "DaemonSet")?)["image"];
        let repository = match name {
            "staging" | "production" => "ghcr.io/naytife/commerce/observer",
            _ => "naytife/observer",
        };
        let wanted = format!("{repository}:{}", env!("CARGO_PKG_VERSION"));
        ensure!(*image == wanted, "{image}");
        Ok(())
    })
}

#[test]
fn the_node_is_mounted_for_reading_and_its_root_not_in_least_privilege() -> Result<()> {
    each(|name, objects| {
        let daemon_set = only(objects, "DaemonSet")?;
        let pod = &daemon_set["spec"]["template"]["spec"];
        let volumes = pod["volumes"].as_array().context("no volumes")?;
        let paths: Vec<&Value> = volumes
            .iter()
            .map(|volume| &volume["hostPath"]["path"])
            .filter(|path| !path.is_null())
            .collect();
        let expected = match name {
            "least-privilege" => vec!["/sys/fs/cgroup", "/var/log/pods"],
            _ => vec!["/sys/fs/cgroup", "/", "/var/log/pods"],
        };
        ensure!(paths == expected, "{paths:?}");
        let container = container(daemon_set);
        let mounts = container["volumeMounts"].as_array().context("no mounts")?;
        ensure!(mounts.iter().all(|mount| mount["readOnly"] == true));
        ensure!(container["securityContext"]["readOnlyRootFilesystem"] == true);
        Ok(())
    })
}

#[test]
fn only_least_privilege_is_not_privileged_and_it_has_five_capabilities() -> Result<()> {
    each(|name, objects| {
        let context = &container(only(objects, "DaemonSet")?)["securityContext"];
        if name != "least-privilege" {
            ensure!(context["privileged"] == true && context["capabilities"].is_null());
            return Ok(());
        }
        ensure!(context["privileged"] == false);
        ensure!(context["allowPrivilegeEscalation"] == false);
        ensure!(context["seccompProfile"]["type"] == "RuntimeDefault");
        ensure!(strings(&context["capabilities"]["drop"]) == ["ALL"]);
        let added = strings(&context["capabilities"]["add"]);
        ensure!(added == CAPABILITIES, "{added:?}");
        Ok(())
    })
}

#[test]
fn the_agent_takes_the_configuration_of_every_overlay() -> Result<()> {
    each(|_, objects| {
        let files = tempfile::tempdir()?;
        let file = files.path().join("observer.yaml");
        let text = &only(objects, "ConfigMap")?["data"]["observer.yaml"];
        fs::write(&file, text.as_str().context("no configuration")?)?;
        finish(Command::new(binary()?).args(["config", "check"]).arg(file)).map(drop)
    })
}
