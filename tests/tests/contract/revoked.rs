//! Those who are no longer welcome: blocked users, revoked tokens, a rotated secret.

use anyhow::{Result, ensure};
use hyper::Request;
use mqttchat_e2e::http::{self, Response};
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::sockjs::Door;
use mqttchat_e2e::{App, Socket, User, app, eventually};
use serde_json::{Value, json};

/// Runs a command beside the server; gives what it prints.
async fn command(app: &App, arguments: &[&str]) -> Result<String> {
    let data = app.data();
    let ended = app::run([arguments, &["--data", &data.to_string_lossy()]].concat()).await?;
    ensure!(ended.status == Some(0), "{arguments:?}: {}", ended.stderr);
    Ok(ended.stdout.trim_end().to_owned())
}

async fn call(app: &App, method: &str, path: &str, token: &str, body: &str) -> Result<Response> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/{path}"))
        .header("authorization", format!("Bearer {token}"));
    http::send_with(app.address(), request, body).await
}

async fn refused(app: &App, token: &str) -> Result<()> {
    let mut socket = app.socket().await?;
    socket.send(&json!({"type": "hello", "id": "h1", "data": {"token": token}})).await?;
    socket.expect_error("h1", "unauthorized").await?;
    assert_eq!(socket.expect_end().await?, Ending::Closed(4401));
    assert_eq!(call(app, "GET", "conversations", token, "").await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn a_blocked_user_is_out_everywhere_and_can_be_let_in_again() -> Result<()> {
    let app = App::start().await?;
    let (bob, ann) = (app.member("Bob").await?, app.user("Ann").await?);
    let again = User::hello_over(
        Socket::over(app.address(), Door::XhrStreaming),
        app.address(),
        &json!({"name": "Ann", "token": ann.token}),
    )
    .await?;
    let stream = tokio::spawn({
        let (address, token) = (app.address(), ann.token.clone());
        let request =
            Request::get("/api/v1/events?dest=public").header("authorization", format!("Bearer {token}"));
        async move { http::send(address, request).await }
    });
    eventually("the stream to be open", async || {
        let users = call(&app, "GET", "users?state=online", &bob.token, "").await?;
        Ok(users.body.contains("\"ann\"").then_some(()))
    })
    .await?;
    command(&app, &["user", "block", "Ann"]).await?;
    // From here on nothing is taken, whether the session is closed yet or not.
    assert_eq!(call(&app, "POST", "public", &ann.token, "still me").await?.status, 401);
    for session in [&ann as &Socket, &again] {
        session.expect_error(Value::Null, "unauthorized").await?;
        assert_eq!(session.expect_end().await?, Ending::Closed(4401));
    }
    drop(stream.await??);
    refused(&app, &ann.token).await?;
    assert!(command(&app, &["user", "list"]).await?.contains("blocked"));
    assert!(bob.seen_of("msg").is_empty(), "Bob has heard something");
    command(&app, &["user", "unblock", "ann"]).await?;
    let mut ann = ann.another_session().await?;
    ann.say("public", "back again").await?;
    Ok(())
}

#[tokio::test]
async fn whoever_is_blocked_has_nothing_stored_from_then_on() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let mut ann = app.user("Ann").await?;
    let admin = command(&app, &["apikey", "create", "Warden", "--scope", "admin", "--scope", "read"]).await?;
    let plain = command(&app, &["apikey", "create", "Plain"]).await?;
    let block = |key: String, blocked: bool| {
        let (app, body) = (&app, json!({ "blocked": blocked }).to_string());
        async move { call(app, "PATCH", "users/ann", &key, &body).await }
    };
    assert_eq!(block(plain, true).await?.status, 403);
    assert_eq!(block(ann.token.clone(), true).await?.status, 403);
    let blocked = block(admin.clone(), true).await?;
    assert_eq!(blocked.status, 200, "{}", blocked.body);
    assert!(blocked.body.contains("\"blocked\":true"), "{}", blocked.body);
    // The socket may be closed already.
    let _ = ann.send(&json!({"type": "msg", "id": "late", "dest": "public", "data": {"text": "late"}})).await;
    assert_eq!(ann.expect_end().await?, Ending::Closed(4401));
    let log = call(&app, "GET", "messages?dest=public", &admin, "").await?;
    assert!(!log.body.contains("late"), "{}", log.body);
    let shown = call(&app, "GET", "users/ann", &admin, "").await?;
    assert!(shown.body.contains("\"blocked\":true"), "{}", shown.body);
    assert_eq!(call(&app, "PATCH", "users/nobody", &admin, "{\"blocked\":true}").await?.status, 404);
    assert_eq!(call(&app, "PATCH", "users/ann", &admin, "{\"blocked\":1}").await?.status, 400);
    assert_eq!(block(admin, false).await?.status, 200);
    ann.another_session().await?.say("public", "back again").await?;
    Ok(())
}

#[tokio::test]
async fn a_program_signs_in_with_its_key_until_it_is_revoked() -> Result<()> {
    let app = App::start().await?;
    let ann = app.member("Ann").await?;
    let key = command(&app, &["apikey", "create", "Weather"]).await?;
    let reader = command(&app, &["apikey", "create", "Reader", "--scope", "read"]).await?;
    let mut weather = User::hello(app.address(), &json!({ "token": key, "name": "Somebody else" })).await?;
    assert_eq!(weather.id, "weather");
    weather.say("public", "it rains").await?;
    ann.expect_text("it rains").await?;
    let renewed = weather.request(json!({"type": "token", "data": {"token": key}})).await?;
    assert_eq!(renewed, json!({"expires": null}));
    let writer = command(&app, &["apikey", "create", "Writer", "--scope", "write"]).await?;
    let mut socket = app.socket().await?;
    socket.send(&json!({"type": "hello", "id": "h1", "data": {"token": writer}})).await?;
    socket.expect_error("h1", "unauthorized").await?;
    let socket = Socket::over(app.address(), Door::XhrStreaming);
    let mut reader = User::hello_over(socket, app.address(), &json!({ "token": reader })).await?;
    reader.join("public").await?;
    reader.send(&json!({"type": "msg", "id": "m", "dest": "public", "data": {"text": "me too"}})).await?;
    reader.expect_error("m", "forbidden").await?;
    command(&app, &["apikey", "revoke", "Weather"]).await?;
    weather.expect_error(Value::Null, "unauthorized").await?;
    assert_eq!(weather.expect_end().await?, Ending::Closed(4401));
    refused(&app, &key).await?;
    reader.whole_history("public").await?;
    command(&app, &["user", "block", "Reader"]).await?;
    reader.expect_error(Value::Null, "unauthorized").await?;
    assert_eq!(reader.expect_end().await?, Ending::Closed(4401));
    Ok(())
}

#[tokio::test]
async fn a_new_token_ends_the_old_ones() -> Result<()> {
    let app = App::start().await?;
    let (ann, bob) = (app.user("Ann").await?, app.user("Bob").await?);
    let token = command(&app, &["user", "token", "Ann"]).await?;
    assert_eq!(ann.expect_end().await?, Ending::Closed(4401));
    refused(&app, &ann.token).await?;
    let mut ann = User::hello(app.address(), &json!({ "token": token })).await?;
    assert_eq!(ann.id, "ann");
    ann.say("private/bob", "it is me").await?;
    bob.expect_text("it is me").await?;
    let ended = app::run(["user", "token", "Nobody", "--data", &app.data().to_string_lossy()]).await?;
    assert!(ended.status != Some(0) && ended.stderr.contains("there is no user Nobody"), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn a_rotated_secret_leaves_its_tokens_a_grace() -> Result<()> {
    let app = App::start().await?;
    let (ann, bob) = (app.user("Ann").await?, app.member("Bob").await?);
    command(&app, &["secret", "rotate"]).await?;
    eventually("the server to know of it", async || {
        Ok(app.output().iter().any(|line| line.contains("master secrets have changed")).then_some(()))
    })
    .await?;
    let mut again = ann.another_session().await?;
    again.say("public", "signed by the old one").await?;
    bob.expect_text("signed by the old one").await?;
    command(&app, &["secret", "rotate", "--grace", "0"]).await?;
    eventually("the old token to be no good", async || {
        Ok((call(&app, "GET", "conversations", &ann.token, "").await?.status == 401).then_some(()))
    })
    .await?;
    refused(&app, &ann.token).await?;
    // Whoever had the secret may be any of those who are in.
    for session in [&ann as &Socket, &again, &bob] {
        session.expect_error(Value::Null, "unauthorized").await?;
        assert_eq!(session.expect_end().await?, Ending::Closed(4401));
    }
    let fresh =
        User::hello(app.address(), &json!({"token": command(&app, &["user", "token", "ann"]).await?}))
            .await?;
    assert_eq!(fresh.id, "ann");
    let mut cat = app.user("Cat").await?;
    cat.join("public").await?;
    cat.another_session().await?.say("public", "with a new token").await?;
    cat.expect_text("with a new token").await?;
    Ok(())
}
