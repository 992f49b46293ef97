//! The same conversation over each transport.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use mqttchat_sockjs::{Options, WebSockets};
use support::{Site, open_to_all};
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::test]
async fn xhr_polling() {
    let site = Site::echo(open_to_all()).await;
    assert_eq!(site.post("/0/a/xhr", "").await.body, "o\n");
    let sent = site.post("/0/a/xhr_send", r#"["x","y\u0000"]"#).await;
    assert_eq!((sent.status, &*sent.body), (204, ""));
    assert_eq!(site.post("/1/a/xhr", "").await.body, "a[\"x\",\"y\\u0000\"]\n");
}

#[tokio::test]
async fn xhr_streaming_ends_at_its_limit_and_goes_on() {
    let site = Site::echo(Options { streaming_limit: 100, ..open_to_all() }).await;
    let mut stream = site.open("POST", "/0/a/xhr_streaming", &[], "").await;
    assert_eq!(stream.chunk().await.unwrap(), "h".repeat(2048) + "\n");
    assert_eq!(stream.chunk().await.unwrap(), "o\n");
    let text = "x".repeat(50);
    for _ in 0..2 {
        site.post("/0/a/xhr_send", &format!("[\"{text}\"]")).await;
        assert_eq!(stream.chunk().await.unwrap(), format!("a[\"{text}\"]\n"));
    }
    assert_eq!(stream.chunk().await, None);
    site.post("/0/a/xhr_send", r#"["late"]"#).await;
    let mut stream = site.open("POST", "/0/a/xhr_streaming", &[], "").await;
    stream.chunk().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap(), "a[\"late\"]\n");
}

#[tokio::test]
async fn event_source() {
    let site = Site::echo(open_to_all()).await;
    let mut stream = site.open("GET", "/0/a/eventsource", &[], "").await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    assert_eq!(stream.chunk().await.unwrap(), "\r\n");
    assert_eq!(stream.chunk().await.unwrap(), "data: o\r\n\r\n");
    site.post("/0/a/xhr_send", r#"["a\nb"]"#).await;
    assert_eq!(stream.chunk().await.unwrap(), "data: a[\"a\\nb\"]\r\n\r\n");
}

#[tokio::test]
async fn html_file_scripts_cannot_be_left() {
    let site = Site::echo(open_to_all()).await;
    let mut stream = site.open("GET", "/0/a/htmlfile?c=cb", &[], "").await;
    assert!(stream.header("content-security-policy").unwrap().contains("frame-ancestors 'self'"));
    assert!(stream.chunk().await.unwrap().contains("var c = parent.cb;"));
    assert_eq!(stream.chunk().await.unwrap(), "<script>\np(\"o\");\n</script>\r\n");
    site.post("/0/a/xhr_send", r#"["</script><script>alert(1)</script>"]"#).await;
    let chunk = stream.chunk().await.unwrap();
    assert_eq!(chunk.matches('<').count(), 2, "{chunk}");
    assert!(chunk.contains(r#"p("a[\"\u003c/script>"#), "{chunk}");
    for bad in ["", "?c=", "?c=a(b)", "?c=%3Cscript%3E", "?c=a%0a"] {
        assert_eq!(site.get(&format!("/0/b/htmlfile{bad}")).await.status, 500, "{bad}");
        assert_eq!(site.get(&format!("/0/b/jsonp{bad}")).await.status, 500, "{bad}");
    }
}

#[tokio::test]
async fn jsonp() {
    let site = Site::echo(open_to_all()).await;
    assert_eq!(site.get("/0/a/jsonp?c=cb").await.body, "/**/cb(\"o\");\r\n");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let sent = site.open("POST", "/0/a/jsonp_send", &form, "d=%5B%22x+%2B%22%5D").await.whole().await;
    assert_eq!((sent.status, &*sent.body), (200, "ok"));
    let response = site.get("/0/a/jsonp?c=cb").await;
    assert_eq!(response.body, "/**/cb(\"a[\\\"x +\\\"]\");\r\n");
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn websocket() {
    let site = Site::echo(open_to_all()).await;
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/s/0/a/websocket", site.address)).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("o"));
    for (sent, heard) in [("[\"a\",\"b\"]", "a[\"a\",\"b\"]"), ("\"c\"", "a[\"c\"]")] {
        socket.send(Message::text("")).await.unwrap();
        socket.send(Message::text("[]")).await.unwrap();
        socket.send(Message::text(sent)).await.unwrap();
        let mut texts = String::new();
        while texts.len() < heard.len() {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
            // What came in two frames is the same as what came in one.
            texts = if texts.is_empty() {
                text.to_string()
            } else {
                format!("{},{}", texts.trim_end_matches(']'), text.trim_start_matches("a["))
            };
        }
        assert_eq!(texts, heard);
    }
    socket.send(Message::text("[\"a")).await.unwrap();
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(close))) => {
                assert_eq!(u16::from(close.unwrap().code), 3000);
                break;
            }
            Some(Ok(Message::Text(text))) => panic!("{text}"),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn raw_websocket() {
    let site = Site::echo(open_to_all()).await;
    let url = format!("ws://{}/s/websocket", site.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket.send(Message::text("as it is")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("as it is"));
}

#[tokio::test]
async fn a_service_without_websockets() {
    let site = Site::echo(Options { websockets: WebSockets::Off, ..open_to_all() }).await;
    assert!(site.get("/info").await.body.contains("\"websocket\":false"));
    let url = format!("ws://{}/s/0/a/websocket", site.address);
    match tokio_tungstenite::connect_async(url).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 404),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn heartbeats_keep_a_connection() {
    let site = Site::echo(Options { heartbeat: Duration::from_millis(20), ..open_to_all() }).await;
    let mut stream = site.open("GET", "/0/a/eventsource", &[], "").await;
    let mut heard = Vec::new();
    while heard.len() < 4 {
        heard.push(stream.chunk().await.unwrap());
    }
    assert_eq!(heard, ["\r\n", "data: o\r\n\r\n", "data: h\r\n\r\n", "data: h\r\n\r\n"]);
    site.post("/0/b/xhr", "").await;
    assert_eq!(site.post("/0/b/xhr", "").await.body, "h\n");
}
