//! Names, ids and texts that mean something elsewhere: to MQTT, to a database, to a reader's eyes.

use anyhow::{Context, Result};
use mqttchat_e2e::{App, Mosquitto, eventually};
use serde_json::{Value, json};

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
    let app = App::builder().broker(&broker.url()).start().await?;
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
    ann.say("public", "nothing happened").await?;
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
    let app = App::builder().no_rate_limit().start().await?;
    let mut ann = app.member("Ann").await?;
    let mut last = 0;
    for text in QUERIES {
        last = ann.say("public", text).await?.seq;
        ann.expect_text(text).await?;
    }
    for (number, query) in QUERIES.iter().chain(&["from:'", "from:ann'--", "from:*"]).enumerate() {
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
