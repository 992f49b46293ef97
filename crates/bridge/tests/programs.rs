//! Programs of one node: users who are spoken for without a session.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mqttchat_bridge::{BridgeOptions, Denied, Program, Rates};
use mqttchat_protocol::{Dest, ErrorCode, HistoryBounds, MessageId, PersonState, UserId};
use serde_json::{Map, Value, json};
use support::App;

fn id(id: &str) -> MessageId {
    MessageId::parse(id).unwrap()
}

fn text(text: &str) -> Map<String, Value> {
    json!({ "text": text }).as_object().unwrap().clone()
}

/// A program with the token of somebody who has signed in as `name`.
async fn program(app: &App, name: &str) -> Program {
    let client = app.sign_in(name).await;
    app.bridge.program(client.next_token().as_str().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_program_is_one_of_its_user() {
    let app = App::start().await;
    let mut bob = app.join("Bob").await;
    let ann = program(&app, "Ann").await;
    let first = ann.send(id("m1"), &Dest::Public, &text("hi")).await.unwrap();
    assert!(first.fresh);
    let seen = bob.expect("msg").await;
    assert_eq!(
        (&seen["from"], &seen["data"]["text"], &seen["seq"]),
        (&json!("ann"), &json!("hi"), &json!(1))
    );
    let again = ann.send(id("m1"), &Dest::Public, &text("hi")).await.unwrap();
    assert_eq!((again.fresh, again.entry.seq), (false, 1));
    let other = ann.send(id("m1"), &Dest::Public, &text("ho")).await.unwrap_err();
    assert_eq!(other.code, ErrorCode::IdConflict);
    let nobody = ann.send(id("m2"), &Dest::parse("private/nobody").unwrap(), &text("hi")).await.unwrap_err();
    assert_eq!(nobody.code, ErrorCode::NotFound);
    let long = ann.send(id("m3"), &Dest::Public, &text(&"x".repeat(4097))).await.unwrap_err();
    assert_eq!(long.code, ErrorCode::TooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_none_is_denied() {
    let app = App::start().await;
    assert!(matches!(app.bridge.program("x").await, Err(Denied::Unauthorized(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_log_say_what_is_beside_them() {
    let app = App::start().await;
    let ann = program(&app, "Ann").await;
    for number in 1..=5 {
        ann.send(id(&format!("m{number}")), &Dest::Public, &text("hi")).await.unwrap();
    }
    let page = async |bounds| {
        let page = ann.history(&Dest::Public, bounds).await.unwrap();
        (page.first, page.last(), page.more)
    };
    let limit = Some(2);
    assert_eq!(page(HistoryBounds { limit, ..HistoryBounds::default() }).await, (Some(4), Some(5), true));
    let before = HistoryBounds { limit, before: Some(3), after: None };
    assert_eq!(page(before).await, (Some(1), Some(2), false));
    let after = HistoryBounds { limit, before: None, after: Some(1) };
    assert_eq!(page(after).await, (Some(2), Some(3), true));
    assert_eq!(page(HistoryBounds { after: Some(5), ..after }).await, (None, None, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_by_their_state() {
    let app = App::start().await;
    let ann = program(&app, "Ann").await;
    let (_bob, _eve) = (app.sign_in("Bob").await, app.sign_in("Eve").await);
    let ids = async |state, after: Option<&str>, limit| {
        let (people, more) = ann.users(state, after, Some(limit)).await.unwrap();
        (people.iter().map(|person| person.id.to_string()).collect::<Vec<_>>().join(" "), more)
    };
    assert_eq!(ids(None, None, 2).await, ("ann bob".into(), true));
    assert_eq!(ids(Some(PersonState::Online), Some("ann"), 1).await, ("bob".into(), true));
    assert_eq!(ids(Some(PersonState::Online), Some("bob"), 9).await, ("eve".into(), false));
    assert_eq!(ids(Some(PersonState::Offline), Some("ann"), 9).await, (String::new(), false));
    let bob = ann.person(&UserId::parse("bob").unwrap()).await.unwrap();
    assert_eq!((bob.name.as_ref(), bob.state), ("Bob", Some(PersonState::Online)));
    let nobody = ann.person(&UserId::parse("nobody").unwrap()).await.unwrap_err();
    assert_eq!(nobody.code, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_sessions_have_one_rate() {
    let rates = Rates { messages_per_second: 1, burst: 4 };
    let app = App::with_rates(BridgeOptions { rates, ..BridgeOptions::default() }).await;
    let mut client = app.sign_in("Ann").await;
    let ann = app.bridge.program(client.next_token().as_str().unwrap()).await.unwrap();
    for number in 0..2 {
        ann.send(id(&format!("p{number}")), &Dest::Public, &text("hi")).await.unwrap();
        client.say(&format!("s{number}"), "public", "hi").await;
        client.expect("100").await;
    }
    let refused = ann.send(id("p9"), &Dest::Public, &text("hi")).await.unwrap_err();
    assert!(refused.code == ErrorCode::RateLimited && refused.retry_after.is_some());
    client.say("s9", "public", "hi").await;
    assert_eq!(client.expect("error").await["data"]["code"], "rate_limited");
}
