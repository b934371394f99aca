//! Whatever the API does, what was known stays, and what it says in the end is what is known.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_tests::apiserver::{ApiServer, Fault};
use serde_json::{Value, json};

use super::scene::Scene;

/// Addresses that objects of the storm below may have.
fn addresses() -> Vec<IpAddr> {
    let (pods, services) = (0..40, 0..8);
    let pods = pods.map(|last| IpAddr::from([10, 0, 0, last]));
    let services = services.map(|last| IpAddr::from([10, 1, 0, last]));
    pods.chain(services)
        .chain([[10, 2, 0, 1].into(), [10, 2, 0, 2].into()])
        .collect()
}

fn pod(random: &mut fastrand::Rng, number: u8) -> Value {
    // Of an address only one pod at a time is a pod's that runs.
    let node = random.usize(1..3);
    json!({
        "metadata": {
            "namespace": format!("n{}", number % 2),
            "name": format!("pod-{number}"),
            "uid": format!("uid-{number}"),
            "labels": { "app": format!("app-{}", random.u8(0..3)) },
        },
        "spec": { "nodeName": format!("worker-{}", 1 + number % 2) },
        "status": {
            "phase": if random.u8(0..4) == 0 { "Succeeded" } else { "Running" },
            "podIPs": [{ "ip": format!("10.0.0.{number}") }],
            "hostIPs": [{ "ip": format!("10.2.0.{}", 1 + number % 2) }],
            "containerStatuses": [{ "name": "c", "containerID": format!("containerd://{node}") }],
        },
    })
}

fn service(random: &mut fastrand::Rng, number: u8) -> Value {
    json!({
        "metadata": { "namespace": "n0", "name": format!("service-{number}") },
        "spec": {
            "clusterIP": format!("10.1.0.{number}"),
            "selector": { "app": format!("app-{}", random.u8(0..3)) },
        },
    })
}

fn slice(random: &mut fastrand::Rng, number: u8) -> Value {
    let endpoints = (0..random.u8(0..4)).map(|_| {
        let pod = random.u8(0..40);
        json!({
            "addresses": [format!("10.0.0.{pod}")],
            "targetRef": { "kind": "Pod", "uid": format!("uid-{pod}") },
        })
    });
    json!({
        "metadata": {
            "namespace": "n0",
            "name": format!("slice-{number}"),
            "labels": { "kubernetes.io/service-name": format!("service-{}", number % 8) },
        },
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

#[test]
fn a_directory_that_lived_through_a_storm_says_what_one_says_that_starts_afterwards() -> Result<()>
{
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut server = ApiServer::start(None)?;
        let veteran = Scene::start(&server, &[])?;
        for step in 0..600 {
            let number = random.u8(0..40);
            match random.u8(0..20) {
                0..=7 => server.set("pods", pod(&mut random, number)),
                8..=10 => {
                    let namespace = format!("n{}", number % 2);
                    server.remove("pods", &namespace, &format!("pod-{number}"));
                }
                11..=12 => server.set("services", service(&mut random, number % 8)),
                13 => server.remove("services", "n0", &format!("service-{}", number % 8)),
                14..=15 => server.set("endpointslices", slice(&mut random, number % 12)),
                16 => server.remove("endpointslices", "n0", &format!("slice-{}", number % 12)),
                17 if step % 5 == 0 => server.compact(),
                18 => server.cut(),
                19 if step % 20 == 0 => {
                    server.suspend();
                    server.resume()?;
                }
                _ => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        server.set("pods", json!({ "metadata": { "namespace": "z", "name": "z", "uid": "z" }, "spec": { "nodeName": "worker-1" } }));
        let recruit = Scene::start(&server, &[])?;
        recruit.kubernetes.wait();
        let expected = recruit.said(&addresses());
        ensure!(
            expected.0.len() > 10 && expected.1.len() > 10,
            "{expected:?}"
        );
        let same = || veteran.said(&addresses()) == expected;
        let settled = veteran.until("the same", same);
        settled.with_context(|| {
            format!(
                "seed {seed}: {:?}\nis not\n{expected:?}",
                veteran.said(&addresses())
            )
        })?;
    }
    Ok(())
}

#[test]
fn while_the_api_is_away_names_stay_and_their_age_is_told() -> Result<()> {
    let mut server = ApiServer::recorded()?;
    let scene = Scene::start(&server, &[])?;
    scene.kubernetes.wait();
    let before = scene.informed("services")?;
    ensure!(
        before.trouble.is_none() && before.synchronized > 0.0 && before.objects == 9,
        "{before:?}"
    );
    server.suspend();
    let failing = || {
        let rows = scene.kubernetes.books().read();
        rows.iter()
            .all(|row| row.trouble.is_some() && row.errors > 0)
    };
    scene.until("failing", failing)?;
    let away = scene.informed("services")?;
    let trouble = away.trouble.context("no trouble")?;
    ensure!(
        trouble == "it cannot be reached: connection refused",
        "{trouble}"
    );
    ensure!(scene.at("10.43.0.10")?.as_deref() == Some("backend"));
    ensure!(scene.at("10.244.1.11")?.as_deref() == Some("backend"));
    let later = scene.informed("services")?;
    ensure!(
        (later.synchronized - away.synchronized).abs() < 0.001,
        "it says that it is current"
    );
    server.remove("services", "naytife", "backend");
    server.resume()?;
    scene.recovers()?;
    ensure!(scene.informed("services")?.synchronized > away.synchronized);
    scene.until("told", || {
        scene.at("10.43.0.10").is_ok_and(|name| name.is_none())
    })?;
    Ok(())
}

#[test]
fn a_watch_on_which_nothing_happens_says_that_it_is_current() -> Result<()> {
    let server = ApiServer::recorded()?;
    let scene = Scene::start(&server, &[])?;
    scene.kubernetes.wait();
    let first = scene.informed("services")?.synchronized;
    scene.until("heard", || {
        scene
            .informed("services")
            .is_ok_and(|row| row.synchronized > first)
    })
}

#[test]
fn a_right_that_is_missing_is_named_and_the_rest_is_known() -> Result<()> {
    let server = ApiServer::recorded()?;
    server.fault(Fault::Forbidden("watch", "endpointslices"));
    let scene = Scene::start(&server, &[])?;
    let start = Instant::now();
    scene.kubernetes.wait();
    ensure!(
        start.elapsed() < Duration::from_secs(4),
        "it waited for what is not given"
    );
    scene.until("forbidden", || {
        scene
            .informed("endpointslices")
            .is_ok_and(|row| row.trouble.is_some())
    })?;
    let trouble = scene
        .informed("endpointslices")?
        .trouble
        .unwrap_or_default();
    ensure!(
        trouble.starts_with("the agent may not watch endpointslices"),
        "{trouble}"
    );
    ensure!(trouble.contains("ClusterRole observer"), "{trouble}");
    ensure!(scene.informed("pods")?.trouble.is_none());
    ensure!(scene.at("10.244.1.11")?.as_deref() == Some("backend"));
    server.fault(Fault::None);
    scene.recovers()
}

#[test]
fn what_is_no_answer_of_an_api_changes_nothing() -> Result<()> {
    let server = ApiServer::recorded()?;
    let scene = Scene::start(&server, &[])?;
    scene.kubernetes.wait();
    for (fault, sentence) in [
        (
            Fault::Text("<html>welcome</html>"),
            "what answers there is not understood",
        ),
        (
            Fault::Text("{\"kind\":\"Status\"}"),
            "what answers there is not understood",
        ),
        (Fault::Status(500), "it answers 500"),
    ] {
        server.fault(fault.clone());
        // What is too old has to be listed again, which is where it goes wrong.
        server.compact();
        server.cut();
        scene
            .until("in trouble", || {
                let trouble = scene.informed("pods").ok().and_then(|row| row.trouble);
                trouble.is_some_and(|trouble| trouble == sentence)
            })
            .with_context(|| format!("{fault:?}"))?;
        ensure!(
            scene.at("10.244.1.11")?.as_deref() == Some("backend"),
            "{fault:?}"
        );
    }
    server.fault(Fault::None);
    scene.recovers()?;
    ensure!(scene.at("10.43.0.11")?.as_deref() == Some("backend"));
    Ok(())
}

#[test]
fn a_slow_api_holds_up_the_start_for_five_seconds_and_is_heard_later() -> Result<()> {
    let server = ApiServer::recorded()?;
    server.fault(Fault::Slow(Duration::from_secs(7)));
    let scene = Scene::start(&server, &[])?;
    let start = Instant::now();
    scene.kubernetes.wait();
    let waited = start.elapsed();
    ensure!(
        waited >= Duration::from_secs(4) && waited < Duration::from_secs(7),
        "{waited:?}"
    );
    server.fault(Fault::None);
    scene.recovers()?;
    scene.until("told", || {
        scene.at("10.43.0.11").is_ok_and(|name| name.is_some())
    })
}

#[test]
fn an_answer_without_an_end_is_not_read_to_it() -> Result<()> {
    let server = ApiServer::recorded()?;
    let scene = Scene::start(&server, &[])?;
    scene.kubernetes.wait();
    for fault in [Fault::Endless("watch"), Fault::Endless("list")] {
        server.fault(fault.clone());
        server.compact();
        server.cut();
        let told = || {
            let rows = scene.kubernetes.books().read();
            let troubles = rows.iter().filter_map(|row| row.trouble.as_deref());
            troubles.eq(["an answer of it is longer than any should be"; 4])
        };
        scene
            .until("too long", told)
            .with_context(|| format!("{fault:?}"))?;
        ensure!(scene.at("10.244.1.11")?.as_deref() == Some("backend"));
    }
    server.fault(Fault::None);
    scene.recovers()
}

#[test]
fn where_a_page_is_too_long_smaller_ones_are_asked_for() -> Result<()> {
    let server = ApiServer::recorded()?;
    server.fault(Fault::EndlessBeyond(1));
    let scene = Scene::start(&server, &[])?;
    scene.recovers()?;
    ensure!(scene.informed("services")?.objects == 9);
    let pages = server.requests();
    let pages = pages
        .iter()
        .filter_map(|request| request.query.get("limit"));
    let sizes: std::collections::BTreeSet<&str> = pages.map(String::as_str).collect();
    ensure!(sizes.into_iter().eq(["1", "10", "100"]));
    Ok(())
}
