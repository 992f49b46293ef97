//! How a session ends.

use anyhow::Result;
use mqttchat_e2e::App;
use mqttchat_e2e::socket::Ending;
use serde_json::json;

#[tokio::test]
async fn a_stopping_server_says_goodbye() -> Result<()> {
    let mut app = App::start().await?;
    let (ann, unnamed) = (app.member("Ann").await?, app.socket().await?);
    app.terminate()?;
    let bye = ann.expect("bye").await?;
    assert!(bye["data"]["retry_after"].is_u64(), "{bye}");
    assert_eq!(ann.expect_end().await?, Ending::Closed(1001));
    assert_eq!(unnamed.expect_end().await?, Ending::Closed(1001));
    assert_eq!(ann.seen().last().map(|frame| frame["type"].clone()), Some(json!("bye")));
    assert!(app.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_clients_close_is_answered() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    ann.close().await?;
    Ok(())
}

#[tokio::test]
async fn who_goes_on_above_the_rate_limit_is_closed() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    for round in 0..200 {
        let flood = (0..500).map(
            |n| json!({"type": "msg", "id": format!("{round}-{n}"), "dest": "public", "data": {"text": "x"}}),
        );
        if ann.send_together(&flood.collect::<Vec<_>>()).await.is_err() {
            break;
        }
    }
    assert_eq!(ann.expect_end().await?, Ending::Closed(4429));
    let last = ann.seen_of("error").pop().unwrap_or_default();
    assert_eq!(last["data"]["code"], "rate_limited", "{last}");
    assert!(last["data"]["retry_after"].is_u64(), "{last}");
    // Other sessions of the same server never noticed.
    app.user("Bob").await?.say("public", "calm").await?;
    Ok(())
}
