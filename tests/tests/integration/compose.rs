//! What docker-compose.yml and docker/ say, as far as it can be tried without containers.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use mqttchat_e2e::app::run_with;
use mqttchat_e2e::port::Port;
use mqttchat_e2e::{App, eventually};
use tempfile::TempDir;
use tokio::process::Command;
use yaml_rust2::{Yaml, YamlLoader};

/// Where the containers have the logins.
const LOGIN: &str = "/mosquitto/login";

fn project(file: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(file)
}

fn compose(file: &str) -> Result<Yaml> {
    let documents = YamlLoader::load_from_str(&std::fs::read_to_string(project(file))?)?;
    documents.into_iter().next().context("an empty document")
}

/// A value as it is where nothing is set: `${NAME:-default}` is the default.
fn by_default(text: &str) -> String {
    match text.split_once("${").and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        Some((before, (name, after))) => {
            let default = name.split_once(":-").map_or("", |(_, default)| default);
            format!("{before}{default}{}", by_default(after))
        }
        None => text.to_owned(),
    }
}

/// Makes the logins, as the service `login` does.
async fn logins() -> Result<TempDir> {
    let login = tempfile::tempdir()?;
    make_logins(login.path()).await?;
    Ok(login)
}

async fn make_logins(folder: &Path) -> Result<()> {
    let own = std::fs::metadata(folder)?.uid().to_string();
    let made = Command::new("sh")
        .arg(project("docker/logins.sh"))
        .env("LOGIN_DIR", folder)
        .env("WITH_DATABASE", "yes")
        .envs([("BROKER_USER", &own), ("DATABASE_USER", &own), ("APP_USER", &own)])
        .output()
        .await?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

#[tokio::test]
async fn the_server_is_given_settings_that_there_are() -> Result<()> {
    let login = logins().await?;
    let here = login.path().display().to_string();
    let mut variables = BTreeMap::new();
    let mut arguments = Vec::new();
    for file in ["docker-compose.yml", "docker/prod.yml"] {
        let app = &compose(file)?["services"]["app"];
        for argument in app["command"].as_vec().into_iter().flatten() {
            arguments.push(argument.as_str().context("an argument")?.replace(LOGIN, &here));
        }
        for (name, value) in app["environment"].as_hash().into_iter().flatten() {
            let (name, value) = (name.as_str().context("a name")?, value.as_str().context("a text")?);
            variables.insert(name.to_owned(), by_default(value));
        }
    }
    ensure!(arguments.iter().any(|argument| argument.starts_with(&here)), "{arguments:?}");
    ensure!(variables.len() >= 2, "{variables:?}");
    let data = ["--data".to_owned(), login.path().join("data").display().to_string()];
    let checked =
        run_with(["check-config".to_owned()].iter().chain(&arguments).chain(&data), &variables).await?;
    assert_eq!((checked.status, checked.stderr.as_str()), (Some(0), ""), "{arguments:?} {variables:?}");
    // A name that is none is noticed.
    variables.insert("MQTTCHAT_HTTP__PROXYS".to_owned(), String::new());
    let checked = run_with(["check-config".to_owned()].iter().chain(&arguments), &variables).await?;
    assert_eq!(checked.status, Some(2), "{checked:?}");
    // The health check of the image asks where the server listens by itself.
    let dockerfile = std::fs::read_to_string(project("Dockerfile"))?;
    ensure!(dockerfile.contains(r#"CMD ["mqttchat", "healthcheck"]"#) && dockerfile.contains("EXPOSE 9091"));
    Ok(())
}

#[tokio::test]
async fn logins_are_made_once_and_are_those_of_the_broker() -> Result<()> {
    let login = logins().await?;
    let read = |name: &str| std::fs::read_to_string(login.path().join(name));
    let (toml, database) = (read("mqttchat.toml")?, read("database-password")?);
    make_logins(login.path()).await?;
    assert_eq!((read("mqttchat.toml")?, read("database-password")?), (toml.clone(), database));
    for entry in std::fs::read_dir(login.path())? {
        let entry = entry?;
        assert_eq!(entry.metadata()?.permissions().mode() & 0o077, 0, "{}", entry.path().display());
    }

    // The broker's own configuration, at a port and in a folder of the test's.
    let port = Port::reserve()?;
    let conf = std::fs::read_to_string(project("docker/mosquitto.conf"))?
        .replace("listener 1883", &format!("listener {} 127.0.0.1", port.number()))
        .replace(LOGIN, &login.path().display().to_string())
        .replace("/mosquitto/data/", &format!("{}/", login.path().display()));
    let file = login.path().join("mosquitto.conf");
    // Started by root, it would become somebody else, who can't read these files.
    std::fs::write(&file, conf + "\nuser root\n")?;
    let _broker = Command::new("mosquitto").arg("-c").arg(&file).kill_on_drop(true).spawn()?;
    let url = toml.lines().next().and_then(|line| line.split('"').nth(1)).context("no broker")?;
    let url = url.replace("broker:1883", &format!("127.0.0.1:{}", port.number()));
    let app = App::builder().broker(&url).start().await?;
    eventually("the broker", async || {
        Ok(app.output().iter().any(|line| line.contains("connected to the broker")).then_some(()))
    })
    .await?;
    let wrong = url.replace("mqttchat:", "mqttchat:not-");
    let app = App::builder().broker(&wrong).start().await?;
    eventually("the broker to refuse another login", async || {
        Ok(app.output().iter().any(|line| line.contains("the broker is away")).then_some(()))
    })
    .await?;
    assert!(!app.output().iter().any(|line| line.contains("connected to the broker")));
    Ok(())
}
