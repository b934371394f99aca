//! Machines as trees of files, and what is said of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::export::families::Families;
use crate::tree::Tree;

/// A machine that is a tree of files.
struct Scene(Tree);

impl Scene {
    fn new(text: &str) -> Self {
        Self(Tree::new(text).unwrap())
    }

    fn root(&self) -> &Path {
        self.0.root()
    }

    fn settings(&self) -> Settings {
        let disable = ["build", "process", "timex", "uname"];
        Settings {
            procfs: self.0.path("proc"),
            sysfs: self.0.path("sys"),
            rootfs: self.root().to_owned(),
            udev: self.0.path("run/udev/data"),
            textfiles: Some(self.0.path("textfiles")),
            // They ask the kernel, not a file.
            disable: disable.map(str::to_owned).into(),
            ..Settings::default()
        }
    }

    /// What is said of it, without what no two scrapes share.
    fn lines(&self) -> Vec<String> {
        lines(&Node::new(&self.settings()).unwrap(), self.root())
    }
}

fn lines(node: &Node, root: &Path) -> Vec<String> {
    let mut families = Families::default();
    node.read(&mut families);
    let text = String::from_utf8(families.into_text()).unwrap();
    let unsteady = [
        "node_scrape_collector_duration_seconds",
        "node_textfile_mtime_seconds",
        "node_time_seconds",
        "node_time_zone",
        // Of the disk on which the tree lies.
        "node_filesystem_size",
        "node_filesystem_free",
        "node_filesystem_avail",
        "node_filesystem_files",
    ];
    text.lines()
        .filter(|line| !line.starts_with("# HELP"))
        .filter(|line| !unsteady.iter().any(|name| line.contains(name)))
        .map(|line| line.replace(&root.display().to_string(), "ROOT"))
        .collect()
}

/// The value of a line.
fn value(lines: &[String], series: &str) -> Option<String> {
    let mut of = lines
        .iter()
        .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = of.next().map(str::to_owned);
    assert_eq!(of.next(), None, "{series} stands twice");
    value
}

/// Collectors without success.
fn failed(lines: &[String]) -> Vec<&str> {
    let lines = lines.iter();
    lines
        .filter_map(|line| {
            let collector = line.strip_prefix("node_scrape_collector_success{collector=\"")?;
            collector.strip_suffix("\"} 0")
        })
        .collect()
}

const SMALL: &str = include_str!("../../../tests/fixtures/node/small.txt");
const LARGE: &str = include_str!("../../../tests/fixtures/node/large.txt");
const OLD: &str = include_str!("../../../tests/fixtures/node/old.txt");
const GARBAGE: &str = include_str!("../../../tests/fixtures/node/garbage.txt");

#[test]
fn every_table_is_shown_as_node_exporter_does() {
    let lines = Scene::new(SMALL).lines();
    insta::assert_snapshot!("small", lines.join("\n"));
}

#[test]
fn every_processor_core_and_package_is_shown_once() {
    let lines = Scene::new(LARGE).lines();
    let count = |prefix: &str| lines.iter().filter(|line| line.starts_with(prefix)).count();
    let cases = [
        ("node_cpu_seconds_total{", 96 * 8),
        ("node_cpu_guest_seconds_total{", 96 * 2),
        ("node_schedstat_running_seconds_total{", 96),
        ("node_softnet_processed_total{", 96),
        ("node_cpu_core_throttles_total{", 48),
        ("node_cpu_package_throttles_total{", 2),
        ("node_filesystem_device_error{", 1),
    ];
    for (prefix, expected) in cases {
        assert_eq!(count(prefix), expected, "{prefix}");
    }
    for (series, expected) in [
        ("node_cpu_seconds_total{cpu=\"95\",mode=\"user\"}", "10.95"),
        ("node_softnet_processed_total{cpu=\"95\"}", "96"),
        ("node_schedstat_running_seconds_total{cpu=\"95\"}", "95"),
        ("node_cpu_package_throttles_total{package=\"1\"}", "8"),
        ("node_intr_total", "123456789012345"),
        ("node_forks_total", "4294967296"),
    ] {
        assert_eq!(value(&lines, series).as_deref(), Some(expected), "{series}");
    }
}

#[test]
fn what_an_old_kernel_lacks_costs_nothing_else() {
    let lines = Scene::new(OLD).lines();
    insta::assert_snapshot!("old", lines.join("\n"));
}

#[test]
fn of_a_table_with_garbage_the_rest_is_shown_without_success() {
    let lines = Scene::new(GARBAGE).lines();
    insta::assert_snapshot!("garbage", lines.join("\n"));
}

#[test]
fn a_machine_without_tables_has_no_success_and_no_other_trouble() {
    let tree = Scene::new("");
    let lines = tree.lines();
    let expected: Vec<&str> = COLLECTORS
        .iter()
        .filter(|collector| {
            collector.on
                && !tree
                    .settings()
                    .disable
                    .iter()
                    .any(|name| name == collector.name)
        })
        .map(|collector| collector.name)
        // Absence is an answer.
        .filter(|name| *name != "selinux")
        .collect();
    assert_eq!(failed(&lines), expected);
}

#[test]
fn no_content_of_any_file_ends_a_collector() {
    let whole = Scene::new(SMALL);
    let node = Node::new(&whole.settings()).unwrap();
    let mut files = Vec::new();
    for part in SMALL.split("== ").skip(1) {
        let path = part.split('\n').next().unwrap();
        if !path.contains(" -> ") {
            files.push(path);
        }
    }
    let contents: [&[u8]; 8] = [
        b"",
        b"\n",
        b" : = [ ] ( / 0x",
        b"-\n-1\n18446744073709551616\n1e999\n",
        b"\xff\xfe\x00\n\x00",
        b"cpu\ncpu0\ncpu0 \nsome\nfull\nE:=\nE:\nmd0 : \n# TYPE\n# TYPE x\nx{\n",
        b"one\ntwo\nthree 0 0 0 0 0 0\n\n0: 0:0 0:0 0 0:0\n",
        b"Tcp:\nTcp: 1\nTcp6 1\n65-0,1-70000,-\n\"\n'",
    ];
    for file in files {
        let path = whole.0.path(file);
        let text = fs::read(&path).unwrap();
        let halves = text.split_at(text.len() / 2);
        for content in contents.into_iter().chain([halves.0, halves.1]) {
            fs::write(&path, content).unwrap();
            let mut families = Families::default();
            node.read(&mut families);
            let text = String::from_utf8(families.into_text()).unwrap();
            // A collector that panicked has no duration.
            let ended = text
                .matches("\nnode_scrape_collector_duration_seconds{")
                .count();
            assert_eq!(ended, node.collectors.len(), "{file}: {content:?}");
        }
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn a_file_server_that_is_gone_costs_its_own_file_system_only() {
    let tree = Scene::new(SMALL);
    let mut settings = tree.settings();
    settings.filesystem_timeout = Duration::from_millis(50);
    let mut node = Node::new(&settings).unwrap();
    let (hold, ends) = std::sync::mpsc::channel::<()>();
    let ends = Mutex::new(ends);
    let machine = Arc::get_mut(&mut node.machine).unwrap();
    machine.mounts = filesystem::Mounts::asked(settings.filesystem_timeout, move |path| {
        if path.ends_with("boot") {
            let _gone = lock(&ends).recv();
        }
        nix::sys::statvfs::statvfs(path)
    });
    for _ in 0..2 {
        let lines = lines(&node, tree.root());
        let error = |point| {
            let device = if point == "/" {
                "/dev/mapper/vg-root"
            } else {
                "/dev/sda1"
            };
            let kind = if point == "/" { "ext4" } else { "ext2" };
            value(
                &lines,
                &format!(
                    "node_filesystem_device_error{{device=\"{device}\",mountpoint=\"{point}\",fstype=\"{kind}\"}}"
                ),
            )
        };
        assert_eq!(error("/boot").as_deref(), Some("1"));
        assert_eq!(error("/").as_deref(), Some("0"));
        let all: Vec<&str> = failed(&lines);
        assert!(
            !all.contains(&"filesystem") && !all.contains(&"vmstat"),
            "{all:?}"
        );
    }
    drop(hold);
}

#[test]
fn settings_choose_collectors_devices_and_fields() {
    let tree = Scene::new(SMALL);
    let settings = Settings {
        disable: vec!["hwmon".into(), "mdadm".into()],
        disk_exclude: "^dm-".into(),
        network_exclude: "^eth".into(),
        arp_exclude: "eth1".into(),
        filesystem_exclude: "^/boot$".into(),
        filesystem_types_exclude: "^(tmpfs|proc|sysfs|cgroup2|overlay)$".into(),
        vmstat_fields: "^nr_".into(),
        netstat_fields: "^Ip_".into(),
        network_class_exclude: "bond".into(),
        ..tree.settings()
    };
    let lines = lines(&Node::new(&settings).unwrap(), tree.root());
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    for absent in [
        "node_hwmon",
        "node_md",
        "collector=\"hwmon\"",
        "device=\"dm-0\"",
        "node_network_receive_bytes_total{device=\"eth0\"}",
        "node_arp_entries{device=\"eth1\"}",
        "mountpoint=\"/boot\"",
        "fstype=\"tmpfs\"",
        "node_vmstat_pgfault",
        "node_netstat_Tcp_",
        "node_network_up{device=\"bond0\"}",
    ] {
        assert!(!has(absent), "{absent}");
    }
    for present in [
        "node_disk_io_now{device=\"loop0\"}",
        "node_network_receive_bytes_total{device=\"lo\"}",
        "mountpoint=\"/\"",
        "node_vmstat_nr_free_pages",
        "node_netstat_Ip_DefaultTTL",
    ] {
        assert!(has(present), "{present}");
    }
}

#[test]
fn what_is_wrong_with_settings_is_told_with_its_key() {
    let settings = Settings {
        disk_exclude: "(".into(),
        vmstat_fields: "*".into(),
        enable: vec!["processes".into(), "procs".into()],
        ..Settings::default()
    };
    let told: Vec<String> = settings.faults().iter().map(Fault::to_string).collect();
    assert_eq!(
        told,
        [
            "node.disk_exclude: \"(\" is not a regular expression",
            "node.vmstat_fields: \"*\" is not a regular expression",
            "node.enable[1]: there is no collector \"procs\"",
        ]
    );
    assert_eq!(Settings::default().faults(), []);
    assert!(Node::new(&settings).is_err());
}

#[test]
fn each_family_is_of_the_collector_that_says_so() {
    let settings = Settings {
        enable: vec!["processes".into()],
        ..Settings::default()
    };
    // This very machine has tables that no fixture has.
    let tree = Scene::new(SMALL);
    let fixture = Settings {
        disable: Vec::new(),
        ..tree.settings()
    };
    let mut counts = BTreeMap::new();
    for settings in [settings, fixture] {
        let node = Node::new(&settings).unwrap();
        for collector in &node.collectors {
            let outcome = collector.run(&node.machine);
            for name in outcome.families.names() {
                let declared =
                    collector
                        .families
                        .iter()
                        .any(|family| match family.strip_suffix('*') {
                            Some(prefix) => name.starts_with(prefix),
                            None => name == *family,
                        });
                assert!(declared, "{name} of {}", collector.name);
                *counts.entry(collector.name).or_insert(0) += 1;
            }
        }
    }
    for collector in COLLECTORS {
        assert!(
            counts.contains_key(collector.name),
            "{} is never seen",
            collector.name
        );
    }
}
