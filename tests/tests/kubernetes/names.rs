//! What recorded objects make of the directory.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use observer::workloads::directory::Kind;
use observer_tests::apiserver::{ApiServer, fixture};
use serde_json::{Value, json};

use super::scene::{NODE, Scene};

/// A pod's uid, as it was recorded.
fn uid(name: &str) -> Result<String> {
    let objects = observer_tests::apiserver::recorded()?;
    let metadata = objects.iter().map(|(_, object)| &object["metadata"]);
    let found = metadata
        .into_iter()
        .find(|metadata| metadata["name"] == name);
    let uid = found.and_then(|metadata| metadata["uid"].as_str());
    uid.map(str::to_owned).with_context(|| format!("no {name}"))
}

#[test]
fn pods_services_endpoints_and_nodes_are_named_by_recorded_objects() -> Result<()> {
    let server = ApiServer::recorded()?;
    let scene = Scene::start(&server, &[])?;
    scene.kubernetes.wait();
    for (address, name) in [
        // A pod of this node, while one that has ended had its address too.
        ("10.244.1.11", Some("backend")),
        ("10.244.1.12", Some("naytife-postgres")),
        ("10.244.1.13", Some("naytife-postgres-pooler")),
        // Pods of another node.
        ("10.244.2.11", Some("backend")),
        ("10.244.2.12", Some("store-deployer")),
        // No label that names it: its Deployment.
        ("10.244.2.2", Some("coredns")),
        // Services are called as what is behind them is.
        ("10.43.0.10", Some("backend")),
        ("10.43.0.11", Some("backend")),
        ("10.43.0.13", Some("naytife-postgres")),
        ("10.43.0.14", Some("naytife-postgres-pooler")),
        ("10.43.0.53", Some("coredns")),
        // No pod is behind it: its own name, and its endpoint's.
        ("10.43.0.15", Some("redis")),
        ("192.168.9.30", Some("redis")),
        // Nodes, as their pods say; pods in the node's network cannot be told from it.
        ("192.168.7.11", Some("worker-1")),
        ("192.168.7.12", Some("worker-2")),
        ("10.244.1.99", None),
        ("127.0.0.1", None),
    ] {
        ensure!(
            scene.at(address)?.as_deref() == name,
            "{address} is {:?}",
            scene.at(address)?
        );
    }
    Ok(())
}

#[test]
fn a_cgroup_is_a_pod_a_container_and_who_owns_it_at_last() -> Result<()> {
    let server = ApiServer::recorded()?;
    let scene = Scene::start(&server, &[])?;
    scene.kubernetes.wait();
    let (backend, postgres) = (uid("backend-6c9f7d8b5c-x2vkq")?, uid("naytife-postgres-1")?);
    let (proxy, report) = (
        uid("kube-proxy-9xk2v")?,
        uid("nightly-report-29401440-h7c2d")?,
    );
    // The kubelet's own pods have another uid in their cgroup than in the API.
    let mirror = "d1b2c3a4e5f60718293a4b5c6d7e8f90";
    for (uid, digit, owner, container, service) in [
        (
            &*backend,
            "1",
            ("Deployment", "backend"),
            Some("init-migrate"),
            "backend",
        ),
        (
            &backend,
            "2",
            ("Deployment", "backend"),
            Some("backend"),
            "backend",
        ),
        (
            &postgres,
            "5",
            ("Cluster", "naytife-postgres"),
            Some("postgres"),
            "naytife-postgres",
        ),
        (
            &proxy,
            "8",
            ("DaemonSet", "kube-proxy"),
            Some("kube-proxy"),
            "kube-proxy",
        ),
        (
            &report,
            "7",
            ("CronJob", "nightly-report"),
            Some("report"),
            "nightly-report",
        ),
        (
            mirror,
            "a",
            ("Node", "kube-apiserver"),
            Some("kube-apiserver"),
            "kube-apiserver",
        ),
        (
            mirror,
            "b",
            ("Node", "kube-apiserver"),
            None,
            "kube-apiserver",
        ),
    ] {
        let path = format!("/kubepods/burstable/pod{uid}/{}", digit.repeat(64));
        let workload = scene.directory.workload(&path).context("nobody")?;
        let Kind::Pod(pod, name) = workload.kind else {
            anyhow::bail!("{path} is no pod");
        };
        let (kind, at_last) = pod.owner.as_ref().context("no owner")?;
        ensure!((&**kind, &**at_last) == owner, "{path}: {:?}", pod.owner);
        ensure!(name.as_deref() == container, "{path}: {name:?}");
        ensure!(
            *workload.service == *service,
            "{path}: {}",
            workload.service
        );
    }
    Ok(())
}

#[test]
fn what_a_recorded_watch_tells_is_taken_over() -> Result<()> {
    let server = ApiServer::recorded()?;
    let scene = Scene::start(&server, &[])?;
    scene.kubernetes.wait();
    ensure!(scene.at("10.244.1.14")?.is_none());
    for line in fs::read_to_string(fixture("pods.watch"))?.lines() {
        let event: Value = serde_json::from_str(line)?;
        let object = event["object"].clone();
        match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => server.set("pods", object),
            Some("DELETED") => {
                let part = |name: &str| object["metadata"][name].as_str().context("no name");
                server.remove("pods", part("namespace")?, part("name")?);
            }
            _ => {}
        }
    }
    let holds = || {
        scene.directory.at([10, 244, 1, 14].into()).is_some()
            && scene
                .directory
                .at([10, 244, 1, 12].into())
                .is_none_or(|peer| !matches!(peer, observer::workloads::directory::Peer::Pod(_)))
    };
    scene.until("told", holds)?;
    ensure!(scene.at("10.244.1.14")?.as_deref() == Some("backend"));
    // The slice still has the address of the pod that is gone, and its service is still known.
    scene.until("derived", || {
        scene.at("10.244.1.12").ok().flatten().is_some()
    })?;
    ensure!(scene.at("10.244.1.12")?.as_deref() == Some("naytife-postgres"));
    ensure!(scene.at("10.43.0.13")?.as_deref() == Some("naytife-postgres"));
    Ok(())
}

#[test]
fn a_service_is_called_by_its_selector_and_then_by_its_name_where_its_pods_do_not_agree()
-> Result<()> {
    let server = ApiServer::start(None)?;
    let pod = |name: &str, app: &str, address: &str| {
        json!({
            "metadata": { "namespace": "a", "name": name, "uid": name, "labels": { "tier": "web", "app": app } },
            "spec": { "nodeName": "worker-1" },
            "status": { "phase": "Running", "podIPs": [{ "ip": address }] },
        })
    };
    server.set("pods", pod("x", "shop", "10.0.0.1"));
    server.set("pods", pod("y", "blog", "10.0.0.2"));
    for (name, selector, address, behind) in [
        ("one", json!({ "tier": "web" }), "10.1.0.1", &["x"][..]),
        ("both", json!({ "tier": "web" }), "10.1.0.2", &["x", "y"]),
        ("none-yet", json!({ "app": "soon" }), "10.1.0.3", &[]),
        ("headless", json!({ "app": "shop" }), "None", &["x"]),
        ("nothing", Value::Null, "10.1.0.4", &[]),
    ] {
        server.set(
            "services",
            json!({
                "metadata": { "namespace": "a", "name": name },
                "spec": { "clusterIP": address, "clusterIPs": [address], "selector": selector },
            }),
        );
        let behind = behind
            .iter()
            .map(|uid| json!({ "addresses": [], "targetRef": { "kind": "Pod", "uid": uid } }));
        let mut slice = json!({
            "metadata": { "namespace": "a", "name": name, "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4", "endpoints": behind.collect::<Vec<_>>(),
        });
        if slice["endpoints"] == json!([]) {
            // As Go writes it.
            slice["endpoints"] = Value::Null;
        }
        server.set("endpointslices", slice);
    }
    let scene = Scene::start(&server, &[])?;
    scene.kubernetes.wait();
    for (address, name) in [
        ("10.1.0.1", "shop"),
        ("10.1.0.2", "both"),
        ("10.1.0.3", "soon"),
        ("10.1.0.4", "nothing"),
    ] {
        ensure!(
            scene.at(address)?.as_deref() == Some(name),
            "{address}: {:?}",
            scene.at(address)?
        );
    }
    Ok(())
}

#[test]
fn of_other_nodes_only_pods_of_selected_namespaces_are_known() -> Result<()> {
    let server = ApiServer::recorded()?;
    let scene = Scene::start(&server, &["naytife"])?;
    scene.kubernetes.wait();
    let pods = scene.directory.pods();
    let elsewhere = pods.iter().filter(|pod| pod.node == "worker-2");
    ensure!(elsewhere.clone().count() == 2, "{pods:?}");
    ensure!(elsewhere.clone().all(|pod| pod.namespace == "naytife"));
    // This node's own are all known.
    ensure!(pods.iter().any(|pod| pod.namespace == "kube-system"));
    // The other one is called as its service's selector says, which no label of ours is in.
    ensure!(scene.at("10.244.2.2")?.as_deref() == Some("kube-dns"));
    Ok(())
}

#[test]
fn a_pod_that_is_given_to_this_node_is_known_whichever_watch_tells_first() -> Result<()> {
    let server = ApiServer::start(None)?;
    let pod = |node: &str| {
        json!({
            "metadata": { "namespace": "a", "name": "x", "uid": "x" },
            "spec": { "nodeName": node }, "status": {},
        })
    };
    let scene = Scene::start(&server, &[])?;
    scene.kubernetes.wait();
    for round in 0..20 {
        // Between nodes that no scheduler gives it to twice; both watches tell of each.
        server.set("pods", pod("worker-2"));
        scene.until("elsewhere", || {
            scene
                .directory
                .pod("x")
                .is_some_and(|pod| pod.node == "worker-2")
        })?;
        server.set("pods", pod("worker-1"));
        scene.until("here", || {
            scene
                .directory
                .pod("x")
                .is_some_and(|pod| pod.node == "worker-1")
        })?;
        // Whatever is still on its way has come by then.
        server.set("pods", json!({ "metadata": { "namespace": "a", "name": "y", "uid": format!("y{round}") }, "spec": { "nodeName": "worker-2" } }));
        scene.until("later", || {
            scene.directory.pod(&format!("y{round}")).is_some()
        })?;
        ensure!(scene.directory.pod("x").is_some(), "round {round}");
    }
    Ok(())
}

#[test]
fn namespaces_that_are_selected_later_are_asked_for_and_others_let_go() -> Result<()> {
    let server = ApiServer::start(None)?;
    let set = |namespace: &str, name: &str, node: &str| {
        server.set(
            "pods",
            json!({
                "metadata": { "namespace": namespace, "name": name, "uid": name },
                "spec": { "nodeName": node }, "status": {},
            }),
        );
    };
    set("a", "one", "worker-2");
    set("b", "two", "worker-2");
    set("b", "mine", NODE);
    let scene = Scene::start(&server, &["a"])?;
    scene.kubernetes.wait();
    let known = || -> Vec<String> {
        let pods = scene.directory.pods();
        let mut names: Vec<String> = pods.iter().map(|pod| pod.name.clone()).collect();
        names.sort();
        names
    };
    ensure!(known() == ["mine", "one"], "{:?}", known());
    for (namespaces, expected) in [
        (vec!["b"], vec!["mine", "two"]),
        (vec![], vec!["mine", "one", "two"]),
        (vec!["a", "b"], vec!["mine", "one", "two"]),
        (vec!["a"], vec!["mine", "one"]),
    ] {
        let namespaces: Vec<String> = namespaces.into_iter().map(str::to_owned).collect();
        scene.kubernetes.namespaces().replace(&namespaces);
        scene.until("known", || known() == expected)?;
        // Of what is watched now, what comes later is told.
        set("a", "late", "worker-2");
        set("b", "later", "worker-2");
        let told: Vec<&str> = [("one", "late"), ("two", "later")]
            .into_iter()
            .filter(|(namesake, _)| expected.contains(namesake))
            .map(|(_, name)| name)
            .collect();
        let both = || {
            let mut both = known();
            both.retain(|name| ["late", "later"].contains(&name.as_str()));
            both
        };
        scene.until("told", || both() == told)?;
        server.remove("pods", "a", "late");
        server.remove("pods", "b", "later");
        scene.until("gone", || known() == expected)?;
    }
    scene.recovers()
}
