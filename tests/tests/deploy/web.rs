//! The endpoint behind a certificate, a password and a token, as curl sees it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use observer_tests::agent::binary;
use observer_tests::cgroup::Cgroup;
use observer_tests::process::{Place, Process, finish, free_port, need};
use tempfile::TempDir;

/// Of the password `secret`.
const SECRET: &str = "$2y$05$IyOU2CasJ3tMfk4Md3JgHO0rQCQDuRyoreUQ5ZdVst0d7FL.aw9w.";
/// Of the password `another`.
const ANOTHER: &str = "$2y$05$X2TB/N3Nz.nReg.E7gQFGOUcZ8CtShuhdzgolTBpWxFRX4MH5vll6";

/// A certificate for the loopback, its key, and what trusts it.
fn certify(directory: &Path) -> Result<()> {
    let mut openssl = Command::new(need("openssl")?);
    openssl
        .current_dir(directory)
        .args(["req", "-x509", "-nodes", "-newkey", "ec"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]);
    openssl.args([
        "-subj",
        "/CN=observer",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]);
    finish(openssl.args(["-keyout", "new.key", "-out", "new.crt"]))?;
    fs::rename(directory.join("new.key"), directory.join("observer.key"))?;
    fs::rename(directory.join("new.crt"), directory.join("observer.crt"))?;
    Ok(())
}

/// Puts a web configuration into its place, as an editor does.
fn configure(directory: &Path, users: &str) -> Result<()> {
    let tls = "tls_server_config: {cert_file: observer.crt, key_file: observer.key}";
    let text = format!("{tls}\nbearer_token_file: token\nbasic_auth_users:\n  {users}\n");
    fs::write(directory.join("new"), text)?;
    fs::rename(directory.join("new"), directory.join("web.yaml"))?;
    Ok(())
}

struct Scene {
    files: TempDir,
    address: SocketAddr,
    process: Process,
    _idle: Cgroup,
}

impl Scene {
    fn start() -> Result<Self> {
        let files = tempfile::tempdir()?;
        certify(files.path())?;
        fs::write(files.path().join("token"), "of-a-scraper\n")?;
        configure(files.path(), &format!("prometheus: {SECRET}"))?;
        let (idle, address) = (Cgroup::create("idle")?, free_port()?);
        let mut command = Command::new(binary()?);
        command.args(["run", "--listen", &address.to_string(), "--web.config.file"]);
        command.arg(files.path().join("web.yaml"));
        command.arg("--cgroup").arg(idle.path());
        let log = files.path().join("log");
        let process = Process::start(command, &log, &Place::default())?;
        let mut scene = Self {
            files,
            address,
            process,
            _idle: idle,
        };
        scene.until("/readyz", &[], 200)?;
        Ok(scene)
    }

    fn status(&self, path: &str, arguments: &[&str]) -> Result<u16> {
        ask(self.files.path(), self.address, path, arguments)
    }

    fn until(&mut self, path: &str, arguments: &[&str], status: u16) -> Result<()> {
        let (files, address) = (self.files.path(), self.address);
        self.process.until("answer as it should", || {
            let answer = ask(files, address, path, arguments).ok()?;
            (answer == status).then_some(())
        })
    }
}

/// The status of curl's answer; 0 where there is none.
fn ask(files: &Path, address: SocketAddr, path: &str, arguments: &[&str]) -> Result<u16> {
    let mut curl = Command::new(need("curl")?);
    curl.args([
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ]);
    curl.arg("--cacert").arg(files.join("observer.crt"));
    curl.args(arguments).arg(format!("https://{address}{path}"));
    Ok(String::from_utf8(curl.output()?.stdout)?.trim().parse()?)
}

#[test]
fn only_the_password_and_the_token_open_it_and_only_over_tls() -> Result<()> {
    let scene = Scene::start()?;
    let token = ["--header", "Authorization: Bearer of-a-scraper"];
    let cases: [(&str, &[&str], u16); 9] = [
        ("/healthz", &[], 200),
        ("/readyz", &[], 200),
        ("/metrics", &[], 401),
        ("/", &[], 401),
        ("/metrics", &["--user", "prometheus:wrong"], 401),
        ("/metrics", &["--user", "somebody:secret"], 401),
        ("/metrics", &["--user", "prometheus:secret"], 200),
        ("/metrics", &token, 200),
        (
            "/metrics",
            &["--user", "prometheus:secret", "--data", "x"],
            405,
        ),
    ];
    for (path, arguments, expected) in cases {
        let status = scene.status(path, arguments)?;
        ensure!(status == expected, "{path} {arguments:?}: {status}");
    }
    let plain = ureq::get(format!("http://{}/healthz", scene.address)).call();
    ensure!(plain.is_err(), "it answered in plaintext");
    let said = scene.process.printed();
    ensure!(
        !said.contains("secret") && !said.contains("of-a-scraper"),
        "{said}"
    );
    Ok(())
}

#[test]
fn what_changes_comes_into_force_and_what_is_wrong_does_not() -> Result<()> {
    let mut scene = Scene::start()?;
    let directory = scene.files.path().to_owned();
    configure(&directory, &format!("prometheus: {ANOTHER}"))?;
    scene.until("/metrics", &["--user", "prometheus:another"], 200)?;
    ensure!(scene.status("/metrics", &["--user", "prometheus:secret"])? == 401);
    configure(&directory, "prometheus: secret")?;
    let refused = "the web configuration was refused";
    let log = directory.join("log");
    scene.process.until("refuse it", || {
        let said = fs::read_to_string(&log).ok()?;
        said.contains(refused).then_some(())
    })?;
    ensure!(scene.status("/metrics", &["--user", "prometheus:another"])? == 200);
    certify(&directory)?;
    configure(&directory, &format!("prometheus: {ANOTHER}"))?;
    // Trusts the new certificate alone.
    scene.until("/metrics", &["--user", "prometheus:another"], 200)
}
