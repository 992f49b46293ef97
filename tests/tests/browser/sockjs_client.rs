//! SockJS's own client in the page of another site: each of its transports, and none where the site isn't welcome.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use futures::future::try_join;
use mqttchat_e2e::browser::Browser;
use mqttchat_e2e::driver::Driver;
use mqttchat_e2e::site::Site;
use mqttchat_e2e::{App, sockjs_client};
use serde_json::{Value, json};

/// Those that it has in Chromium, for a page of another site.
const TRANSPORTS: [&str; 8] = [
    "websocket",
    "xhr-streaming",
    "eventsource",
    "iframe-eventsource",
    "iframe-htmlfile",
    "xhr-polling",
    "iframe-xhr-polling",
    "jsonp-polling",
];

const PAGE: &str =
    "<!doctype html><meta charset=utf-8><title>elsewhere</title><body><script src=/sockjs.min.js></script>";

/// Runs a call of the script's functions; gives what its promise comes to, or why it failed.
async fn run(page: &Browser, call: &str, args: &[Value]) -> Result<Value> {
    let script = format!(
        "{} const [args, done] = [[...arguments].slice(0, -1), [...arguments].at(-1)];
        {call}.then((seen) => done({{ seen }}), (error) => done({{ error: String(error) }}));",
        sockjs_client::SCRIPT
    );
    let ended = page.run_async(&script, args).await?;
    ensure!(ended.get("error").is_none(), "{}", ended["error"]);
    Ok(ended["seen"].clone())
}

#[tokio::test]
async fn its_client_talks_over_every_transport_from_a_site_that_is_welcome() -> Result<()> {
    let mut site = Site::bind().await?;
    let friend = site.origin("localhost");
    let settings =
        format!("[http]\norigins = [\"{friend}\"]\n[sockjs]\nclient_url = \"{friend}/sockjs.min.js\"\n");
    let (app, driver) = (App::builder().config(&settings).start().await?, Driver::start().await?);
    let url = format!("{}/sockjs", app.url());
    // It lets a page that isn't welcome get past the server's own answer, to where the transports begin.
    let info =
        json!({"websocket": true, "cookie_needed": false, "origins": ["*:*"], "entropy": 1, "base_url": url});
    let client = std::fs::read_to_string(format!("{}/dist/sockjs.min.js", sockjs_client::FOLDER))
        .context("make test-tools brings it")?;
    site.serve(HashMap::from([
        ("/", ("text/html", PAGE.to_owned())),
        ("/sockjs.min.js", ("text/javascript; charset=utf-8", client)),
        ("/elsewhere/info", ("application/json", info.to_string())),
    ]));
    let page = driver.browser().await?;
    let mut bob = app.member("Bob").await?;

    page.open(&friend).await?;
    for transport in TRANSPORTS {
        let name = format!("Ann by {transport}");
        let args = [json!(url), json!(transport), json!(name), json!(sockjs_client::large_text(&name))];
        let talked = run(&page, "talk(SockJS, ...args)", &args);
        let (seen, ()) = try_join(talked, sockjs_client::answer(&mut bob, &name)).await?;
        assert_eq!(seen, sockjs_client::success(transport));
    }

    let expected = |result: Value| json!(TRANSPORTS.map(|transport| json!([transport, result])));
    let call = "Promise.all(args[1].map((transport) => attempt(SockJS, args[0], transport, args[2])))";
    let attempts = async |host: &str, patience: u32| {
        let elsewhere = format!("{}/elsewhere", site.origin(host));
        run(&page, call, &[json!(elsewhere), json!(TRANSPORTS), json!(patience)]).await
    };
    assert_eq!(attempts("localhost", 30_000).await?, expected(json!("open")), "these go past the info");
    page.open(&site.origin("127.0.0.1")).await?;
    assert_eq!(attempts("127.0.0.1", 2_000).await?, expected(json!(2000)), "all transports failed");
    let args = [json!(url), json!("websocket"), json!(30_000)];
    let told = run(&page, "attempt(SockJS, ...args)", &args).await?;
    assert_eq!(told, json!(["websocket", 1002]), "it is not even told what there is");
    Ok(())
}
