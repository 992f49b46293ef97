//! The chat over each transport of SockJS: what holds at `/ws` holds here.

mod node;

use anyhow::{Context, Result};
use hyper::Request;
use mqttchat_e2e::https::Certificate;
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::sockjs::{Client, Door};
use mqttchat_e2e::{App, Socket, User, http};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Somebody who came through this door and joined.
async fn member(app: &App, door: Door, data: Value) -> Result<User> {
    let mut user = User::hello_over(Socket::over(app.address(), door), app.address(), &data).await?;
    user.join("public").await?;
    Ok(user)
}

async fn talking(door: Door) -> Result<()> {
    let app = App::start().await?;
    let mut ann = member(&app, door, json!({"name": "Ann"})).await?;
    let mut bob = app.member("Bob").await?;
    let text = "grüße 🎈 \u{2028}\u{200d}\"\\</script>\n";
    let accepted = ann.say("public", text).await?;
    assert_eq!(accepted.seq, 1);
    assert_eq!(bob.expect_text(text).await?["from"], "ann");
    assert_eq!(ann.expect_text(text).await?["seq"], 1, "the sender gets its own copy");
    bob.say("private/ann", "psst").await?;
    assert_eq!(ann.expect_text("psst").await?["from"], "bob");
    let messages = |n| json!({"type": "msg", "id": format!("m{n}"), "dest": "public", "data": {"text": "x"}});
    ann.send_together(&(0..50).map(messages).collect::<Vec<_>>()).await?;
    assert_eq!(ann.expect_accepted("m49").await?.seq, 51, "in the order in which they were sent");
    bob.expect_where("the last one", |frame| frame["type"] == "msg" && frame["seq"] == 51).await?;
    Ok(())
}

async fn coming_back(door: Door) -> Result<()> {
    let app = App::start().await?;
    let mut ann = member(&app, door, json!({"name": "Ann"})).await?;
    let mut bob = app.member("Bob").await?;
    ann.say("public", "one").await?;
    ann.expect_text("one").await?;
    ann.close().await?;
    bob.expect_where("that Ann has left", |frame| frame["data"]["left"][0]["id"] == "ann").await?;
    for text in ["two", "three"] {
        bob.say("public", text).await?;
    }
    let hello = json!({"name": "Ann", "token": ann.token, "log": ann.log, "resume": {"public": 1}});
    let back = User::hello_over(Socket::over(app.address(), door), app.address(), &hello).await?;
    bob.say("public", "four").await?;
    back.expect_text("four").await?;
    let seqs: Vec<u64> = back.seen_of("msg").iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    assert_eq!(seqs, [2, 3, 4]);
    Ok(())
}

async fn presence(door: Door) -> Result<()> {
    let app = App::start().await?;
    let bob = app.member("Bob").await?;
    let mut ann = member(&app, door, json!({"name": "Ann"})).await?;
    bob.expect_where("that Ann has come", |frame| frame["data"]["joined"][0]["id"] == "ann").await?;
    let roster = ann.request(json!({"type": "roster", "dest": "public", "data": {}})).await?;
    assert_eq!(roster["roster"].as_array().map(Vec::len), Some(2), "{roster}");
    drop(ann);
    bob.expect_where("that Ann has left", |frame| frame["data"]["left"][0]["id"] == "ann").await?;
    Ok(())
}

async fn endings(door: Door) -> Result<()> {
    let mut app = App::start().await?;
    let ann = member(&app, door, json!({"name": "Ann"})).await?;
    let mut rude = Socket::over(app.address(), door);
    for _ in 0..10 {
        rude.send_text("nonsense").await?;
    }
    assert_eq!(rude.expect_end().await?, Ending::Closed(4400));
    assert_eq!(rude.seen_of("error").len(), 10);
    app.terminate()?;
    let bye = ann.expect("bye").await?;
    assert!(bye["data"]["retry_after"].is_u64(), "{bye}");
    let ending = ann.expect_end().await?;
    // Who asks for each frame may find the server gone when asking for the last.
    let asks = matches!(door, Door::XhrPolling | Door::Jsonp);
    assert!(ending == Ending::Closed(1001) || asks && ending == Ending::Cut, "{ending:?}");
    assert!(app.ended().await?.success());
    Ok(())
}

async fn limits(door: Door) -> Result<()> {
    let app = App::start().await?;
    let mut ann = member(&app, door, json!({"name": "Ann"})).await?;
    let large = json!({"type": "msg", "id": "large", "dest": "public", "data": {"x": "x".repeat(65_536)}});
    ann.send(&large).await?;
    let error = ann.expect("error").await?;
    assert_eq!(error["data"]["code"], "too_large", "{error}");
    ann.say("public", "it goes on").await?;
    Ok(())
}

macro_rules! over_every_transport {
    ($($module:ident: $door:ident),+) => { $(
        mod $module {
            use super::*;

            #[tokio::test]
            async fn talking() -> Result<()> {
                super::talking(Door::$door).await
            }

            #[tokio::test]
            async fn coming_back() -> Result<()> {
                super::coming_back(Door::$door).await
            }

            #[tokio::test]
            async fn presence() -> Result<()> {
                super::presence(Door::$door).await
            }

            #[tokio::test]
            async fn endings() -> Result<()> {
                super::endings(Door::$door).await
            }

            #[tokio::test]
            async fn limits() -> Result<()> {
                super::limits(Door::$door).await
            }
        }
    )+ };
}

over_every_transport!(
    websocket: WebSocket,
    xhr_streaming: XhrStreaming,
    xhr_polling: XhrPolling,
    event_source: EventSource,
    html_file: HtmlFile,
    jsonp: Jsonp
);

#[tokio::test]
async fn the_raw_websocket_is_that_of_ws() -> Result<()> {
    let app = App::start().await?;
    let request = format!("ws://{}/sockjs/websocket", app.address()).into_client_request()?;
    let (socket, _) = Socket::connect_with(request).await?;
    let mut ann = User::hello_over(socket, app.address(), &json!({"name": "Ann"})).await?;
    ann.say("public", "as it is").await?;
    Ok(())
}

#[tokio::test]
async fn a_client_whose_poll_is_away_is_gone_and_comes_back_with_resume() -> Result<()> {
    let app = App::builder().config("[sockjs]\ndisconnect_delay = 1\n").start().await?;
    let mut bob = app.member("Bob").await?;
    let client = Client::new(app.address(), Door::XhrPolling);
    assert_eq!(client.receive_once().await?, [""; 0], "the first poll only opens");
    let hello = json!({"type": "hello", "id": "h1", "data": {"name": "Ann", "resume": {"public": 0}}});
    client.send(&[hello.to_string()]).await?;
    let ready: Value = serde_json::from_str(client.receive_once().await?.first().context("1000")?)?;
    assert_eq!(ready["type"], 1000, "{ready}");
    bob.expect_where("that Ann has left", |frame| frame["data"]["left"][0]["id"] == "ann").await?;
    assert!(client.send(&["{}"]).await.is_err(), "the session is gone");
    bob.say("public", "where are you?").await?;
    let (token, log) = (&ready["data"]["token"], &ready["data"]["log"]);
    let hello = json!({"name": "Ann", "token": token, "log": log, "resume": {"public": 0}});
    let socket = Socket::over(app.address(), Door::XhrPolling);
    let back = User::hello_over(socket, app.address(), &hello).await?;
    back.expect_text("where are you?").await?;
    Ok(())
}

#[tokio::test]
async fn who_takes_nothing_is_closed_and_has_lost_nothing_afterwards() -> Result<()> {
    let app = App::builder().no_rate_limit().start().await?;
    let (mut bob, sleeper) = (app.member("Bob").await?, app.user("Sloth").await?);
    let client = Client::new(app.address(), Door::XhrStreaming);
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(app.address()).await?;
    let request = format!(
        "POST {}/xhr_streaming HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n",
        client.path(),
        app.address()
    );
    stream.write_all(request.as_bytes()).await?;
    // It reads up to the frame that opens the session, and then never again.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n2\r\no\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    client.opened();
    let data = json!({"name": "Sloth", "token": sleeper.token, "log": sleeper.log, "resume": {"public": 0}});
    let hello = json!({"type": "hello", "id": "h1", "data": data});
    client.send(&[hello.to_string()]).await?;
    bob.expect_where("that Sloth has come", |frame| frame["data"]["joined"][0]["id"] == "sloth").await?;
    let text = "x".repeat(4000);
    let mut last = 0;
    while !bob.seen_of("presence").iter().any(|frame| frame["data"]["left"][0]["id"] == "sloth") {
        last = bob.say("public", &text).await?.seq;
    }
    assert!(last > 200, "far more than the kernel's buffers hold: {last}");
    drop(stream);
    let hello = json!({"name": "Sloth", "token": sleeper.token, "log": sleeper.log, "resume": {"public": last - 100}});
    let socket = Socket::over(app.address(), Door::XhrStreaming);
    let back = User::hello_over(socket, app.address(), &hello).await?;
    back.expect_where("the last message", |frame| frame["type"] == "msg" && frame["seq"] == last).await?;
    let seqs: Vec<u64> = back.seen_of("msg").iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    assert_eq!(seqs, (last - 99..=last).collect::<Vec<_>>(), "nothing is lost");
    Ok(())
}

#[tokio::test]
async fn pages_of_others_come_in_by_no_transport() -> Result<()> {
    let app = App::builder().config("[http]\norigins = [\"https://intranet.example\"]\n").start().await?;
    for (method, path) in [
        ("GET", "info"),
        ("POST", "0/a/xhr"),
        ("POST", "0/a/xhr_streaming"),
        ("POST", "0/a/xhr_send"),
        ("GET", "0/a/eventsource"),
        ("GET", "0/a/htmlfile?c=x"),
        ("GET", "0/a/jsonp?c=x"),
        ("POST", "0/a/jsonp_send"),
        ("GET", "0/a/websocket"),
        ("GET", "websocket"),
    ] {
        let request = || Request::builder().method(method).uri(format!("/sockjs/{path}"));
        for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
            let refused = http::send(app.address(), request().header("origin", origin)).await?;
            assert_eq!(refused.status, 403, "{origin} {path}");
            assert_eq!(refused.header("access-control-allow-origin"), "");
        }
        // Scripts and frames come without an origin.
        let foreign =
            request().header("sec-fetch-site", "cross-site").header("referer", "https://evil.example/");
        assert_eq!(http::send(app.address(), foreign).await?.status, 403, "{path}");
    }
    let friend = Request::get("/sockjs/info").header("origin", "https://intranet.example");
    let info = http::send(app.address(), friend).await?;
    assert_eq!(info.status, 200);
    assert_eq!(info.header("access-control-allow-origin"), "https://intranet.example");
    let friend = Request::get("/sockjs/0/a/jsonp?c=x")
        .header("sec-fetch-site", "cross-site")
        .header("referer", "https://intranet.example/");
    let script = http::send(app.address(), friend).await?;
    assert_eq!((script.status.as_u16(), &*script.body), (200, "/**/x(\"o\");\r\n"));
    assert_eq!(script.header("cross-origin-resource-policy"), "cross-origin");
    Ok(())
}

#[tokio::test]
async fn a_sessions_id_is_of_no_use_to_others() -> Result<()> {
    let app = App::builder().config("[http]\nproxies = [\"127.0.0.1\"]\n").start().await?;
    let client = Client::new(app.address(), Door::XhrPolling);
    client.receive_once().await?;
    let path = |door: &str| format!("{}/{door}", client.path());
    // By another browser, and from another address.
    for (header, value) in [("user-agent", "somebody else"), ("x-forwarded-for", "198.51.100.7")] {
        let stranger = |method: &str, door: &str| {
            Request::builder()
                .method(method)
                .uri(path(door))
                .header(header, value)
                .header("content-type", "text/plain")
        };
        for door in ["xhr_send", "jsonp_send"] {
            let answer =
                http::send_with(app.address(), stranger("POST", door), r#"["{\"type\":1001,\"id\":\"x\"}"]"#);
            assert_eq!(answer.await?.status, 404, "{door} with {header}");
        }
        assert_eq!(
            http::send(app.address(), stranger("POST", "xhr")).await?.body,
            "o\n",
            "a session of their own"
        );
        for (method, door) in [
            ("POST", "xhr_streaming"),
            ("GET", "eventsource"),
            ("GET", "htmlfile?c=x"),
            ("GET", "jsonp?c=x"),
            ("GET", "websocket"),
        ] {
            // Each has something of its own, and nothing that the client is to get.
            let answer = http::head(app.address(), stranger(method, door)).await?;
            assert!([200, 400].contains(&answer.status.as_u16()), "{door} with {header}: {}", answer.status);
        }
    }
    client.send(&[r#"{"type":1001,"id":"p"}"#]).await?;
    let answer: Value = serde_json::from_str(client.receive_once().await?.first().context("a pong")?)?;
    assert_eq!(answer["type"], 1002, "{answer}");
    Ok(())
}

#[tokio::test]
async fn it_can_be_switched_off() -> Result<()> {
    let app = App::builder().config("[sockjs]\nenabled = false\n").start().await?;
    assert_eq!(app.get("/sockjs/info").await?.status, 404);
    assert_eq!(app.get("/sockjs").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn the_pages_say_who_may_frame_them() -> Result<()> {
    let settings =
        "[http]\norigins = [\"https://intranet.example\"]\n[sockjs]\nclient_url = \"/sockjs.min.js\"\n";
    let app = App::builder().config(settings).start().await?;
    for path in ["/sockjs/iframe-1.6.1.html", "/sockjs/0/a/htmlfile?c=x"] {
        let request = Request::get(path);
        let answer = http::head(app.address(), request).await?;
        let policy = answer.header("content-security-policy");
        assert!(policy.ends_with("frame-ancestors 'self' https://intranet.example"), "{path}: {policy}");
        assert_eq!(answer.header("x-frame-options"), "", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    let app = App::start().await?;
    assert_eq!(app.get("/sockjs/iframe.html").await?.status, 404, "nobody else's scripts by itself");
    Ok(())
}

#[tokio::test]
async fn the_cookie_is_strict_and_after_https_never_in_the_clear() -> Result<()> {
    const COOKIE: &str = "JSESSIONID=dummy; path=/; HttpOnly; SameSite=Strict";
    // A session of its own for each, which is answered at once.
    let path = |id: &str| format!("/sockjs/0/{id}/jsonp?c=x");
    assert_eq!(
        App::start().await?.get(&path("a")).await?.header("set-cookie"),
        "",
        "there is none by itself"
    );
    let with = |settings: &str| App::builder().config(&format!("{settings}[sockjs]\ncookies = true\n"));
    let forwarded = |scheme| Request::get(path(scheme)).header("x-forwarded-proto", scheme);
    let plain = with("").start().await?;
    assert_eq!(plain.get(&path("a")).await?.header("set-cookie"), COOKIE);
    let unknown = http::send(plain.address(), forwarded("https")).await?;
    assert_eq!(unknown.header("set-cookie"), COOKIE, "anybody can write that header");
    let behind = with("[http]\nproxies = [\"127.0.0.1\"]\n").start().await?;
    for (scheme, more) in [("https", "; Secure"), ("http", "")] {
        let answer = http::send(behind.address(), forwarded(scheme)).await?;
        assert_eq!(answer.header("set-cookie"), format!("{COOKIE}{more}"), "{scheme}");
    }
    let certificate = Certificate::make()?;
    let encrypted = with("").args(certificate.args()).start().await?;
    let answer = certificate.get(encrypted.address(), &path("a")).await?;
    assert!(answer.contains(&format!("set-cookie: {COOKIE}; Secure\r\n")), "{answer}");
    Ok(())
}
