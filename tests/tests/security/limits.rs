//! How often one may ask, as a user and from an address.

use anyhow::{Context, Result};
use hyper::Request;
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::{App, Socket, User, http};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Sends these frames together, and counts how many were refused for their rate.
async fn refused(user: &mut User, kind: &str, data: &Value, count: usize) -> Result<usize> {
    let frame =
        |number| json!({"type": kind, "id": format!("{kind}{number}"), "dest": "public", "data": data});
    user.send_together(&(0..count).map(frame).collect::<Vec<_>>()).await?;
    let mut refused = 0;
    for number in 0..count {
        let id = format!("{kind}{number}");
        let is_it = |frame: &Value| {
            frame["re"] == id.as_str() || (frame["type"] == 100 && frame["data"] == id.as_str())
        };
        let answer = user.expect_where(&format!("an answer to {id}"), is_it).await?;
        if answer["type"] == "error" {
            assert_eq!(answer["data"]["code"], "rate_limited", "{answer}");
            let wait = answer["data"]["retry_after"].as_u64().context("no retry_after")?;
            assert!((1..=1001).contains(&wait), "{answer}");
            refused += 1;
        }
    }
    Ok(refused)
}

#[tokio::test]
async fn joins_pages_and_searches_have_limits_of_their_own() -> Result<()> {
    let app = App::builder()
        .config("[limits]\njoins_per_second = 1\npages_per_second = 1\nsearches_per_second = 1\n")
        .start()
        .await?;
    let mut ann = app.user("Ann").await?;
    let mut bob = app.user("Bob").await?;
    for (kind, data) in
        [("join", json!({"history": 0})), ("search", json!({"q": "tea"})), ("history", json!({"limit": 1}))]
    {
        // Ten at once, and one more for each second that it took.
        let many = refused(&mut ann, kind, &data, 60).await?;
        assert!((1..=50).contains(&many), "{many} of 60 {kind} were refused");
        assert_eq!(refused(&mut bob, kind, &data, 5).await?, 0, "of somebody else");
    }
    assert_eq!(refused(&mut ann, "msg", &json!({"text": "hello"}), 50).await?, 0);
    // Lists come from the same as pages of history, over HTTP too.
    let call = || Request::get("/api/v1/rooms").header("authorization", format!("Bearer {}", ann.token));
    for _ in 0..60 {
        let answer = http::send(app.address(), call()).await?;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), "1");
            assert!(answer.body.contains("rate_limited"), "{}", answer.body);
            return Ok(());
        }
    }
    anyhow::bail!("60 calls were never too many")
}

#[tokio::test]
async fn who_never_stops_is_closed() -> Result<()> {
    let app = App::builder().config("[limits]\nsearches_per_second = 1\n").start().await?;
    let mut ann = app.user("Ann").await?;
    let search = |number| json!({"type": "search", "id": format!("s{number}"), "data": {"q": "tea"}});
    // The rest may find the socket closed.
    let _ = ann.send_together(&(0..400).map(search).collect::<Vec<_>>()).await;
    assert_eq!(ann.expect_end().await?, Ending::Closed(4429));
    let last = ann.seen_of("error").pop().context("no error")?;
    assert!(last["data"]["retry_after"].is_u64(), "{last}");
    Ok(())
}

/// Somebody behind a proxy.
async fn from(app: &App, address: &str, name: &str) -> Result<User> {
    let mut request = format!("ws://{}/ws", app.address()).into_client_request()?;
    request.headers_mut().insert("x-forwarded-for", address.parse()?);
    let (socket, _) = Socket::connect_with(request).await?;
    User::hello_over(socket, app.address(), &json!({"name": name})).await
}

#[tokio::test]
async fn an_address_has_one_limit_for_all_its_users() -> Result<()> {
    let app = App::builder()
        .config("[http]\nproxies = [\"127.0.0.1\"]\n[limits]\nper_second_per_address = 2\n")
        .start()
        .await?;
    let (mut ann, mut bob) =
        (from(&app, "198.51.100.1", "Ann").await?, from(&app, "198.51.100.1", "Bob").await?);
    let mut carol = from(&app, "198.51.100.2", "Carol").await?;
    let hello = json!({"text": "hello"});
    // Twenty at once, of which two were for signing in.
    let anns = refused(&mut ann, "msg", &hello, 15).await?;
    let bobs = refused(&mut bob, "msg", &hello, 60).await?;
    assert_eq!(anns, 0, "a few are nothing");
    assert!((1..60).contains(&bobs), "{bobs} were refused");
    assert_eq!(refused(&mut carol, "msg", &hello, 15).await?, 0, "from elsewhere");
    // Who is at the machine itself has no limit: behind an unknown proxy that would be everybody.
    let mut dan = app.user("Dan").await?;
    assert_eq!(refused(&mut dan, "msg", &hello, 60).await?, 0);
    Ok(())
}

#[tokio::test]
async fn behind_a_proxy_each_address_has_its_own_connections() -> Result<()> {
    let app = App::builder()
        .config("[http]\nproxies = [\"127.0.0.0/8\"]\n[limits]\nconnections_per_address = 2\n")
        .start()
        .await?;
    let _ann = from(&app, "198.51.100.1", "Ann").await?;
    let _too = from(&app, "198.51.100.1", "Ann 2").await?;
    let third = Request::get("/healthz").header("x-forwarded-for", "198.51.100.1");
    let refused = http::send(app.address(), third).await?;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "5"));
    from(&app, "198.51.100.2", "Bob").await?.say("public", "there is room for me").await?;
    Ok(())
}
