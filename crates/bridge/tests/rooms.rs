//! Rooms on one node: made, talked in, taken away and given back.

mod support;

use std::time::Instant;

use mqttchat_bridge::{BridgeOptions, Memory};
use serde_json::{Value, json};
use support::{App, Client, kind};

const OPS: &str = "rooms/ops";

/// A room of Ann's with these members.
async fn room(ann: &mut Client, open: bool, members: &[&str]) -> Value {
    ann.reply("room.create", OPS, json!({"title":"Operations","open":open,"members":members})).await
}

async fn join(client: &mut Client) -> Value {
    client.reply("join", OPS, json!({"history":50})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_its_creation_to_its_deletion() {
    let app = App::start().await;
    let (mut bob, mut ann) = (app.sign_in("Bob").await, app.sign_in("Ann").await);
    let made = room(&mut ann, false, &["bob"]).await;
    assert_eq!(
        (&made["id"], &made["title"], &made["open"], &made["owner"], &made["members"], &made["head"]),
        (
            &json!("ops"),
            &json!("Operations"),
            &json!(false),
            &json!("ann"),
            &json!(["ann", "bob"]),
            &json!(1)
        )
    );
    let told = bob.expect("room").await;
    assert_eq!((&told["dest"], &told["from"], &told["seq"]), (&json!(OPS), &json!("ann"), &json!(1)));
    assert_eq!((&told["data"]["change"], &told["data"]["room"]), (&json!("create"), &made));
    assert_eq!(bob.reply("rooms", OPS, json!({})).await["rooms"], json!([made]));

    let joined = join(&mut bob).await;
    assert_eq!((&joined["head"], &joined["online"]), (&json!(1), &json!(1)));
    assert_eq!(joined["roster"].as_array().unwrap().len(), 2, "members are named, joined or not: {joined}");
    ann.say("m1", OPS, "hello").await;
    assert_eq!(bob.entries(1).await, [(2, "hello".to_owned())]);

    let renamed = ann.reply("room.update", OPS, json!({"title":"Ops"})).await;
    assert_eq!(
        (&renamed["title"], &renamed["head"], &renamed["created"]),
        (&json!("Ops"), &json!(3), &made["created"])
    );
    assert_eq!(bob.expect("room").await["data"]["room"], renamed);

    let gone = ann.reply("room.delete", OPS, json!({})).await;
    assert_eq!((&gone["title"], &gone["head"]), (&json!("Ops"), &json!(4)));
    assert_eq!(bob.expect("room").await["data"]["change"], "delete");
    assert_eq!(bob.refused("history", OPS, json!({})).await, "not_found");
    assert_eq!(bob.refused("typing", OPS, json!({"typing":true})).await, "not_joined");
    assert_eq!(bob.reply("rooms", OPS, json!({})).await["rooms"], json!([]));

    let again = room(&mut ann, true, &[]).await;
    assert_eq!(again["head"], 5, "numbers are not used again");
    let joined = join(&mut bob).await;
    assert_eq!(joined["messages"].as_array().unwrap().len(), 1, "nothing of the room before: {joined}");
    ann.say("m2", OPS, "afresh").await;
    assert_eq!(bob.entries(1).await, [(6, "afresh".to_owned())]);
    assert_eq!(bob.log_of(OPS).iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2, 3, 4, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_fast_is_told_of_now_and_then() {
    const MESSAGES: u64 = 40;
    let app = App::start().await;
    let (mut ann, mut bob) = (app.sign_in("Ann").await, app.sign_in("Bob").await);
    room(&mut ann, true, &["bob"]).await;
    join(&mut ann).await;
    for number in 0..MESSAGES {
        ann.say(&format!("m{number}"), OPS, "read this").await;
    }
    ann.entries(MESSAGES as usize).await;
    let begun = Instant::now();
    for seq in 1..=MESSAGES + 1 {
        bob.send(json!({"type":"read","dest":OPS,"data":{"seq":seq}})).await;
    }
    bob.settled().await;
    let mut told = vec![0];
    while told.last() != Some(&(MESSAGES + 1)) {
        told.push(ann.expect("receipt").await["data"]["read"].as_u64().unwrap());
    }
    assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
    let most = begun.elapsed().as_millis() / 250 + 3;
    assert!(told.len() as u128 <= most, "at most {most}, four a second: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_gets_nothing_more_until_taken_in_again() {
    let app = App::start().await;
    let mut bob = app.sign_in("Bob").await;
    let mut ann = app.sign_in("Ann").await;
    room(&mut ann, false, &["bob"]).await;
    join(&mut ann).await;
    join(&mut bob).await;
    ann.say("m1", OPS, "before").await;
    bob.entries(1).await;
    let after = ann.reply("member.remove", OPS, json!({"user":"bob"})).await;
    assert_eq!(after["members"], json!(["ann"]));
    for number in 0..20 {
        ann.say(&format!("secret {number}"), OPS, "not for Bob").await;
        ann.send(json!({"type":"typing","dest":OPS,"data":{"typing":true}})).await;
    }
    while ann.entries(1).await[0].0 < 23 {}
    let removed = bob.expect("room").await;
    assert_eq!((&removed["seq"], &removed["data"]["user"]), (&json!(3), &json!("bob")));
    for frame in ["join", "history", "roster"] {
        assert_eq!(bob.refused(frame, OPS, json!({})).await, "not_found", "{frame}");
    }
    assert_eq!(bob.refused("typing", OPS, json!({"typing":true})).await, "not_joined");
    assert_eq!(bob.refused("msg", OPS, json!({"text":"let me in"})).await, "not_found");
    let seen = bob.settled().await.to_vec();
    let at = seen.iter().position(|frame| frame["seq"] == 3).unwrap();
    let later = seen[at + 1..].iter().filter(|frame| frame["dest"] == OPS && frame["re"].is_null());
    assert_eq!(later.count(), 0, "{:?}", &seen[at..]);

    ann.reply("member.add", OPS, json!({"user":"bob"})).await;
    assert_eq!(bob.expect("room").await["data"]["change"], "add");
    let joined = join(&mut bob).await;
    assert_eq!(joined["head"], 24);
    ann.say("m2", OPS, "welcome back").await;
    assert_eq!(bob.entries(1).await, [(25, "welcome back".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_what_was_theirs_and_nothing_after() {
    let memory = Memory { ring: 4000, ..Memory::default() };
    let app = App::with(BridgeOptions { memory, ..BridgeOptions::default() }).await;
    let mut ann = app.sign_in("Ann").await;
    let mut slow = app.connect_slowly(2);
    slow.send(json!({"type":"hello","id":"h","data":{"name":"Slow"}})).await;
    slow.expect("1000").await;
    room(&mut ann, false, &["slow"]).await;
    slow.expect("room").await;
    slow.allow(1);
    join(&mut slow).await;
    join(&mut ann).await;
    let text = "x".repeat(3000);
    for number in 0..100 {
        ann.say(&format!("m{number}"), OPS, &text).await;
    }
    ann.entries(100).await;
    ann.reply("member.remove", OPS, json!({"user":"slow"})).await;
    ann.reply("member.add", OPS, json!({"user":"slow"})).await;
    for number in 0..100 {
        ann.say(&format!("n{number}"), OPS, &text).await;
    }
    ann.entries(100).await;
    slow.allow(1000);
    loop {
        let frame = slow.next().await;
        if frame["data"]["change"] == "add" {
            break;
        }
    }
    slow.settled().await;
    assert_eq!(
        slow.log_of(OPS).iter().map(|entry| entry.0).collect::<Vec<_>>(),
        (1..=103).collect::<Vec<_>>()
    );
    assert_eq!(slow.refused("leave", OPS, json!({})).await, "not_joined");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_deleted_room_sees_its_end() {
    let app = App::start().await;
    let mut ann = app.sign_in("Ann").await;
    let mut slow = app.connect_slowly(2);
    slow.send(json!({"type":"hello","id":"h","data":{"name":"Slow"}})).await;
    slow.expect("1000").await;
    room(&mut ann, true, &[]).await;
    join(&mut slow).await;
    join(&mut ann).await;
    for number in 0..100 {
        ann.say(&format!("m{number}"), OPS, &"x".repeat(3000)).await;
    }
    ann.entries(100).await;
    ann.reply("room.delete", OPS, json!({})).await;
    slow.allow(1000);
    assert_eq!(slow.expect("room").await["data"]["change"], "delete");
    room(&mut ann, true, &[]).await;
    ann.say("again", OPS, "another room").await;
    slow.settled().await;
    assert_eq!(slow.log_of(OPS).last().map(|entry| entry.0), Some(102), "the new room is joined anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_room_is_not_there_for_strangers() {
    let app = App::start().await;
    let (mut ann, mut eve) = (app.sign_in("Ann").await, app.sign_in("Eve").await);
    room(&mut ann, false, &[]).await;
    ann.ask_as("m1", "msg", OPS, json!({"text":"secret"})).await;
    let frames = [
        ("join", json!({"history":50})),
        ("history", json!({})),
        ("roster", json!({})),
        ("read", json!({"seq":2})),
        ("msg", json!({"text":"hi"})),
        ("edit", json!({"target":"m1","author":"ann","text":"x"})),
        ("delete", json!({"target":"m1","author":"ann"})),
        ("react", json!({"target":"m1","author":"ann","emoji":"!"})),
        ("room.update", json!({"title":"Mine"})),
        ("room.delete", json!({})),
        ("member.add", json!({"user":"eve"})),
        ("member.remove", json!({"user":"eve"})),
    ];
    for (frame, data) in frames {
        assert_eq!(eve.refused(frame, OPS, data).await, "not_found", "{frame}");
    }
    assert_eq!(eve.refused("typing", OPS, json!({"typing":true})).await, "not_joined");
    assert_eq!(eve.refused("room.create", OPS, json!({"title":"O"})).await, "conflict");
    let token = eve.next_token();
    let mut again = app.connect();
    again
        .send(
            json!({"type":"hello","id":"h","data":{"name":"Eve","token":token,"resume":{OPS:0,"public":0}}}),
        )
        .await;
    let refused = again.expect("error").await;
    assert_eq!((&refused["dest"], &refused["data"]["code"]), (&json!(OPS), &json!("not_found")));
    for dest in ["public", "private/ann"] {
        assert_eq!(eve.refused("room.create", dest, json!({"title":"O"})).await, "bad_dest");
    }
    eve.settled().await;
    assert!(eve.log_of(OPS).is_empty() && !format!("{:?}", eve.seen).contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_room_leaves_its_members() {
    let app = App::start().await;
    let mut ann = app.sign_in("Ann").await;
    let (mut bob, mut eve) = (app.sign_in("Bob").await, app.sign_in("Eve").await);
    room(&mut ann, true, &["bob"]).await;
    for client in [&mut ann, &mut bob, &mut eve] {
        join(client).await;
    }
    eve.ask("msg", OPS, json!({"text":"anybody may write here"})).await;
    assert_eq!(eve.refused("room.update", OPS, json!({"title":"Mine"})).await, "forbidden");
    assert_eq!(
        eve.reply("member.add", OPS, json!({"user":"eve"})).await["members"],
        json!(["ann", "bob", "eve"])
    );
    ann.reply("member.remove", OPS, json!({"user":"eve"})).await;
    // The entry that took her in may have come before the reply.
    let mut last = eve.expect("room").await;
    if last["data"]["change"] == "add" {
        last = eve.expect("room").await;
    }
    assert_eq!(last["data"]["change"], "remove");
    join(&mut eve).await;
    ann.reply("room.update", OPS, json!({"open":false})).await;
    ann.say("m1", OPS, "among ourselves").await;
    assert_eq!(bob.entries(2).await[1].1, "among ourselves");
    assert_eq!(eve.expect("room").await["data"]["open"], false);
    eve.settled().await;
    assert_eq!(eve.log_of(OPS).last().map(|entry| entry.1.clone()).as_deref(), Some("room"));
    assert_eq!(eve.refused("msg", OPS, json!({"text":"hello?"})).await, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_hears_of_a_change_once() {
    let app = App::start().await;
    let mut ann = app.sign_in("Ann").await;
    let mut joined = app.sign_in("Bob").await;
    let token = joined.next_token();
    let mut away = app.connect();
    away.send(json!({"type":"hello","id":"h","data":{"name":"Bob","token":token}})).await;
    away.expect("1000").await;
    room(&mut ann, false, &["bob"]).await;
    // Who joins before they have heard of it reads of it in the answer.
    joined.expect("room").await;
    join(&mut joined).await;
    for number in 0..10 {
        ann.reply("room.update", OPS, json!({"title":format!("title {number}")})).await;
        if number == 5 {
            joined.reply("leave", OPS, json!({})).await;
        }
    }
    ann.reply("room.delete", OPS, json!({})).await;
    for client in [&mut joined, &mut away] {
        while client.log_of(OPS).last().map(|entry| entry.0) != Some(12) {
            client.next().await;
        }
        client.settled().await;
        let seqs: Vec<u64> = client.log_of(OPS).iter().map(|entry| entry.0).collect();
        assert_eq!(seqs, (1..=12).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_change_again_is_answered_alike() {
    let app = App::start().await;
    let mut ann = app.sign_in("Ann").await;
    let data = json!({"title":"Operations","open":true,"members":[]});
    let first = ann.ask_as("c1", "room.create", OPS, data.clone()).await;
    ann.reply("room.update", OPS, json!({"title":"Ops"})).await;
    assert_eq!(ann.ask_as("c1", "room.create", OPS, data).await, first);
    let other = ann.ask_as("c1", "room.create", OPS, json!({"title":"Other"})).await;
    assert_eq!(other["data"]["code"], "id_conflict");
    assert_eq!(ann.refused("room.create", OPS, json!({"title":"Other"})).await, "conflict");
    assert_eq!(ann.refused("member.add", OPS, json!({"user":"nobody"})).await, "not_found");
    assert_eq!(ann.refused("member.remove", OPS, json!({"user":"ann"})).await, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_and_has_read() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.sign_in("Ann").await, app.sign_in("Bob").await);
    app.sign_in("Carol").await;
    room(&mut ann, true, &["carol"]).await;
    join(&mut ann).await;
    join(&mut bob).await;
    let came = ann.expect("presence").await;
    assert_eq!(came["data"]["joined"][0]["id"], "bob", "{came}");
    let roster = ann.reply("roster", OPS, json!({"limit":2})).await;
    let ids = |roster: &Value| -> Vec<String> {
        let lines = roster["roster"].as_array().unwrap().iter();
        lines.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((ids(&roster), &roster["more"]), (vec!["ann".to_owned(), "bob".to_owned()], &json!(true)));
    let rest = ann.reply("roster", OPS, json!({"after":"bob"})).await;
    assert_eq!((ids(&rest), &rest["more"]), (vec!["carol".to_owned()], &json!(false)));
    bob.send(json!({"type":"typing","dest":OPS,"data":{"typing":true}})).await;
    assert_eq!(ann.expect("typing").await["from"], "bob");
    let sent = ann.ask("msg", OPS, json!({"text":"read this"})).await;
    let mut phone = app.connect();
    phone.send(json!({"type":"hello","id":"h","data":{"name":"Bob","token":bob.next_token()}})).await;
    phone.expect("1000").await;
    bob.send(json!({"type":"read","dest":OPS,"data":{"seq":sent["seq"]}})).await;
    for told in [&mut ann, &mut phone] {
        let receipt = told.expect("receipt").await;
        assert_eq!(
            (&receipt["from"], &receipt["dest"], &receipt["data"]["read"]),
            (&json!("bob"), &json!(OPS), &sent["seq"])
        );
    }
    bob.settled().await;
    assert!(!bob.seen.iter().any(|frame| kind(frame) == "receipt"));
    ann.reply("room.update", OPS, json!({"open":false})).await;
    let left = ann.expect("presence").await;
    assert_eq!(left["data"]["left"][0]["id"], "bob", "whoever is shut out is gone at once: {left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unread_is_counted() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.sign_in("Ann").await, app.sign_in("Bob").await);
    let token = bob.next_token();
    room(&mut ann, false, &["bob"]).await;
    for number in 0..3 {
        ann.ask_as(&format!("m{number}"), "msg", OPS, json!({"text":"news"})).await;
    }
    ann.ask("delete", OPS, json!({"target":"m1"})).await;
    let hello = json!({"type":"hello","id":"h","data":{"name":"Bob","token":token}});
    let mut away = app.connect();
    away.send(hello.clone()).await;
    assert_eq!(away.expect("1000").await["data"]["unread"], json!({OPS:2}));
    bob.send(json!({"type":"read","dest":OPS,"data":{"seq":2}})).await;
    bob.settled().await;
    bob.reply("conversations", OPS, json!({})).await;
    let mut away = app.connect();
    away.send(hello).await;
    assert_eq!(away.expect("1000").await["data"]["unread"], json!({OPS:1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_outlives_a_restart() {
    let app = App::start().await;
    let mut ann = app.sign_in("Ann").await;
    let token = ann.next_token();
    room(&mut ann, false, &[]).await;
    ann.ask("msg", OPS, json!({"text":"kept"})).await;
    ann.vanish();
    let app = app.restart(BridgeOptions::default()).await;
    let mut ann = app.connect();
    ann.send(json!({"type":"hello","id":"h","data":{"name":"Ann","token":token,"resume":{OPS:1}}})).await;
    assert_eq!(ann.entries(1).await, [(2, "kept".to_owned())]);
    ann.reply("room.delete", OPS, json!({})).await;
    room(&mut ann, false, &[]).await;
    ann.vanish();
    let mut ann = app.connect();
    ann.send(json!({"type":"hello","id":"h","data":{"name":"Ann","token":token,"resume":{OPS:2}}})).await;
    let gap = ann.expect("gap").await;
    assert_eq!(gap["data"], json!({"after":0,"before":4,"reset":true}), "another room has the id now");
    assert_eq!(ann.expect("room").await["seq"], 4);
}
