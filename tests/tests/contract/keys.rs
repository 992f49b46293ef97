//! The keys of an application's tokens: fetched over HTTP from one place, and read again from their file.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use mqttchat_e2e::application::{Answer, Application};
use mqttchat_e2e::jwt::{SigningKey, claims, key_set};
use mqttchat_e2e::port::Port;
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::{App, Socket, User, app, eventually};
use serde_json::{Value, json};

/// The application, whose answer can be another from now on.
struct Keys {
    shop: Application,
    answer: Arc<Mutex<Answer>>,
}

impl Keys {
    async fn at(port: u16, keys: &[&SigningKey]) -> Result<Self> {
        let answer = Arc::new(Mutex::new(Answer::json(&key_set(keys))));
        let now = answer.clone();
        let shop = Application::at(port, move |_| now.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .await?;
        Ok(Self { shop, answer })
    }

    async fn start(keys: &[&SigningKey]) -> Result<Self> {
        Self::at(0, keys).await
    }

    fn become_(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    fn fetches(&self) -> usize {
        self.shop.asked().len()
    }
}

/// A server that knows where the keys are.
async fn start(place: &str) -> Result<App> {
    let toml = format!(
        "[auth]\nmode = \"jwt\"\n[auth.jwt]\n{place}\nissuer = \"shop\"\naudience = \"chat\"\nleeway = 0\n"
    );
    App::builder().config(&toml).start().await
}

async fn user(app: &App, token: &str) -> Result<User> {
    User::hello(app.address(), &json!({ "token": token })).await
}

async fn refused(app: &App, token: &str, code: &str) -> Result<Socket> {
    let mut socket = app.socket().await?;
    socket.send(&json!({"type": "hello", "id": "h1", "data": {"token": token}})).await?;
    socket.expect_error("h1", code).await?;
    Ok(socket)
}

async fn ends(session: &Socket) -> Result<()> {
    session.expect_error(Value::Null, "unauthorized").await?;
    assert_eq!(session.expect_end().await?, Ending::Closed(4401));
    Ok(())
}

async fn logged(app: &App, what: &str) -> Result<()> {
    eventually(&format!("{what:?} in the log"), async || {
        Ok(app.output().iter().any(|line| line.contains(what)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn keys_of_every_kind_are_fetched_once_and_followed_when_they_change() -> Result<()> {
    let (rsa, ec, ed) = (SigningKey::rs256("r")?, SigningKey::es256("e")?, SigningKey::eddsa("d")?);
    let keys = Keys::start(&[&rsa, &ec, &ed]).await?;
    let app = start(&format!("jwks_url = \"{}/jwks.json\"", keys.shop.origin())).await?;
    assert_eq!(keys.fetches(), 0, "nobody has come yet");
    let nothing = json!({});
    let (ann, mut bob) =
        (user(&app, &rsa.token("ann", &nothing)?).await?, user(&app, &ec.token("bob", &nothing)?).await?);
    user(&app, &ed.token("cat", &nothing)?).await?;
    assert_eq!(keys.shop.asked(), ["/jwks.json"]);

    let new = SigningKey::es256("new")?;
    keys.become_(Answer::json(&key_set(&[&new, &ec])));
    user(&app, &new.token("dan", &nothing)?).await?;
    assert_eq!(keys.fetches(), 2, "a key that wasn't known");
    let strangers = (0..20).map(|number| SigningKey::es256(&format!("k{number}")));
    for stranger in strangers {
        refused(&app, &stranger?.token("ann", &nothing)?, "unauthorized").await?;
    }
    assert_eq!(keys.fetches(), 2, "not for everybody who makes up a name of a key");
    // The application has withdrawn this one.
    ends(&ann).await?;
    refused(&app, &rsa.token("ann", &nothing)?, "unauthorized").await?;
    bob.say("public", "still here").await?;
    Ok(())
}

#[tokio::test]
async fn a_token_never_says_where_its_key_is() -> Result<()> {
    let (ours, theirs) = (SigningKey::es256("one")?, SigningKey::es256("one")?);
    let (keys, elsewhere) = (Keys::start(&[&ours]).await?, Keys::start(&[&theirs]).await?);
    let app = start(&format!("jwks_url = \"{}/keys\"", keys.shop.origin())).await?;
    let there = format!("{}/keys", elsewhere.shop.origin());
    let who = claims("ann", &json!({}));
    for header in [
        json!({"kid": "one"}),
        json!({"kid": there}),
        json!({"kid": "../../keys"}),
        json!({"kid": "x".repeat(1000)}),
        json!({"kid": "one", "jku": there}),
        json!({"kid": "one", "x5u": there}),
        json!({"kid": "one", "jwk": theirs.jwk()}),
        json!({"jwk": theirs.jwk()}),
        json!({"kid": "one", "x5c": ["MIIB"]}),
    ] {
        let socket = refused(&app, &theirs.sign(&header, &who)?, "unauthorized").await?;
        assert_eq!(socket.expect_end().await?, Ending::Closed(4401), "{header}");
    }
    user(&app, &ours.sign(&json!({"kid": "one", "jku": there}), &who)?).await?;
    assert_eq!(elsewhere.shop.asked(), Vec::<String>::new());
    assert!(keys.shop.asked().iter().all(|path| path == "/keys"), "{:?}", keys.shop.asked());
    Ok(())
}

#[tokio::test]
async fn whoever_answers_badly_changes_nothing() -> Result<()> {
    let (key, other) = (SigningKey::eddsa("one")?, SigningKey::eddsa("two")?);
    let (keys, elsewhere) = (Keys::start(&[&key]).await?, Keys::start(&[&other]).await?);
    let app = start(&format!("jwks_url = \"{}/keys\"", keys.shop.origin())).await?;
    let mut ann = user(&app, &key.token("ann", &json!({}))?).await?;
    for (answer, said) in [
        (Answer::Content(500, "text/plain", b"oh".to_vec()), "it answers 500"),
        (Answer::page("<!doctype html>"), "it is no JSON"),
        (Answer::json(&json!({"keys": []})), "it has no key for"),
        (Answer::json(&json!([1])), "it has no list of keys"),
        (Answer::Content(200, "application/json", vec![b' '; 2 << 20]), "larger than a key set can be"),
        (Answer::Redirect(format!("{}/keys", elsewhere.shop.origin())), "redirects are not followed"),
        (Answer::Nothing, "it doesn't answer within 5 s"),
    ] {
        keys.become_(answer);
        app.hang_up()?;
        logged(&app, said).await?;
        user(&app, &key.token("bob", &json!({}))?).await?;
    }
    assert_eq!(elsewhere.fetches(), 0);
    refused(&app, &other.token("ann", &json!({}))?, "unauthorized").await?;
    ann.say("public", "all the time").await?;
    Ok(())
}

#[tokio::test]
async fn a_server_without_keys_lets_people_in_when_they_can_be_fetched() -> Result<()> {
    let (port, key) = (Port::reserve()?, SigningKey::es256("one")?);
    let app = start(&format!("jwks_url = \"http://127.0.0.1:{}/keys\"", port.number())).await?;
    let token = key.token("ann", &json!({}))?;
    let mut socket = refused(&app, &token, "unavailable").await?;
    logged(&app, "check auth.jwt.jwks_url").await?;
    let _keys = Keys::at(port.number(), &[&key]).await?;
    app.hang_up()?;
    logged(&app, "the keys of the tokens were fetched").await?;
    // The socket was left open for another try.
    socket.send(&json!({"type": "hello", "id": "h2", "data": {"token": token}})).await?;
    socket.expect(1000).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_waits_for_the_first_fetch_together() -> Result<()> {
    let key = SigningKey::es256("one")?;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (set, wait) = (key_set(&[&key]), Mutex::new(wait));
    let shop = Application::start(move |_| {
        // Holds up nobody but the one thread that answers here.
        let _ = tokio::task::block_in_place(|| wait.lock().unwrap_or_else(PoisonError::into_inner).recv());
        Answer::json(&set)
    })
    .await?;
    let app = start(&format!("jwks_url = \"{}/keys\"", shop.origin())).await?;
    let mut sockets = Vec::new();
    for number in 0..8 {
        let mut socket = app.socket().await?;
        let token = key.token(&format!("user-{number}"), &json!({}))?;
        socket.send(&json!({"type": "hello", "id": "h1", "data": {"token": token}})).await?;
        sockets.push(socket);
    }
    eventually("the keys to be asked for", async || Ok((!shop.asked().is_empty()).then_some(()))).await?;
    // Whoever leaves meanwhile takes nothing from the others.
    drop(sockets.swap_remove(0));
    go.send(())?;
    for socket in &sockets {
        socket.expect(1000).await?;
    }
    assert_eq!(shop.asked().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_is_asked() -> Result<()> {
    let keys = [SigningKey::es256("one")?, SigningKey::es256("two")?, SigningKey::eddsa("three")?];
    let [one, two, three] = &keys;
    let file = tempfile::NamedTempFile::new()?;
    let write = |content: String| std::fs::write(file.path(), content);
    write(key_set(&[one, two]).to_string())?;
    let app = start(&format!("key_file = {:?}", file.path())).await?;
    let nothing = json!({});
    let (ann, mut bob) =
        (user(&app, &one.token("ann", &nothing)?).await?, user(&app, &two.token("bob", &nothing)?).await?);
    refused(&app, &three.token("cat", &nothing)?, "unauthorized").await?;

    for broken in ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "{\"keys\": []}", "{"] {
        write(broken.to_owned())?;
        let before = app.output().len();
        app.hang_up()?;
        eventually("the log to say that it is no good", async || {
            let said = |line: &String| line.contains("the keys in use stay");
            Ok(app.output().iter().skip(before).any(said).then_some(()))
        })
        .await?;
    }
    let checked =
        app::run(["check-config", "--config", &app.data().with_file_name("mqttchat.toml").to_string_lossy()])
            .await?;
    ensure!(checked.status == Some(2) && checked.stderr.contains("it is no JSON"), "{checked:?}");
    user(&app, &one.token("ann", &nothing)?).await?;

    write(key_set(&[two, three]).to_string())?;
    app.hang_up()?;
    ends(&ann).await?;
    refused(&app, &one.token("ann", &nothing)?, "unauthorized").await?;
    user(&app, &three.token("cat", &nothing)?).await?;
    bob.say("public", "still here").await?;
    Ok(())
}
