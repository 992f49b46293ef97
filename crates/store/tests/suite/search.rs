//! Searching.

use mqttchat_protocol::{Conversation, EntryKind, RoomChange};
use mqttchat_store::{NewEntry, Query, Store};

use super::changes::{delete, edit};
use super::rooms::{add, change, create, ops, remove, say_in};
use super::{Place, claim, msg, open, pair, party, room};

const PUBLIC: Conversation = Conversation::Public;

/// Says it under an id of its own, and says which.
async fn say(store: &Store, from: &str, place: &Conversation, text: &str) -> String {
    let id = uuid::Uuid::new_v4().to_string();
    store.append(msg(from, place, &id, text)).await.unwrap();
    id
}

/// The texts found, newest first.
async fn find_in(store: &Store, who: &str, q: &str, place: Option<&Conversation>) -> Vec<String> {
    let query = Query::parse(q).unwrap();
    let found = store.search(&party(who), &query, place, 99).await.unwrap();
    found
        .iter()
        .map(|entry| {
            assert_eq!(entry.kind, EntryKind::Msg);
            let data: serde_json::Value = serde_json::from_str(&entry.data).unwrap();
            data["text"].as_str().unwrap_or("none").to_owned()
        })
        .collect()
}

async fn find(store: &Store, who: &str, q: &str) -> Vec<String> {
    find_in(store, who, q, None).await
}

/// Waits until all that was said so far is indexed, which is when something said now is.
pub async fn settled(store: &Store) {
    let word = format!("w{}", uuid::Uuid::new_v4().simple());
    let place = PUBLIC;
    say(store, "mqtt:probe", &place, &word).await;
    while find(store, "mqtt:probe", &word).await.is_empty() {
        tokio::task::yield_now().await;
    }
}

pub async fn words_phrases_prefixes_and_authors(place: &impl Place) {
    let store = open(place).await;
    for (from, text) in [
        ("ann", "The quick brown fox"),
        ("bob", "a QUICK fix, e-mail me"),
        ("ann", "brown quick"),
        ("mqtt:lamp", "quickly on"),
        ("bob", "Ünïcode Straße"),
    ] {
        say(&store, from, &PUBLIC, text).await;
    }
    settled(&store).await;
    let (fox, fix, brown, on, accents) =
        ("The quick brown fox", "a QUICK fix, e-mail me", "brown quick", "quickly on", "Ünïcode Straße");
    for (q, expected) in [
        ("quick", vec![brown, fix, fox]),
        ("Quick brown", vec![brown, fox]),
        ("\"quick brown\"", vec![fox]),
        ("\"brown quick\"", vec![brown]),
        ("quick*", vec![on, brown, fix, fox]),
        ("quic", vec![]),
        ("fo* quick", vec![fox]),
        ("unicode strasse", vec![accents]),
        ("UNICÓDE", vec![accents]),
        ("from:ann", vec![brown, fox]),
        ("from:ann fox", vec![fox]),
        ("from:mqtt:lamp quickly", vec![on]),
        ("from:nobody", vec![]),
        ("e-mail", vec![fix]),
        ("mail e", vec![fix]),
        ("\"mail e\"", vec![]),
        ("fox OR fix", vec![]),
        ("NOT (quick:* AND ^x)", vec![]),
    ] {
        assert_eq!(find(&store, "cleo", q).await, expected, "{q}");
    }
}

pub async fn any_script(place: &impl Place) {
    let store = open(place).await;
    let texts = [
        "我住在東京大學旁邊",
        "今日は良い天気ですね",
        "สวัสดีครับทุกคน",
        "Привет, Ёжик",
        "שלום עולם",
        "한국어를 공부해요",
        "買iPhone手機",
        "nice 👍🏽",
    ];
    for text in texts {
        say(&store, "ann", &PUBLIC, text).await;
    }
    settled(&store).await;
    for (q, expected) in [
        ("東京", 0),
        ("京大學", 0),
        ("東", 0),
        ("邊", 0),
        ("天気", 1),
        ("です", 1),
        ("ครับ", 2),
        ("ดีค", 2),
        ("ежик ПРИВЕТ", 3),
        ("שלום", 4),
        ("한국*", 5),
        ("手機", 6),
        ("iphone", 6),
        ("買iPhone", 6),
        ("👍", 7),
    ] {
        assert_eq!(find(&store, "bob", q).await, [texts[expected]], "{q}");
    }
    for none in ["京東", "大京", "気天", "東京 天気"] {
        assert!(find(&store, "bob", none).await.is_empty(), "{none}");
    }
}

pub async fn only_what_one_may_read(place: &impl Place) {
    let store = ops(place, false).await;
    change(&store, "dan", "lobby", create("Lobby", true, &[])).await.unwrap();
    say(&store, "ann", &PUBLIC, "word in public").await;
    say(&store, "ann", &room("ops"), "word in ops").await;
    say(&store, "dan", &room("lobby"), "word in lobby").await;
    say(&store, "ann", &pair("ann", "bob"), "word to bob").await;
    say(&store, "ann", &pair("ann", "ann"), "word to self").await;
    say(&store, "mqtt:lamp", &pair("mqtt:lamp", "dan"), "word to dan").await;
    settled(&store).await;
    let (public, in_ops, lobby) = ("word in public", "word in ops", "word in lobby");
    assert_eq!(find(&store, "ann", "word").await, ["word to self", "word to bob", lobby, in_ops, public]);
    assert_eq!(find(&store, "bob", "word").await, ["word to bob", lobby, in_ops, public]);
    assert_eq!(find(&store, "cleo", "word").await, [lobby, public]);
    assert_eq!(find(&store, "dan", "word").await, ["word to dan", lobby, public]);
    assert_eq!(find(&store, "nobody", "word").await, [lobby, public]);
    assert_eq!(find(&store, "cleo", "from:ann").await, [public]);
    for (who, place, expected) in [
        ("bob", room("ops"), vec![in_ops]),
        ("cleo", room("ops"), vec![]),
        ("cleo", room("lobby"), vec![lobby]),
        ("bob", pair("ann", "bob"), vec!["word to bob"]),
        ("cleo", pair("ann", "bob"), vec![]),
        ("bob", pair("ann", "ann"), vec![]),
        ("bob", PUBLIC, vec![public]),
        ("bob", room("none"), vec![]),
    ] {
        assert_eq!(find_in(&store, who, "word", Some(&place)).await, expected, "{who} {place}");
    }
    // Rights are those of now.
    change(&store, "ann", "ops", remove("bob")).await.unwrap();
    change(&store, "ann", "ops", add("cleo")).await.unwrap();
    let close = RoomChange::Update { title: None, open: Some(false) };
    change(&store, "dan", "lobby", close).await.unwrap();
    assert_eq!(find(&store, "bob", "word").await, ["word to bob", public]);
    assert_eq!(find(&store, "cleo", "word").await, [in_ops, public]);
}

pub async fn newest_first_and_no_more(place: &impl Place) {
    let store = open(place).await;
    for n in 0..30 {
        say(&store, "ann", &PUBLIC, &format!("number {n} again")).await;
    }
    settled(&store).await;
    let query = Query::parse("again").unwrap();
    let found = async |limit| store.search(&party("bob"), &query, None, limit).await.unwrap();
    let seqs: Vec<_> = found(4).await.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [30, 29, 28, 27]);
    assert!(found(0).await.is_empty());
    assert_eq!(found(u64::MAX).await.len(), 30);
    let newest = store.entries_before(&PUBLIC, Some(31), 1).await.unwrap();
    assert_eq!(found(1).await, newest, "a whole entry");
}

pub async fn follows_changes(place: &impl Place) {
    let store = open(place).await;
    let (first, second) =
        (say(&store, "ann", &PUBLIC, "apple tree").await, say(&store, "ann", &PUBLIC, "pear tree").await);
    settled(&store).await;
    store.append(edit("ann", &PUBLIC, "e1", &first, "plum tree")).await.unwrap();
    store.append(delete("ann", &PUBLIC, "d1", &second)).await.unwrap();
    // As well where they come with what they change.
    let third = say(&store, "ann", &PUBLIC, "fig tree").await;
    store.append(edit("ann", &PUBLIC, "e2", &third, "oak tree")).await.unwrap();
    let fourth = say(&store, "ann", &PUBLIC, "elm tree").await;
    store.append(delete("ann", &PUBLIC, "d2", &fourth)).await.unwrap();
    settled(&store).await;
    assert_eq!(find(&store, "bob", "tree").await, ["oak tree", "plum tree"]);
    for gone in ["apple", "pear", "fig", "elm"] {
        assert!(find(&store, "bob", gone).await.is_empty(), "{gone}");
    }
    assert_eq!(find(&store, "bob", "plum").await, ["plum tree"]);
    store.append(edit("ann", &PUBLIC, "e3", &first, "ash")).await.unwrap();
    settled(&store).await;
    assert_eq!(find(&store, "bob", "tree").await, ["oak tree"]);
    assert_eq!(find(&store, "bob", "ash").await, ["ash"]);
}

pub async fn nothing_is_left_of_a_deleted_room(place: &impl Place) {
    let store = ops(place, true).await;
    for n in 0..250 {
        say_in(&store, "bob", "ops", &format!("secret {n}")).await.unwrap();
        if n == 120 {
            settled(&store).await;
        }
    }
    change(&store, "ann", "ops", RoomChange::Delete).await.unwrap();
    assert!(find(&store, "bob", "secret").await.is_empty(), "at once");
    change(&store, "ann", "ops", create("Ops", true, &[])).await.unwrap();
    say_in(&store, "bob", "ops", "secret anew").await.unwrap();
    settled(&store).await;
    assert_eq!(find(&store, "bob", "secret").await, ["secret anew"]);
    change(&store, "ann", "ops", RoomChange::Delete).await.unwrap();
    settled(&store).await;
    assert!(find(&store, "bob", "secret").await.is_empty());
}

pub async fn found_after_reopening(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    say(&store, "ann", &PUBLIC, "said and closed").await;
    store.close().await;
    let store = open(place).await;
    while find(&store, "bob", "closed").await.is_empty() {
        tokio::task::yield_now().await;
    }
}

pub async fn what_isnt_text(place: &impl Place) {
    let store = open(place).await;
    for (n, data) in
        [r#"{"note":"hidden"}"#, "{}", r#"{"text":""}"#, r#"{"text":"shown \u0000 §public \\ ' x"}"#]
            .into_iter()
            .enumerate()
    {
        let entry = NewEntry { data: data.into(), ..msg("ann", &PUBLIC, &n.to_string(), "") };
        store.append(entry).await.unwrap();
    }
    settled(&store).await;
    assert!(find(&store, "bob", "hidden").await.is_empty());
    assert_eq!(find(&store, "bob", "shown public x").await.len(), 1);
    assert_eq!(find(&store, "bob", "§public").await.len(), 1, "a word, not a mark");
    say(&store, "ann", &PUBLIC, &format!("{} end", "long ".repeat(20_000))).await;
    say(&store, "ann", &PUBLIC, &"東".repeat(20_000)).await;
    settled(&store).await;
    assert_eq!(find(&store, "bob", "long").await.len(), 1);
    assert_eq!(find(&store, "bob", "東東東").await.len(), 1);
}
