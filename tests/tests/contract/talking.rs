//! People talk in the public conversation (docs/protocol.md, "Talking").

use anyhow::Result;
use mqttchat_e2e::App;
use serde_json::{Value, json};

#[tokio::test]
async fn two_people_talk() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let hello = ann.send_message("m1", "public", &json!({"text": "hello"})).await?;
    assert_eq!((hello.seq, hello.dest.as_str()), (1, "public"));

    let expected = json!({
        "type": "msg", "id": "m1", "from": "ann", "name": "Ann", "dest": "public",
        "seq": 1, "time": hello.time, "data": {"text": "hello"},
    });
    for seen in [ann.expect("msg").await?, bob.expect("msg").await?] {
        for (member, value) in expected.as_object().into_iter().flatten() {
            assert_eq!(&seen[member], value, "{member} in {seen}");
        }
    }
    assert_eq!(bob.say("public", "hi Ann").await?.seq, 2);
    assert_eq!(ann.expect_text("hi Ann").await?["from"], "bob");
    Ok(())
}

#[tokio::test]
async fn joining_gives_the_newest_messages_and_who_is_there() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    for number in 1..=7 {
        ann.say("public", &format!("number {number}")).await?;
    }
    let mut bob = app.user("Bob").await?;
    let joined = bob.request(json!({"type": "join", "dest": "public", "data": {"history": 3}})).await?;
    assert_eq!(joined["head"], 7);
    let texts: Vec<_> =
        joined["messages"].as_array().into_iter().flatten().map(|m| &m["data"]["text"]).collect();
    assert_eq!(texts, ["number 5", "number 6", "number 7"]);
    assert_eq!(joined["messages"][0]["seq"], 5);
    assert_eq!(joined["online"], 2);
    let roster = joined["roster"].as_array().cloned().unwrap_or_default();
    let ann_there = roster.iter().find(|person| person["id"] == "ann").cloned().unwrap_or_default();
    assert_eq!((&ann_there["name"], &ann_there["state"]), (&json!("Ann"), &json!("online")), "{roster:?}");

    ann.say("public", "number 8").await?;
    assert_eq!(bob.expect("msg").await?["seq"], 8);
    Ok(())
}

#[tokio::test]
async fn joining_without_history_gives_none() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    ann.say("public", "hello").await?;
    let mut bob = app.user("Bob").await?;
    let joined = bob.request(json!({"type": "join", "dest": "public", "data": {"history": 0}})).await?;
    assert_eq!((&joined["messages"], &joined["head"]), (&json!([]), &json!(1)));
    Ok(())
}

#[tokio::test]
async fn who_has_left_hears_nothing_and_may_still_speak() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.leave("public").await?;
    bob.say("public", "behind her back").await?;
    bob.expect_text("behind her back").await?;
    ann.say("public", "from outside").await?;
    bob.expect_text("from outside").await?;
    // The reply to joining comes after everything that was on its way to her.
    let joined = ann.join("public").await?;
    assert_eq!(joined["head"], 2);
    assert_eq!(ann.seen_of("msg"), Vec::<Value>::new());
    bob.say("public", "welcome back").await?;
    assert_eq!(ann.expect("msg").await?["seq"], 3);
    Ok(())
}

#[tokio::test]
async fn somebody_who_only_listens_from_outside_hears_nothing() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut outsider) = (app.member("Ann").await?, app.user("Outsider").await?);
    ann.say("public", "among us").await?;
    ann.expect_text("among us").await?;
    outsider.join("public").await?;
    assert_eq!(outsider.seen_of("msg"), Vec::<Value>::new());
    Ok(())
}

#[tokio::test]
async fn all_tabs_of_a_user_hear_everything_once() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    let mut tab = ann.another_session().await?;
    tab.join("public").await?;
    ann.say("public", "from the first tab").await?;
    tab.say("public", "from the second tab").await?;
    for session in [&ann, &tab] {
        session.expect_text("from the second tab").await?;
        let seqs: Vec<_> = session.seen_of("msg").iter().map(|frame| frame["seq"].clone()).collect();
        assert_eq!(seqs, [1, 2]);
    }
    Ok(())
}

#[tokio::test]
async fn numbers_have_no_holes_and_time_does_not_run_backwards() -> Result<()> {
    let app = App::start().await?;
    let mut people = Vec::new();
    for name in ["Ann", "Bob", "Carol", "Dave"] {
        people.push(app.member(name).await?);
    }
    for round in 0..20 {
        for person in &mut people {
            let id = format!("round-{round}");
            person.send(&json!({"type": "msg", "id": id, "dest": "public", "data": {"text": id}})).await?;
        }
    }
    for person in &people {
        person.expect_where("the last message", |frame| frame["type"] == "msg" && frame["seq"] == 80).await?;
        let seen = person.seen_of("msg");
        let seqs: Vec<_> = seen.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=80).collect::<Vec<_>>());
        assert!(seen.is_sorted_by_key(|frame| frame["time"].as_u64()), "time ran backwards");
    }
    Ok(())
}
