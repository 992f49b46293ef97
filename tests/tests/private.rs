//! Private conversations (docs/protocol.md, "Private conversations"), against the real server.

use anyhow::Result;
use mqttchat_e2e::{App, User};
use serde_json::{Value, json};

fn texts(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["data"]["text"].as_str()).collect()
}

fn received(id: &str) -> Value {
    json!({"type": 200, "data": id})
}

/// A public message that everybody given gets: what was sent before it has arrived, or never will.
async fn fence(app: &App, witnesses: &mut [&mut User]) -> Result<()> {
    let mut somebody = app.user("Somebody Else").await?;
    let text = uuid::Uuid::new_v4().to_string();
    for witness in witnesses.iter_mut() {
        witness.join("public").await?;
    }
    somebody.say("public", &text).await?;
    for witness in witnesses {
        witness.expect_text(&text).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_private_message_reaches_every_session_of_both_and_nobody_else() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob, mut carol) =
        (app.user("Ann").await?, app.user("Bob").await?, app.user("Carol").await?);
    let (ann_phone, bob_phone) = (ann.another_session().await?, bob.another_session().await?);
    let accepted = ann.say("private/bob", "just for you").await?;
    assert_eq!((accepted.seq, accepted.dest.as_str()), (1, "private/bob"));
    for session in [&ann, &ann_phone, &bob, &bob_phone] {
        let seen = session.expect_text("just for you").await?;
        assert_eq!(
            (&seen["from"], &seen["dest"], &seen["seq"]),
            (&json!("ann"), &json!("private/bob"), &json!(1))
        );
    }
    let answer = bob.say("private/ann", "thank you").await?;
    assert_eq!((answer.seq, answer.dest.as_str()), (2, "private/ann"), "the pair has one log");
    for session in [&ann, &ann_phone, &bob, &bob_phone] {
        assert_eq!(session.expect_text("thank you").await?["dest"], "private/ann");
    }
    fence(&app, &mut [&mut carol]).await?;
    assert!(carol.seen().iter().all(|frame| !frame.to_string().contains("just for you")));
    Ok(())
}

#[tokio::test]
async fn both_read_the_same_history_and_a_third_reads_none_of_it() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob, mut carol) =
        (app.user("Ann").await?, app.user("Bob").await?, app.user("Carol").await?);
    ann.say("private/bob", "one").await?;
    bob.say("private/ann", "two").await?;
    let seen_by_ann = ann.whole_history("private/bob").await?;
    assert_eq!(texts(&seen_by_ann), ["one", "two"]);
    assert_eq!(seen_by_ann, bob.whole_history("private/ann").await?);
    for other in ["private/ann", "private/bob"] {
        assert_eq!(carol.whole_history(other).await?, Vec::<Value>::new());
    }
    Ok(())
}

#[tokio::test]
async fn the_sender_is_told_once_that_it_was_delivered() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    let ann_phone = ann.another_session().await?;
    let sent = ann.say("private/bob", "got it?").await?;
    bob.expect_text("got it?").await?;
    for _ in 0..2 {
        bob.send(&received(&sent.id)).await?;
    }
    bob.ping().await?;
    for session in [&ann, &ann_phone] {
        let told = session.expect(300).await?;
        assert_eq!((&told["data"], &told["by"]), (&json!(sent.id), &json!("bob")));
        assert_eq!((&told["dest"], &told["seq"]), (&json!("private/bob"), &json!(1)));
    }
    let next = ann.say("private/bob", "and this?").await?;
    bob.expect_text("and this?").await?;
    bob.send(&json!({"type": 200, "data": next.id, "dest": "private/ann"})).await?;
    for session in [&ann, &ann_phone] {
        session
            .expect_where("300 for the second", |frame| {
                frame["type"] == 300 && frame["data"] == next.id.as_str()
            })
            .await?;
        assert_eq!(session.seen_of(300).len(), 2, "once for each message");
    }
    Ok(())
}

#[tokio::test]
async fn two_devices_that_confirm_at_once_are_told_as_one() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    let mut phone = bob.another_session().await?;
    for number in 1..=20_u64 {
        let sent = ann.say("private/bob", &format!("number {number}")).await?;
        bob.expect_text(&format!("number {number}")).await?;
        phone.expect_text(&format!("number {number}")).await?;
        let confirmed = received(&sent.id);
        let (one, two) = tokio::join!(bob.send(&confirmed), phone.send(&confirmed));
        one.and(two)?;
    }
    ann.expect_where("300 for the last", |frame| frame["type"] == 300 && frame["seq"] == 20).await?;
    bob.ping().await?;
    phone.ping().await?;
    fence(&app, &mut [&mut ann]).await?;
    let mut told: Vec<_> = ann.seen_of(300).iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    told.sort_unstable();
    assert_eq!(told, (1..=20).collect::<Vec<_>>(), "each once, in whatever order the devices confirm");
    Ok(())
}

#[tokio::test]
async fn receiving_a_later_message_confirms_the_earlier_ones() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(json!(ann.say("private/bob", &format!("number {number}")).await?.id));
    }
    bob.expect_text("number 4").await?;
    bob.send(&json!({"type": 200, "data": ids[4]})).await?;
    ann.expect_where("300 for the last", |frame| frame["type"] == 300 && frame["seq"] == 5).await?;
    let told: Vec<_> = ann.seen_of(300).iter().map(|frame| frame["data"].clone()).collect();
    assert_eq!(told, ids);
    Ok(())
}

#[tokio::test]
async fn who_was_away_gets_everything_first_and_in_order() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut carol, mut bob) =
        (app.user("Ann").await?, app.user("Carol").await?, app.user("Bob").await?);
    bob.close().await?;
    for number in 1..=3 {
        ann.say("private/bob", &format!("Ann {number}")).await?;
    }
    carol.say("private/bob", "Carol 1").await?;

    let mut back = bob.another_session().await?;
    assert_eq!(back.ready["data"]["unread"], json!({"private/ann": 3, "private/carol": 1}));
    ann.say("private/bob", "Ann 4, live").await?;
    back.expect_text("Ann 4, live").await?;
    back.expect_text("Carol 1").await?;
    let from_ann: Vec<_> = back.seen_of("msg").into_iter().filter(|frame| frame["from"] == "ann").collect();
    assert_eq!(texts(&from_ann), ["Ann 1", "Ann 2", "Ann 3", "Ann 4, live"]);

    // What is confirmed does not come again.
    for message in back.seen_of("msg") {
        back.send(&json!({"type": 200, "data": message["id"]})).await?;
    }
    ann.expect_where("300 for the last", |frame| frame["type"] == 300 && frame["seq"] == 4).await?;
    carol.expect(300).await?;
    // Delivered is not read: that is counted until Bob says so, and then on all of his devices.
    let mut phone = bob.another_session().await?;
    back.send(&json!({"type": "read", "dest": "private/ann", "data": {"seq": 4}})).await?;
    for told in [&ann, &phone] {
        let receipt = told.expect("receipt").await?;
        assert_eq!((&receipt["from"], &receipt["dest"]), (&json!("bob"), &json!("private/ann")));
        assert_eq!(receipt["data"]["read"], 4);
    }
    back.ping().await?;
    assert_eq!(back.seen_of("receipt"), Vec::<Value>::new(), "whoever says it knows it");
    phone.close().await?;
    back.close().await?;
    let mut again = bob.another_session().await?;
    assert_eq!(again.ready["data"]["unread"], json!({"private/carol": 1}));
    fence(&app, &mut [&mut again]).await?;
    assert!(again.seen_of("msg").iter().all(|frame| frame["dest"] == "public"));
    Ok(())
}

#[tokio::test]
async fn messages_wait_over_a_crash_of_the_server() -> Result<()> {
    let mut app = App::start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    bob.close().await?;
    ann.say("private/bob", "before the crash").await?;
    app.kill().await?;
    app.start_again().await?;
    let back = bob.resume(app.address(), &[]).await?;
    back.expect_text("before the crash").await?;
    Ok(())
}

#[tokio::test]
async fn resuming_continues_a_private_conversation() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    for number in 1..=2 {
        ann.say("private/bob", &format!("number {number}")).await?;
    }
    bob.expect_text("number 2").await?;
    bob.close().await?;
    for number in 3..=4 {
        ann.say("private/bob", &format!("number {number}")).await?;
    }
    let back = bob.resume(app.address(), &[("private/ann", 2)]).await?;
    ann.say("private/bob", "live").await?;
    back.expect_text("live").await?;
    assert_eq!(texts(&back.seen_of("msg")), ["number 3", "number 4", "live"]);
    Ok(())
}

#[tokio::test]
async fn notes_to_oneself_are_on_all_devices() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    let phone = ann.another_session().await?;
    assert_eq!(ann.say("private/ann", "buy milk").await?.seq, 1);
    for session in [&ann, &phone] {
        session.expect_text("buy milk").await?;
        assert_eq!(session.seen_of("msg").len(), 1);
    }
    assert_eq!(texts(&ann.whole_history("private/ann").await?), ["buy milk"]);
    Ok(())
}

#[tokio::test]
async fn joining_shows_the_others_state() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    ann.join("private/bob").await?;
    let state = |expected: &'static str| {
        move |frame: &Value| {
            frame["type"] == "status" && frame["from"] == "bob" && frame["data"]["state"] == expected
        }
    };
    let status = ann.expect_where("Bob online", state("online")).await?;
    assert!(status["data"]["last_seen"].is_u64(), "{status}");
    bob.close().await?;
    ann.expect_where("Bob offline", state("offline")).await?;
    let _back = bob.another_session().await?;
    ann.expect_where("Bob online again", state("online")).await?;
    Ok(())
}

#[tokio::test]
async fn typing_goes_to_the_other_only() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, mut bob, mut carol) =
        (app.user("Ann").await?, app.user("Bob").await?, app.user("Carol").await?);
    let mut tab = ann.another_session().await?;
    for session in [&mut ann, &mut tab] {
        session.join("private/bob").await?;
    }
    bob.join("private/ann").await?;
    carol.join("private/ann").await?;
    ann.send(&json!({"type": "typing", "dest": "private/bob", "data": {"typing": true}})).await?;
    let seen = bob.expect("typing").await?;
    assert_eq!((&seen["from"], &seen["dest"]), (&json!("ann"), &json!("private/bob")));
    bob.send(&json!({"type": "typing", "dest": "private/ann", "data": {"typing": true}})).await?;
    for session in [&ann, &tab] {
        assert_eq!(session.expect("typing").await?["from"], "bob");
    }
    fence(&app, &mut [&mut carol]).await?;
    assert_eq!(carol.seen_of("typing"), Vec::<Value>::new());
    Ok(())
}

#[tokio::test]
async fn an_id_is_spent_for_all_conversations_of_its_sender() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, _bob) = (app.user("Ann").await?, app.user("Bob").await?);
    let data = json!({"text": "to one of them"});
    let first = ann.send_message("m1", "private/bob", &data).await?;
    ann.send(&json!({"type": "msg", "id": "m1", "dest": "public", "data": data})).await?;
    ann.expect_error("m1", "id_conflict").await?;
    assert_eq!(ann.send_message("m1", "private/bob", &data).await?, first);
    assert_eq!(ann.whole_history("public").await?, Vec::<Value>::new());
    Ok(())
}

#[tokio::test]
async fn more_than_the_limit_waiting_is_a_gap_and_the_newest() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    bob.close().await?;
    for number in 1..=230 {
        ann.say("private/bob", &format!("number {number}")).await?;
    }
    let back = bob.another_session().await?;
    assert_eq!(back.ready["data"]["unread"], json!({"private/ann": 230}));
    back.expect_text("number 230").await?;
    let gap = back.expect("gap").await?;
    assert_eq!((&gap["dest"], &gap["data"]), (&json!("private/ann"), &json!({"after": 0, "before": 31})));
    let seqs: Vec<_> = back.seen_of("msg").iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    assert_eq!(seqs, (31..=230).collect::<Vec<_>>());
    Ok(())
}
