//! What is asked of the API is what the role gives, no more and no less; and by whom it is asked is
//! nowhere told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use observer_tests::agent::binary;
use observer_tests::apiserver::{ApiServer, Fault, Request};
use observer_tests::process::{finish, need};
use serde_json::Value;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::scene::{NODE, Scene};

#[test]
fn what_is_asked_is_what_the_role_gives_no_more_and_no_less() -> Result<()> {
    let server = ApiServer::recorded()?;
    let scene = Scene::start(&server, &["naytife"])?;
    scene.kubernetes.wait();
    server.compact();
    server.cut();
    scene.recovers()?;
    check(&server)?;
    let asked: Result<BTreeSet<_>> = server.requests().iter().map(Request::right).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/base/monitoring/observer/cluster-role.yaml");
    let text = fs::read_to_string(file)?;
    let role = text.split("\n---").next().context("no role")?;
    let role: Value = serde_saphyr::from_str(role)?;
    let mut given = BTreeSet::new();
    let strings = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for rule in role["rules"].as_array().context("no rules")? {
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                for verb in strings(&rule["verbs"]) {
                    given.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    let asked = asked?;
    ensure!(asked == given, "{asked:?} is asked and {given:?} given");
    Ok(())
}

/// What `observer check` says of the API, a line each.
fn check(server: &ApiServer) -> Result<Vec<String>> {
    let files = tempfile::tempdir()?;
    let mut command = Command::new(binary()?);
    command.arg("check").env("OBSERVER_KUBERNETES_NODE", NODE);
    command.env(
        "OBSERVER_KUBERNETES_KUBECONFIG",
        server.kubeconfig(files.path())?,
    );
    let printed = String::from_utf8(command.output()?.stdout)?;
    let lines = printed
        .lines()
        .filter(|line| line.contains("Kubernetes API"));
    Ok(lines.map(str::to_owned).collect())
}

#[test]
fn check_says_which_right_is_missing_and_who_gives_it() -> Result<()> {
    let mut server = ApiServer::recorded()?;
    for (fault, line) in [
        (
            Fault::None,
            "ok        Kubernetes API: tells of the pods of worker-1, of services and endpoint slices",
        ),
        (
            Fault::Forbidden("list", "services"),
            "degraded  Kubernetes API: the agent may not list services: the ClusterRole observer \
             (deploy/base/monitoring/observer/cluster-role.yaml) gives it that, once it is bound",
        ),
        (
            Fault::Forbidden("watch", "pods"),
            "degraded  Kubernetes API: the agent may not watch pods: the ClusterRole observer \
             (deploy/base/monitoring/observer/cluster-role.yaml) gives it that, once it is bound",
        ),
        (
            Fault::Status(503),
            "degraded  Kubernetes API: it answers 503",
        ),
    ] {
        server.fault(fault);
        let said = check(&server)?;
        ensure!(said == [line], "{said:?}");
    }
    server.suspend();
    let said = check(&server)?;
    ensure!(
        said == ["degraded  Kubernetes API: it cannot be reached: connection refused"],
        "{said:?}"
    );
    Ok(())
}

/// A certificate for the loopback, and its key.
fn certify(directory: &Path) -> Result<Arc<ServerConfig>> {
    let mut openssl = Command::new(need("openssl")?);
    openssl.current_dir(directory);
    openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-subj", "/CN=kubernetes", "-keyout", "ca.key"]);
    openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    // It stands for itself, and for nobody else.
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    finish(openssl.args(["-out", "ca.crt"]))?;
    let certificate = CertificateDer::from_pem_file(directory.join("ca.crt"))?;
    let key = PrivateKeyDer::from_pem_file(directory.join("ca.key"))?;
    let config = ServerConfig::builder().with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(vec![certificate], key)?))
}

#[test]
fn a_token_that_rotates_is_read_again_and_a_certificate_of_somebody_else_not_accepted() -> Result<()>
{
    let files = tempfile::tempdir()?;
    let config = certify(files.path())?;
    let server = ApiServer::start(Some(config))?;
    for (resource, object) in observer_tests::apiserver::recorded()? {
        server.set(&resource, object);
    }
    fs::write(files.path().join("token"), "the-first-token")?;
    server.accept("the-first-token");
    let scene = Scene::within(files, &server, &[])?;
    scene.kubernetes.wait();
    ensure!(scene.at("10.43.0.11")?.as_deref() == Some("backend"));
    // Another token is in force before it is in the file.
    server.accept("the-second-token");
    server.cut();
    scene.until("turned away", || {
        let trouble = scene.informed("pods").ok().and_then(|row| row.trouble);
        trouble.is_some_and(|trouble| trouble.contains("401"))
    })?;
    ensure!(scene.at("10.43.0.11")?.as_deref() == Some("backend"));
    fs::write(scene.files.path().join("token"), "the-second-token")?;
    scene.recovers()?;
    // Whoever has another certificate is not the API.
    certify(scene.files.path())?;
    let other = Scene::start(&server, &[])?;
    fs::copy(
        scene.files.path().join("ca.crt"),
        other.files.path().join("ca.crt"),
    )?;
    fs::write(other.files.path().join("token"), "the-second-token")?;
    other.until("refused", || {
        let trouble = other.informed("pods").ok().and_then(|row| row.trouble);
        trouble.is_some_and(|trouble| trouble.starts_with("its certificate is not accepted"))
    })?;
    ensure!(other.directory.pods().is_empty());
    Ok(())
}

#[test]
fn a_kubeconfig_that_is_wrong_is_one_sentence_that_tells_no_secret() -> Result<()> {
    let files = tempfile::tempdir()?;
    let file = files.path().join("kubeconfig");
    let cluster = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]";
    let context = "current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}]";
    for (text, sentence) in [
        (
            "users: [{name: u, user: {token: SECRET".to_owned(),
            "is no kubeconfig that is understood",
        ),
        (
            format!("{{{context}, users: [{{name: u, user: {{token: SECRET}}}}]}}"),
            "does not say where the cluster",
        ),
        (
            "{users: [{name: u, user: {token: SECRET}}]}".to_owned(),
            "has no current context",
        ),
        (
            format!(
                "{{{context}, {cluster}, users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never, args: ['-c', 'echo SECRET; exit 1']}}}}}}]}}"
            ),
            "the kubeconfig's credentials cannot be had",
        ),
        (
            format!(
                "{{{context}, {cluster}, users: [{{name: u, user: {{tokenFile: /nowhere/token}}}}]}}"
            ),
            "the token /nowhere/token cannot be read",
        ),
    ] {
        fs::write(&file, &text)?;
        let mut command = Command::new(binary()?);
        command.args(["check", "--log-level", "trace"]);
        command.env("OBSERVER_KUBERNETES_NODE", NODE);
        command.env("OBSERVER_KUBERNETES_KUBECONFIG", &file);
        let output = command.output()?;
        let said = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let line = said[0].lines().find(|line| line.contains("Kubernetes API"));
        let line = line.ok_or_else(|| anyhow!("nothing is said of the API: {said:?}"))?;
        ensure!(
            line.starts_with("degraded") && line.contains(sentence),
            "{line}"
        );
        ensure!(!said.iter().any(|said| said.contains("SECRET")), "{said:?}");
    }
    Ok(())
}
