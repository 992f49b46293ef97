//! Who is let in, for what, and until when: guests, users of an application, API keys (docs/protocol.md §3, docs/api.md).

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use mqttchat_bridge::{
    Authenticator, Denied, Grant, Identity, Jwt, JwtAlgorithm, JwtKeys, JwtRules, KeySet, Program,
};
use mqttchat_protocol::{
    ApiSecret, Dest, DisplayName, ErrorCode, Hello, HistoryBounds, MessageId, RoomChange, RoomId, Token,
    UserId,
};
use mqttchat_store::{KeyOutcome, NewApiKey, Operator, Scopes, Store};
use serde_json::{Map, Value, json};
use support::{App, Client};
use tokio::sync::oneshot;

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn name(text: &str) -> DisplayName {
    DisplayName::parse(text).unwrap()
}

/// What a `hello` is answered with: a 1000, or an error.
async fn hello(app: &App, data: Value) -> (Client, Value) {
    let mut client = app.connect();
    client.send(json!({"type": "hello", "id": "h", "data": data})).await;
    let answer = client.next().await;
    assert_eq!(answer["re"], "h", "{answer}");
    (client, answer)
}

/// Why somebody is not let in; their socket is closed with 4401.
async fn shut_out(app: &App, data: Value) -> String {
    let (mut client, answer) = hello(app, data).await;
    assert_eq!(answer["data"]["code"], "unauthorized", "{answer}");
    assert_eq!(client.closed().await, 4401);
    answer["data"]["reason"].as_str().unwrap().to_owned()
}

/// Why an open session ends with 4401: the last that it is told.
async fn ended(client: &mut Client) -> String {
    let told = client.expect("error").await;
    assert_eq!(client.closed().await, 4401, "{told}");
    assert_eq!(told["data"]["code"], "unauthorized");
    told["data"]["reason"].as_str().unwrap().to_owned()
}

async fn operator(app: &App) -> Operator {
    Operator::open(app.place()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_who_the_token_says() {
    let app = App::start().await;
    let token = app.sign_in("Ann").await.next_token();
    let (_, ready) = hello(&app, json!({"name": "Anna", "token": token})).await;
    assert_eq!(ready["data"]["user"], json!({"id": "ann", "name": "Anna"}));
    assert_eq!(&*app.store.user(&user("ann")).await.unwrap().unwrap().name, "Anna");
    let (_, ready) = hello(&app, json!({"token": ready["data"]["token"]})).await;
    assert_eq!(ready["data"]["user"], json!({"id": "ann", "name": "Anna"}), "a name that isn't said stays");

    let keys = app.store.keyring();
    let issue = |id: &str, serial| json!({"token": Token { user: user(id), serial }.issue(&keys)});
    assert!(shut_out(&app, issue("nobody", 1)).await.contains("doesn't know"));
    app.store.claim_user(&user("carl"), &name("Carl"), "jwt:shop").await.unwrap();
    assert!(shut_out(&app, issue("carl", 1)).await.contains("doesn't know"), "no guest");
    for serial in [0, 2] {
        assert!(shut_out(&app, issue("ann", serial)).await.contains("newer token"), "{serial}");
    }
    shut_out(&app, json!({"token": "mc1.1.ann.1.x"})).await;
    app.store.set_blocked(&user("ann"), true).await.unwrap();
    assert!(shut_out(&app, issue("ann", 1)).await.contains("blocked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_somebodys_or_free() {
    let app = App::start().await;
    let _ann = app.sign_in("Ann").await;
    let (mut client, answer) = hello(&app, json!({"name": "ANN!"})).await;
    assert_eq!(
        (&answer["data"]["code"], &answer["data"]["suggestion"]),
        (&json!("name_taken"), &json!("ANN! 2"))
    );
    assert!(answer["data"]["reason"].as_str().unwrap().contains("ANN! 2 is free"), "{answer}");
    client.send(json!({"type": "hello", "id": "h", "data": {}})).await;
    assert_eq!(client.next().await["data"]["code"], "bad_frame", "neither a name nor a token");
    client.send(json!({"type": "hello", "id": "h", "data": {"name": "ANN! 2"}})).await;
    assert_eq!(client.next().await["data"]["user"]["id"], "ann-2");
}

/// An application that believes everybody, and may take its time.
#[derive(Default)]
struct Application {
    issuer: Option<&'static str>,
    /// Told when "late" waits for an answer, and what they wait for.
    meanwhile: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

impl Authenticator for Application {
    fn authenticate<'a>(&'a self, hello: &'a Hello) -> BoxFuture<'a, Result<Identity, Denied>> {
        Box::pin(async move {
            let user = hello.token.as_deref().and_then(UserId::parse);
            let user = user.ok_or_else(|| Denied::Unauthorized("who is that?".to_owned()))?;
            let meanwhile = self.meanwhile.lock().unwrap().take_if(|_| user.as_str() == "late");
            if let Some((waits, done)) = meanwhile {
                waits.send(()).unwrap();
                done.await.unwrap();
            }
            let name: Arc<str> = hello.name.as_ref().map_or("\u{202e}".into(), DisplayName::to_shared);
            Ok(Identity { user, name, token: None, grant: Grant::default() })
        })
    }

    fn issuer(&self) -> Option<&str> {
        self.issuer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_an_application_are_its_own() {
    let app = App::signing_in(|_| Application { issuer: Some("shop"), ..Application::default() }).await;
    let known = async |id| app.store.user(&user(id)).await.unwrap().map(|user| (user.name, user.issuer));
    let (_, ready) = hello(&app, json!({"token": "ann", "name": "Ann"})).await;
    assert_eq!(ready["data"]["user"], json!({"id": "ann", "name": "Ann"}));
    assert_eq!(known("ann").await, Some(("Ann".into(), "shop".into())));
    hello(&app, json!({"token": "ann", "name": "Anna"})).await;
    assert_eq!(known("ann").await, Some(("Anna".into(), "shop".into())), "the application says the name");
    let (_, ready) = hello(&app, json!({"token": "bob"})).await;
    assert_eq!(ready["data"]["user"]["name"], "bob", "a name that can't be shown is the id");
    assert_eq!(shut_out(&app, json!({"token": "No Id"})).await, "who is that?");

    app.store.claim_user(&user("gast"), &name("Gast"), "guest").await.unwrap();
    assert!(shut_out(&app, json!({"token": "gast", "name": "X"})).await.contains("somebody else"));
    assert_eq!(known("gast").await, Some(("Gast".into(), "guest".into())), "their name is left alone");
    app.store.set_blocked(&user("bob"), true).await.unwrap();
    assert!(shut_out(&app, json!({"token": "bob"})).await.contains("blocked"));

    let speak = async |issuer, id| app.bridge.speak_for(issuer, user(id), &name("Robot")).await;
    assert_eq!(speak("robots", "r2").await.unwrap().user(), &user("r2"));
    assert_eq!(known("r2").await, Some(("Robot".into(), "robots".into())));
    for (issuer, id) in [("robots", "ann"), ("shop", "r2"), ("shop", "bob")] {
        assert!(matches!(speak(issuer, id).await, Err(Denied::Unauthorized(_))), "{issuer} {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authenticator_without_an_issuer_keeps_the_users_itself() {
    let app = App::signing_in(|_| Application::default()).await;
    app.store.claim_user(&user("ann"), &name("Ann"), "guest").await.unwrap();
    let (_, ready) = hello(&app, json!({"token": "ann", "name": "Else"})).await;
    assert_eq!(ready["data"]["user"]["id"], "ann");
    assert_eq!(&*app.store.user(&user("ann")).await.unwrap().unwrap().name, "Ann");
}

/// A key of this name, made by the operator, and the program that shows it.
async fn key(app: &App, operator: &Operator, called: &str, scopes: &str) -> (String, Program) {
    let new =
        NewApiKey { name: name(called), scopes: Scopes::parse(scopes).unwrap(), secret: ApiSecret::random() };
    let made = operator.create_apikey(&new).await.unwrap();
    assert!(matches!(made, KeyOutcome::Made(_)), "{made:?}");
    let secret = new.secret.reveal();
    let program = app.bridge.program(&secret).await.unwrap();
    (secret, program)
}

/// What a program is refused, of what needs each scope.
async fn forbidden(program: &Program) -> Vec<&'static str> {
    let id = |id: &str| MessageId::parse(id).unwrap();
    let room = RoomId::parse(program.user().as_str()).unwrap();
    let create = RoomChange::Create { title: "Room".into(), open: true, members: Vec::new() };
    let asked = [
        ("read", program.history(&Dest::Public, HistoryBounds::default()).await.err()),
        ("search", program.search("tea", None, None).await.err()),
        ("conversations", program.conversations(None, None).await.err()),
        ("list", program.rooms(None, None).await.err()),
        ("users", program.users(None, None, None).await.err()),
        ("person", program.person(program.user()).await.err()),
        ("stream", program.may_read(&Dest::Public).await.err()),
        ("write", program.send(id("w"), &Dest::Public, &Map::new()).await.err()),
        ("rooms", program.change_room(id("r"), &room, create).await.err()),
        ("admin", program.set_blocked(&user("ann"), false).await.err()),
        ("blocked", program.is_blocked(&user("ann")).await.err()),
    ];
    let forbidden = |(what, refused): (&'static str, Option<mqttchat_protocol::Refusal>)| match refused {
        Some(refusal) if refusal.code == ErrorCode::Forbidden => Some(what),
        None => None,
        other => panic!("{what}: {other:?}"),
    };
    asked.into_iter().filter_map(forbidden).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_for_its_scopes() {
    let app = App::start().await;
    let _ann = app.sign_in("Ann").await;
    let operator = operator(&app).await;
    let reading = ["read", "search", "conversations", "list", "users", "person", "stream"];
    let ruling = ["admin", "blocked"];
    let others = |open: &[&'static str]| {
        let all = reading.into_iter().chain(["write", "rooms"]).chain(ruling);
        all.filter(|what| !open.contains(what)).collect::<Vec<_>>()
    };
    for (scope, open) in [("read", &reading[..]), ("write", &["write"]), ("rooms", &["rooms"])] {
        let (_, program) = key(&app, &operator, scope, scope).await;
        assert_eq!(forbidden(&program).await, others(open), "{scope}");
        assert!(!program.is_admin());
    }
    let (_, admin) = key(&app, &operator, "admin", "admin").await;
    assert_eq!(forbidden(&admin).await, others(&ruling));
    assert!(admin.is_admin() && !admin.is_blocked(&user("ann")).await.unwrap());
    let nobody = admin.is_blocked(&user("nobody")).await.unwrap_err();
    assert_eq!(nobody.code, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_until_it_is_revoked() {
    let app = App::start().await;
    let operator = operator(&app).await;
    let (bot, program) = key(&app, &operator, "Bot", "read write").await;
    let (other, _) = key(&app, &operator, "Other", "read").await;
    let mut stream = app.follow(&program, Dest::Public).await;
    let denied = async |key: &str| match app.bridge.program(key).await {
        Err(Denied::Unauthorized(reason)) => reason,
        other => panic!("{other:?}"),
    };
    for stranger in [ApiSecret::random().reveal(), "mck_".to_owned(), format!("{bot}A")] {
        assert!(denied(&stranger).await.contains("unknown"), "{stranger}");
    }
    // Its use is noted, when it was news, behind the call.
    let used = async || operator.apikeys().await.unwrap().into_iter().all(|key| key.used.is_some());
    while !used().await {
        tokio::task::yield_now().await;
    }
    assert!(operator.revoke_apikey(&name("Bot")).await.unwrap());
    assert!(denied(&bot).await.contains("revoked"), "from there on");
    assert!(ended(&mut stream).await.contains("key was revoked"));
    let fellow = app.bridge.program(&other).await.unwrap();
    operator.set_blocked(fellow.user(), true).await.unwrap();
    assert!(denied(&other).await.contains("blocked"));
    operator.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_longer_welcome_is_told_and_others_stay() {
    let app = App::start().await;
    let operator = operator(&app).await;
    let (mut ann, mut bob, mut eve) = (app.join("Ann").await, app.join("Bob").await, app.join("Eve").await);
    let (_, mut program) = key(&app, &operator, "Bot", "read").await;
    let mut stream = app.follow(&program, Dest::Public).await;
    operator.set_blocked(&user("ann"), true).await.unwrap();
    assert!(ended(&mut ann).await.contains("blocked"));
    operator.renew_user(&user("bob")).await.unwrap();
    assert!(ended(&mut bob).await.contains("newer token"));
    let (_, admin) = key(&app, &operator, "Boss", "admin").await;
    assert_eq!(admin.set_blocked(program.user(), true).await.unwrap().id, *program.user());
    assert!(ended(&mut stream).await.contains("blocked"));
    eve.settled().await;
    eve.say("m1", "public", "still here").await;
    eve.expect("100").await;
    // Let in again, they are who they were.
    admin.set_blocked(program.user(), false).await.unwrap();
    admin.set_blocked(&user("ann"), false).await.unwrap();
    let (_, ready) = hello(&app, json!({"token": ann.next_token()})).await;
    assert_eq!(ready["data"]["user"]["id"], "ann");
    program = app.bridge.speak_for("apikey", program.user().clone(), &name("Bot")).await.unwrap();
    app.follow(&program, Dest::Public).await;
    operator.close().await;
}

/// Who locks somebody out and lets them in again wants them out, however fast they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_was_undone_has_ended_the_sessions() {
    let app = App::start().await;
    let operator = operator(&app).await;
    let (mut ann, mut bob) = (app.join("Ann").await, app.join("Bob").await);
    let (_, program) = key(&app, &operator, "Bot", "read").await;
    let mut stream = app.follow(&program, Dest::Public).await;
    for id in ["ann", "bot"] {
        operator.set_blocked(&user(id), true).await.unwrap();
        operator.set_blocked(&user(id), false).await.unwrap();
    }
    let (_, ready) = hello(&app, json!({"token": ann.next_token()})).await;
    assert_eq!(ready["data"]["user"]["id"], "ann", "by then they are welcome");
    assert!(ended(&mut ann).await.contains("blocked"));
    assert!(ended(&mut stream).await.contains("blocked"));
    let (mut again, _) = hello(&app, json!({"token": ann.next_token()})).await;
    for client in [&mut bob, &mut again] {
        client.settled().await;
        client.say("m1", "public", "still here").await;
        client.expect("100").await;
    }
    operator.close().await;
}

/// Locked out and let in again before any node looks.
async fn lock_out_for_a_moment(store: &Store, id: &UserId) {
    for blocked in [true, false] {
        store.set_blocked(id, blocked).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_locked_out_for_a_moment_has_to_come_back() {
    let app = App::start().await;
    let operator = operator(&app).await;
    let (mut ann, mut eve) = (app.sign_in("Ann").await, app.sign_in("Eve").await);
    let (_, bot) = key(&app, &operator, "Bot", "read").await;
    let robot = app.bridge.speak_for("robots", user("r2"), &name("Robot")).await.unwrap();
    let mut streams = [app.follow(&bot, Dest::Public).await, app.follow(&robot, Dest::Public).await];
    for id in [&user("ann"), bot.user(), robot.user()] {
        lock_out_for_a_moment(&app.store, id).await;
    }
    ended(&mut ann).await;
    for stream in &mut streams {
        ended(stream).await;
    }
    eve.settled().await;
    let (mut again, _) = hello(&app, json!({"token": ann.next_token()})).await;
    again.settled().await;
    operator.close().await;
}

/// Between the look at somebody and their session's registration nothing is lost that was taken away.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_locked_out_on_the_way_in_stays_out() {
    let ((waits, waiting), (done, wait)) = (oneshot::channel(), oneshot::channel());
    let meanwhile = Mutex::new(Some((waits, wait)));
    let app = App::signing_in(|_| Application { meanwhile, ..Application::default() }).await;
    for id in ["late", "early", "other"] {
        app.store.claim_user(&user(id), &name(id), "guest").await.unwrap();
    }
    let (mut early, _) = hello(&app, json!({"token": "early"})).await;
    let (mut other, _) = hello(&app, json!({"token": "other"})).await;
    let mut late = app.connect();
    late.send(json!({"type": "hello", "id": "h", "data": {"token": "late"}})).await;
    waiting.await.unwrap();
    let block = async |store: &Store, id| store.set_blocked(&user(id), true).await.unwrap();
    block(&app.store, "late").await;
    block(&app.store, "early").await;
    // That this session has ended shows that the node has looked; "late" had not been registered.
    ended(&mut early).await;
    done.send(()).unwrap();
    assert!(ended(&mut late).await.contains("blocked"));
    other.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_with_the_secret_of_their_token() {
    let app = App::start().await;
    let (mut ann, mut eve) = (app.sign_in("Ann").await, app.sign_in("Eve").await);
    let old = ann.next_token();
    let operator = operator(&app).await;
    operator.rotate_secrets(Duration::from_secs(60)).await.unwrap();
    operator.set_blocked(&user("eve"), true).await.unwrap();
    ended(&mut eve).await;
    ann.settled().await;
    hello(&app, json!({"token": old})).await.0.settled().await;
    operator.rotate_secrets(Duration::ZERO).await.unwrap();
    assert!(ended(&mut ann).await.contains("no longer good"));
    shut_out(&app, json!({"token": old})).await;
    let fresh = Token { user: user("ann"), serial: 1 }.issue(&app.store.keyring());
    let (_, ready) = hello(&app, json!({"token": fresh})).await;
    assert_eq!(ready["data"]["user"]["id"], "ann");
    operator.close().await;
}

/// A key set with these secrets, under their names.
fn secrets(names: &[&str]) -> KeySet {
    let key = |name: &&str| json!({"kty": "oct", "kid": name, "k": URL_SAFE_NO_PAD.encode(secret(name))});
    let keys: Vec<Value> = names.iter().map(key).collect();
    KeySet::of_file(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn secret(name: &str) -> String {
    name.repeat(32)
}

/// A token by the secret of this name, for so many seconds.
fn jwt(secret_of: &str, sub: &str, seconds: u64) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let part = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let header = part(json!({"alg": "HS256", "kid": secret_of}));
    let content = format!("{header}.{}", part(json!({"sub": sub, "exp": now + seconds})));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret(secret_of).as_bytes());
    let sign = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, content.as_bytes()));
    json!(format!("{content}.{sign}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_with_the_key_and_the_time_of_their_token() {
    let keys = JwtKeys::fixed(secrets(&["a", "b"]));
    let rules =
        JwtRules { algorithms: vec![JwtAlgorithm::Hs256], issuer: None, audience: Vec::new(), leeway: 0 };
    let app = App::signing_in(|store| Jwt::new(store.clone(), rules, keys.clone())).await;
    let (mut ann, ready) = hello(&app, json!({"token": jwt("a", "ann", 60)})).await;
    assert_eq!((&ready["data"]["user"]["id"], &ready["data"]["token"]), (&json!("ann"), &json!(null)));
    let (mut bob, _) = hello(&app, json!({"token": jwt("b", "bob", 60)})).await;
    let (mut eve, _) = hello(&app, json!({"token": jwt("b", "eve", 3)})).await;
    shut_out(&app, json!({"token": jwt("c", "ann", 60)})).await;
    keys.replace(secrets(&["b", "c"]));
    assert!(ended(&mut ann).await.contains("no longer good"));
    shut_out(&app, json!({"token": jwt("a", "ann", 60)})).await;
    hello(&app, json!({"token": jwt("c", "ann", 60)})).await.0.settled().await;
    assert!(ended(&mut eve).await.contains("expired"));
    bob.settled().await;
    lock_out_for_a_moment(&app.store, &user("bob")).await;
    ended(&mut bob).await;
}
