//! The Compose file and the Dockerfile.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::binary;
use observer_tests::process::finish;
use serde_json::Value;

use super::image::Image;
use super::manifests::{CAPABILITIES, project, read, strings, tool};

const FILE: &str = "deploy/compose/compose.yaml";
const SOCKET: &str = "deploy/compose/compose.socket.yaml";

#[test]
fn the_compose_file_is_what_its_specification_asks_for() -> Result<()> {
    let Some(schema) = tool("compose-spec.json")? else {
        return Ok(());
    };
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema)?)?;
    let schema = jsonschema::validator_for(&schema)?;
    let mut file = read(FILE)?;
    for file in [&file, &read(SOCKET)?] {
        let valid = schema.validate(file);
        valid.map_err(jsonschema::ValidationError::to_owned)?;
    }
    file["services"]["observer"]["cap_ad"] = Value::Null;
    ensure!(!schema.is_valid(&file), "it accepts whatever it is given");
    Ok(())
}

#[test]
fn the_container_of_compose_has_what_least_privilege_has() -> Result<()> {
    let file = read(FILE)?;
    let service = &file["services"]["observer"];
    ensure!(strings(&service["cap_drop"]) == ["ALL"]);
    ensure!(strings(&service["cap_add"]) == CAPABILITIES);
    ensure!(service["read_only"] == true && service["privileged"].is_null());
    let options = strings(&service["security_opt"]);
    ensure!(options == ["no-new-privileges:true", "seccomp:./seccomp.json"]);
    let volumes = strings(&service["volumes"]);
    ensure!(
        volumes.iter().all(|volume| volume.ends_with(":ro")),
        "{volumes:?}"
    );
    // That is as good as root.
    let socket = |volume: &&str| volume.contains(".sock");
    ensure!(!volumes.iter().any(socket), "{volumes:?}");
    let more = read(SOCKET)?;
    let more = strings(&more["services"]["observer"]["volumes"]);
    ensure!(more.iter().all(socket), "{more:?}");
    let image = format!("naytife/observer:{}", env!("CARGO_PKG_VERSION"));
    ensure!(service["image"] == *image);
    let configuration = project("deploy/compose/configuration/observer.yaml");
    let mut check = Command::new(binary()?);
    finish(check.args(["config", "check"]).arg(configuration)).map(drop)
}

/// What a Dockerfile's last stage says, by instruction; lines that go on are one.
fn instructions() -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(project("Dockerfile"))?.replace("\\\n", " ");
    let (_, last) = text.rsplit_once("FROM ").context("no stage")?;
    let lines = last.lines().filter_map(|line| line.split_once(' '));
    Ok(lines
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect())
}

#[test]
fn the_dockerfile_makes_the_image_that_xtask_makes() -> Result<()> {
    let said = instructions()?;
    let image = Image::made()?;
    let config = &image.configuration["config"];
    let list = |word: &str| -> Result<Value> { Ok(serde_json::from_str(&said[word])?) };
    ensure!(list("ENTRYPOINT")? == config["Entrypoint"]);
    ensure!(list("CMD")? == config["Cmd"]);
    ensure!(said["STOPSIGNAL"] == config["StopSignal"] && said["WORKDIR"] == config["WorkingDir"]);
    let labels = config["Labels"].as_object().context("no labels")?;
    for (name, value) in labels {
        // Only known where there is a checkout.
        if name != "org.opencontainers.image.revision" {
            ensure!(said["LABEL"].contains(&format!("{name}={value}")), "{name}");
        }
    }
    Ok(())
}
