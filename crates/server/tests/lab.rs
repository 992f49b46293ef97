//! The course lab's calls, as its clients make them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use mqttchat::ChatServer;
use serde_json::{Value, json};
use support::{Client, Running, request, settings_of};

async fn lab(data: &Path) -> Running {
    let settings = "lab_api = true\n[limits]\nmessages_per_second = 0\n";
    Running::new(ChatServer::builder().config(settings_of(data, settings))).await
}

/// The status of an answer, and its body.
async fn get(server: &Running, path: &str) -> (u16, Value) {
    let answer = request(server.address, "GET", path).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

async fn send(server: &Running, query: &str) -> u16 {
    get(server, &format!("/send/?{query}")).await.0
}

async fn messages(server: &Running, query: &str) -> Value {
    let (status, body) = get(server, &format!("/messages/?{query}")).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_kept_and_rooms_restored() {
    let data = tempfile::tempdir().unwrap();
    let server = lab(data.path()).await;
    for number in 1..=3 {
        let query =
            format!("room_name=general&message=test+message%20{number}&from_alias=ann&group_room=true");
        assert_eq!(get(&server, &format!("/send/?{query}")).await, (200, json!(true)));
    }
    let all = json!(["test message 1", "test message 2", "test message 3"]);
    assert_eq!(messages(&server, "room_name=general").await, all);
    let newest = json!(["test message 2", "test message 3"]);
    assert_eq!(messages(&server, "room_name=general&num_messages=2").await, newest);
    assert_eq!(messages(&server, "room_name=general&num_messages=1000").await, all);
    // Without the slash, as curl's users write it.
    assert_eq!(get(&server, "/messages?room_name=general").await, (200, all.clone()));
    server.stop().await;

    let server = lab(data.path()).await;
    assert_eq!(messages(&server, "room_name=general").await, all);
    let (_, rooms) = get(&server, "/rooms/").await;
    assert_eq!((&rooms[0]["name"], &rooms[0]["owner_alias"]), (&json!("general"), &json!("ann")));
    assert_eq!((&rooms[0]["group_room"], &rooms[0]["member_list"]), (&json!(true), &json!(["ann"])));
    assert!(rooms[0]["modify_time"].as_u64() >= rooms[0]["create_time"].as_u64());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_page_and_none_of_what_was_deleted() {
    let data = tempfile::tempdir().unwrap();
    let server = lab(data.path()).await;
    for number in 0..250 {
        let query = format!("room_name=long&message={number}&from_alias=ann&group_room=true");
        assert_eq!(send(&server, &query).await, 200);
    }
    let mut bob = Client::hello(server.address, json!({"name": "Bob"})).await;
    bob.say("gone", "rooms/long", "taken back").await;
    bob.expect(|frame| frame["data"] == "gone").await;
    bob.say("stays", "rooms/long", "with a slip").await;
    for change in [
        json!({"type": "delete", "id": "c1", "dest": "rooms/long", "data": {"target": "gone"}}),
        json!({"type": "edit", "id": "c2", "dest": "rooms/long", "data": {"target": "stays", "text": "mended"}}),
    ] {
        bob.send(change).await;
    }
    bob.expect(|frame| frame["data"] == "c2").await;
    let all = messages(&server, "room_name=long&num_messages=1000").await;
    let expected: Vec<String> = (0..250).map(|n| n.to_string()).chain(["mended".to_owned()]).collect();
    assert_eq!(all, json!(expected));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_room_is_for_two_and_a_group_grows() {
    let data = tempfile::tempdir().unwrap();
    let server = lab(data.path()).await;
    let private = "room_name=ann-bob&message=hi&from_alias=ann&to_alias=bob&group_room=false";
    assert_eq!(send(&server, private).await, 200);
    assert_eq!(send(&server, "room_name=ann-bob&message=ho&from_alias=bob&to_alias=ann").await, 200);
    assert_eq!(send(&server, "room_name=ann-bob&message=me+too&from_alias=cid&to_alias=ann").await, 403);
    assert_eq!(send(&server, "room_name=ann-bob&message=psst&from_alias=ann&to_alias=cid").await, 403);
    assert_eq!(messages(&server, "room_name=ann-bob").await, json!(["hi", "ho"]));
    assert_eq!(send(&server, "room_name=alone&message=hi&from_alias=ann").await, 400);

    let group = "room_name=crew&message=all+aboard&group_room=true";
    assert_eq!(send(&server, &format!("{group}&from_alias=ann&to_alias=bob")).await, 200);
    assert_eq!(send(&server, &format!("{group}&from_alias=cid&to_alias=crew")).await, 200);
    let members = |rooms: &Value, name: &str| {
        let room = rooms.as_array().unwrap().iter().find(|room| room["name"] == name);
        room.map(|room| room["member_list"].clone())
    };
    let (_, seen) = get(&server, "/rooms/?alias=bob").await;
    assert_eq!(members(&seen, "crew"), Some(json!(["ann", "bob", "cid"])));
    assert_eq!(members(&seen, "ann-bob"), Some(json!(["ann", "bob"])));
    let (_, seen) = get(&server, "/rooms/").await;
    assert_eq!(members(&seen, "ann-bob"), None, "a private room is nobody else's to see");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_kind_and_the_same_rooms_on_the_page() {
    let data = tempfile::tempdir().unwrap();
    let server = lab(data.path()).await;
    let mut bob = Client::hello(server.address, json!({"name": "Bob"})).await;
    let query = "room_name=R%C3%A4ume%20%231&message=gr%C3%BC%C3%9Fe&from_alias=Zo%C3%AB&to_alias=bob&group_room=True";
    assert_eq!(send(&server, query).await, 200);
    assert_eq!(messages(&server, "room_name=R%C3%A4ume+%231").await, json!(["grüße"]));
    bob.send(json!({"type": "rooms", "id": "r"})).await;
    let reply = bob.expect(|frame| frame["re"] == "r").await;
    let room = &reply["data"]["rooms"][0];
    assert_eq!(room["title"], "Räume #1");
    let dest = format!("rooms/{}", room["id"].as_str().unwrap());
    bob.send(json!({"type": "join", "id": "j", "dest": dest, "data": {"history": 5}})).await;
    let joined = bob.expect(|frame| frame["re"] == "j").await;
    let said = joined["data"]["messages"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&said["name"], &said["data"]), (&json!("Zoë"), &json!({"text": "grüße", "to": "bob"})));
    bob.say("m1", &dest, "hello lab").await;
    bob.expect(|frame| frame["type"] == 100).await;
    assert_eq!(messages(&server, "room_name=R%C3%A4ume+%231").await, json!(["grüße", "hello lab"]));
    let (_, rooms) = get(&server, "/rooms/").await;
    assert_eq!((&rooms[0]["name"], &rooms[0]["owner_alias"]), (&json!("Räume #1"), &json!("Zoë")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_impersonated_and_closed_rooms_of_others_stay_closed() {
    let data = tempfile::tempdir().unwrap();
    let server = lab(data.path()).await;
    let mut bob = Client::hello(server.address, json!({"name": "Bob"})).await;
    let closed = json!({"type": "room.create", "id": "c", "dest": "rooms/board", "data": {"title": "Board"}});
    bob.send(closed).await;
    assert_eq!(bob.expect(|frame| frame["re"] == "c").await["type"], "reply");
    bob.say("m1", "rooms/board", "secret").await;
    bob.expect(|frame| frame["type"] == 100).await;
    assert_eq!(send(&server, "room_name=general&message=hi&from_alias=bob&group_room=true").await, 403);
    assert_eq!(send(&server, "room_name=board&message=hi&from_alias=ann&group_room=true").await, 403);
    assert_eq!(get(&server, "/messages/?room_name=board").await.0, 404);
    let (_, rooms) = get(&server, "/rooms/?alias=bob").await;
    assert_eq!(rooms, json!([]), "bob signs in; who asks here may be anybody");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let data = tempfile::tempdir().unwrap();
    let server = lab(data.path()).await;
    for (path, status) in [
        ("/send/", 400),
        ("/send/?room_name=a&message=&from_alias=x&group_room=true", 400),
        ("/send/?room_name=a&message=m&from_alias=x&group_room=maybe", 400),
        ("/send/?room_name=a&message=m&from_alias=%00&group_room=true", 400),
        ("/send/?room_name=a&message=m&from_alias=%ff&group_room=true", 400),
        ("/send/?room_name=a&message=m&from_alias=x&group_room=true&colour=red", 400),
        ("/messages/", 400),
        ("/messages/?room_name=nowhere", 404),
        ("/messages/?room_name=nowhere&num_messages=0", 400),
        ("/messages/?room_name=nowhere&num_messages=1001", 400),
        ("/messages/?room_name=nowhere&num_messages=all", 400),
    ] {
        let (given, body) = get(&server, path).await;
        assert_eq!(given, status, "{path}");
        assert!(body["detail"].as_str().unwrap().len() > 10, "{path}: {body}");
    }
    let long = format!("/send/?room_name={}&message=m&from_alias=x&group_room=true", "x".repeat(65));
    assert_eq!(get(&server, &long).await.0, 400);
    assert!(request(server.address, "POST", "/send/").await.starts_with("HTTP/1.1 405 "));
    server.stop().await;
    let server = Running::new(ChatServer::builder().config(settings_of(data.path(), ""))).await;
    assert_eq!(get(&server, "/messages/?room_name=general").await.0, 404, "off by default");
    server.stop().await;
}
