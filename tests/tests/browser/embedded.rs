//! The page in a frame of another site, which says who somebody is (docs/embedding.md).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use mqttchat_e2e::application::{Answer, Application};
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::jwt::{SigningKey, key_set, now};
use mqttchat_e2e::port::Port;
use mqttchat_e2e::{App, User, eventually};
use serde_json::{Value, json};

/// Seconds for which a token of the site is good: renewed after two thirds of it.
const GOOD_FOR: u64 = 5;

/// A site whose people chat in a frame of its page, and the chat.
struct Embedded {
    app: App,
    site: Application,
    keys: tempfile::NamedTempFile,
    signs: Arc<Mutex<SigningKey>>,
    tokens: Arc<Mutex<Vec<String>>>,
    is_signed_in: Arc<AtomicBool>,
}

impl Embedded {
    async fn start(keys: &Value, signs: SigningKey) -> Result<Self> {
        let port = Port::reserve()?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), keys.to_string())?;
        let toml = format!(
            "[http]\nembed = [\"http://localhost:{}\"]\n[auth]\nmode = \"jwt\"\n[auth.jwt]\n\
             key_file = {:?}\nissuer = \"shop\"\naudience = \"chat\"\nleeway = 0\n",
            port.number(),
            file.path()
        );
        let app = App::builder().config(&toml).start().await?;
        let page = page(&app.url())?;
        let (signs, tokens) = (Arc::new(Mutex::new(signs)), Arc::new(Mutex::new(Vec::new())));
        let is_signed_in = Arc::new(AtomicBool::new(true));
        let (key, given, known) = (signs.clone(), tokens.clone(), is_signed_in.clone());
        let site = Application::at(port.number(), move |path| match path {
            "/" => Answer::page(&page),
            "/chat-token" if known.load(Ordering::SeqCst) => {
                let mut given = given.lock().unwrap_or_else(PoisonError::into_inner);
                let more = json!({"name": "Ann Ash", "exp": now() + GOOD_FOR, "jti": given.len()});
                let key = key.lock().unwrap_or_else(PoisonError::into_inner);
                let Ok(token) = key.token("ann", &more) else { return Answer::Nothing };
                given.push(token.clone());
                Answer::Content(200, "text/plain", token.into_bytes())
            }
            "/chat-token" => Answer::Content(401, "text/plain", Vec::new()),
            _ => Answer::Content(404, "text/plain", Vec::new()),
        })
        .await?;
        Ok(Self { app, site, keys: file, signs, tokens, is_signed_in })
    }

    fn url(&self) -> String {
        self.site.origin().replace("127.0.0.1", "localhost")
    }

    fn tokens(&self) -> Vec<String> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn given(&self, more_than: usize) -> Result<()> {
        eventually("a further token", async || Ok((self.tokens().len() > more_than).then_some(()))).await
    }
}

/// The site's page, as the documentation has it.
fn page(chat: &str) -> Result<String> {
    let document = std::fs::read_to_string("../docs/embedding.md")?;
    let example = document.split("```html\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.context("the documentation has no example")?;
    Ok(format!("<!doctype html><title>Shop</title>{}", example.replace("https://chat.example.com", chat)))
}

#[tokio::test]
async fn a_site_signs_its_people_in_and_they_stay_in_when_tokens_and_keys_change() -> Result<()> {
    let (one, two, three) =
        (SigningKey::es256("one")?, SigningKey::es256("two")?, SigningKey::es256("three")?);
    let of_bob = two.token("bob", &json!({"exp": now() + 600}))?;
    let (first, second) = (key_set(&[&one, &two]), key_set(&[&two, &three]));
    let shop = Embedded::start(&first, one).await?;
    let mut bob = User::hello(shop.app.address(), &json!({ "token": of_bob })).await?;
    bob.join("public").await?;
    let driver = Driver::start().await?;
    let page = driver.browser().await?;
    page.open(&shop.url()).await?;
    page.enter_frame().await?;
    page.visible("app").await?;
    page.expect_state("online").await?;
    assert!(!page.shows("leave").await?, "one leaves at the site");
    page.run("window.since = 'the start'", &[]).await?;
    page.say("with the first token").await?;
    let heard = bob.expect_text("with the first token").await?;
    assert_eq!((&heard["from"], &heard["name"]), (&json!("ann"), &json!("Ann Ash")));

    let before = shop.tokens().len();
    shop.given(before).await?;
    page.say("with another").await?;
    bob.expect_text("with another").await?;

    // The site's key was stolen: it signs with a new one, and the chat is told.
    *shop.signs.lock().unwrap_or_else(PoisonError::into_inner) = three;
    std::fs::write(shop.keys.path(), second.to_string())?;
    let before = shop.tokens().len();
    shop.app.hang_up()?;
    shop.given(before).await?;
    page.say("with another key").await?;
    bob.expect_text("with another key").await?;
    bob.say("public", "good").await?;
    page.expect_message("good").await?;
    let texts: Vec<String> = page.messages().await?.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["with the first token", "with another", "with another key", "good"]);
    assert_eq!(bob.seen_of("msg").len(), 4);
    assert_eq!(page.run("return window.since", &[]).await?, json!("the start"), "it was not loaded again");

    let kept =
        "return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href,
        ...performance.getEntries().map(entry => entry.name)])";
    let kept = page.run(kept, &[]).await?;
    let kept = kept.as_str().context("no text")?;
    assert!(!kept.contains("eyJ"), "{kept}");
    for token in shop.tokens() {
        assert!(!kept.contains(&token), "{kept}");
    }

    shop.is_signed_in.store(false, Ordering::SeqCst);
    page.expect_text("sign-in", "You are signed out").await?;
    assert!(!page.shows("app").await?);
    shop.is_signed_in.store(true, Ordering::SeqCst);
    page.leave_frame().await?;
    let again = "const answer = await fetch('/chat-token', { method: 'POST' });
        chat.contentWindow.postMessage({ type: 'mqttchat.token', token: await answer.text() }, arguments[0]);";
    page.run(
        &format!("return (async (...arguments) => {{ {again} }})(...arguments)"),
        &[json!(shop.app.url())],
    )
    .await?;
    page.enter_frame().await?;
    page.expect_message("good").await?;
    Ok(())
}

#[tokio::test]
async fn opened_alone_the_page_says_where_the_chat_is_and_takes_a_token_from_nobody() -> Result<()> {
    let shop = Embedded::start(&key_set(&[&SigningKey::es256("other")?]), SigningKey::es256("one")?).await?;
    let driver = Driver::start().await?;
    let page = driver.browser().await?;
    page.open(&shop.app.url()).await?;
    page.expect_text("sign-in", "This chat is part of a site").await?;
    assert!(!page.shows("name-form").await? && !page.shows("app").await?);
    let post = "const done = arguments[arguments.length - 1];
        let opened = 0;
        window.WebSocket = class { constructor() { opened += 1; } close() {} };
        addEventListener('message', () => setTimeout(() => done(opened), 0));
        postMessage({ type: 'mqttchat.token', token: 'eyJ.eyJ.eyJ' }, '*')";
    assert_eq!(page.run_async(post, &[]).await?, json!(0));
    page.expect_text("sign-in", "This chat is part of a site").await?;

    // In the frame of its site, whose tokens the server doesn't take, it says why.
    page.open(&shop.url()).await?;
    page.enter_frame().await?;
    page.expect_text("sign-in", "a key that this server doesn't know").await?;
    assert!(!page.shows("app").await?);
    assert_ne!(shop.tokens(), Vec::<String>::new());
    assert_eq!(page.run("return localStorage.length", &[]).await?, Value::from(0));
    Ok(())
}
