//! Opening a session (docs/protocol.md, "Opening a session").

use anyhow::Result;
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::{App, Socket, User};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

fn hello(id: &str, name: &str) -> Value {
    json!({"type": "hello", "id": id, "data": {"name": name}})
}

#[tokio::test]
async fn a_new_guest_is_told_everything_about_the_session() -> Result<()> {
    let app = App::start().await?;
    let mut socket = app.socket().await?;
    let frame = json!({"type": "hello", "id": "h1", "data": {"name": "Ann", "token": null, "log": null, "resume": {}}});
    socket.send(&frame).await?;

    let ready = socket.expect(1000).await?;
    assert_eq!(ready["re"], "h1");
    let data = &ready["data"];
    assert_eq!(data["user"], json!({"id": "ann", "name": "Ann"}));
    assert_eq!(data["protocol"], 1);
    assert_eq!(
        data["limits"],
        json!({"text": 4096, "frame": 65536, "history": 200, "resume": 100, "ping": 25000})
    );
    assert_eq!(data["unread"], json!({}));
    for member in ["session", "token", "log"] {
        assert!(data[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {ready}");
    }
    Ok(())
}

#[tokio::test]
async fn the_user_id_is_made_from_the_name() -> Result<()> {
    let app = App::start().await?;
    for (name, id) in [
        ("Bob", "bob"),
        ("Ann B. Smith", "ann-b-smith"),
        ("--Carol!!", "carol"),
        ("dave_42", "dave-42"),
        ("Zoë Ωmega", "zo-mega"),
        ("7of9", "7of9"),
    ] {
        let user = app.user(name).await?;
        assert_eq!(user.id, id, "the id of {name:?}");
        assert_eq!(user.name(), name);
    }
    Ok(())
}

#[tokio::test]
async fn a_name_without_ascii_letters_gets_an_id_by_chance() -> Result<()> {
    let app = App::start().await?;
    let (first, second) = (app.user("Иван").await?, app.user("Иван").await?);
    for user in [&first, &second] {
        let chance = user.id.strip_prefix("u-").unwrap_or_default();
        assert_eq!(chance.len(), 8, "{}", user.id);
        assert!(chance.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{}", user.id);
    }
    assert_ne!(first.id, second.id);
    Ok(())
}

#[tokio::test]
async fn names_that_would_deceive_are_refused_and_the_socket_stays_open() -> Result<()> {
    let app = App::start().await?;
    let mut socket = app.socket().await?;
    let too_long = "a".repeat(65);
    for (number, name) in
        ["", &too_long, "a\u{202e}b", "a\u{200b}b", "a\nb", "a\u{0}b", "a\u{2066}b"].iter().enumerate()
    {
        let id = format!("h{number}");
        socket.send(&hello(&id, name)).await?;
        socket.expect_error(id, "bad_frame").await?;
    }
    let longest = "é".repeat(64);
    socket.send(&hello("good", &longest)).await?;
    assert_eq!(socket.expect(1000).await?["data"]["user"]["name"], longest);
    Ok(())
}

#[tokio::test]
async fn a_taken_name_comes_with_a_free_one() -> Result<()> {
    let app = App::start().await?;
    let _ann = app.user("Ann").await?;
    let mut socket = app.socket().await?;
    socket.send(&hello("h1", "ANN!")).await?;
    let refused = socket.expect_error("h1", "name_taken").await?;
    let suggestion = refused["data"]["suggestion"].as_str().unwrap_or_default().to_owned();
    assert!(!suggestion.is_empty(), "{refused}");

    socket.send(&hello("h2", &suggestion)).await?;
    let ready = socket.expect(1000).await?;
    assert_eq!(ready["re"], "h2");
    assert_eq!(ready["data"]["user"]["name"], suggestion);
    assert_ne!(ready["data"]["user"]["id"], "ann");
    Ok(())
}

#[tokio::test]
async fn an_id_is_never_given_to_somebody_else() -> Result<()> {
    let mut app = App::start().await?;
    let mut ann = app.user("Ann").await?;
    ann.close().await?;
    app.stop().await?;
    app.start_again().await?;

    let mut socket = app.socket().await?;
    socket.send(&hello("h1", "Ann")).await?;
    socket.expect_error("h1", "name_taken").await?;
    Ok(())
}

#[tokio::test]
async fn a_token_brings_the_same_person_back() -> Result<()> {
    let mut app = App::start().await?;
    let ann = app.user("Ann").await?;
    let tab = ann.another_session().await?;
    assert_eq!(tab.id, "ann");
    assert_ne!(tab.ready["data"]["session"], ann.ready["data"]["session"]);

    app.stop().await?;
    app.start_again().await?;
    let later = ann.resume(app.address(), &[]).await?;
    assert_eq!(later.id, "ann");
    assert_eq!(later.log, ann.log);
    Ok(())
}

#[tokio::test]
async fn a_bad_token_is_unauthorized_and_closes() -> Result<()> {
    let app = App::start().await?;
    let ann = app.user("Ann").await?;
    let mut changed = ann.token.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed)?;
    for token in ["nonsense", &changed] {
        let mut socket = app.socket().await?;
        let frame = json!({"type": "hello", "id": "h1", "data": {"name": "Ann", "token": token}});
        socket.send(&frame).await?;
        socket.expect_error("h1", "unauthorized").await?;
        assert_eq!(socket.expect_end().await?, Ending::Closed(4401), "token {token}");
    }
    Ok(())
}

#[tokio::test]
async fn before_hello_only_a_ping_is_answered() -> Result<()> {
    let app = App::start().await?;
    let mut socket = app.socket().await?;
    socket.ping().await?;
    for (number, kind) in ["msg", "join", "history", "typing", "nonsense"].iter().enumerate() {
        let id = format!("early-{number}");
        socket.send(&json!({"type": kind, "id": id, "dest": "public", "data": {"text": "hi"}})).await?;
        socket.expect_error(id, "hello_first").await?;
    }
    socket.send(&hello("h1", "Ann")).await?;
    socket.expect(1000).await?;
    assert_eq!(app.user("Bob").await?.history("public", json!({})).await?["messages"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_second_hello_is_a_bad_frame_and_changes_nothing() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    ann.send(&hello("again", "Somebody Else")).await?;
    ann.expect_error("again", "bad_frame").await?;
    ann.say("public", "still me").await?;
    assert_eq!(ann.expect_text("still me").await?["from"], "ann");
    Ok(())
}

#[tokio::test]
async fn without_hello_the_socket_is_closed_after_ten_seconds() -> Result<()> {
    let app = App::start().await?;
    let mut socket = app.socket().await?;
    let opened = std::time::Instant::now();
    socket.ping().await?;
    assert_eq!(socket.expect_end().await?, Ending::Closed(4408));
    let waited = opened.elapsed().as_secs_f32();
    assert!((9.0..15.0).contains(&waited), "closed after {waited} s");
    Ok(())
}

#[tokio::test]
async fn the_subprotocol_is_offered_and_not_demanded() -> Result<()> {
    let app = App::start().await?;
    for (asked, given) in [
        (None, None),
        (Some("mqttchat.v1"), Some("mqttchat.v1")),
        (Some("other, mqttchat.v1"), Some("mqttchat.v1")),
    ] {
        let mut request = format!("ws://{}/ws", app.address()).into_client_request()?;
        if let Some(asked) = asked {
            request.headers_mut().insert("sec-websocket-protocol", asked.parse()?);
        }
        let (mut socket, response) = Socket::connect_with(request).await?;
        let chosen = response.headers().get("sec-websocket-protocol").map(|value| value.to_str());
        assert_eq!(chosen.transpose()?, given, "asked for {asked:?}");
        socket.ping().await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_people_who_want_the_same_name_at_once_do_not_both_get_it() -> Result<()> {
    let app = App::start().await?;
    let tries = (0..8).map(|_| User::sign_in(app.address(), "Ann"));
    let let_in = futures::future::join_all(tries).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(let_in, 1);
    Ok(())
}
