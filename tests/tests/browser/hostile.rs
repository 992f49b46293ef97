//! Texts, names and titles that would be programs, if the page let them.

use anyhow::Result;
use mqttchat_e2e::browser::Browser;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::{App, User, eventually};
use serde_json::{Value, json};

/// Each sets `window.pwned`, where it runs.
const TEXTS: [&str; 24] = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg/onload=window.pwned=1>",
    "<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s>",
    "\"><script>window.pwned=1</script>",
    "'\"--></style></script><script>window.pwned=1</script>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<iframe src=javascript:parent.pwned=1>",
    "<body onload=window.pwned=1>",
    "<details open ontoggle=window.pwned=1>",
    "<math><a xlink:href=javascript:window.pwned=1>x</a></math>",
    "<a href=javascript:window.pwned=1>x</a>",
    "<input autofocus onfocus=window.pwned=1>",
    "<template><img src=x onerror=window.pwned=1></template>",
    "<style>@import'javascript:window.pwned=1'</style>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=javascript:window.pwned=1>",
    "<form action=javascript:window.pwned=1><button>x</button></form>",
    "{{constructor.constructor('window.pwned=1')()}}${window.pwned=1}",
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "\u{2028}</script><script>window.pwned=1//",
    "<noscript><p title=\"</noscript><img src=x onerror=window.pwned=1>\">",
    "<object data=javascript:window.pwned=1>",
    "<!--><img src=x onerror=window.pwned=1>-->",
];

/// What looks like an address, and isn't one to be opened.
const LINKS: [&str; 8] = [
    "javascript:window.pwned=1",
    "JaVaScRiPt:window.pwned=1//http://x",
    "data:text/html,<script>window.pwned=1</script>",
    "http://x\"onmouseover=\"window.pwned=1",
    "https://a.example/'onclick='window.pwned=1",
    "https://a.example/<img/src=x/onerror=window.pwned=1>",
    "http://javascript:window.pwned=1@a.example/",
    "vbscript:window.pwned=1",
];

/// What in the page is none of its own: elements that only markup makes, handlers, addresses that run, and the mark.
const LOOK: &str = "
    const made = document.querySelectorAll('script:not([src]), iframe, object, embed, base, math, animate, style, noscript, template, form');
    const foreign = [...made].filter(e => !((['FORM', 'TEMPLATE'].includes(e.tagName) && e.id !== '') || (e.tagName === 'NOSCRIPT' && !e.textContent.includes('pwned'))));
    const all = [...document.querySelectorAll('*')];
    const handlers = all.filter(e => [...e.attributes].some(a => a.name.startsWith('on')));
    const images = [...document.images].filter(e => e.getAttribute('src') === 'x');
    const links = [...document.links].filter(a => !['http:', 'https:'].includes(a.protocol));
    return { pwned: window.pwned ?? null,
             found: [...foreign, ...handlers, ...images, ...links].map(e => e.outerHTML.slice(0, 200)) };";

async fn expect_clean(page: &Browser, what: &str) -> Result<()> {
    let seen = page.run(LOOK, &[]).await?;
    assert_eq!(seen, json!({"pwned": null, "found": []}), "{what}");
    // What the policy had to stop was let through by the page.
    assert_eq!(page.complaints().await?, Vec::<String>::new(), "{what}");
    Ok(())
}

async fn room(user: &mut User, id: &str, title: &str) -> Result<()> {
    let data = json!({"title": title, "open": true, "members": ["ann"]});
    user.request(json!({"type": "room.create", "dest": format!("rooms/{id}"), "data": data})).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_that_people_write_runs_in_the_page() -> Result<()> {
    let driver = Driver::start().await?;
    let app = App::builder().no_rate_limit().start().await?;
    let page = driver.browser().await?;
    page.enter(&app.url(), "Ann").await?;
    let mut eve = app.member("<img src=x onerror=pwned=1>").await?;
    for text in TEXTS.iter().chain(&LINKS) {
        eve.say("public", text).await?;
    }
    eve.say("public", "that was all").await?;
    page.expect_message("that was all").await?;
    let shown: Vec<_> = page.messages().await?.into_iter().map(|message| message.text).collect();
    for text in TEXTS.iter().chain(&LINKS) {
        assert!(shown.iter().any(|shown| shown == text), "{text:?} is not shown as it was written");
    }
    expect_clean(&page, "texts and links").await?;

    for (number, title) in TEXTS.iter().filter(|text| text.chars().count() <= 64).take(8).enumerate() {
        room(&mut eve, &format!("evil{number}"), title).await?;
    }
    eve.say("private/ann", TEXTS[1]).await?;
    let listed = "return [...document.querySelectorAll('[data-dest]')].map(e => e.dataset.dest)";
    eventually("the rooms and the conversation to be listed", async || {
        let dests = page.run(listed, &[]).await?;
        let has = |dest: &str| dests.as_array().is_some_and(|all| all.contains(&Value::from(dest)));
        let all = has("rooms/evil0") && has("rooms/evil3") && has(&format!("private/{}", eve.id));
        Ok(all.then_some(()))
    })
    .await?;
    page.open_conversation("rooms/evil0").await?;
    expect_clean(&page, "names and titles").await?;
    page.open_conversation(&format!("private/{}", eve.id)).await?;
    page.expect_message(TEXTS[1]).await?;
    expect_clean(&page, "a private conversation").await?;
    page.reload().await?;
    page.expect_state("online").await?;
    expect_clean(&page, "loaded again").await
}
