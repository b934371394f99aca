//! Machines as trees of files, and what is said of their containers.

use std::fmt::Write as _;
use std::fs;

use super::*;
use crate::tree::Tree;
use crate::workloads::directory::{Container, Pod};

const UNIFIED: &str = include_str!("../../../tests/fixtures/containers/unified.txt");
const HYBRID: &str = include_str!("../../../tests/fixtures/containers/hybrid.txt");
/// A machine with 96 processors.
const LARGE: &str = include_str!("../../../tests/fixtures/node/large.txt");

const UID: &str = "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";
const API: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const PAUSE: &str = "1f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const DOCKER: &str = "2f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// What the API and an engine would have told.
fn directory() -> Directory {
    let directory = Directory::default();
    directory.set_pod(Pod {
        uid: UID.into(),
        namespace: "naytife".into(),
        name: "backend-x2v".into(),
        containers: [(API.to_owned(), "api".to_owned())].into(),
        images: [(API.to_owned(), "naytife/backend:1".to_owned())].into(),
        ..Pod::default()
    });
    directory.set_container(Container {
        id: DOCKER.into(),
        name: "shop-redis-1".into(),
        image: "redis:7".into(),
        ..Container::default()
    });
    directory
}

fn containers(tree: &Tree, selected: &'static [&'static str], settings: &Settings) -> Containers {
    let containers = Containers::new(settings, &tree.path("proc"), tree.root());
    containers.observe(View {
        directory: directory(),
        selected: Box::new(|| selected.iter().map(|path| (*path).to_owned()).collect()),
    });
    containers
}

/// What a scrape says, without comments and without the time.
fn lines(containers: &Containers) -> Vec<String> {
    let mut families = Families::default();
    containers.read(&mut families);
    assert_eq!(families.refused(), 0);
    let text = String::from_utf8(families.into_text()).unwrap();
    let lines = text.lines();
    lines
        .filter(|line| !line.starts_with('#') && !line.starts_with("container_last_seen"))
        .map(short)
        .collect()
}

/// Labels that are empty are not there for Prometheus either.
fn short(line: &str) -> String {
    let mut line = line.to_owned();
    for label in ["container", "id", "image", "name", "namespace", "pod"] {
        line = line.replace(&format!("{label}=\"\","), "");
        line = line.replace(&format!(",{label}=\"\""), "");
    }
    for (id, word) in [(API, "<api>"), (PAUSE, "<pause>"), (DOCKER, "<docker>")] {
        line = line.replace(id, word);
    }
    line.replace(UID, "<uid>")
        .replace(&UID.replace('-', "_"), "<uid>")
}

fn everything(tree: &Tree) -> Vec<String> {
    lines(&containers(tree, &["/"], &Settings::default()))
}

/// The paths of those that have CPU seconds.
fn shown(lines: &[String]) -> Vec<&str> {
    let lines = lines.iter();
    lines
        .filter(|line| line.starts_with("container_cpu_usage_seconds_total"))
        .map(|line| {
            let (_, id) = line.split_once("id=\"").unwrap();
            id.split('"').next().unwrap()
        })
        .collect()
}

/// A fixture without the files that one says.
fn without(text: &str, gone: impl Fn(&str) -> bool) -> Tree {
    let mut left = String::new();
    for part in text.split("== ").skip(1) {
        if !gone(part.lines().next().unwrap()) {
            write!(left, "== {part}").unwrap();
        }
    }
    Tree::new(&left).unwrap()
}

#[test]
fn of_cgroup_v2_every_metric_is_as_cadvisor_has_it() {
    insta::assert_snapshot!(
        "unified",
        everything(&Tree::fixture("containers/unified.txt").unwrap()).join("\n")
    );
}

#[test]
fn on_a_hybrid_host_the_controllers_of_version_1_tell() {
    insta::assert_snapshot!("hybrid", everything(&Tree::new(HYBRID).unwrap()).join("\n"));
}

#[test]
fn every_row_of_the_table_is_seen_under_its_type() {
    let mut text = String::new();
    for fixture in [UNIFIED, HYBRID] {
        let tree = Tree::new(fixture).unwrap();
        let mut families = Families::default();
        containers(&tree, &["/"], &Settings::default()).read(&mut families);
        text += &String::from_utf8(families.into_text()).unwrap();
    }
    for metric in METRICS {
        let head = format!("# TYPE {} {}\n", metric.name, metric.kind.name());
        assert!(text.contains(&head), "{head}");
        let labels = metric.labels.iter();
        let labels: Vec<String> = labels
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let has = |line: &&str| line.starts_with(metric.name) && line.contains(&labels.join(","));
        assert!(text.lines().any(|line| has(&line)), "{metric:?}");
    }
}

#[test]
fn a_cgroup_is_shown_where_somebody_begins_in_what_is_selected() {
    let tree = Tree::new(UNIFIED).unwrap();
    let of = |selected, settings: &Settings| {
        let lines = lines(&containers(&tree, selected, settings));
        shown(&lines)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let default = Settings::default();
    let slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice";
    let pod = [
        slice.to_owned(),
        format!("{slice}/cri-containerd-<pause>.scope"),
        format!("{slice}/cri-containerd-<api>.scope"),
    ];
    let (docker, nginx) = (
        "/system.slice/docker-<docker>.scope",
        "/system.slice/nginx.service",
    );
    let all: Vec<String> = ["/", "/shop/api", docker, nginx]
        .into_iter()
        .map(str::to_owned)
        .chain(pod.clone())
        .collect();
    assert_eq!(of(&["/"], &default), all);
    let switch = Settings {
        all: true,
        ..default.clone()
    };
    assert_eq!(of(&["/shop"], &switch), all);
    assert_eq!(of(&["/shop"], &default), ["/shop/api"]);
    assert_eq!(of(&["/sho", "/absent"], &default), [""; 0]);
    assert_eq!(of(&["/kubepods.slice"], &default), pod);
    // Named, it stays without processes; what has no files has no lines.
    assert_eq!(
        of(&["/shop/empty", "/system.slice"], &default),
        [docker, nginx]
    );
    let few = Settings {
        limit: 3,
        ..default
    };
    let lines = lines(&containers(&tree, &["/"], &few));
    assert_eq!(shown(&lines), ["/", "/shop/api"]);
    assert!(lines.contains(&"container_scrape_error 1".to_owned()));
}

#[test]
fn a_kernel_without_pressure_lacks_pressure_alone() {
    let whole = everything(&Tree::new(UNIFIED).unwrap());
    let without = everything(&without(UNIFIED, |path| path.ends_with(".pressure")));
    let expected: Vec<String> = whole
        .into_iter()
        .filter(|line| !line.starts_with("container_pressure_"))
        .collect();
    assert_eq!(without, expected);
}

#[test]
fn each_file_that_is_missing_costs_what_it_would_have_said() {
    for fixture in [UNIFIED, HYBRID] {
        let whole = everything(&Tree::new(fixture).unwrap());
        let paths = fixture.split("== ").skip(1);
        for path in paths.map(|part| part.lines().next().unwrap()) {
            if path.contains(" -> ") || !path.starts_with("sys/fs/cgroup") {
                continue;
            }
            let left = everything(&without(fixture, |gone| gone == path));
            assert!(!left.contains(&"container_scrape_error 1".to_owned()));
            assert!(left.len() <= whole.len(), "{path}");
            // Of another cgroup nothing is missing.
            let (directory, _) = path.rsplit_once('/').unwrap();
            let id = short(directory);
            let others = |lines: &[String]| {
                let other = |line: &&String| {
                    let of = line
                        .split("id=\"")
                        .nth(1)
                        .and_then(|id| id.split('"').next());
                    of.is_some_and(|of| !id.contains(of))
                };
                lines.iter().filter(other).cloned().collect::<Vec<_>>()
            };
            let (left, whole) = (others(&left), others(&whole));
            assert!(left == whole, "{path}");
        }
    }
}

#[test]
fn no_content_of_any_file_ends_a_scrape() {
    let contents: [&[u8]; 6] = [
        b"",
        b"max max max\n-1\n18446744073709551616\n1e999\nnan inf\n",
        b"\xff\xfe\x00\n\x00",
        b"usage_usec\nusage_usec \nanon x\nsome\nfull total=\n8:0 rbytes= wbytes\n:8 Read 5\n",
        b"8:0\n8:0 Read\n8:0 Read x\n8:0 Fly 7\nTotal 7\n4294967296\n0\n",
        b"1 1 0:2 / / - cgroup2\ncpu\nMemTotal: kB\nbtime \n1 2\n1 (\n1 )\n1 ) S\n",
    ];
    for fixture in [UNIFIED, HYBRID] {
        let tree = Tree::new(fixture).unwrap();
        let containers = containers(&tree, &["/"], &Settings::default());
        for part in fixture.split("== ").skip(1) {
            let path = part.lines().next().unwrap();
            // The files of one cgroup stand for those of all.
            let is_anothers = path.starts_with("sys/") && !path.contains(API);
            if path.contains(" -> ") || path.contains("/fd/") || is_anothers {
                continue;
            }
            let file = tree.path(path);
            let text = fs::read(&file).unwrap();
            for content in contents {
                fs::write(&file, content).unwrap();
                let lines = lines(&containers);
                let mounted = lines.contains(&"container_scrape_error 0".to_owned());
                assert_eq!(mounted, !path.ends_with("mountinfo"), "{path}: {content:?}");
            }
            fs::write(&file, text).unwrap();
        }
    }
}

#[test]
fn a_cgroup_that_goes_while_it_is_read_costs_nothing() {
    let tree = Tree::new(UNIFIED).unwrap();
    let containers = Containers::new(&Settings::default(), &tree.path("proc"), tree.root());
    let hierarchies = Hierarchies::of(&containers.0.host).unwrap();
    let never = || false;
    let (found, lack) = tree::shown(&hierarchies, &["/".into()], 100, &never);
    assert_eq!((found.len(), lack), (8, None));
    fs::remove_dir_all(tree.path("sys/fs/cgroup/shop")).unwrap();
    let reading = put::Reading {
        host: &containers.0.host,
        hierarchies: &hierarchies,
        directory: &Directory::default(),
        devices: &containers.0.host.devices(),
        is_late: &never,
    };
    let mut families = Families::default();
    let shop = found.iter().find(|found| &*found.path == "/shop/api");
    let mut networks = HashSet::new();
    reading.put(
        shop.unwrap(),
        &mut Past::default(),
        &mut networks,
        &mut families,
    );
    assert_eq!((families.names().count(), families.refused()), (0, 0));
}

#[test]
fn a_machine_without_cgroup_v2_or_time_says_so() {
    let nothing = without(UNIFIED, |path| path.ends_with("mountinfo"));
    let error = "container_scrape_error 1".to_owned();
    assert!(everything(&nothing).contains(&error));
    let hurried = Settings {
        timeout: Duration::ZERO,
        ..Settings::default()
    };
    let tree = Tree::new(UNIFIED).unwrap();
    assert_eq!(lines(&containers(&tree, &["/"], &hurried)), [error]);
    // Before the agent observes there is nothing to be shown.
    let early = Containers::new(&Settings::default(), &tree.path("proc"), tree.root());
    assert_eq!(lines(&early), [""; 0]);
}

#[test]
fn cpu_seconds_never_go_back_and_begin_anew_with_another_cgroup() {
    let tree = Tree::new(UNIFIED).unwrap();
    let containers = containers(&tree, &["/shop"], &Settings::default());
    let seconds = || {
        let lines = lines(&containers);
        let line = lines
            .iter()
            .find(|line| line.starts_with("container_cpu_usage_seconds_total"));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    let directory = tree.path("sys/fs/cgroup/shop/api");
    let tell = |usage: u64| {
        fs::write(directory.join("cpu.stat"), format!("usage_usec {usage}\n")).unwrap();
    };
    let mut told = Vec::new();
    for usage in [500_000, 499_000, 750_000] {
        tell(usage);
        told.push(seconds());
    }
    // The old one lies elsewhere, so that the new one cannot have its number.
    fs::rename(&directory, tree.path("sys/fs/cgroup/shop/old")).unwrap();
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("cgroup.procs"), "7001\n").unwrap();
    fs::remove_file(tree.path("sys/fs/cgroup/shop/old/cgroup.procs")).unwrap();
    tell(250_000);
    told.push(seconds());
    assert_eq!(told, ["0.5", "0.5", "0.75", "0.25"]);
}

#[test]
fn a_machine_has_its_96_processors() {
    let stat = LARGE
        .split("== ")
        .find(|part| part.starts_with("proc/stat\n"));
    let tree = Tree::new(&format!("{UNIFIED}== {}", stat.unwrap())).unwrap();
    let lines = everything(&tree);
    assert!(lines.contains(&"machine_cpu_cores 96".to_owned()));
}

#[test]
fn scrapes_at_the_same_time_each_have_everything() {
    let tree = Tree::new(UNIFIED).unwrap();
    let containers = containers(&tree, &["/"], &Settings::default());
    let whole = lines(&containers);
    assert!(whole.contains(&"container_scrape_error 0".to_owned()));
    let scrapes = std::thread::scope(|scope| {
        let scrape = || (0..10).map(|_| lines(&containers)).collect::<Vec<_>>();
        let scrapes = [(); 4].map(|()| scope.spawn(scrape));
        scrapes.map(|scrape| scrape.join().unwrap())
    });
    for scrape in scrapes.into_iter().flatten() {
        assert_eq!(scrape, whole);
    }
}
