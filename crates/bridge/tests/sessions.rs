//! Sessions of one node, without sockets and without a broker.

mod support;

use std::time::{Duration, Instant};

use mqttchat_bridge::{BridgeOptions, Memory};
use serde_json::json;
use support::{App, kind};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_and_seen_by_everybody() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.join("Ann").await, app.join("Bob").await);
    ann.say("m1", "public", "hi").await;
    let seen = bob.expect("msg").await;
    assert_eq!((&seen["from"], &seen["name"], &seen["seq"]), (&json!("ann"), &json!("Ann"), &json!(1)));
    let mut own = vec![ann.next().await, ann.next().await];
    while own.iter().filter(|frame| kind(frame) != "presence").count() < 2 {
        own.push(ann.next().await);
    }
    let accepted = own.iter().find(|frame| kind(frame) == "100").expect("no 100");
    assert_eq!(accepted["data"], "m1");
    assert_eq!(
        (&accepted["seq"], &accepted["dest"], &accepted["time"]),
        (&json!(1), &json!("public"), &seen["time"])
    );
    assert!(own.iter().any(|frame| kind(frame) == "msg"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_the_same_order() {
    let app = App::start().await;
    let mut clients = Vec::new();
    for number in 0..8 {
        clients.push(app.join(&format!("user {number}")).await);
    }
    for round in 0..50 {
        for (number, client) in clients.iter().enumerate() {
            client.say(&format!("{round}"), "public", &format!("{number}/{round}")).await;
        }
    }
    let mut orders = Vec::new();
    for client in &mut clients {
        orders.push(client.entries(400).await);
    }
    assert!(orders[0].iter().zip(1..).all(|((seq, _), expected)| *seq == expected));
    assert!(orders.iter().all(|order| *order == orders[0]));
    for number in 0..8 {
        let own = orders[0].iter().filter_map(|(_, text)| text.strip_prefix(&format!("{number}/")));
        let rounds: Vec<u32> = own.map(|round| round.parse().unwrap()).collect();
        assert!(rounds.is_sorted(), "a sender's messages stay in their order: {rounds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_come_nobody_is_told_more_than_four_times_a_second() {
    let app = App::start().await;
    let mut ann = app.join("Ann").await;
    // Above 1,000 only some are named.
    const STAY_MAX: usize = 900;
    let (begun, mut crowd, mut stayed) = (Instant::now(), Vec::new(), 0);
    while begun.elapsed() < Duration::from_secs(2) {
        let mut one = app.join(&format!("p{}", crowd.len())).await;
        if crowd.len() % 3 == 0 || stayed == STAY_MAX {
            one.reply("leave", "public", json!({})).await;
        } else {
            stayed += 1;
        }
        crowd.push(one);
    }
    let here = 1 + stayed;
    while ann.expect("presence").await["data"]["online"] != here {}
    for session in crowd.iter().chain([&ann]) {
        let told = session.told_at();
        for five in told.windows(5) {
            assert!(five[4] - five[0] > Duration::from_secs(1), "{:?}", five[4] - five[0]);
        }
    }
    assert!(ann.told_at().len() >= 4, "somebody who comes alone is told of soon");
    let joined = ann.seen.iter().filter(|frame| kind(frame) == "presence");
    let joined: usize = joined.map(|frame| frame["data"]["joined"].as_array().map_or(0, Vec::len)).sum();
    assert!(joined >= stayed, "{joined} of {stayed} were named");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_is_stored_once() {
    let app = App::start().await;
    let mut ann = app.sign_in("Ann").await;
    ann.say("m1", "public", "hi").await;
    let first = ann.expect("100").await;
    ann.send(json!({"type":"msg","id":"m1","dest":"public","data":{ "text" : "hi" }})).await;
    assert_eq!(ann.expect("100").await, first);
    ann.say("m1", "public", "other").await;
    let refused = ann.expect("error").await;
    assert_eq!((&refused["data"]["code"], &refused["re"]), (&json!("id_conflict"), &json!("m1")));
    assert_eq!(app.store.head(&mqttchat_protocol::Conversation::Public).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_shows_the_past_and_then_the_present_without_a_hole() {
    let app = App::start().await;
    let mut ann = app.join("Ann").await;
    let talk = async {
        for number in 0..500 {
            ann.say(&format!("m{number}"), "public", &number.to_string()).await;
        }
        ann.entries(500).await
    };
    let watch = async {
        let mut seen = Vec::new();
        for number in 0..10 {
            let mut late = app.sign_in(&format!("late {number}")).await;
            late.send(json!({"type":"join","id":"j","dest":"public","data":{"history":200}})).await;
            let reply = late.expect("reply").await;
            let head = reply["data"]["head"].as_u64().unwrap();
            let past = reply["data"]["messages"].as_array().unwrap();
            let mut seqs: Vec<u64> = past.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
            assert_eq!(seqs.last().copied().unwrap_or(0), head);
            let live = late.entries((500 - head) as usize).await;
            seqs.extend(live.iter().map(|(seq, _)| *seq));
            seen.push(seqs);
        }
        seen
    };
    let (all, seen) = tokio::join!(talk, watch);
    assert_eq!(all.len(), 500);
    for seqs in seen {
        assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
        assert_eq!(seqs.last(), Some(&500));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_catches_up_from_the_store() {
    let memory = Memory { ring: 20_000, private_ring: 20_000 };
    let app = App::with(BridgeOptions { memory, ..BridgeOptions::default() }).await;
    let mut slow = app.connect_slowly(3);
    slow.send(json!({"type":"hello","id":"h","data":{"name":"Slow"}})).await;
    slow.expect("1000").await;
    slow.send(json!({"type":"join","id":"j","dest":"public","data":{}})).await;
    slow.expect("reply").await;
    let mut ann = app.join("Ann").await;
    for number in 0..1000 {
        ann.say(&format!("m{number}"), "public", &"x".repeat(200)).await;
    }
    ann.entries(1000).await;
    slow.allow(tokio::sync::Semaphore::MAX_PERMITS / 2);
    let seqs: Vec<u64> = slow.entries(1000).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, (1..=1000).collect::<Vec<_>>());
    if !slow.seen.iter().any(|frame| kind(frame) == "presence") {
        slow.expect("presence").await;
    }
    let presence = slow.seen.iter().find(|frame| kind(frame) == "presence").unwrap();
    assert_eq!(presence["data"]["joined"][0]["id"], "ann", "what the ring dropped is told all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_goes_on_where_it_was() {
    let app = App::start().await;
    let mut ann = app.join("Ann").await;
    let mut bob = app.sign_in("Bob").await;
    bob.send(json!({"type":"join","id":"j","dest":"public","data":{}})).await;
    bob.expect("reply").await;
    ann.say("1", "public", "one").await;
    bob.entries(1).await;
    let token = bob.seen.iter().find(|frame| kind(frame) == "1000").unwrap()["data"]["token"].clone();
    bob.vanish();
    for number in 2..=300 {
        ann.say(&number.to_string(), "public", "more").await;
    }
    ann.entries(300).await;

    let hello = |resume: u64, log: serde_json::Value| json!({"type":"hello","id":"h","data":{"token":token,"log":log,"resume":{"public":resume}}});
    let log = json!(app.store.log_id());
    let mut near = app.connect();
    near.send(hello(200, log.clone())).await;
    near.expect("1000").await;
    let seqs: Vec<u64> = near.entries(100).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, (201..=300).collect::<Vec<_>>());
    assert!(near.seen.iter().all(|frame| kind(frame) != "gap"));

    let mut far = app.connect();
    far.send(hello(1, log)).await;
    let gap = far.expect("gap").await;
    assert_eq!((&gap["dest"], &gap["data"]), (&json!("public"), &json!({"after":1,"before":101})));
    assert_eq!(far.entries(200).await[0].0, 101);

    for (seq, log) in [(200, json!("another")), (999, json!(app.store.log_id()))] {
        let mut reset = app.connect();
        reset.send(hello(seq, log)).await;
        let gap = reset.expect("gap").await;
        assert_eq!(gap["data"], json!({"after":0,"before":101,"reset":true}));
        assert_eq!(reset.entries(200).await.last().unwrap().0, 300);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_message_reaches_every_session_of_both() {
    let app = App::start().await;
    let mut ann = app.sign_in("Ann").await;
    let mut tab = app.connect();
    tab.send(json!({"type":"hello","id":"h","data":{"token":ann.seen[0]["data"]["token"]}})).await;
    tab.expect("1000").await;
    let mut bob = app.sign_in("Bob").await;
    ann.say("p1", "private/bob", "psst").await;
    for session in [&mut ann, &mut tab, &mut bob] {
        let entry = session.expect("msg").await;
        assert_eq!(
            (&entry["from"], &entry["dest"], &entry["seq"]),
            (&json!("ann"), &json!("private/bob"), &json!(1))
        );
    }
    bob.say("p2", "private/ann", "yes?").await;
    for session in [&mut ann, &mut tab, &mut bob] {
        let entry = session.expect("msg").await;
        assert_eq!(
            (&entry["from"], &entry["dest"], &entry["seq"]),
            (&json!("bob"), &json!("private/ann"), &json!(2))
        );
    }
    ann.say("p3", "private/nobody", "hello?").await;
    assert_eq!(ann.expect("error").await["data"]["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_in_private_comes_with_the_next_hello_and_is_confirmed_once() {
    let app = App::start().await;
    let bob = app.sign_in("Bob").await;
    let token = bob.next_token();
    bob.vanish();
    let mut ann = app.sign_in("Ann").await;
    for number in 1..=3 {
        ann.say(&format!("p{number}"), "private/bob", &number.to_string()).await;
    }
    ann.entries(3).await;
    let mut bob = app.connect();
    bob.send(json!({"type":"hello","id":"h","data":{"token":token}})).await;
    let ready = bob.expect("1000").await;
    assert_eq!(ready["data"]["unread"], json!({"private/ann":3}));
    assert_eq!(bob.entries(3).await.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3]);
    bob.send(json!({"type":200,"data":"p2"})).await;
    for (id, seq) in [("p1", 1), ("p2", 2)] {
        let delivered = ann.expect("300").await;
        assert_eq!(delivered, json!({"type":300,"dest":"private/bob","seq":seq,"by":"bob","data":id}));
    }
    bob.send(json!({"type":200,"data":"p1"})).await;
    bob.send(json!({"type":200,"data":"p3","dest":"private/ann"})).await;
    assert_eq!(ann.expect("300").await["data"], "p3");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_says_bye_and_another_run_knows_everything() {
    let app = App::start().await;
    let mut ann = app.join("Ann").await;
    ann.say("1", "public", "one").await;
    ann.entries(1).await;
    let app = app.restart(BridgeOptions::default()).await;
    let bye = ann.expect("bye").await;
    assert!(bye["data"]["retry_after"].as_u64().unwrap() >= 500);
    assert_eq!(ann.closed().await, 1001);
    let mut bob = app.sign_in("Bob").await;
    bob.send(json!({"type":"join","id":"j","dest":"public","data":{"history":10}})).await;
    let reply = bob.expect("reply").await;
    assert_eq!(
        (&reply["data"]["head"], &reply["data"]["messages"][0]["data"]["text"]),
        (&json!(1), &json!("one"))
    );
    let roster = reply["data"]["roster"].as_array().unwrap();
    let ann = roster.iter().find(|person| person["id"] == "ann").expect("ann is not in the roster");
    assert_eq!(ann["state"], "offline");
    assert!(ann["last_seen"].as_u64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_is_for_the_others_and_ends() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.join("Ann").await, app.join("Bob").await);
    ann.send(json!({"type":"typing","dest":"public","data":{"typing":true}})).await;
    let typing = bob.expect("typing").await;
    assert_eq!((&typing["from"], &typing["data"]["typing"]), (&json!("ann"), &json!(true)));
    ann.say("1", "public", "done").await;
    assert_eq!(bob.expect("typing").await["data"]["typing"], false);
    bob.entries(1).await;
    ann.entries(1).await;
    assert!(ann.seen.iter().all(|frame| kind(frame) != "typing"));
    let outside = app.sign_in("Eve").await;
    outside.send(json!({"type":"typing","id":"t","dest":"public","data":{"typing":true}})).await;
    let mut outside = outside;
    assert_eq!(outside.expect("error").await["data"]["code"], "not_joined");
}

/// The ids of the messages that are told as delivered, up to that of the message `last`.
async fn delivered_until(client: &mut support::Client, last: &str) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.last().is_none_or(|id| id != last) {
        let told = client.expect("300").await;
        assert_eq!(told["by"], "bob");
        ids.push(told["data"].as_str().unwrap_or_default().to_owned());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_tells_that_what_is_before_it_was_delivered() {
    let app = App::start().await;
    let (mut ann, mut bob) = (app.sign_in("Ann").await, app.sign_in("Bob").await);
    for id in ["p1", "p2", "p3"] {
        ann.say(id, "private/bob", id).await;
    }
    bob.entries(3).await;
    bob.send(json!({"type":200,"data":"p1"})).await;
    bob.say("answer", "private/ann", "yes").await;
    assert_eq!(delivered_until(&mut ann, "p3").await, ["p1", "p2", "p3"]);
    for id in ["p3", "p2", "p1"] {
        bob.send(json!({"type":200,"data":id})).await;
    }
    ann.say("p4", "private/bob", "last").await;
    bob.entries(2).await;
    bob.send(json!({"type":200,"data":"p4"})).await;
    assert_eq!(delivered_until(&mut ann, "p4").await, ["p4"], "nothing is told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_that_confirm_at_once_tell_each_message_once() {
    const MESSAGES: usize = 40;
    let app = App::start().await;
    let (mut ann, mut bob) = (app.sign_in("Ann").await, app.sign_in("Bob").await);
    let mut tab = app.connect();
    tab.send(json!({"type":"hello","id":"h","data":{"token":bob.next_token()}})).await;
    tab.expect("1000").await;
    for number in 0..MESSAGES {
        ann.say(&format!("p{number}"), "private/bob", "x").await;
    }
    bob.entries(MESSAGES).await;
    tab.entries(MESSAGES).await;
    let confirm = async |client: &support::Client, parity: usize| {
        for number in (0..MESSAGES).filter(|number| number % 2 == parity) {
            client.send(json!({"type":200,"data":format!("p{number}")})).await;
        }
        client.send(json!({"type":1001})).await;
    };
    tokio::join!(confirm(&bob, 0), confirm(&tab, 1));
    let mut told = std::collections::BTreeSet::new();
    while told.len() < MESSAGES {
        let id = ann.expect("300").await["data"].as_str().unwrap().to_owned();
        assert!(told.insert(id.clone()), "{id} is told twice");
    }
    // Whatever was still on its way comes before what happens from here on.
    bob.expect("1002").await;
    tab.expect("1002").await;
    ann.say("last", "private/bob", "x").await;
    bob.entries(1).await;
    bob.send(json!({"type":200,"data":"last"})).await;
    assert_eq!(delivered_until(&mut ann, "last").await, ["last"]);
}

/// Something large is in the public conversation: 30 messages of 40 kB.
async fn large_log(app: &App) {
    let mut ann = app.join("Ann").await;
    for number in 0..30 {
        let data = json!({"blob": "x".repeat(40_000), "number": number});
        ann.ask("msg", "public", data).await;
    }
}

#[tokio::test]
async fn who_asks_and_takes_nothing_is_closed_before_all_is_answered() {
    let app = App::start().await;
    large_log(&app).await;
    // It takes what its hello is answered with, and no more.
    let mut slow = app.connect_late(1, Duration::from_secs(9));
    slow.send(json!({"type":"hello","id":"h","data":{"name":"Slow"}})).await;
    slow.expect("1000").await;
    for number in 0..20 {
        slow.send(json!({"type":"history","id":format!("q{number}"),"dest":"public","data":{}})).await;
    }
    // What the socket was handed comes before the code.
    let first = slow.next().await;
    assert_eq!((&first["re"], &first["data"]["more"]), (&json!("q0"), &json!(true)), "bounded in bytes");
    assert_eq!(slow.closed().await, 4413, "and nothing else was answered");
}

#[tokio::test]
async fn one_answer_that_is_not_taken_is_enough() {
    let app = App::start().await;
    large_log(&app).await;
    let mut slow = app.connect_late(1, Duration::from_secs(9));
    slow.send(json!({"type":"hello","id":"h","data":{"name":"Slow"}})).await;
    slow.expect("1000").await;
    slow.send(json!({"type":"history","id":"q","dest":"public","data":{}})).await;
    assert_eq!(slow.closed().await, 4413);
}

#[tokio::test]
async fn who_takes_one_answer_after_the_other_gets_them_all() {
    let app = App::start().await;
    large_log(&app).await;
    let mut slow = app.connect_slowly(1);
    slow.send(json!({"type":"hello","id":"h","data":{"name":"Slow"}})).await;
    slow.expect("1000").await;
    for number in 0..20 {
        slow.send(json!({"type":"history","id":format!("q{number}"),"dest":"public","data":{}})).await;
    }
    for number in 0..20 {
        slow.allow(1);
        let answer = slow.expect("reply").await;
        assert_eq!(answer["re"], format!("q{number}"));
        let seqs: Vec<_> = answer["data"]["messages"].as_array().unwrap().iter().map(|m| &m["seq"]).collect();
        assert_eq!((seqs.len(), seqs.last()), (26, Some(&&json!(30))), "as many as fit into an answer");
    }
}
