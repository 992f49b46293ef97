//! `/api/v1` over real sockets: who is let in, what is answered, and how refusals look.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use serde_json::{Value, json};
use support::{Response as Answer, Site};

/// A call of somebody with a token.
struct Caller<'s> {
    site: &'s Site,
    bearer: String,
}

impl<'s> Caller<'s> {
    async fn new(site: &'s Site, name: &str) -> Self {
        Self { site, bearer: format!("Bearer {}", site.token(name).await) }
    }

    /// A program with an API key.
    async fn with_key(site: &'s Site, name: &str, scopes: &str) -> Self {
        Self { site, bearer: format!("Bearer {}", site.key(name, scopes).await) }
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("authorization", self.bearer.as_str())];
        all.extend_from_slice(headers);
        self.site.request_with(method, &format!("/api/v1/{path}"), &all, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "").await
    }

    async fn say(&self, id: &str, text: &str) -> Answer {
        let body = json!({"dest": "public", "id": id, "data": {"text": text}}).to_string();
        self.call("POST", "messages", &[("content-type", "application/json")], &body).await
    }
}

#[tokio::test]
async fn a_message_is_stored_once_and_read_again() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    let first = ann.say("m1", "hi").await;
    assert_eq!(first.status, 201);
    let message = first.json();
    assert_eq!(
        (&message["id"], &message["from"], &message["seq"], &message["data"]["text"]),
        (&json!("m1"), &json!("ann"), &json!(1), &json!("hi"))
    );
    let again = ann.say("m1", "hi").await;
    assert_eq!((again.status, again.json()), (200, message.clone()));
    let other = ann.say("m1", "ho").await;
    assert_eq!((other.status, &other.json()["code"]), (409, &json!("id_conflict")));
    let place = first.header("location").unwrap().strip_prefix("/api/v1/").unwrap();
    assert_eq!(ann.get(place).await.json(), json!({"messages": [message], "more": false}));
}

/// Which of two counts, a proxy that looks at bodies may see otherwise.
#[tokio::test]
async fn a_member_stands_there_once() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    let json = [("content-type", "application/json")];
    for (path, body) in [
        ("messages", r#"{"dest":"public","dest":"private/ann","data":{"text":"x"}}"#),
        ("messages", r#"{"dest":"public","data":{"text":"x"},"data":{"text":"y"}}"#),
        ("messages", r#"{"dest":"public","data":{"text":"x","\u0074ext":"y"}}"#),
        ("public", r#"{"text":"x","more":{"a":1,"a":2}}"#),
        ("rooms", r#"{"id":"ops","title":"Ops","open":false,"open":true}"#),
    ] {
        let refused = ann.call("POST", path, &json, body).await;
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("bad_request")), "{body}");
        assert!(refused.json()["detail"].as_str().unwrap().contains("twice"), "{}", refused.json());
    }
    assert_eq!(ann.get("messages?dest=public").await.json()["messages"], json!([]));
}

#[tokio::test]
async fn a_text_is_enough() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let said = ann.call("POST", "public", &form, "a=b&c d").await;
    assert_eq!((said.status, &said.json()["data"]), (201, &json!({"text": "a=b&c d"})));
    let keyed = [("content-type", "text/plain; charset=utf-8"), ("idempotency-key", "\"k1\"")];
    let notes = ann.call("POST", "private/ann", &keyed, "grüße\r\n").await;
    assert_eq!(
        (notes.status, &notes.json()["id"], &notes.json()["data"]["text"]),
        (201, &json!("k1"), &json!("grüße"))
    );
    assert_eq!(ann.call("POST", "private/ann", &keyed, "grüße").await.status, 200);
    let data = r#"{"text":"x","mood":7}"#;
    let said = ann.call("POST", "public", &[("content-type", "application/json")], data).await;
    assert_eq!((said.status, &said.json()["data"]["mood"]), (201, &json!(7)));
    assert_eq!(ann.call("POST", "rooms/none", &[], "x").await.status, 404);
    assert_eq!(ann.call("POST", "public", &[], "").await.status, 400);
    assert_eq!(ann.call("POST", "public", &[("content-type", "image/png")], "x").await.status, 415);
}

#[tokio::test]
async fn whoever_has_no_good_token_is_told_so() {
    let site = Site::start().await;
    for (authorization, challenge) in [
        (None, r#"Bearer realm="mqttchat""#),
        (Some("Basic eDp5"), r#"Bearer realm="mqttchat""#),
        (Some("Bearer x"), r#"Bearer realm="mqttchat", error="invalid_token""#),
    ] {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        let answer = site.request("GET", "/api/v1/conversations", &headers).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(challenge)));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(401), &json!("unauthorized")));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    for (path, status) in [
        ("messages", 400),
        ("messages?dest=nowhere", 400),
        ("messages?dest=public&before=1&after=1", 400),
        ("messages?dest=public&limit=0", 400),
        ("messages?dest=public&limit=x", 400),
        ("messages?dest=public&dest=public", 400),
        ("messages?dest=public&page=1", 400),
        ("messages?dest=private/nobody", 404),
        ("messages?dest=rooms/none", 404),
        ("users?state=asleep", 400),
        ("users/nobody", 404),
        ("users/No%20body", 404),
        ("conversations?q=1", 400),
        ("nothing", 404),
        ("", 404),
    ] {
        let answer = ann.get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("application/problem+json")),
            "{path}"
        );
        assert!(answer.json()["code"].is_string(), "{path}");
    }
    let long = "x".repeat(4097);
    let large = "x".repeat(70_000);
    for (body, status) in [
        ("", 400),
        ("x", 400),
        ("[]", 400),
        ("{}", 400),
        (r#"{"dest":"public"}"#, 400),
        (r#"{"dest":"nowhere","data":{}}"#, 400),
        (r#"{"dest":"public","data":{"text":7}}"#, 400),
        (r#"{"dest":"public","id":7,"data":{}}"#, 400),
        (r#"{"dest":"public","id":"","data":{}}"#, 400),
        (r#"{"type":"edit","dest":"public","data":{"target":"m1","text":"x"}}"#, 400),
        (&format!(r#"{{"dest":"public","data":{{"text":"{long}"}}}}"#), 413),
        (&format!(r#"{{"dest":"public","data":{{"x":"{large}"}}}}"#), 413),
        (r#"{"dest":"private/nobody","data":{"text":"x"}}"#, 404),
    ] {
        let answer = ann.call("POST", "messages", &[("content-type", "application/json")], body).await;
        assert_eq!(answer.status, status, "{}", &body[..body.len().min(80)]);
        assert!(answer.json()["code"].is_string());
    }
    let said = ann
        .call("POST", "messages", &[("idempotency-key", "b")], r#"{"dest":"public","id":"a","data":{}}"#)
        .await;
    assert_eq!((said.status, &said.json()["id"]), (201, &json!("a")), "the body's id goes first");
}

#[tokio::test]
async fn methods_that_an_address_has() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    let refused = ann.call("DELETE", "messages", &[], "").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, POST, OPTIONS")));
    let options = site.request("OPTIONS", "/api/v1/users", &[]).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
    let head = ann.call("HEAD", "users", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn pages_lead_to_the_pages_beside_them() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    for number in 1..=5 {
        ann.say(&format!("m{number}"), "hi").await;
    }
    let seqs = |answer: &Answer| {
        let body = answer.json();
        let messages = body["messages"].as_array().unwrap().clone();
        messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let newest = ann.get("messages?dest=public&limit=2").await;
    assert_eq!((seqs(&newest), newest.json()["more"] == true), (vec![4, 5], true));
    let link = r#"</api/v1/messages?dest=public&before=4&limit=2>; rel="prev""#;
    assert_eq!(newest.header("link"), Some(link));
    let middle = ann.get("messages?dest=public&before=4&limit=2").await;
    assert_eq!((seqs(&middle), middle.headers("link").len()), (vec![2, 3], 2));
    let after = ann.get("messages?dest=public&after=3&limit=9").await;
    assert_eq!((seqs(&after), after.json()["more"] == true), (vec![4, 5], false));
    let users = ann.get("users?limit=1").await;
    assert_eq!((users.json()["more"].clone(), users.header("link")), (json!(false), None));
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    for path in ["messages?dest=public", "conversations", "openapi.json", "asyncapi.yaml"] {
        let first = ann.get(path).await;
        let tag = first.header("etag").unwrap().to_owned();
        let again = ann.call("GET", path, &[("if-none-match", &tag)], "").await;
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(&*tag)), "{path}");
        ann.say(&format!("after {path}"), "hi").await;
        let changed = ann.call("GET", path, &[("if-none-match", &tag)], "").await;
        assert_eq!(changed.status, if path.contains("api.") { 304 } else { 200 }, "{path}");
    }
}

#[tokio::test]
async fn pages_of_other_origins() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    let other = ann.call("GET", "users", &[("origin", "https://evil.example")], "").await;
    assert_eq!((other.status, other.header("access-control-allow-origin")), (403, None));
    let origin = "https://intranet.example";
    let welcome = ann.call("GET", "users", &[("origin", origin)], "").await;
    assert_eq!((welcome.status, welcome.header("access-control-allow-origin")), (200, Some(origin)));
    let asked = [("origin", origin), ("access-control-request-method", "POST")];
    let preflight = site.request("OPTIONS", "/api/v1/messages", &asked).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("Authorization"));
    assert_eq!(preflight.header("access-control-allow-origin"), Some(origin));
    let own = site.request("OPTIONS", "/api/v1/messages", &[]).await;
    assert_eq!(own.header("access-control-allow-headers"), None);
}

#[tokio::test]
async fn every_call_is_described_and_answers_as_described() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    let document = site.request("GET", "/api/v1/openapi.json", &[]).await;
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    let document: Value = document.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let frames = site.request("GET", "/api/v1/asyncapi.yaml", &[]).await;
    assert_eq!((frames.status, frames.header("content-type")), (200, Some("application/yaml")));
    assert!(
        frames.body.starts_with(b"# What goes over WebSocket")
            && site.request("GET", "/api/v1/asyncapi.yaml?x=1", &[]).await.status == 400
    );
    for (path, item) in document["paths"].as_object().unwrap() {
        let address = path.strip_prefix("/api/v1/").unwrap();
        let address = address.replace("{user}", "ann").replace("{room}", "none");
        let allow = site.request("OPTIONS", &format!("/api/v1/{address}"), &[]).await;
        let allow: Vec<String> =
            allow.header("allow").unwrap().split(", ").map(str::to_ascii_lowercase).collect();
        if address == "events" {
            // Without end, and refused without its parameter: `events.rs` listens.
            continue;
        }
        for (method, call) in item.as_object().unwrap() {
            assert!(allow.contains(method), "{method} {path} is described, and {allow:?} there");
            let responses = call["responses"].as_object().unwrap();
            let method = method.to_ascii_uppercase();
            for body in ["", "{}", r#"{"dest":"public","data":{"text":"hi"}}"#] {
                let answer = ann.call(&method, &address, &[], body).await;
                assert!(
                    responses.contains_key(&answer.status.to_string()),
                    "{method} {path}: {}",
                    answer.status
                );
            }
        }
        let described = item.as_object().unwrap().len();
        assert_eq!(allow.len() - described, if allow.contains(&"get".to_owned()) { 2 } else { 1 }, "{path}");
    }
}

#[tokio::test]
async fn keys_may_do_what_they_are_for_until_they_are_revoked() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    let writer = Caller::with_key(&site, "Deploy Bot", "write").await;
    let reader = Caller::with_key(&site, "watch", "read").await;
    let said = writer.say("m1", "deployed").await;
    assert_eq!(
        (said.status, &said.json()["from"], &said.json()["name"]),
        (201, &json!("deploy-bot"), &json!("Deploy Bot"))
    );
    assert_eq!(ann.get("messages?dest=public").await.json()["messages"][0]["from"], "deploy-bot");
    assert_eq!(reader.get("messages?dest=public").await.status, 200);
    for refused in
        [writer.get("messages?dest=public").await, writer.get("users").await, reader.say("m2", "hi").await]
    {
        assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("forbidden")));
    }
    assert_eq!(writer.get("events?dest=public").await.status, 403);
    site.revoke("Deploy Bot").await;
    assert_eq!(writer.say("m3", "again").await.status, 401);
    assert_eq!(reader.get("users/deploy-bot").await.json()["name"], "Deploy Bot");
    let unknown = site.request("GET", "/api/v1/users", &[("authorization", "Bearer mck_x")]).await;
    assert_eq!(unknown.status, 401);
}

#[tokio::test]
async fn a_room_from_its_making_to_its_end() {
    let site = Site::start().await;
    let (ann, bob) = (Caller::new(&site, "Ann").await, Caller::new(&site, "Bob").await);
    let key = [("idempotency-key", "r1")];
    let made = ann.call("POST", "rooms", &key, r#"{"id":"ops","title":"Operations"}"#).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/api/v1/rooms/ops")));
    let room = made.json();
    assert_eq!(
        (&room["owner"], &room["open"], &room["members"]),
        (&json!("ann"), &json!(false), &json!(["ann"]))
    );
    let again = ann.call("POST", "rooms", &key, r#"{"id":"ops","title":"Operations"}"#).await;
    assert_eq!((again.status, again.json()), (200, room.clone()));
    let other = ann.call("POST", "rooms", &[], r#"{"id":"ops","title":"Operations"}"#).await;
    assert_eq!((other.status, &other.json()["code"]), (409, &json!("conflict")));
    for closed in [
        bob.get("rooms/ops").await,
        bob.get("messages?dest=rooms/ops").await,
        bob.get("events?dest=rooms/ops").await,
        bob.call("POST", "rooms/ops", &[], "let me in").await,
        bob.call("PATCH", "rooms/ops", &[], r#"{"open":true}"#).await,
        bob.call("DELETE", "rooms/ops", &[], "").await,
        bob.call("PUT", "rooms/ops/members/bob", &[], "").await,
    ] {
        assert_eq!((closed.status, &closed.json()["code"]), (404, &json!("not_found")));
    }
    assert_eq!(bob.get("rooms").await.json(), json!({"rooms": [], "more": false}));
    for _ in 0..2 {
        let added = ann.call("PUT", "rooms/ops/members/bob", &[], "").await;
        assert_eq!((added.status, &added.json()["members"]), (200, &json!(["ann", "bob"])));
    }
    assert_eq!(bob.call("POST", "rooms/ops", &[], "thanks").await.status, 201);
    assert_eq!(bob.get("rooms").await.json()["rooms"][0]["id"], "ops");
    assert_eq!(bob.call("PATCH", "rooms/ops", &[], r#"{"title":"B"}"#).await.status, 403);
    assert_eq!(ann.call("PUT", "rooms/ops/members/nobody", &[], "").await.status, 404);
    assert_eq!(ann.call("DELETE", "rooms/ops/members/ann", &[], "").await.status, 409);
    assert_eq!(ann.call("DELETE", "rooms/ops/members/bob", &[], "").await.status, 204);
    assert_eq!(ann.call("DELETE", "rooms/ops/members/bob", &[], "").await.status, 404);
    assert_eq!(bob.get("rooms/ops").await.status, 404);
    assert_eq!(ann.call("DELETE", "rooms/ops", &[], "").await.status, 204);
    assert_eq!(ann.get("rooms/ops").await.status, 404);
}

#[tokio::test]
async fn nobody_overwrites_what_they_have_not_seen() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    ann.call("POST", "rooms", &[], r#"{"id":"ops","title":"Operations","open":true}"#).await;
    let seen = ann.get("rooms/ops").await;
    let tag = seen.header("etag").unwrap();
    let unchanged = ann.call("GET", "rooms/ops", &[("if-none-match", tag)], "").await;
    assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some(tag)));
    ann.call("POST", "rooms/ops", &[], "a message changes nothing about the room").await;
    assert_eq!(ann.call("GET", "rooms/ops", &[("if-none-match", tag)], "").await.status, 200);
    let renamed = ann.call("PATCH", "rooms/ops", &[("if-match", tag)], r#"{"title":"Ops"}"#).await;
    assert_eq!((renamed.status, &renamed.json()["title"]), (200, &json!("Ops")));
    let late = ann.call("PATCH", "rooms/ops", &[("if-match", tag)], r#"{"title":"O"}"#).await;
    assert_eq!((late.status, &late.json()["code"]), (412, &json!("precondition_failed")));
    assert_eq!(ann.call("DELETE", "rooms/ops", &[("if-match", tag)], "").await.status, 412);
    assert_eq!(ann.get("rooms/ops").await.json()["title"], "Ops");
}

#[tokio::test]
async fn rooms_that_cannot_be() {
    let site = Site::start().await;
    let ann = Caller::new(&site, "Ann").await;
    for (body, status) in [
        ("", 400),
        ("[]", 400),
        ("{}", 400),
        (r#"{"id":"Ops","title":"x"}"#, 400),
        (r#"{"id":"ops"}"#, 400),
        (r#"{"id":"ops","title":""}"#, 400),
        (r#"{"id":"ops","title":"x","open":1}"#, 400),
        (r#"{"id":"ops","title":"x","closed":true}"#, 400),
        (r#"{"id":"ops","title":"x","members":["No One"]}"#, 400),
        (r#"{"id":"ops","title":"x","members":["nobody"]}"#, 404),
    ] {
        assert_eq!(ann.call("POST", "rooms", &[], body).await.status, status, "{body}");
    }
    assert_eq!(ann.call("PATCH", "rooms/none", &[], "{}").await.status, 400);
    assert_eq!(ann.get("rooms?after=No").await.status, 400);
    let bot = Caller::with_key(&site, "bot", "read write").await;
    let refused = bot.call("POST", "rooms", &[], r#"{"id":"ops","title":"x"}"#).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("forbidden")));
}

#[tokio::test]
async fn what_was_said_is_found() {
    let site = Site::start().await;
    let (ann, bob) = (Caller::new(&site, "Ann").await, Caller::new(&site, "Bob").await);
    ann.say("m1", "the train is late").await;
    ann.call("POST", "private/ann", &[], "my train of thought").await;
    let found = async |caller: &Caller<'_>, path: &str| {
        let body = caller.get(path).await.json();
        let texts = body["messages"].as_array().unwrap().iter();
        texts.map(|message| message["data"]["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // The index follows the log.
    let all = async {
        while found(&ann, "messages?q=train").await.len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(support::PATIENCE, all).await.expect("it is not found");
    assert_eq!(found(&ann, "messages?q=train").await, ["my train of thought", "the train is late"]);
    assert_eq!(found(&bob, "messages?q=train").await, ["the train is late"]);
    assert_eq!(found(&ann, "messages?q=train&dest=private/ann").await, ["my train of thought"]);
    assert_eq!(found(&ann, "messages?q=from:ann+lat*&limit=1").await, ["the train is late"]);
    for refused in ["messages?q=", "messages?q=x&before=1", "messages?q=x&dest=nowhere"] {
        assert_eq!(ann.get(refused).await.status, 400, "{refused}");
    }
    assert_eq!(ann.get("messages?q=x&dest=rooms/none").await.status, 404);
}
