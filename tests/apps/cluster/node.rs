//! A machine that runs pods: containerd, the kubelet, and what makes services reachable.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context as _, Result};
use observer_tests::network::{Plug, cable};
use observer_tests::process::{Process, finish, need};

use crate::control::{ADDRESS, Control, SERVICES, until, words};
use crate::machine::Machine;

const KUBELET: &str = include_str!("kubelet.yaml");
const CONTAINERD: &str = include_str!("containerd.toml");
/// Pods of all nodes; a node has a 256th.
const PODS: &str = "10.244.0.0/16";

/// Guards, in the order in which they go.
pub(crate) struct Node {
    _processes: Vec<Process>,
    pub(crate) machine: Machine,
    number: u8,
}

impl Node {
    /// Starts it and has these images there.
    pub(crate) fn start(
        machine: Machine,
        number: u8,
        control: &Control,
        binaries: &Path,
        images: &[&Path],
    ) -> Result<Self> {
        let name = machine.name;
        let files = control.files.join(format!("{name}-files"));
        fs::create_dir(&files)?;
        fs::write(files.join("kubelet.yaml"), KUBELET)?;
        fs::write(files.join("containerd.toml"), CONTAINERD)?;
        fs::write(files.join("pods.conflist"), pods(number))?;
        let mut copy = machine.command(Path::new("cp"));
        finish(copy.arg(files.join("pods.conflist")).arg("/run/cni/"))?;
        let containerd = machine.start(
            &need("containerd")?,
            &words(&format!("--config {}/containerd.toml", files.display())),
        )?;
        let ctr = need("ctr")?;
        until("containerd answers", || {
            finish(machine.command(&ctr).args(["version"]))
        })?;
        for image in images {
            let mut import = machine.command(&ctr);
            import.args(["--namespace", "k8s.io", "images", "import"]);
            finish(import.arg(image)).with_context(|| format!("{}", image.display()))?;
        }
        let kubelet = format!(
            "--config {}/kubelet.yaml --kubeconfig {} --hostname-override {name} --node-ip {}",
            files.display(),
            control.files.join(name).display(),
            address(number),
        );
        // A network of its own has no say in how many connections the kernel tracks.
        let proxy = format!(
            "--proxy-mode nftables --kubeconfig {} --hostname-override {name} --cluster-cidr {PODS} \
             --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 \
             --conntrack-tcp-timeout-close-wait 0",
            control.files.join("proxy").display(),
        );
        let kubelet = machine.start(&binaries.join("kubelet"), &words(&kubelet))?;
        let proxy = machine.start(&binaries.join("kube-proxy"), &words(&proxy))?;
        Ok(Self {
            _processes: vec![kubelet, proxy, containerd],
            machine,
            number,
        })
    }

    /// Its address in the network of machines.
    pub(crate) fn address(&self) -> IpAddr {
        address(self.number)
    }
}

/// Lays the cables from the nodes to the control plane's machine, which is their switch, and tells
/// everybody where pods are.
pub(crate) fn connect(control: &Machine, nodes: &[Machine]) -> Result<()> {
    control.network.ip("link add lan type bridge")?;
    control
        .network
        .ip(&format!("addr add {ADDRESS}/24 dev lan"))?;
    control.network.ip("link set lan up")?;
    for (number, node) in (1..).zip(nodes) {
        let switch = Plug {
            network: &control.network,
            device: node.name,
            addresses: &[],
        };
        let own = Plug {
            network: &node.network,
            device: "eth0",
            addresses: &[&format!("{}/24", address(number))],
        };
        cable([switch, own])?;
        control
            .network
            .ip(&format!("link set {} master lan", node.name))?;
    }
    for (number, node) in (1..).zip(nodes) {
        let others = nodes.iter().filter(|other| other.name != node.name);
        for other in others.chain([control]) {
            let route = format!("route add {} via {}", of_node(number), address(number));
            other.network.ip(&route)?;
        }
        // Where the node itself asks a service, something has to be routed before it is translated.
        node.network
            .ip(&format!("route add {SERVICES} via {ADDRESS}"))?;
    }
    Ok(())
}

fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 90, 0, 10 + number).into()
}

fn of_node(number: u8) -> String {
    format!("10.244.{number}.0/24")
}

/// Each pod has a cable of its own to the node, so that what goes from pod to pod is routed, and
/// addresses of services are translated on the way back, too.
fn pods(number: u8) -> String {
    let subnet = of_node(number);
    let addresses = format!(
        r#"{{"type": "host-local", "ranges": [[{{"subnet": "{subnet}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}"#
    );
    format!(
        r#"{{"cniVersion": "0.4.0", "name": "pods", "plugins": [{{"type": "ptp", "ipam": {addresses}}}]}}"#
    )
}
