//! Users of the operator's application (docs/protocol.md §3, "JWT mode").

use anyhow::{Result, ensure};
use hyper::Request;
use mqttchat_e2e::http::{self, Response};
use mqttchat_e2e::jwt::{SECRET, claims, now, signed, token};
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::sockjs::Door;
use mqttchat_e2e::{App, Socket, User, eventually};
use serde_json::{Value, json};

/// A server for the users of `shop`, and the file with the secret.
async fn start() -> Result<(App, tempfile::NamedTempFile)> {
    let file = tempfile::NamedTempFile::new()?;
    tokio::fs::write(file.path(), format!("{SECRET}\n")).await?;
    let toml = format!(
        "[auth]\nmode = \"jwt\"\n[auth.jwt]\nkey_file = {:?}\nissuer = \"shop\"\naudience = \"chat\"\nleeway = 0\n",
        file.path()
    );
    Ok((App::builder().config(&toml).args(["--log-level", "debug"]).start().await?, file))
}

async fn call(app: &App, method: &str, path: &str, token: &str, body: &str) -> Result<Response> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/{path}"))
        .header("authorization", format!("Bearer {token}"));
    http::send_with(app.address(), request, body).await
}

async fn user(app: &App, token: &str) -> Result<User> {
    User::hello(app.address(), &json!({ "token": token })).await
}

#[tokio::test]
async fn a_good_token_lets_its_user_in_everywhere() -> Result<()> {
    let (app, _file) = start().await?;
    let ann = token("ann", &json!({"name": "Ann Ash"}));
    let mut session = user(&app, &ann).await?;
    assert_eq!(session.ready["data"]["user"], json!({"id": "ann", "name": "Ann Ash"}));
    assert_eq!(session.ready["data"]["token"], Value::Null);
    assert!(session.ready["data"]["expires"].as_u64() > Some(now() * 1000));
    session.join("public").await?;
    session.say("public", "hello").await?;
    assert_eq!(call(&app, "POST", "public", &ann, "by http").await?.status, 201);
    assert_eq!(session.expect_text("by http").await?["name"], "Ann Ash");
    let other = user(&app, &token("Ann@example.com", &json!({}))).await?;
    // printf '%s' 'Ann@example.com' | sha256sum
    assert_eq!(other.id, "u-e3535a54578d4c12");
    Ok(())
}

#[tokio::test]
async fn a_program_has_its_key_beside_the_tokens() -> Result<()> {
    let (app, _file) = start().await?;
    let data = app.data();
    let made = mqttchat_e2e::app::run(["apikey", "create", "Ann", "--data", &data.to_string_lossy()]).await?;
    let mut program = user(&app, made.stdout.trim_end()).await?;
    assert_eq!((&*program.id, &program.ready["data"]["token"]), ("ann", &Value::Null));
    program.say("private/ann", "a note of the program").await?;
    // Whoever the application calls so is somebody else, and inherits nothing.
    let mut socket = app.socket().await?;
    socket.send(&json!({"type": "hello", "id": "h1", "data": {"token": token("ann", &json!({}))}})).await?;
    socket.expect_error("h1", "unauthorized").await?;
    assert_eq!(socket.expect_end().await?, Ending::Closed(4401));
    program.send(&json!({"type": "token", "id": "t1", "data": {"token": token("bob", &json!({}))}})).await?;
    program.expect_error("t1", "unauthorized").await?;
    program.ping().await
}

#[tokio::test]
async fn a_bad_token_lets_nobody_in_anywhere() -> Result<()> {
    let (app, _file) = start().await?;
    let header = json!({"alg": "HS256"});
    let with = |more: Value| token("ann", &more);
    let none = signed(&json!({"alg": "none"}), &claims("ann", &json!({})), SECRET);
    let unsigned = format!("{}.", none.rsplit_once('.').map_or("", |(content, _)| content));
    let bad = [
        ("none", String::new()),
        ("expired", with(json!({"exp": now() - 1}))),
        ("without an end", with(json!({"exp": null}))),
        ("not yet good", with(json!({"nbf": now() + 30}))),
        ("alg none", none),
        ("alg none, without a signature", unsigned),
        ("another issuer", with(json!({"iss": "elsewhere"}))),
        ("no issuer", with(json!({"iss": null}))),
        ("another audience", with(json!({"aud": "mail"}))),
        ("no audience", with(json!({"aud": null}))),
        ("another secret", signed(&header, &claims("ann", &json!({})), "another secret, just as long 0123")),
        ("a guest's", "mc1.1.ann.1.AAAA".to_owned()),
        ("an api key's form", "mck_nothing".to_owned()),
    ];
    for (what, token) in &bad {
        let data = if token.is_empty() { json!({"name": "Ann"}) } else { json!({ "token": token }) };
        let mut socket = app.socket().await?;
        socket.send(&json!({"type": "hello", "id": "h1", "data": data})).await?;
        socket.expect_error("h1", "unauthorized").await?;
        assert_eq!(socket.expect_end().await?, Ending::Closed(4401), "{what}");
        for (method, path) in [
            ("GET", "conversations"),
            ("POST", "public"),
            ("GET", "events?dest=public"),
            ("GET", "users/ann"),
        ] {
            let answer = call(&app, method, path, token, "hi").await?;
            assert_eq!(answer.status, 401, "{what} {path}: {}", answer.body);
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}");
        }
    }
    let mut socket = Socket::over(app.address(), Door::XhrPolling);
    socket.send(&json!({"type": "hello", "id": "h1", "data": {"token": bad[1].1}})).await?;
    socket.expect_error("h1", "unauthorized").await?;
    assert_eq!(socket.expect_end().await?, Ending::Closed(4401));
    Ok(())
}

#[tokio::test]
async fn a_session_ends_with_its_token_unless_a_fresh_one_comes() -> Result<()> {
    let (app, _file) = start().await?;
    let short = |sub: &str| token(sub, &json!({"exp": now() + 2}));
    let (mut ann, bob) = (user(&app, &short("ann")).await?, user(&app, &short("bob")).await?);
    let (cat, mut dan) = (short("cat"), user(&app, &short("dan")).await?);
    let ends_at = now() + 2;
    let stream = tokio::spawn({
        let (address, cat) = (app.address(), cat.clone());
        async move {
            let request =
                Request::get("/api/v1/events?dest=public").header("authorization", format!("Bearer {cat}"));
            http::send(address, request).await
        }
    });
    let fresh = token("ann", &json!({}));
    let renewed = ann.request(json!({"type": "token", "data": {"token": fresh}})).await?;
    assert!(renewed["expires"].as_u64() > Some((ends_at + 30) * 1000), "{renewed}");
    dan.send(&json!({"type": "token", "id": "t1", "data": {"token": token("ann", &json!({}))}})).await?;
    dan.expect_error("t1", "unauthorized").await?;
    dan.send(&json!({"type": "token", "id": "t2", "data": {"token": "nonsense"}})).await?;
    dan.expect_error("t2", "unauthorized").await?;
    for ended in [&bob, &dan] {
        assert_eq!(ended.expect_end().await?, Ending::Closed(4401));
    }
    assert!(now() >= ends_at - 1, "not before its time");
    let stream = stream.await??;
    assert!(stream.body.contains("unauthorized"), "{}", stream.body);
    assert_eq!(call(&app, "GET", "conversations", &cat, "").await?.status, 401);
    ann.say("public", "still here").await?;
    Ok(())
}

#[tokio::test]
async fn a_token_gives_the_rights_and_rooms_that_it_names() -> Result<()> {
    let (app, _file) = start().await?;
    let mut ann = user(&app, &token("ann", &json!({}))).await?;
    for room in ["ops", "dev"] {
        let create = json!({"type": "room.create", "dest": format!("rooms/{room}"),
            "data": {"title": room, "open": true, "members": []}});
        ann.request(create).await?;
    }
    let of_bob = token("bob", &json!({"rooms": ["ops"], "rights": ["read", "write"]}));
    let mut bob = user(&app, &of_bob).await?;
    bob.join("rooms/ops").await?;
    bob.say("rooms/ops", "in here").await?;
    ann.say("rooms/dev", "needle in there").await?;
    let rooms = bob.request(json!({"type": "rooms"})).await?;
    assert_eq!(rooms["rooms"].as_array().map(Vec::len), Some(1), "{rooms}");
    for (id, frame, code) in [
        ("a", json!({"type": "join", "dest": "rooms/dev"}), "not_found"),
        ("b", json!({"type": "history", "dest": "rooms/dev"}), "not_found"),
        ("c", json!({"type": "msg", "dest": "rooms/dev", "data": {"text": "x"}}), "not_found"),
        ("d", json!({"type": "search", "dest": "rooms/dev", "data": {"q": "needle"}}), "not_found"),
        ("e", json!({"type": "member.add", "dest": "rooms/ops", "data": {"user": "bob"}}), "forbidden"),
    ] {
        let mut frame = frame;
        frame["id"] = json!(id);
        bob.send(&frame).await?;
        bob.expect_error(id, code).await?;
    }
    eventually("the message to be found", async || {
        let found = ann.request(json!({"type": "search", "data": {"q": "needle"}})).await?;
        Ok((found["messages"].as_array().map(Vec::len) == Some(1)).then_some(()))
    })
    .await?;
    let found = bob.request(json!({"type": "search", "data": {"q": "needle"}})).await?;
    assert_eq!(found["messages"], json!([]));
    assert_eq!(call(&app, "GET", "messages?dest=rooms/dev", &of_bob, "").await?.status, 404);
    assert_eq!(call(&app, "POST", "rooms/dev", &of_bob, "x").await?.status, 404);
    let reader = token("bob", &json!({"rights": "read"}));
    assert_eq!(call(&app, "GET", "messages?dest=public", &reader, "").await?.status, 200);
    assert_eq!(call(&app, "POST", "public", &reader, "x").await?.status, 403);
    let nothing = user(&app, &token("bob", &json!({"rights": []}))).await;
    ensure!(nothing.is_err(), "a session needs the right to read");
    Ok(())
}

#[tokio::test]
async fn no_token_is_ever_in_the_log() -> Result<()> {
    let (app, _file) = start().await?;
    let (ann, bad) = (token("ann", &json!({})), token("ann", &json!({"exp": 1})));
    let mut session = user(&app, &ann).await?;
    session.say("public", "hello").await?;
    let fresh = token("ann", &json!({"jti": "2"}));
    session.request(json!({"type": "token", "data": {"token": fresh}})).await?;
    for token in [&ann, &bad] {
        call(&app, "GET", "conversations", token, "").await?;
        call(&app, "POST", "public", token, "hello").await?;
        // Where somebody writes it into the address all the same.
        http::get(app.address(), &format!("/api/v1/conversations?token={token}")).await?;
        let mut socket = app.socket().await?;
        socket.send(&json!({"type": "hello", "id": "h", "data": {"token": token}})).await?;
        socket.expect_where("an answer", |frame| frame["re"] == "h").await?;
    }
    session.close().await?;
    eventually("the log to tell of the session's end", async || {
        Ok(app.output().iter().any(|line| line.contains("session ended")).then_some(()))
    })
    .await?;
    for line in app.output() {
        for token in [&ann, &bad, &fresh] {
            let (_, sign) = token.rsplit_once('.').unwrap_or_default();
            assert!(!line.contains(token.as_str()) && !line.contains(sign), "{line}");
        }
        assert!(!line.contains(SECRET), "{line}");
    }
    Ok(())
}
