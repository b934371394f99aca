//! What of the node is shown, and where its tables are.

use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use schemars::JsonSchema;
use serde::Serialize;

use super::COLLECTORS;

/// Settings of the node's metrics; the defaults are those of Debian's node exporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether `/metrics` has the node's metrics.
    pub enabled: bool,
    /// Where `proc` is mounted.
    pub procfs: PathBuf,
    /// Where `sysfs` is mounted.
    pub sysfs: PathBuf,
    /// Where the host's file systems are mounted.
    pub rootfs: PathBuf,
    /// Where udev keeps what it knows of disks.
    pub udev: PathBuf,
    /// Where text files with metrics are.
    pub textfiles: Option<PathBuf>,
    /// Collectors to run that are not by default.
    pub enable: Vec<String>,
    /// Collectors not to run.
    pub disable: Vec<String>,
    /// How long all of them together may take.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", regex(pattern = r"^ *([0-9]+ *[a-zA-Zµ]+ *)+$"))]
    pub timeout: Duration,
    /// How long one file system may take.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", regex(pattern = r"^ *([0-9]+ *[a-zA-Zµ]+ *)+$"))]
    pub filesystem_timeout: Duration,
    /// Mount points that are left out.
    pub filesystem_exclude: String,
    /// Types of file systems that are left out.
    pub filesystem_types_exclude: String,
    /// Disks that are left out.
    pub disk_exclude: String,
    /// Network devices whose traffic is left out.
    pub network_exclude: String,
    /// Network devices whose attributes are left out.
    pub network_class_exclude: String,
    /// Network devices whose neighbours are left out.
    pub arp_exclude: String,
    /// Fields of `netstat`, `snmp` and `snmp6` that are shown.
    pub netstat_fields: String,
    /// Fields of `vmstat` that are shown.
    pub vmstat_fields: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            udev: "/run/udev/data".into(),
            textfiles: None,
            enable: Vec::new(),
            disable: Vec::new(),
            timeout: Duration::from_secs(5),
            filesystem_timeout: Duration::from_secs(1),
            filesystem_exclude: "^/(dev|proc|run|sys|mnt|media|var/lib/docker/.+\
                |var/lib/containers/storage/.+)($|/)"
                .into(),
            filesystem_types_exclude: "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts\
                |devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore\
                |rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$"
                .into(),
            disk_exclude: r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$".into(),
            network_exclude: "^lo$".into(),
            network_class_exclude: "^$".into(),
            arp_exclude: "^$".into(),
            netstat_fields: "^(.*_(InErrors|InErrs)|Ip_Forwarding\
                |Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)\
                |TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts)\
                |Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)\
                |Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$"
                .into(),
            vmstat_fields: "^(oom_kill|pgpg|pswp|pg.*fault).*".into(),
        }
    }
}

/// A key and what is wrong with its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a regular expression.
    #[error("{0}: \"{1}\" is not a regular expression")]
    Pattern(&'static str, String),
    /// No collector of that name; the list, and which of its items.
    #[error("{0}[{1}]: there is no collector \"{2}\"")]
    Collector(&'static str, usize, String),
}

/// The patterns, ready to be matched.
#[derive(Debug)]
pub(super) struct Filters {
    pub(super) filesystem_exclude: Regex,
    pub(super) filesystem_types_exclude: Regex,
    pub(super) disk_exclude: Regex,
    pub(super) network_exclude: Regex,
    pub(super) network_class_exclude: Regex,
    pub(super) arp_exclude: Regex,
    pub(super) netstat_fields: Regex,
    pub(super) vmstat_fields: Regex,
}

// === impl Fault ===

impl Fault {
    /// The key whose value it is.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Pattern(key, _) | Self::Collector(key, ..) => key,
        }
    }
}

// === impl Settings ===

impl Settings {
    /// Keys and values of the patterns.
    fn patterns(&self) -> [(&'static str, &str); 8] {
        [
            ("node.filesystem_exclude", &self.filesystem_exclude),
            (
                "node.filesystem_types_exclude",
                &self.filesystem_types_exclude,
            ),
            ("node.disk_exclude", &self.disk_exclude),
            ("node.network_exclude", &self.network_exclude),
            ("node.network_class_exclude", &self.network_class_exclude),
            ("node.arp_exclude", &self.arp_exclude),
            ("node.netstat_fields", &self.netstat_fields),
            ("node.vmstat_fields", &self.vmstat_fields),
        ]
    }

    /// What is wrong with them, each value by itself.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let patterns = self.patterns().into_iter();
        let patterns = patterns.filter_map(|(key, pattern)| compile(key, pattern).err());
        let lists = [
            ("node.enable", &self.enable),
            ("node.disable", &self.disable),
        ];
        let names = lists
            .iter()
            .flat_map(|(key, list)| list.iter().enumerate().map(move |item| (*key, item)));
        let names = names
            .filter(|(_, (_, name))| {
                !COLLECTORS
                    .iter()
                    .any(|collector| collector.name == name.as_str())
            })
            .map(|(key, (index, name))| Fault::Collector(key, index, name.clone()));
        patterns.chain(names).collect()
    }

    /// The patterns, ready to be matched.
    pub(super) fn filters(&self) -> Result<Filters, Fault> {
        let [
            filesystem_exclude,
            filesystem_types_exclude,
            disk_exclude,
            network_exclude,
            network_class_exclude,
            arp_exclude,
            netstat_fields,
            vmstat_fields,
        ] = self.patterns().map(|(key, pattern)| compile(key, pattern));
        Ok(Filters {
            filesystem_exclude: filesystem_exclude?,
            filesystem_types_exclude: filesystem_types_exclude?,
            disk_exclude: disk_exclude?,
            network_exclude: network_exclude?,
            network_class_exclude: network_class_exclude?,
            arp_exclude: arp_exclude?,
            netstat_fields: netstat_fields?,
            vmstat_fields: vmstat_fields?,
        })
    }
}

fn compile(key: &'static str, pattern: &str) -> Result<Regex, Fault> {
    Regex::new(pattern).map_err(|_| Fault::Pattern(key, pattern.to_owned()))
}
