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
