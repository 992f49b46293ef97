//! SockJS's own client in Node.

use anyhow::{Context, Result, ensure};
use mqttchat_e2e::{App, PATIENCE, sockjs_client};
use serde_json::Value;
use tokio::process::Command;

/// Those that it has there.
const TRANSPORTS: [&str; 4] = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"];

const RUN: &str = "
    const [folder, ...what] = process.argv.slice(1);
    talk(require(folder), ...what).then((seen) => process.stdout.write(JSON.stringify(seen), () => process.exit()));";

#[tokio::test]
async fn its_client_talks_over_each_transport_that_it_has() -> Result<()> {
    let app = App::start().await?;
    let mut bob = app.member("Bob").await?;
    for transport in TRANSPORTS {
        let name = format!("Ann by {transport}");
        let script = [sockjs_client::SCRIPT, RUN].concat();
        let mut node = Command::new("node");
        let url = format!("{}/sockjs", app.url());
        node.args(["-e", &script, sockjs_client::FOLDER, &url, transport, &name]);
        node.arg(sockjs_client::large_text(&name)).kill_on_drop(true);
        let said = tokio::time::timeout(PATIENCE, node.output());
        let (said, answered) = tokio::join!(said, sockjs_client::answer(&mut bob, &name));
        let said = said.context("node has not ended within 30 s")??;
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        answered?;
        let seen: Value = serde_json::from_slice(&said.stdout)?;
        assert_eq!(seen, sockjs_client::success(transport));
    }
    Ok(())
}
