//! Only what is selected, once, and nothing after the agent is gone.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::slice;
use std::time::{Duration, Instant};

use aya::programs::loaded_programs;
use observer::capture::{Capture, CaptureError, Settings};
use observer_ebpf::{Counter, Direction, Kind};
use observer_tests::programs::held;

use crate::harness::{World, mount, noise, send};

#[test]
fn a_cgroup_that_is_not_selected_yields_nothing() {
    let mut world = World::unselected(&Settings::default());
    let other = world.directory.join("selected");
    fs::create_dir_all(&other).unwrap();
    world.capture.attach(&other).unwrap();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(1000));
    drop((client, server));
    assert_eq!(world.records().len(), 0);
    assert_eq!(world.counters().get(Counter::SeenBytes), 0);
    fs::remove_dir(other).unwrap();
}

#[test]
fn a_cgroup_selected_twice_or_below_another_is_seen_once() {
    let mut world = World::unselected(&Settings::default());
    let below = world.directory.join("below");
    fs::create_dir_all(&below).unwrap();
    world.capture.attach(&below).unwrap();
    world.select();
    world.select();
    world.capture.attach(&below).unwrap();
    assert_eq!(world.capture.selected().count(), 1);
    for probe in world.capture.probes() {
        assert_eq!(
            (probe.attached, &probe.failure),
            (1, &None),
            "{}",
            probe.probe.program
        );
    }
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(1000));
    assert_eq!(world.closes(), 2000);
    fs::remove_dir(below).unwrap();
}

#[test]
fn a_deselected_cgroup_is_seen_no_more_and_its_probes_are_off() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(10));
    let directory = world.directory.clone();
    assert!(world.capture.detach(&directory));
    send(&mut client, &mut server, &noise(1000));
    assert_eq!(world.closes(), 20);
    assert!(
        world
            .capture
            .probes()
            .iter()
            .take(3)
            .all(|probe| probe.attached == 0)
    );
    // And seen again, with a hole of known length, when it is selected again.
    world.select();
    send(&mut client, &mut server, &noise(30));
    let cookie = world.cookie(&client);
    let records = world.payload(cookie, Direction::Sent);
    assert_eq!(records[records.len() - 1].header.position, 1010);
    assert_eq!(world.closes(), 80);
}

#[test]
fn another_selection_attaches_what_is_new_and_detaches_what_is_not_in_it() {
    let mut world = World::new();
    let directory = world.directory.clone();
    let below = directory.join("below");
    let beside = directory.with_extension("beside");
    for made in [&below, &beside] {
        fs::create_dir_all(made).unwrap();
    }
    let selected = |capture: &Capture| {
        let mut paths: Vec<_> = capture.selected().map(Path::to_owned).collect();
        paths.sort();
        paths
    };
    let select = |world: &mut World, paths: &[&std::path::PathBuf]| {
        let paths: Vec<_> = paths.iter().map(|path| (*path).clone()).collect();
        world.capture.select(&paths).unwrap()
    };
    assert!(select(&mut world, &[&directory, &below]).is_empty());
    assert_eq!(selected(&world.capture), slice::from_ref(&directory));
    assert_eq!(
        select(&mut world, &[&below, &beside]),
        slice::from_ref(&directory)
    );
    let mut both = vec![below.clone(), beside.clone()];
    both.sort();
    assert_eq!(selected(&world.capture), both);
    let mut gone = select(&mut world, &[&directory, &directory.join("absent")]);
    gone.sort();
    assert_eq!(gone, both);
    assert_eq!(selected(&world.capture), slice::from_ref(&directory));
    for probe in world.capture.probes() {
        assert_eq!(probe.attached, 1, "{}", probe.probe.program);
    }
    for made in [below, beside] {
        fs::remove_dir(made).unwrap();
    }
}

#[test]
fn a_cgroup_that_is_gone_is_swept() {
    let mut world = World::new();
    let below = world.directory.with_extension("gone");
    fs::create_dir_all(&below).unwrap();
    world.capture.attach(&below).unwrap();
    fs::remove_dir(&below).unwrap();
    assert_eq!(world.capture.sweep(), 1);
    assert_eq!(world.capture.selected().count(), 1);
}

#[test]
fn sockets_that_outlive_their_cgroup_are_seen_to_their_end() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    fs::remove_dir(&world.directory).unwrap();
    assert_eq!(world.capture.sweep(), 1);
    fs::create_dir(&world.directory).unwrap();
    world.select();
    send(&mut client, &mut server, &noise(10));
    let (mut other_client, mut other_server) = world.pair("127.0.0.1:0");
    send(&mut other_client, &mut other_server, &noise(100));
    let cookies = [&client, &server].map(|end| world.cookie(end));
    drop((client, server));
    for cookie in cookies {
        assert_eq!(world.life(cookie).last(), Some(&Kind::Closed));
    }
    assert_eq!(world.closes(), 2 * 110);
    assert_eq!(world.capture.counters().tracked_sockets().unwrap(), 2);
}

#[test]
fn an_absent_cgroup_is_one_sentence_with_the_directory_that_was_tried() {
    let mut world = World::unselected(&Settings::default());
    let error = world
        .capture
        .attach(Path::new("no/such/thing"))
        .unwrap_err();
    assert!(matches!(error, CaptureError::Cgroup { .. }));
    let tried = mount().join("no/such/thing");
    assert!(
        error
            .to_string()
            .starts_with(&format!("cgroup {} cannot be", tried.display()))
    );
}

#[test]
fn two_agents_see_the_same_and_do_not_disturb_each_other() {
    let mut world = World::new();
    let mut second = Capture::load(&Settings::default()).unwrap();
    second.attach(&world.directory).unwrap();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(500));
    assert_eq!(world.closes(), 1000);
    assert_eq!(
        second.counters().read().unwrap().get(Counter::SeenBytes),
        1000
    );
    drop(second);
    send(&mut client, &mut server, &noise(500));
    assert_eq!(world.closes(), 2000);
}

/// Not a test of its own: the agent that the next one kills.
#[test]
#[ignore = "run by a_killed_agent_leaves_nothing_attached"]
fn agent_to_be_killed() {
    let Ok(directory) = std::env::var("OBSERVER_TEST_CGROUP") else {
        return;
    };
    let mut capture = Capture::load(&Settings::default()).unwrap();
    capture.attach(Path::new(&directory)).unwrap();
    eprintln!("attached");
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn a_killed_agent_leaves_nothing_attached() {
    let world = World::unselected(&Settings::default());
    let mut agents: Vec<_> = (0..2)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "selection::agent_to_be_killed",
                    "--ignored",
                    "--nocapture",
                ])
                .env("OBSERVER_TEST_CGROUP", &world.directory)
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for agent in &mut agents {
        let mut lines = BufReader::new(agent.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("attached")));
    }
    let theirs: Vec<u32> = agents
        .iter()
        .flat_map(|agent| held(agent.id()).unwrap())
        .collect();
    assert!(theirs.len() >= 12, "{theirs:?}");
    for agent in &mut agents {
        agent.kill().unwrap();
        agent.wait().unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    let is_loaded = |id| {
        loaded_programs()
            .flatten()
            .any(|program| program.id() == id)
    };
    while theirs.iter().any(|id| is_loaded(*id)) {
        assert!(Instant::now() < deadline, "still loaded, of {theirs:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_agent_started_under_traffic_tells_who_a_connection_is_before_its_bytes() {
    let mut world = World::unselected(&Settings::default());
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(10));
    world.select();
    send(&mut server, &mut client, &noise(10));
    for end in [&client, &server] {
        let cookie = world.cookie(end);
        let kinds = world.of(cookie, |kept| Some(kept.kind));
        assert_eq!(kinds, [Kind::Connection, Kind::Segment]);
    }
}
