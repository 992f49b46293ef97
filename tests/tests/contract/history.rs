//! Reading what was said before.

use anyhow::Result;
use mqttchat_e2e::{App, User};
use serde_json::{Value, json};

async fn app_with_messages(count: u64) -> Result<(App, User)> {
    let app = App::builder().no_rate_limit().start().await?;
    let mut ann = app.user("Ann").await?;
    let frame = |n| json!({"type": "msg", "id": format!("m{n}"), "dest": "public", "data": {"text": format!("number {n}")}});
    ann.send_together(&(1..=count).map(frame).collect::<Vec<_>>()).await?;
    for number in 1..=count {
        assert_eq!(ann.expect_accepted(&format!("m{number}")).await?.seq, number);
    }
    Ok((app, ann))
}

fn seqs(page: &Value) -> Vec<u64> {
    page["messages"].as_array().into_iter().flatten().filter_map(|message| message["seq"].as_u64()).collect()
}

#[tokio::test]
async fn without_a_bound_it_gives_the_newest_oldest_first() -> Result<()> {
    let (_app, mut ann) = app_with_messages(30).await?;
    let page = ann.history("public", json!({"limit": 10})).await?;
    assert_eq!(seqs(&page), (21..=30).collect::<Vec<_>>());
    assert_eq!(page["more"], true);
    let first = &page["messages"][0];
    let expected = json!({"type": "msg", "id": "m21", "from": "ann", "name": "Ann", "seq": 21, "data": {"text": "number 21"}});
    for (member, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(&first[member], value, "{member} in {first}");
    }
    assert!(first["time"].is_u64());
    Ok(())
}

#[tokio::test]
async fn bounds_are_exclusive() -> Result<()> {
    let (_app, mut ann) = app_with_messages(30).await?;
    for (data, expected, more) in [
        (json!({"before": 11, "limit": 4}), 7..=10, true),
        (json!({"before": 5, "limit": 4}), 1..=4, false),
        (json!({"before": 4, "limit": 10}), 1..=3, false),
        (json!({"before": 1000, "limit": 2}), 29..=30, true),
        (json!({"after": 0, "limit": 3}), 1..=3, true),
        (json!({"after": 10, "limit": 4}), 11..=14, true),
        (json!({"after": 26, "limit": 4}), 27..=30, false),
    ] {
        let page = ann.history("public", data.clone()).await?;
        assert_eq!(seqs(&page), expected.collect::<Vec<_>>(), "{data}");
        assert_eq!(page["more"], more, "more for {data}");
    }
    for data in [json!({"before": 1}), json!({"after": 30}), json!({"after": 1000})] {
        let page = ann.history("public", data.clone()).await?;
        assert_eq!((seqs(&page), &page["more"]), (vec![], &json!(false)), "{data}");
    }
    Ok(())
}

#[tokio::test]
async fn a_limit_above_the_servers_is_taken_as_the_servers() -> Result<()> {
    let (_app, mut ann) = app_with_messages(230).await?;
    let page = ann.history("public", json!({"limit": 5000})).await?;
    assert_eq!(seqs(&page), (31..=230).collect::<Vec<_>>());
    let joined = ann.request(json!({"type": "join", "dest": "public", "data": {"history": 5000}})).await?;
    assert_eq!(seqs(&joined), (31..=230).collect::<Vec<_>>());
    assert_eq!(ann.whole_history("public").await?.len(), 230);
    Ok(())
}

#[tokio::test]
async fn both_bounds_at_once_or_no_numbers_are_bad_frames() -> Result<()> {
    let (_app, mut ann) = app_with_messages(1).await?;
    let bad = [
        json!({"before": 3, "after": 1}),
        json!({"before": "3"}),
        json!({"after": -1}),
        json!({"limit": "all"}),
    ];
    for (number, data) in bad.iter().enumerate() {
        let id = format!("bad-{number}");
        ann.send(&json!({"type": "history", "id": id, "dest": "public", "data": data})).await?;
        ann.expect_error(id, "bad_frame").await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_conversation_has_an_empty_history() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    assert_eq!(ann.history("public", json!({})).await?, json!({"messages": [], "more": false}));
    let joined = ann.join("public").await?;
    assert_eq!((&joined["head"], &joined["messages"]), (&json!(0), &json!([])));
    Ok(())
}
