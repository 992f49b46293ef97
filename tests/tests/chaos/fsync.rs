//! What is acknowledged is on disk: the kernel was asked to write it there before.

use anyhow::{Context, Result};
use mqttchat_e2e::chaos::trace::{Call, Trace};
use mqttchat_e2e::{App, eventually};

const CALLS: &str = "fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg";

fn is_sync(call: &Call) -> bool {
    matches!(call.name.as_str(), "fsync" | "fdatasync") && call.arguments.contains("-wal>")
}

/// A write of something that contains this, to a file or to a socket.
fn writes<'a>(calls: &'a [Call], to: &str, what: &str) -> Vec<&'a Call> {
    let is_it = |call: &&Call| !is_sync(call) && call.arguments.contains(to) && call.arguments.contains(what);
    calls.iter().filter(is_it).collect()
}

#[tokio::test]
async fn the_log_is_synced_before_anybody_is_told() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let trace = Trace::attach(app.process_id()?, CALLS).await?;
    for number in 0..20 {
        let (id, text) = (format!("synced-{number}-id"), format!("synced-{number}-text"));
        ann.send_message(&id, "public", &serde_json::json!({"text": text})).await?;
        bob.expect_text(&text).await?;
        let calls = eventually("strace to show the answer", async || {
            let calls = trace.calls()?;
            Ok((writes(&calls, "<TCP", &id).len() + writes(&calls, "<socket:", &id).len() >= 2)
                .then_some(calls))
        })
        .await?;
        let logged = writes(&calls, "-wal>", &text);
        let logged = logged.first().context("the message was never written to the log")?;
        let synced = calls.iter().filter(|call| is_sync(call) && call.begun > logged.ended);
        let synced = synced.map(|call| call.ended).min().context("the log was never synced")?;
        // Neither the 100 nor the message itself, to nobody.
        for told in writes(&calls, "<TCP", &id).into_iter().chain(writes(&calls, "<socket:", &id)) {
            assert!(
                told.begun > synced,
                "written in {logged:?}, synced by line {synced}, and told in {told:?}"
            );
        }
    }
    Ok(())
}
