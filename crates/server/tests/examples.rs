//! The examples, run as they are: each with a real server, and with clients that come over its port.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[allow(dead_code, unreachable_pub, reason = "an example is a program")]
#[path = "../examples/bot.rs"]
mod bot;
#[allow(dead_code, unreachable_pub, reason = "an example is a program")]
#[path = "../examples/embedded.rs"]
mod embedded;
#[allow(dead_code, unreachable_pub, reason = "an example is a program")]
#[path = "../examples/offline_webhook.rs"]
mod offline_webhook;
#[allow(dead_code, unreachable_pub, reason = "an example is a program")]
#[path = "../examples/own_users.rs"]
mod own_users;

use mqttchat::ChatServer;
use serde_json::json;
use support::{Client, LOOPBACK, Running, request, settings_of};

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_answers_throws_in_public_and_in_private_and_each_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::new(ChatServer::builder().data(data.path().join("chat")).listen(LOOPBACK)).await;
    let memory = data.path().join("bot.json");
    let url = format!("ws://{}/ws", server.address);
    let play =
        |url: String, memory: std::path::PathBuf| tokio::spawn(async move { bot::run(&url, &memory).await });
    let mut ann = Client::hello(server.address, json!({"name": "Ann"})).await;
    ann.send(json!({"type": "join", "id": "j", "dest": "public"})).await;
    ann.expect(|frame| frame["re"] == "j").await;
    let first = play(url.clone(), memory.clone());
    ann.expect(|frame| frame["type"] == "presence" && frame["data"]["joined"][0]["id"] == "dice").await;
    ann.say("m1", "public", "!roll 3d6").await;
    let throw = ann.expect(|frame| frame["type"] == "msg" && frame["from"] == "dice").await;
    let text = throw["data"]["text"].as_str().unwrap();
    let (dice, sum) = text.split_once(" = ").unwrap();
    let dice: Vec<u32> = serde_json::from_str(dice).unwrap();
    assert!(dice.len() == 3 && dice.iter().all(|die| (1..=6).contains(die)), "{text}");
    assert_eq!(dice.iter().sum::<u32>().to_string(), sum);
    ann.say("m2", "private/dice", "!roll 99d6").await;
    ann.expect(|frame| frame["type"] == 300 && frame["data"] == "m2").await;
    ann.expect(|frame| frame["type"] == "msg" && frame["dest"] == "private/ann").await;

    // Another run of the bot has the name, and what was asked meanwhile, and answers nothing twice.
    first.abort();
    ann.expect(|frame| frame["type"] == "presence" && frame["data"]["left"][0]["id"] == "dice").await;
    ann.say("m3", "public", "!roll 1d2").await;
    let second = play(url, memory);
    ann.expect(|frame| frame["type"] == "msg" && frame["from"] == "dice" && frame["dest"] == "public").await;
    ann.say("m4", "public", "!roll 1d1000").await;
    ann.expect(|frame| frame["type"] == "msg" && frame["from"] == "dice" && frame["seq"] == 6).await;
    second.abort();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_has_pages_and_a_chat_behind_one_port() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::of(embedded::start(data.path(), LOOPBACK).await.unwrap());
    let mut ann = Client::hello(server.address, json!({"name": "Ann"})).await;
    ann.send(json!({"type": "join", "id": "j", "dest": "public"})).await;
    ann.expect(|frame| frame["re"] == "j").await;

    let goods = request(server.address, "GET", "/shop/goods").await;
    assert!(goods.starts_with("HTTP/1.1 200 ") && goods.ends_with(r#"["teapot","cup","tea"]"#), "{goods}");
    assert!(request(server.address, "POST", "/shop/orders/teapot").await.starts_with("HTTP/1.1 201 "));
    let told = ann.expect(|frame| frame["type"] == "msg").await;
    assert_eq!((&told["from"], &told["name"]), (&json!("shop"), &json!("The shop")));
    assert_eq!(told["data"]["text"], "somebody has bought a teapot");
    assert!(request(server.address, "POST", "/shop/orders/car").await.starts_with("HTTP/1.1 404 "));
    // What the shop doesn't answer, the chat does.
    assert!(request(server.address, "GET", "/readyz").await.starts_with("HTTP/1.1 200 "));
    assert!(request(server.address, "GET", "/").await.contains("<!doctype html>"));

    ann.say("m1", "public", "cheaper at http://other.example").await;
    let refused = ann.expect(|frame| frame["type"] == "error").await;
    assert_eq!(refused["data"]["code"], "forbidden");
    let mut thief = Client::connect(server.address).await;
    thief.send(json!({"type": "hello", "id": "h", "data": {"name": "Shop"}})).await;
    assert_eq!(thief.expect(|frame| frame["re"] == "h").await["data"]["code"], "name_taken");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_away_gets_a_note() {
    let data = tempfile::tempdir().unwrap();
    let (noted, mut notes) = tokio::sync::mpsc::channel(16);
    let routes = offline_webhook::routes("a secret of your own", move |note| drop(noted.try_send(note)));
    let listener = tokio::net::TcpListener::bind(LOOPBACK).await.unwrap();
    let url = format!("http://{}/chat", listener.local_addr().unwrap());
    let receiver = tokio::spawn(warp::serve(routes).incoming(listener).run());
    let settings = format!("[webhook]\nurl = \"{url}\"\nsecret = \"a secret of your own\"\nafter = 1\n");
    let server = Running::new(ChatServer::builder().config(settings_of(data.path(), &settings))).await;
    let mut ann = Client::hello(server.address, json!({"name": "Ann"})).await;
    let bob = Client::hello(server.address, json!({"name": "Bob"})).await;
    drop(bob);
    let mut cid = Client::hello(server.address, json!({"name": "Cid"})).await;
    ann.say("m1", "private/cid", "are you there?").await;
    cid.expect(|frame| frame["type"] == "msg").await;
    cid.send(json!({"type": 200, "data": "m1"})).await;
    ann.expect(|frame| frame["type"] == 300).await;
    ann.say("m2", "public", "is anybody there?").await;
    ann.say("m3", "private/bob", "are you there?").await;
    let note = offline_webhook::Note { to: "bob".to_owned(), subject: "Ann has written to you".to_owned() };
    assert_eq!(notes.recv().await, Some(note));
    server.stop().await;
    receiver.abort();
    assert_eq!(notes.recv().await, None, "nobody else was away");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_users_are_the_chats_users() {
    let data = tempfile::tempdir().unwrap();
    let accounts = data.path().join("accounts.db");
    let database = rusqlite::Connection::open(&accounts).unwrap();
    database
        .execute_batch(
            "CREATE TABLE accounts (login TEXT PRIMARY KEY, name TEXT NOT NULL, locked INTEGER NOT NULL);
             CREATE TABLE sessions (token TEXT PRIMARY KEY, login TEXT NOT NULL, expires INTEGER NOT NULL);
             INSERT INTO accounts VALUES ('Ann', 'Ann Archer', 0), ('bob', 'Bob', 0), ('cid', 'Cid', 1);
             INSERT INTO sessions VALUES ('a1', 'Ann', unixepoch() + 600), ('b1', 'bob', unixepoch() + 600),
                 ('b0', 'bob', unixepoch() - 1), ('c1', 'cid', unixepoch() + 600);",
        )
        .unwrap();
    let chat = data.path().join("chat");
    let server = Running::of(own_users::start(&accounts, &chat, LOOPBACK).await.unwrap());
    let mut ann = Client::hello(server.address, json!({"token": "a1"})).await;
    assert_eq!(ann.ready["data"]["user"], json!({"id": "ann", "name": "Ann Archer"}));
    assert_eq!(ann.ready["data"]["token"], json!(null));
    let mut bob = Client::hello(server.address, json!({"token": "b1", "name": "King Bob"})).await;
    assert_eq!(bob.ready["data"]["user"]["name"], "Bob", "the application says who they are");
    ann.say("m1", "private/bob", "hello").await;
    assert_eq!(bob.expect(|frame| frame["type"] == "msg").await["name"], "Ann Archer");

    for refused in
        [json!({"token": "b0"}), json!({"token": "c1"}), json!({"token": "x"}), json!({"name": "Eve"})]
    {
        let mut stranger = Client::connect(server.address).await;
        stranger.send(json!({"type": "hello", "id": "h", "data": refused})).await;
        let answer = stranger.expect(|frame| frame["re"] == "h").await;
        assert_eq!(answer["data"]["code"], "unauthorized", "{refused}");
        assert_eq!(stranger.closed().await, 4401);
    }
    server.stop().await;

    // On the same data without the application: its users' chats are nobody else's, and no guest gets their ids.
    let server = Running::new(ChatServer::builder().data(&chat).listen(LOOPBACK)).await;
    let mut eve = Client::connect(server.address).await;
    eve.send(json!({"type": "hello", "id": "h", "data": {"name": "Ann"}})).await;
    assert_eq!(eve.expect(|frame| frame["re"] == "h").await["data"]["code"], "name_taken");
    Client::hello(server.address, json!({"name": "Dora"})).await;
    server.stop().await;
    database.execute("INSERT INTO accounts VALUES ('dora', 'Dora', 0)", []).unwrap();
    database.execute("INSERT INTO sessions VALUES ('d1', 'dora', unixepoch() + 600)", []).unwrap();
    let server = Running::of(own_users::start(&accounts, &chat, LOOPBACK).await.unwrap());
    let mut dora = Client::connect(server.address).await;
    dora.send(json!({"type": "hello", "id": "h", "data": {"token": "d1"}})).await;
    let answer = dora.expect(|frame| frame["re"] == "h").await;
    assert_eq!(answer["data"]["code"], "unauthorized", "a guest had the id first");
    server.stop().await;
}
