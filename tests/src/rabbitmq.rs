//! A real RabbitMQ with its MQTT plugin, and users and rights from a definitions file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::eventually;
use crate::mqtt::Access;
use crate::port::Port;
use crate::process::Process;

/// Where Debian has the program itself; what is in the path changes the user first.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// It takes 10 s by itself, and on a busy machine a multiple of that.
const STARTED_WITHIN: Duration = Duration::from_secs(150);

/// A broker on a port of its own, with a fresh folder for what it keeps.
#[derive(Debug)]
pub struct RabbitMq {
    port: Port,
    server: Process,
    _names: Process,
    _home: TempDir,
    _ports: [Port; 2],
}

impl RabbitMq {
    /// Starts a broker with these definitions. Every user's password is their name, where the file has none.
    ///
    /// # Errors
    /// When it is not installed, or does not come up.
    pub async fn start(definitions: &Path) -> Result<Self> {
        let home = TempDir::with_prefix("mqttchat-rabbitmq-")?;
        let (port, ports) = (Port::reserve()?, [Port::reserve()?, Port::reserve()?]);
        let path = |name: &str| home.path().join(name);
        let text = tokio::fs::read_to_string(definitions).await?;
        let mut definitions: serde_json::Value = serde_json::from_str(&text)?;
        for user in definitions["users"].as_array_mut().context("no users")? {
            if user["password_hash"] == "" {
                user["password"] = user["name"].clone();
                user.as_object_mut().context("no user")?.remove("password_hash");
            }
        }
        tokio::fs::write(path("definitions.json"), definitions.to_string()).await?;
        tokio::fs::write(path("plugins"), "[rabbitmq_mqtt].").await?;
        let config = format!(
            "listeners.tcp = none\nmqtt.listeners.tcp.default = 127.0.0.1:{}\nmqtt.allow_anonymous = false\n\
             log.console = true\nlog.file = false\nload_definitions = {}\n",
            port.number(),
            path("definitions.json").display()
        );
        tokio::fs::write(path("rabbitmq.conf"), config).await?;

        // Nodes of Erlang find each other by a process that would outlive them: this one has its own.
        let names_port = ports[0].number().to_string();
        let mut names = Command::new("epmd");
        names.args(["-port", &names_port, "-address", "127.0.0.1"]);
        let names = Process::start("epmd", &mut names)?;
        let mut server = Command::new(PROGRAM);
        server
            .env("HOME", home.path())
            .env("ERL_EPMD_PORT", names_port)
            .env("RABBITMQ_NODENAME", format!("chat{}@localhost", port.number()))
            .env("RABBITMQ_DIST_PORT", ports[1].number().to_string())
            .env("RABBITMQ_CONF_ENV_FILE", path("none"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"))
            .env("RABBITMQ_MNESIA_BASE", path("data"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            // The script becomes the server then, so that killing it ends the server.
            .env("RUNNING_UNDER_SYSTEMD", "true");
        let mut server = Process::start("rabbitmq", &mut server)?;
        let said = "Server startup complete";
        server.line_within(STARTED_WITHIN, said, |line| line.contains(said).then_some(())).await?;
        Ok(Self { port, server, _names: names, _home: home, _ports: ports })
    }

    /// Its URL with a user's login, as `--broker` takes it.
    #[must_use]
    pub fn url(&self, user: &str) -> String {
        format!("mqtt://{user}:{user}@{}", self.address())
    }

    /// The way in for a user.
    #[must_use]
    pub fn access(&self, user: &str) -> Access {
        Access { address: self.address(), login: Some((user.to_owned(), user.to_owned())) }
    }

    /// Waits until it has refused this to a user, as its log says.
    ///
    /// # Errors
    /// When it has not within 30 s.
    pub async fn expect_refusal(&self, what: &str, user: &str) -> Result<()> {
        let by = format!("refused for user '{user}'");
        eventually(&format!("{what} to be refused"), async || {
            let lines = self.server.output();
            Ok(lines.iter().any(|line| line.contains(what) && line.contains(&by)).then_some(()))
        })
        .await
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }
}
