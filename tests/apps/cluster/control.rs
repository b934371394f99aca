//! The machine that Kubernetes is asked on: etcd, the API server, the controllers, the scheduler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use observer_tests::process::{Process, finish, need};
use serde_json::Value;

use crate::machine::Machine;

/// Its address in the network of machines.
pub(crate) const ADDRESS: &str = "10.90.0.1";
/// Addresses of services; the API server takes the first.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// How long anything may take that Kubernetes does by itself.
const PATIENCE: Duration = Duration::from_secs(90);
/// Who may do what: token, user, uid, group.
const USERS: &str = "\
admin,admin,admin,system:masters
node1,system:node:node1,node1,system:nodes
node2,system:node:node2,node2,system:nodes
proxy,system:kube-proxy,proxy
";

/// Guards, in the order in which they go.
pub(crate) struct Control {
    api: Option<Process>,
    /// Held for as long as they are to run.
    others: Vec<Process>,
    pub(crate) machine: Machine,
    pub(crate) binaries: PathBuf,
    pub(crate) files: PathBuf,
}

impl Control {
    /// Starts all of it and waits until the API answers.
    pub(crate) fn start(machine: Machine, binaries: &Path, files: &Path) -> Result<Self> {
        fs::write(files.join("users.csv"), USERS)?;
        for user in USERS.lines().filter_map(|line| line.split(',').next()) {
            fs::write(files.join(user), kubeconfig(user))?;
        }
        let key = files.join("key");
        finish(
            Command::new(need("openssl")?)
                .args(["genrsa", "-out"])
                .arg(&key),
        )?;
        let mut control = Self {
            api: None,
            others: Vec::new(),
            machine,
            binaries: binaries.to_path_buf(),
            files: files.to_path_buf(),
        };
        let etcd = control.machine.start(
            &need("etcd")?,
            &words("--data-dir /var/lib/etcd --unsafe-no-fsync --log-level error"),
        )?;
        control.others.push(etcd);
        control.start_api()?;
        let admin = files.join("admin");
        let manager = format!(
            "--kubeconfig {} --leader-elect=false --service-account-private-key-file {} \
             --root-ca-file {}",
            admin.display(),
            key.display(),
            files.join("apiserver.crt").display(),
        );
        let scheduler = format!("--kubeconfig {} --leader-elect=false", admin.display());
        for (name, arguments) in [
            ("kube-controller-manager", manager),
            ("kube-scheduler", scheduler),
        ] {
            let process = control
                .machine
                .start(&control.binaries.join(name), &words(&arguments))?;
            control.others.push(process);
        }
        Ok(control)
    }

    /// Starts the API server and waits until it is ready.
    pub(crate) fn start_api(&mut self) -> Result<()> {
        let files = self.files.display();
        let arguments = format!(
            "--etcd-servers http://127.0.0.1:2379 --bind-address {ADDRESS} --secure-port 6443 \
             --cert-dir {files} --token-auth-file {files}/users.csv \
             --authorization-mode Node,RBAC --service-account-issuer https://kubernetes.default.svc \
             --service-account-key-file {files}/key --service-account-signing-key-file {files}/key \
             --service-cluster-ip-range {SERVICES} --allow-privileged=true \
             --kubelet-preferred-address-types InternalIP"
        );
        let program = self.binaries.join("kube-apiserver");
        self.api = Some(self.machine.start(&program, &words(&arguments))?);
        until("the API server is ready", || {
            self.kubectl(&["get", "--raw", "/readyz"]).map(drop)
        })
    }

    /// Kills the API server.
    pub(crate) fn stop_api(&mut self) -> Result<()> {
        let mut api = self.api.take().context("there is no API server")?;
        api.stop().map(drop)
    }

    /// What kubectl says to these arguments.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        // There, so that it ends with the machine.
        let mut command = self.machine.command(&self.binaries.join("kubectl"));
        command
            .arg("--kubeconfig")
            .arg(self.files.join("admin"))
            // What it has learnt of another cluster is not true of this one.
            .arg("--cache-dir")
            .arg(self.files.join("cache"))
            .args(arguments);
        finish(&mut command)
    }

    /// The same, as JSON.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[&["get", "--output", "json"], arguments].concat())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Applies a manifest, with more arguments.
    pub(crate) fn apply(&self, manifest: &str, arguments: &[&str]) -> Result<String> {
        let file = self.files.join("manifest");
        fs::write(&file, manifest)?;
        let file = file.to_string_lossy();
        self.kubectl(&[&["apply", "--filename", &file], arguments].concat())
    }

    /// Waits until a workload of a namespace has rolled out.
    pub(crate) fn rolled_out(&self, namespace: &str, what: &str) -> Result<()> {
        let arguments = ["rollout", "status", what, "--timeout=90s", "--namespace"];
        let rolled = self.kubectl(&[arguments.as_slice(), &[namespace]].concat());
        rolled.map(drop).with_context(|| self.troubles(namespace))
    }

    /// What went wrong in a namespace, as far as Kubernetes says.
    pub(crate) fn troubles(&self, namespace: &str) -> String {
        let pods = "get pods --output=wide --namespace";
        let events = "events --types=Warning --namespace";
        let said = [pods, events].map(|ask| {
            let mut arguments: Vec<&str> = ask.split(' ').collect();
            arguments.push(namespace);
            self.kubectl(&arguments).unwrap_or_default()
        });
        said.concat()
    }
}

/// Tries again until it is so.
pub(crate) fn until<T>(what: &str, mut so: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match so() {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() > PATIENCE => {
                return Err(error.context(format!("not within {PATIENCE:?}: {what}")));
            }
            Err(_) if crate::is_interrupted() => bail!("interrupted"),
            Err(_) => sleep(Duration::from_millis(200)),
        }
    }
}

/// Arguments that blanks separate.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn kubeconfig(user: &str) -> String {
    let cluster = format!("{{server: 'https://{ADDRESS}:6443', insecure-skip-tls-verify: true}}");
    format!(
        "{{apiVersion: v1, kind: Config, current-context: all, \
         clusters: [{{name: all, cluster: {cluster}}}], \
         users: [{{name: all, user: {{token: {user}}}}}], \
         contexts: [{{name: all, context: {{cluster: all, user: all}}}}]}}\n"
    )
}
