//! A Mosquitto of one's own to compare with: it listens for MQTT and for MQTT over WebSocket, and keeps nothing.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::process::Process;

const PATIENCE: Duration = Duration::from_secs(10);

/// A broker that runs. It is killed when dropped.
pub(crate) struct Mosquitto {
    child: Child,
    tcp: u16,
    websocket: u16,
    _home: TempDir,
}

impl Mosquitto {
    /// Starts it and waits until it takes connections.
    pub(crate) async fn start() -> Result<Self> {
        let home = tempfile::tempdir().context("no temporary directory can be made")?;
        let (tcp, websocket) = free_ports()?;
        let config = home.path().join("mosquitto.conf");
        // Without bounds on what waits for a slow subscriber: nothing is to be dropped while it is measured.
        let text = format!(
            "allow_anonymous true\npersistence false\nlog_type error\nlog_dest stderr\nset_tcp_nodelay true\n\
             max_queued_messages 0\nmax_inflight_messages 0\n\
             listener {tcp} 127.0.0.1\nprotocol mqtt\nlistener {websocket} 127.0.0.1\nprotocol websockets\n"
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().context("mosquitto can't be started; is it installed?")?;
        for port in [tcp, websocket] {
            tokio::time::timeout(PATIENCE, answers(port, &mut child))
                .await
                .context("mosquitto takes no connections")??;
        }
        Ok(Self { child, tcp, websocket, _home: home })
    }

    /// Its URL: for MQTT over WebSocket, or for plain MQTT.
    pub(crate) fn url(&self, websocket: bool) -> String {
        if websocket {
            format!("mqtt+ws://127.0.0.1:{}", self.websocket)
        } else {
            format!("mqtt://127.0.0.1:{}", self.tcp)
        }
    }

    /// Its process; `None` when it has ended.
    pub(crate) fn process(&self) -> Option<Process> {
        self.child.id().map(Process::of)
    }
}

async fn answers(port: u16, child: &mut Child) -> Result<()> {
    loop {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("mosquitto ended with {status}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two ports that were free a moment ago.
fn free_ports() -> Result<(u16, u16)> {
    let listeners = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((listeners.0.local_addr()?.port(), listeners.1.local_addr()?.port()))
}
