//! What an application puts into a node: routes and frame types.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mqttchat_bridge::{Asker, BridgeOptions, Message, OwnFrame, Route, Stored, Verdict};
use mqttchat_protocol::{Conversation, Dest, DisplayName, ErrorCode, MessageId, Party, Refusal, UserId};
use serde_json::{Map, Value, json};
use support::App;
use tokio::sync::mpsc;

fn pair(one: &str, other: &str) -> Conversation {
    Conversation::pair(Party::parse(one).unwrap(), Party::parse(other).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_passes_stops_and_copies_until_it_is_removed() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.join("Ann").await, app.join("Bob").await);
    app.bridge.routes().add("moderator", |message: &Message<'_>| match message.text().as_deref() {
        Some("bad") => Verdict::Stop("that word is not used here".to_owned()),
        Some("help") => Verdict::Also(Dest::parse("private/bob").unwrap()),
        _ => Verdict::Pass,
    });
    ann.say("m1", "public", "bad").await;
    let refused = ann.expect("error").await;
    assert_eq!((&refused["re"], &refused["data"]["code"]), (&json!("m1"), &json!("forbidden")));
    assert_eq!(refused["data"]["reason"], "that word is not used here");
    ann.say("m2", "public", "good").await;
    assert_eq!(bob.expect("msg").await["id"], "m2");
    ann.expect("100").await;

    ann.say("m3", "public", "help").await;
    let accepted = ann.expect("100").await;
    assert_eq!((&accepted["data"], &accepted["dest"]), (&json!("m3"), &json!("public")));
    assert_eq!(app.store.head(&pair("ann", "bob")).await.unwrap(), 1, "the 100 covers the copy");
    let both = [bob.expect("msg").await, bob.expect("msg").await];
    let copy = both.iter().find(|frame| frame["dest"] == "private/bob").expect("no copy");
    assert_eq!((&copy["from"], &copy["data"]), (&json!("ann"), &json!({"text": "help"})));
    // The same again, as after a lost answer: one message, one copy.
    ann.say("m3", "public", "help").await;
    assert_eq!(ann.expect("100").await, accepted);
    assert_eq!(app.store.head(&pair("ann", "bob")).await.unwrap(), 1);
    assert_eq!(app.store.head(&Conversation::Public).await.unwrap(), 2);

    assert!(app.bridge.routes().remove("moderator"));
    ann.say("m4", "public", "bad").await;
    assert_eq!(ann.expect("100").await["data"], "m4");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_edits_pass_the_same_routes() {
    let app = App::start().await;
    app.bridge.routes().add("moderator", |message: &Message<'_>| match message.text().as_deref() {
        Some("bad") => Verdict::Stop("that word is not used here".to_owned()),
        _ => Verdict::Pass,
    });
    let (user, name) = (UserId::parse("shop").unwrap(), DisplayName::parse("Shop").unwrap());
    let shop = app.bridge.speak_for("shop", user, &name).await.unwrap();
    let say = async |id: &str, text: &str| {
        let data = Map::from_iter([("text".to_owned(), json!(text))]);
        shop.send(MessageId::parse(id).unwrap(), &Dest::Public, &data).await.map(|sent| sent.fresh)
    };
    assert_eq!(say("p1", "bad").await.unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!((say("p1", "good").await.unwrap(), say("p1", "good").await.unwrap()), (true, false));

    let mut ann = app.join("Ann").await;
    ann.say("m1", "public", "good").await;
    ann.expect("100").await;
    let edit = json!({"type":"edit","id":"e1","dest":"public","data":{"target":"m1","text":"bad"}});
    ann.send(edit).await;
    let refused = ann.expect("error").await;
    assert_eq!((&refused["re"], &refused["data"]["code"]), (&json!("e1"), &json!("forbidden")));
    // A guest's id is nobody else's to speak for.
    let ann = UserId::parse("ann").unwrap();
    assert!(app.bridge.speak_for("shop", ann, &name).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_where_the_author_has_no_rights_refuses_nothing() {
    let app = App::start().await;
    let mut ann = app.join("Ann").await;
    let to_nobody = |_: &Message<'_>| Verdict::Also(Dest::parse("private/nobody").unwrap());
    app.bridge.routes().add("copy", to_nobody);
    ann.say("m1", "public", "hi").await;
    assert_eq!(ann.expect("100").await["data"], "m1");
}

struct Slow;

impl Route for Slow {
    fn route<'a>(&'a self, _: &'a Message<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(std::future::pending())
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(50)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_a_route_that_hangs_in_their_order() {
    let app = App::start().await;
    app.bridge.routes().add("slow", Slow);
    let (ann, mut bob) = (app.join("Ann").await, app.join("Bob").await);
    for number in 0..50 {
        ann.say(&format!("m{number}"), "public", &number.to_string()).await;
    }
    let entries = bob.entries(50).await;
    assert!(entries.iter().zip(0..).all(|((seq, text), n)| *seq == n + 1 && *text == n.to_string()));
}

/// Reports what was not delivered when it looks; it looks when it is let go.
struct Watch {
    looked: mpsc::Sender<(String, bool)>,
    go: Arc<tokio::sync::Semaphore>,
}

impl Route for Watch {
    fn post_process(&self, stored: Stored) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            drop(self.go.acquire().await);
            let id = stored.entry().id.to_string();
            let _ = self.looked.try_send((id, stored.is_delivered().await.unwrap()));
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn post_processing_tells_what_was_delivered_and_holds_up_nobody() {
    let (looked, mut looks) = mpsc::channel(8);
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let app = App::start().await;
    app.bridge.routes().add("watch", Watch { looked, go: go.clone() });
    let (mut ann, mut bob) = (app.sign_in("Ann").await, app.sign_in("Bob").await);
    app.sign_in("Cid").await.vanish();
    for (id, dest) in [("m1", "private/bob"), ("m2", "private/cid"), ("m3", "public"), ("m4", "private/ann")]
    {
        ann.say(id, dest, "are you there?").await;
        assert_eq!(ann.expect("100").await["data"], id);
    }
    bob.expect("msg").await;
    bob.send(json!({"type":200,"data":"m1"})).await;
    assert_eq!(ann.expect("300").await["data"], "m1");
    go.add_permits(1);
    let mut found = Vec::new();
    for _ in 0..4 {
        found.push(looks.recv().await.unwrap());
    }
    found.sort();
    let expected = [("m1", true), ("m2", false), ("m3", true), ("m4", true)];
    assert_eq!(found, expected.map(|(id, delivered)| (id.to_owned(), delivered)));
}

fn vote(asker: &Asker, frame: &OwnFrame) -> Result<Value, Refusal> {
    match frame.data["choice"].as_str() {
        Some(choice) => Ok(json!({"voted": choice, "by": asker.user, "in": frame.dest})),
        None => Err(Refusal::new(ErrorCode::BadFrame, "data.choice is missing")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_frame_types_are_answered_and_others_stay_unknown() {
    let options = BridgeOptions::default();
    options.frame_types.add("poll.vote", vote).unwrap();
    options.frame_types.add("poll.crash", |_: &Asker, _: &OwnFrame| panic!("by intention")).unwrap();
    let app = App::with(options).await;
    let mut ann = app.sign_in("Ann").await;
    ann.send(json!({"type":"poll.vote","id":"v1","dest":"public","data":{"choice":"tea"}})).await;
    let reply = ann.expect("reply").await;
    let data = json!({"voted": "tea", "by": "ann", "in": "public"});
    assert_eq!((&reply["re"], &reply["dest"], &reply["data"]), (&json!("v1"), &json!("public"), &data));
    for (frame, code) in [
        (json!({"type":"poll.vote","id":"v2"}), "bad_frame"),
        (json!({"type":"poll.vote","id":"v3","dest":"nowhere"}), "bad_dest"),
        (json!({"type":"poll.close","id":"v4"}), "unknown_type"),
        (json!({"type":"poll.crash","id":"v5"}), "unavailable"),
    ] {
        ann.send(frame.clone()).await;
        let refused = ann.expect("error").await;
        assert_eq!((&refused["re"], &refused["data"]["code"]), (&frame["id"], &json!(code)), "{frame}");
    }
    app.bridge.frame_types().remove("poll.vote");
    ann.send(json!({"type":"poll.vote","id":"v6","data":{"choice":"tea"}})).await;
    assert_eq!(ann.expect("error").await["data"]["code"], "unknown_type");

    let mut stranger = app.connect();
    stranger.send(json!({"type":"poll.crash","id":"v7"})).await;
    assert_eq!(stranger.expect("error").await["data"]["code"], "hello_first");
}
