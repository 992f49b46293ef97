//! What is acknowledged is on disk: the kernel was asked to write it there before.

use anyhow::{Context, Result};
use mqttchat_e2e::chaos::trace::{Call, Trace};
use mqttchat_e2e::{App, eventually};

use crate::postgres::Cluster;

const CALLS: &str = "fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg,recvfrom";

/// Of SQLite's log, or of PostgreSQL's.
fn is_sync(call: &Call) -> bool {
    matches!(call.name.as_str(), "fsync" | "fdatasync")
        && (call.arguments.contains("-wal>") || call.arguments.contains("/pg_wal/"))
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
    let trace = Trace::attach(&[app.process_id()?], CALLS).await?;
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

/// What PostgreSQL is asked to store, and what users are told, both in one trace of all processes.
#[tokio::test]
async fn postgresql_has_synced_its_log_before_anybody_is_told() -> Result<()> {
    let database = Cluster::start();
    let app = App::builder().no_rate_limit().args(["--database", &database.database("chat")]).start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    // The writer has its connection, and keeps what was set when it was made.
    ann.say("public", "first").await?;
    database.sql("postgres", "ALTER SYSTEM SET synchronous_commit TO off");
    database.sql("postgres", "SELECT pg_reload_conf()");
    eventually("the server to have read its settings", async || {
        Ok((database.sql("postgres", "SHOW synchronous_commit") == "off").then_some(()))
    })
    .await?;
    let mut processes = vec![app.process_id()?];
    for process in database.processes() {
        processes.push(process.parse()?);
    }
    let trace = Trace::attach(&processes, CALLS).await?;
    for number in 0..20 {
        let (id, text) = (format!("synced-{number}-id"), format!("synced-{number}-text"));
        ann.send_message(&id, "public", &serde_json::json!({"text": text})).await?;
        bob.expect_text(&text).await?;
        // As a value in JSON: in what PostgreSQL is asked, the id stands by itself.
        let in_frame = format!(r#":\"{id}\""#);
        let told = |call: &Call| call.name != "recvfrom" && call.arguments.contains(&in_frame);
        let calls = eventually("strace to show the answer and the message", async || {
            let calls = trace.calls()?;
            Ok((calls.iter().filter(|call| told(call)).count() >= 2).then_some(calls))
        })
        .await?;
        let asked = calls.iter().find(|call| call.name == "recvfrom" && is_statement(call, &text));
        let asked = asked.context("PostgreSQL never got the message")?;
        let synced = calls.iter().filter(|call| is_sync(call) && call.begun > asked.ended);
        let synced = synced.map(|call| call.ended).min().context("PostgreSQL never synced its log")?;
        for told in calls.iter().filter(|call| told(call)) {
            assert!(told.begun > synced, "asked in {asked:?}, synced by line {synced}, and told in {told:?}");
        }
    }
    Ok(())
}

/// Whether somebody receives an INSERT of this text, and not a user's frame with it.
fn is_statement(call: &Call, text: &str) -> bool {
    call.arguments.contains(text) && !call.arguments.contains(r#"\"type\""#)
}
