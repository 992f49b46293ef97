//! Every frame and every call, by a stranger to a closed room and by somebody who was removed from it a moment ago: both
//! are told that there is no such room, and neither gets anything of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use hyper::Request;
use mqttchat_e2e::http::{self, Response};
use mqttchat_e2e::sockjs::Door;
use mqttchat_e2e::{App, Socket, User, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::asyncapi::schema::{document, messages};

/// The frames that a client can send about a room, and what each is refused with.
fn frames(target: &str) -> Vec<(Value, &'static str)> {
    let frame = |kind: &str, data: Value| json!({"type": kind, "dest": "rooms/ops", "data": data});
    vec![
        (frame("join", json!({"history": 50})), "not_found"),
        (frame("leave", json!({})), "not_joined"),
        (frame("msg", json!({"text": "intruder"})), "not_found"),
        (frame("edit", json!({"target": target, "text": "intruder"})), "not_found"),
        (frame("delete", json!({"target": target})), "not_found"),
        (frame("react", json!({"target": target, "emoji": "👍", "on": true})), "not_found"),
        (frame("typing", json!({"typing": true})), "not_joined"),
        (frame("read", json!({"seq": 1})), "not_found"),
        (frame("history", json!({})), "not_found"),
        (frame("search", json!({"q": "secret"})), "not_found"),
        (frame("roster", json!({})), "not_found"),
        (frame("room.create", json!({"title": "Mine"})), "conflict"),
        (frame("room.update", json!({"title": "Mine"})), "not_found"),
        (frame("room.delete", json!({})), "not_found"),
        (frame("member.add", json!({"user": "bob"})), "not_found"),
        (frame("member.add", json!({"user": "eve"})), "not_found"),
        (frame("member.remove", json!({"user": "ann"})), "not_found"),
        (frame("member.remove", json!({"user": "bob"})), "not_found"),
    ]
}

/// Frames that are about no conversation, or only confirm what was handed.
const ABOUT_NO_ROOM: [&str; 7] = ["hello", "token", "rooms", "conversations", "200", "1001", "1002"];

/// The calls that are about no room: of a user's own, and of everybody.
const CALLS_ABOUT_NO_ROOM: [&str; 7] = [
    "get conversations",
    "get rooms",
    "get users",
    "get users/{user}",
    "patch users/{user}",
    "post public",
    "post private/{user}",
];

/// The calls about a room.
const CALLS: &[(&str, &str, &str)] = &[
    ("POST", "messages", r#"{"dest":"rooms/ops","data":{"text":"intruder"}}"#),
    ("GET", "messages?dest=rooms/ops", ""),
    ("GET", "messages?dest=rooms/ops&q=secret", ""),
    ("GET", "rooms/ops", ""),
    ("POST", "rooms/ops", "intruder"),
    ("PATCH", "rooms/ops", r#"{"title":"Mine"}"#),
    ("DELETE", "rooms/ops", ""),
    ("PUT", "rooms/ops/members/bob", ""),
    ("DELETE", "rooms/ops/members/ann", ""),
    ("HEAD", "rooms/ops", ""),
    ("HEAD", "messages?dest=rooms/ops", ""),
    ("GET", "events?dest=rooms/ops", ""),
    ("GET", "events?dest=public,rooms/ops", ""),
];

async fn call(app: &App, token: &str, method: &str, path: &str, body: &str) -> Result<Response> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/{path}"))
        .header("authorization", format!("Bearer {token}"));
    http::send_with(app.address(), request, body).await
}

async fn is_a_stranger(app: &App, user: &mut User, target: &str) -> Result<()> {
    for (number, (mut frame, code)) in frames(target).into_iter().enumerate() {
        let id = format!("{}-{number}", user.id);
        frame["id"] = json!(id);
        user.send(&frame).await?;
        let answer = user.expect_where("an answer", |answer| answer["re"] == id.as_str()).await?;
        assert_eq!(
            (&answer["type"], &answer["data"]["code"]),
            (&json!("error"), &json!(code)),
            "{frame}: {answer}"
        );
        assert!(
            !answer.to_string().contains("secret") && !answer.to_string().contains("Operations"),
            "{answer}"
        );
    }
    let everywhere = user.request(json!({"type": "search", "data": {"q": "secret"}})).await?;
    let rooms = user.request(json!({"type": "rooms"})).await?;
    let conversations = user.request(json!({"type": "conversations"})).await?;
    for listed in [&everywhere["messages"], &rooms["rooms"], &conversations["conversations"]] {
        assert!(
            !listed.to_string().contains("rooms/ops") && !listed.to_string().contains("\"ops\""),
            "{listed}"
        );
    }
    for (method, path, body) in CALLS {
        let answer = call(app, &user.token, method, path, body).await?;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
        assert!(!answer.body.contains("secret") && !answer.body.contains("Operations"), "{}", answer.body);
    }
    for path in ["rooms", "conversations", "messages?q=secret&dest=public"] {
        let answer = call(app, &user.token, "GET", path, "").await?;
        assert!(
            !answer.body.contains("ops") && !answer.body.contains("secret plan"),
            "{path}: {}",
            answer.body
        );
    }
    Ok(())
}

#[tokio::test]
async fn strangers_and_those_who_were_removed_a_moment_ago_get_nothing() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let mut ann = app.user("Ann").await?;
    let (mut bob, mut eve) = (app.user("Bob").await?, app.user("Eve").await?);
    let create = json!({"type": "room.create", "dest": "rooms/ops",
        "data": {"title": "Operations", "open": false, "members": ["bob"]}});
    ann.request(create).await?;
    ann.join("rooms/ops").await?;
    bob.join("rooms/ops").await?;
    let secret = ann.say("rooms/ops", "the secret plan").await?;
    bob.expect_text("the secret plan").await?;
    let mine = bob.say("rooms/ops", "mine").await?;
    eventually("the message to be found", async || {
        let found = ann.request(json!({"type": "search", "data": {"q": "secret"}})).await?;
        Ok((found["messages"].as_array().map(Vec::len) == Some(1)).then_some(()))
    })
    .await?;
    is_a_stranger(&app, &mut eve, &secret.id).await?;
    let remove = json!({"type": "member.remove", "dest": "rooms/ops", "data": {"user": "bob"}});
    let removed = ann.request(remove).await?;
    assert_eq!(removed["members"], json!(["ann"]));
    // Not even their own.
    is_a_stranger(&app, &mut bob, &mine.id).await?;
    let last = ann.say("rooms/ops", "without them").await?;
    ann.expect_text("without them").await?;
    assert_eq!(last.seq, mine.seq + 2, "nothing of theirs was stored");
    for user in [&mut bob, &mut eve] {
        user.say("public", "the end").await?;
        let heard = user.seen();
        assert!(!heard.iter().any(|frame| frame.to_string().contains("without them")));
    }
    Ok(())
}

#[tokio::test]
async fn before_hello_nothing_is_answered_but_a_ping() -> Result<()> {
    let app = App::start().await?;
    for (mut frame, _) in frames("m1") {
        let mut socket = app.socket().await?;
        frame["id"] = json!("x");
        socket.send(&frame).await?;
        socket.expect_error("x", "hello_first").await?;
    }
    for (method, path, body) in CALLS {
        let request = Request::builder().method(*method).uri(format!("/api/v1/{path}"));
        let answer = http::send_with(app.address(), request, body).await?;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    Ok(())
}

#[test]
fn no_frame_and_no_call_is_left_out() {
    let described: BTreeSet<String> = messages(&document(), "ask")
        .iter()
        .map(|(_, message)| match &message["payload"]["properties"]["type"]["const"] {
            Value::String(kind) => kind.clone(),
            kind => kind.to_string(),
        })
        .collect();
    let of_rooms =
        frames("m1").into_iter().map(|(frame, _)| frame["type"].as_str().unwrap_or_default().to_owned());
    let tried: BTreeSet<String> = of_rooms.chain(ABOUT_NO_ROOM.map(str::to_owned)).collect();
    assert_eq!(tried, described, "each frame is tried by strangers, or is about no room");
}

#[tokio::test]
async fn no_call_is_left_out() -> Result<()> {
    let app = App::start().await?;
    let document: Value = serde_json::from_str(&app.get("/api/v1/openapi.json").await?.body)?;
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().context("no paths")? {
        let path = path.trim_start_matches("/api/v1/");
        let methods = item.as_object().context("no methods")?.keys();
        described.extend(methods.filter(|method| *method != "head").map(|method| format!("{method} {path}")));
    }
    let of_rooms = CALLS.iter().filter(|(method, ..)| *method != "HEAD").map(|(method, path, _)| {
        let path = path.split('?').next().unwrap_or_default().replace("rooms/ops", "rooms/{room}");
        let path =
            path.rsplit_once("members/").map_or(path.clone(), |(room, _)| format!("{room}members/{{user}}"));
        format!("{} {path}", method.to_ascii_lowercase())
    });
    let others =
        CALLS_ABOUT_NO_ROOM.into_iter().chain(["post rooms", "get openapi.json", "get asyncapi.yaml"]);
    let tried: BTreeSet<String> = of_rooms.chain(others.map(str::to_owned)).collect();
    let missing: Vec<_> = described.difference(&tried).collect();
    assert!(missing.is_empty(), "each call is tried by strangers, or is about no room: {missing:?}");
    Ok(())
}

/// Nobody names a conversation of two others: what the log calls it is no address.
#[tokio::test]
async fn conversations_of_two_others_have_no_name() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let (mut ann, bob) = (app.user("Ann").await?, app.user("Bob").await?);
    let mut eve = app.user("Eve").await?;
    let secret = ann.say("private/bob", "between us").await?;
    bob.expect_text("between us").await?;
    for dest in ["pair/ann/bob", "private/ann/bob", "private/bob/ann", "private/ann/msgs", "private/*"] {
        for (number, (mut frame, _)) in frames(&secret.id).into_iter().enumerate() {
            let id = format!("{dest}-{number}");
            frame["dest"] = json!(dest);
            frame["id"] = json!(id);
            eve.send(&frame).await?;
            let answer = eve.expect_where("an answer", |answer| answer["re"] == id.as_str()).await?;
            let code = answer["data"]["code"].as_str().unwrap_or_default();
            assert!(["bad_dest", "bad_frame"].contains(&code), "{frame}: {answer}");
            // Ten that are none in a row would close the session.
            eve.ping().await?;
        }
        for path in [format!("messages?dest={dest}"), format!("events?dest={dest}")] {
            let answer = call(&app, &eve.token, "GET", &path, "").await?;
            assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        }
    }
    // The same ids in her own conversations with them lead nowhere.
    for (kind, data) in [
        ("edit", json!({"target": secret.id, "author": "ann", "text": "x"})),
        ("delete", json!({"target": secret.id, "author": "ann"})),
        ("react", json!({"target": secret.id, "author": "ann", "emoji": "x", "on": true})),
    ] {
        for dest in ["private/ann", "private/bob", "public"] {
            eve.send(&json!({"type": kind, "id": format!("{kind}{dest}"), "dest": dest, "data": data}))
                .await?;
            eve.expect_error(format!("{kind}{dest}"), "bad_target").await?;
        }
    }
    eve.send(&json!({"type": 200, "data": secret.id, "dest": "private/ann"})).await?;
    let found = eve.request(json!({"type": "search", "data": {"q": "between"}})).await?;
    assert_eq!(found["messages"], json!([]));
    assert!(!eve.seen().iter().any(|frame| frame.to_string().contains("between us")));
    assert!(ann.seen_of(300).is_empty(), "Bob hasn't confirmed anything, and Eve can't");
    Ok(())
}

#[tokio::test]
async fn who_is_removed_hears_nothing_more_by_any_door() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let (mut ann, bob) = (app.user("Ann").await?, app.user("Bob").await?);
    let create = json!({"type": "room.create", "dest": "rooms/ops",
        "data": {"title": "Operations", "open": false, "members": ["bob"]}});
    ann.request(create).await?;
    let mut sessions = vec![bob.another_session().await?];
    for door in [
        Door::WebSocket,
        Door::XhrStreaming,
        Door::XhrPolling,
        Door::EventSource,
        Door::HtmlFile,
        Door::Jsonp,
    ] {
        let socket = Socket::over(app.address(), door);
        sessions.push(User::hello_over(socket, app.address(), &json!({"token": bob.token})).await?);
    }
    for session in &mut sessions {
        session.join("public").await?;
        session.join("rooms/ops").await?;
    }
    let mut stream = TcpStream::connect(app.address()).await?;
    let follow = format!(
        "GET /api/v1/events?dest=public,rooms/ops HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\r\n",
        bob.token
    );
    stream.write_all(follow.as_bytes()).await?;
    let streamed = Arc::new(Mutex::new(Vec::new()));
    let reader = tokio::spawn({
        let streamed = streamed.clone();
        async move {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut part).await {
                streamed.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&part[..length]);
            }
        }
    });
    let heard =
        || String::from_utf8_lossy(&streamed.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    for dest in ["rooms/ops", "public"] {
        let text = format!("is anybody in {dest}?");
        eventually("the stream to follow", async || {
            ann.say(dest, &text).await?;
            Ok(heard().contains(&text).then_some(()))
        })
        .await?;
        for session in &sessions {
            session.expect_text(&text).await?;
        }
    }
    ann.request(json!({"type": "member.remove", "dest": "rooms/ops", "data": {"user": "bob"}})).await?;
    ann.say("rooms/ops", "without him").await?;
    ann.say("public", "the end").await?;
    for session in &sessions {
        session.expect_text("the end").await?;
        assert!(!session.seen().iter().any(|frame| frame.to_string().contains("without him")));
    }
    eventually("the end of the stream", async || Ok(heard().contains("the end").then_some(()))).await?;
    assert!(!heard().contains("without him"), "{}", heard());
    reader.abort();
    Ok(())
}
