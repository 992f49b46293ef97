//! Names, ids and texts that mean something elsewhere: to MQTT, to a database, to a reader's eyes.

use anyhow::{Context, Result};
use hyper::Request;
use mqttchat_e2e::mqtt::Subscriber;
use mqttchat_e2e::{App, Mosquitto, eventually, http};
use serde_json::{Value, json};

use crate::postgres::Cluster;

/// Characters with a meaning somewhere.
const LOADED: [&str; 24] = [
    "+",
    "#",
    "/",
    "$",
    "$SYS",
    "a/b",
    "a+b",
    "a#",
    "../etc",
    "a\u{0}b",
    "\u{0}",
    "a\nb",
    "\u{202e}evil",
    "a\u{200b}b",
    "\u{feff}",
    "a\u{2066}b",
    "a b",
    "a.b",
    "A",
    "'",
    "\"",
    "a;b",
    "%00",
    "",
];

#[tokio::test]
async fn ids_of_rooms_and_people_have_no_meaning_to_mqtt() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let watcher = Subscriber::start(&broker, "#").await?;
    let app = App::builder().broker(&broker.url()).args(["--lab-api"]).start().await?;
    let mut ann = app.member("Ann").await?;
    for (number, loaded) in LOADED.iter().enumerate() {
        for (kind, dest, data) in [
            ("room.create", format!("rooms/{loaded}"), json!({"title": "x", "open": true})),
            ("msg", format!("private/{loaded}"), json!({"text": "x"})),
            ("join", format!("rooms/{loaded}"), json!({})),
            ("search", format!("private/{loaded}"), json!({"q": "x"})),
        ] {
            let id = format!("{kind}{number}");
            ann.send(&json!({"type": kind, "id": id, "dest": dest, "data": data})).await?;
            let answer =
                ann.expect_where(&format!("an answer to {id}"), |frame| frame["type"] == "error").await?;
            let code = answer["data"]["code"].as_str().unwrap_or_default();
            assert!(["bad_dest", "bad_frame"].contains(&code), "{dest:?}: {answer}");
            ann.ping().await?;
        }
    }
    by_http(&app, &ann.token).await?;
    by_the_lab(&app).await?;
    ann.say("public", "nothing happened").await?;
    watcher.expect_text("nothing happened").await?;
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_/".contains(&b);
    for delivery in watcher.deliveries() {
        assert!(delivery.topic.bytes().all(is_plain), "{:?}", delivery.topic);
        let levels = delivery.topic.split('/').count();
        assert!((2..=3).contains(&levels), "{:?} has {levels} levels", delivery.topic);
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02x}"))
}

/// In addresses and bodies of the HTTP API.
async fn by_http(app: &App, token: &str) -> Result<()> {
    for loaded in LOADED {
        let in_path = escaped(loaded);
        for (method, path, body) in [
            ("GET", format!("rooms/{in_path}"), String::new()),
            ("PATCH", format!("rooms/{in_path}"), json!({"title": "x"}).to_string()),
            ("PUT", format!("rooms/x/members/{in_path}"), String::new()),
            ("GET", format!("users/{in_path}"), String::new()),
            ("POST", format!("private/{in_path}"), "hello".to_owned()),
            ("POST", "rooms".to_owned(), json!({"id": loaded, "title": "x", "open": true}).to_string()),
            (
                "POST",
                "messages".to_owned(),
                json!({"dest": format!("rooms/{loaded}"), "data": {}}).to_string(),
            ),
            ("GET", format!("messages?dest=private/{in_path}"), String::new()),
            ("GET", format!("events?dest=rooms/{in_path}"), String::new()),
        ] {
            let request = Request::builder().method(method).uri(format!("/api/v1/{path}"));
            let request = request.header("authorization", format!("Bearer {token}"));
            let request = request.header(
                "content-type",
                if body.starts_with('{') { "application/json" } else { "text/plain" },
            );
            let status = http::send_with(app.address(), request, &body).await?.status.as_u16();
            assert!([400, 404, 405].contains(&status), "{method} {path} {body}: {status}");
        }
    }
    Ok(())
}

/// The lab takes any name, and makes a plain id of it, or refuses it.
async fn by_the_lab(app: &App) -> Result<()> {
    for loaded in LOADED {
        let name = escaped(loaded);
        let path = format!("/send/?room_name={name}&message=lab&from_alias=x{name}&group_room=true");
        let status = app.get(&path).await?.status.as_u16();
        let is_shown = !loaded.is_empty() && !loaded.trim().is_empty();
        assert!(status == 400 || (status == 200 && is_shown), "{loaded:?}: {status}");
    }
    Ok(())
}

#[tokio::test]
async fn ids_of_messages_are_of_any_printable_characters_and_no_others() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    for loaded in LOADED {
        let printable = !loaded.is_empty() && loaded.bytes().all(|b| (b' '..=b'~').contains(&b));
        ann.send(&json!({"type": "msg", "id": loaded, "dest": "public", "data": {"text": loaded}})).await?;
        if printable {
            assert_eq!(ann.expect_accepted(loaded).await?.id, loaded);
            let seen =
                ann.expect_where("it", |frame| frame["type"] == "msg" && frame["id"] == loaded).await?;
            assert_eq!(seen["data"]["text"], loaded);
        } else {
            ann.expect_error(Value::Null, "bad_frame").await?;
        }
        ann.ping().await?;
    }
    Ok(())
}

#[tokio::test]
async fn names_that_deceive_are_no_names() -> Result<()> {
    let app = App::start().await?;
    let mut socket = app.socket().await?;
    let hello = |name: &str| json!({"type": "hello", "id": "h", "data": {"name": name}});
    for deceiving in [
        "",
        " ",
        "\u{0}",
        "a\u{0}b",
        "a\nb",
        "a\u{7f}",
        "\u{202e}nnA",
        "A\u{2066}nn",
        "A\u{200b}nn",
        "A\u{200d}nn\u{feff}",
        "\u{2060}",
        "\u{ad}Ann",
        &"x".repeat(65),
    ] {
        let mut other = app.socket().await?;
        other.send(&hello(deceiving)).await?;
        other.expect_error("h", "bad_frame").await?;
    }
    // What only means something to machines is a name like any other, and never an id.
    for (number, name) in
        ["+ # / $", "$SYS/#", "'; DROP TABLE users; --", "<b>Ann</b>", "../../etc/passwd", "${jndi:x}"]
            .iter()
            .enumerate()
    {
        socket = app.socket().await?;
        socket.send(&hello(name)).await?;
        let ready = socket.expect(1000).await?;
        let id = ready["data"]["user"]["id"].as_str().context("no id")?.to_owned();
        let is_id = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        assert!(!id.is_empty() && id.bytes().all(is_id), "{id}");
        assert_eq!(ready["data"]["user"]["name"], *name, "{number}");
    }
    socket.ping().await
}

/// What means something to SQL or to full-text search.
const QUERIES: [&str; 26] = [
    "'",
    "''",
    "\"",
    "\"\"",
    "\"open",
    "'; DROP TABLE entries; --",
    "1' OR '1'='1",
    "x\" OR \"x\"=\"x",
    "*",
    "**",
    "a*b",
    "^tea",
    "tea*",
    "NEAR(a b, 5)",
    "a NEAR b",
    "AND",
    "OR NOT",
    "tea AND NOT cake",
    "text:tea",
    "{text}:tea",
    "(",
    ")",
    "-tea",
    "%",
    "\\",
    "tea\u{0}cake",
];

#[tokio::test]
async fn metacharacters_are_found_as_they_were_said() -> Result<()> {
    said_and_found(&App::builder().no_rate_limit().start().await?).await
}

#[tokio::test]
async fn metacharacters_are_found_as_they_were_said_on_postgresql_too() -> Result<()> {
    let server = Cluster::start();
    let database = server.database("chat");
    said_and_found(&App::builder().args(["--database", &database]).no_rate_limit().start().await?).await
}

async fn said_and_found(app: &App) -> Result<()> {
    let mut ann = app.member("Ann").await?;
    let mut last = 0;
    for text in QUERIES {
        last = ann.say("public", text).await?.seq;
        ann.expect_text(text).await?;
    }
    for (number, query) in QUERIES.iter().chain(&["from:'", "from:ann'--", "from:*"]).enumerate() {
        let path = format!("/api/v1/messages?dest=public&q={}", escaped(query));
        let request = Request::get(path).header("authorization", format!("Bearer {}", ann.token));
        let answer = http::send(app.address(), request).await?;
        assert!([200, 400].contains(&answer.status.as_u16()), "{query:?}: {} {}", answer.status, answer.body);
        for data in [json!({"q": query}), json!({"q": format!("tea {query} cake")})] {
            let id = format!("q{number}-{}", data["q"].as_str().map_or(0, str::len));
            ann.send(&json!({"type": "search", "id": id, "dest": "public", "data": data})).await?;
            let answer = ann
                .expect_where(&format!("an answer to {query:?}"), |frame| frame["re"] == id.as_str())
                .await?;
            let fine = answer["type"] == "reply" || answer["data"]["code"] == "bad_frame";
            assert!(fine, "{query:?}: {answer}");
        }
    }
    let texts: Vec<Value> =
        ann.whole_history("public").await?.into_iter().map(|entry| entry["data"]["text"].clone()).collect();
    assert_eq!(texts, QUERIES.map(Value::from), "everything is there as it was said");
    eventually("the words to be found", async || {
        let found = ann
            .request(json!({"type": "search", "dest": "public", "data": {"q": "drop table entries"}}))
            .await?;
        let messages = found["messages"].as_array().map_or(0, Vec::len);
        Ok((messages == 1).then_some(()))
    })
    .await?;
    assert_eq!(ann.say("public", "after all that").await?.seq, last + 1);
    Ok(())
}
