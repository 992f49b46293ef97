//! Who is there, and who was, page by page.

use anyhow::Result;
use mqttchat_e2e::App;
use serde_json::{Value, json};

fn ids(page: &Value) -> Vec<&str> {
    page["roster"].as_array().into_iter().flatten().filter_map(|person| person["id"].as_str()).collect()
}

#[tokio::test]
async fn it_is_read_in_pages_by_user_id() -> Result<()> {
    let app = App::start().await?;
    let mut people = Vec::new();
    for name in ["Eve", "Bob", "Dave", "Ann", "Carol"] {
        people.push(app.member(name).await?);
    }
    let reader = &mut people[0];
    let page = reader.request(json!({"type": "roster", "dest": "public", "data": {"limit": 2}})).await?;
    assert_eq!((ids(&page), &page["more"]), (vec!["ann", "bob"], &json!(true)));
    let page = reader
        .request(json!({"type": "roster", "dest": "public", "data": {"after": "bob", "limit": 2}}))
        .await?;
    assert_eq!((ids(&page), &page["more"]), (vec!["carol", "dave"], &json!(true)));
    let page = reader
        .request(json!({"type": "roster", "dest": "public", "data": {"after": "dave", "limit": 2}}))
        .await?;
    assert_eq!((ids(&page), &page["more"]), (vec!["eve"], &json!(false)));
    assert_eq!(page["roster"][0]["name"], "Eve");
    assert_eq!(page["roster"][0]["state"], "online");
    Ok(())
}

#[tokio::test]
async fn who_has_gone_is_offline_since_the_moment_they_went() -> Result<()> {
    let app = App::start().await?;
    let (ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    bob.close().await?;
    let left = ann.expect_where("that Bob has left", |frame| !frame["data"]["left"][0].is_null()).await?;
    let last_seen = left["data"]["left"][0]["last_seen"].as_u64().unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    assert!(now.abs_diff(u128::from(last_seen)) < 60_000, "last seen {last_seen}, now {now}");

    // A latecomer is told the same, not the time of their own coming.
    let mut carol = app.user("Carol").await?;
    carol.join("public").await?;
    let page = carol.request(json!({"type": "roster", "dest": "public", "data": {}})).await?;
    let bob = page["roster"].as_array().into_iter().flatten().find(|person| person["id"] == "bob");
    let expected = json!({"id": "bob", "name": "Bob", "state": "offline", "last_seen": last_seen});
    assert_eq!(bob, Some(&expected), "{page}");
    Ok(())
}

#[tokio::test]
async fn who_is_signed_in_is_online_wherever_they_have_joined() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, _bob) = (app.user("Ann").await?, app.user("Bob").await?);
    let joined = ann.join("public").await?;
    let page = ann.request(json!({"type": "roster", "dest": "public", "data": {}})).await?;
    for reply in [&joined, &page] {
        let bob = reply["roster"].as_array().into_iter().flatten().find(|person| person["id"] == "bob");
        assert_eq!(bob.map(|bob| &bob["state"]), Some(&json!("online")), "{reply}");
    }
    assert_eq!(joined["online"], 1, "the count is of those who have joined");
    Ok(())
}
