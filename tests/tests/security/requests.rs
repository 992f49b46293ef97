//! Bytes that no client of good will sends.

use std::fmt::Write;

use anyhow::{Context, Result};
use hyper::Request;
use mqttchat_e2e::{App, PATIENCE, http};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// Sends bytes and reads what comes until the server closes.
async fn exchange(app: &App, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(app.address()).await?;
    // It may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // With a reset, if it didn't want to read the rest.
    read.context("the connection stays open")?.ok();
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn requests_that_proxies_may_read_otherwise_end_their_connection() -> Result<()> {
    let app = App::start().await?;
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let chunked = format!("0\r\n\r\n{smuggled}");
    let length = chunked.len();
    for head in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: 5\r\ncontent-length: {length}\r\n"),
        format!("content-length: {length}\r\ncontent-length: 0\r\n"),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding : chunked\r\n".to_owned(),
        "content-length: +5\r\n".to_owned(),
        "content-length: 0x5\r\n".to_owned(),
    ] {
        for path in ["/healthz", "/api/v1/messages", "/sockjs/0/x/xhr_send"] {
            let request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{head}\r\n{chunked}");
            let answer = exchange(&app, request.as_bytes()).await?;
            assert!(!answer.contains("{\"status\":\"ok\"}"), "{path} {head:?}: {answer}");
            assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{path} {head:?}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn lengths_that_are_only_declared_cost_nothing() -> Result<()> {
    let app = App::builder().config("[http]\nbody_timeout = 1\n").start().await?;
    for (path, length, status) in [
        ("/api/v1/messages", "9223372036854775807", "413"),
        ("/healthz", "100000000000", "413"),
        ("/api/v1/messages", "18446744073709551616", "400"),
        ("/api/v1/messages", "-1", "400"),
    ] {
        let request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        let answer = exchange(&app, request.as_bytes()).await?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {length}: {answer}");
    }
    let token = app.user("Ann").await?.token;
    let request = format!(
        "POST /api/v1/messages HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         transfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"
    );
    let answer = exchange(&app, request.as_bytes()).await?;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");

    // SockJS looks after its bodies itself: nothing is kept for what doesn't come.
    for length in ["9223372036854775807", "100000000000"] {
        let request = format!(
            "POST /sockjs/0/x/xhr_send HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n[\"x"
        );
        let answer = exchange(&app, request.as_bytes()).await?;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{length}: {answer}");
    }

    // A WebSocket frame of 2^62 bytes, of which none come.
    let mut held = Vec::new();
    for path in SOCKETS {
        let mut stream = TcpStream::connect(app.address()).await?;
        stream.write_all(upgrade(path).as_bytes()).await?;
        stream.write_all(&[0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]).await?;
        stream.write_all(&[0; 4096]).await?;
        held.push(stream);
    }
    app.member("Bob").await?.say("public", "nothing happened").await?;
    Ok(())
}

/// The paths that speak WebSocket.
const SOCKETS: [&str; 3] = ["/ws", "/sockjs/websocket", "/sockjs/0/x/websocket"];

fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A client frame with the mask 0.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// Sends bytes behind an upgrade, and returns the code with which the server closes.
async fn closed_with(app: &App, path: &str, bytes: &[u8]) -> Result<u16> {
    let mut stream = TcpStream::connect(app.address()).await?;
    stream.write_all(upgrade(path).as_bytes()).await?;
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("it was not closed")?.ok();
    let close =
        answer.windows(4).find(|bytes| bytes[0] == 0x88 && bytes[1] >= 2).context("no close frame")?;
    Ok(u16::from_be_bytes([close[2], close[3]]))
}

#[tokio::test]
async fn broken_websocket_frames_end_their_connection_and_no_other() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    for path in SOCKETS {
        assert_eq!(closed_with(&app, path, &[0x81, 0x02, b'h', b'i']).await?, 1002, "unmasked");
        assert_eq!(closed_with(&app, path, &frame(0x81, &[0xff, 0xfe])).await?, 1007, "no UTF-8");
        assert_eq!(
            closed_with(&app, path, &frame(0x81, &[0xed, 0xa0, 0x80])).await?,
            1007,
            "half a surrogate"
        );
        assert_eq!(closed_with(&app, path, &frame(0xc1, b"{}")).await?, 1002, "a reserved bit");
        assert_eq!(closed_with(&app, path, &frame(0x83, b"{}")).await?, 1002, "a reserved opcode");
        assert_eq!(closed_with(&app, path, &frame(0x80, b"{}")).await?, 1002, "a continuation of nothing");
        assert_eq!(closed_with(&app, path, &frame(0x09, b"")).await?, 1002, "half a ping");
        assert_eq!(closed_with(&app, path, &frame(0x89, &[0; 126])).await?, 1002, "a large ping");
    }
    ann.say("public", "undisturbed").await?;
    bob.expect_text("undisturbed").await?;
    Ok(())
}

#[tokio::test]
async fn floods_of_fragments_are_one_message_or_too_large() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let mut flood = frame(0x01, br#"{"type":1001,"id":"p""#);
    for _ in 0..50_000 {
        flood.extend(frame(0x00, b""));
    }
    flood.extend(frame(0x80, b"}"));
    // Above the limit altogether, in pieces that each are small.
    flood.extend(frame(0x01, b"x"));
    for _ in 0..20_000 {
        flood.extend(frame(0x00, b"xxxxxxxxxx"));
    }
    flood.extend(frame(0x80, b""));
    flood.extend(frame(0x81, br#"{"type":1001,"id":"q"}"#));
    for path in ["/ws", "/sockjs/websocket"] {
        withstood(&app, path, &flood).await?;
    }
    ann.say("public", "undisturbed").await?;
    bob.expect_text("undisturbed").await?;
    Ok(())
}

/// Sends the flood, whose last frame is answered as its first one.
async fn withstood(app: &App, path: &str, flood: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(app.address()).await?;
    stream.write_all(upgrade(path).as_bytes()).await?;
    stream.write_all(flood).await?;
    let mut answer = Vec::new();
    let answered = async {
        while !String::from_utf8_lossy(&answer).contains(r#""re":"q""#) {
            anyhow::ensure!(stream.read_buf(&mut answer).await? > 0, "it was closed");
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, answered).await.context("no answer behind the flood")??;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains(r#""re":"p""#) && answer.contains("too_large"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn json_without_a_bottom_is_bad_json() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    let deep = |open: &str, close: &str| open.repeat(6000) + "1" + &close.repeat(6000);
    http::head(app.address(), Request::post("/sockjs/0/x/xhr")).await?;
    for nested in [deep("[", "]"), deep("{\"a\":", "}")] {
        ann.send_text(&nested).await?;
        ann.expect_error(Value::Null, "bad_frame").await?;
        ann.send_text(&format!(r#"{{"type":"msg","id":"d","dest":"public","data":{{"x":{nested}}}}}"#))
            .await?;
        let refused = ann.expect_where("an error", |frame| frame["type"] == "error").await?;
        assert_eq!(refused["data"]["code"], "bad_frame", "{refused}");
        ann.send_raw(Message::text("[".repeat(60_000))).await?;
        ann.expect_error(Value::Null, "bad_frame").await?;
        let post = |path: &str| {
            Request::post(path.to_owned())
                .header("authorization", format!("Bearer {}", ann.token))
                .header("content-type", "application/json")
        };
        assert_eq!(http::send_with(app.address(), post("/api/v1/messages"), &nested).await?.status, 400);
        assert_eq!(http::send_with(app.address(), post("/api/v1/rooms"), &nested).await?.status, 400);
        assert_eq!(http::send_with(app.address(), post("/sockjs/0/x/xhr_send"), &nested).await?.status, 500);
    }
    ann.ping().await?;
    assert_eq!(ann.say("public", "still here").await?.seq, 1);
    Ok(())
}

#[tokio::test]
async fn a_callback_is_a_name_and_nothing_else() -> Result<()> {
    let app = App::start().await?;
    for (number, callback) in [
        "alert(1)//",
        "<script>alert(1)</script>",
        "a;b",
        "%0aalert",
        "a%20b",
        "x'",
        "a\\u0028",
        "",
        "\u{2028}",
    ]
    .iter()
    .enumerate()
    {
        let mut escaped = String::new();
        for byte in callback.bytes() {
            if byte == b'%' { escaped.push('%') } else { write!(escaped, "%{byte:02x}")? }
        }
        // What is written with percent signs stays as it is.
        let given = if callback.starts_with('%') || callback.contains("%20") { *callback } else { &*escaped };
        for door in ["jsonp", "htmlfile"] {
            let answer = app.get(&format!("/sockjs/0/c{number}/{door}?c={given}")).await?;
            assert_eq!(answer.status, 500, "{door} {callback:?}: {}", answer.body);
            assert!(!answer.body.contains("alert"), "{}", answer.body);
        }
    }
    let answer = http::head(app.address(), Request::get("/sockjs/0/ok/jsonp?c=a.b_c1")).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-type").starts_with("application/javascript"), "{:?}", answer.headers);
    Ok(())
}

/// The same wrong things, in the bodies that carry SockJS's messages.
#[tokio::test]
async fn bodies_that_are_no_messages_are_refused() -> Result<()> {
    let app = App::start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let deep = format!("[\"{{}}\",{}1{}]", "[".repeat(6000), "]".repeat(6000));
    let floods = format!("[{}\"{{}}\"]", "\"{}\",".repeat(20_000));
    let bodies: [(&[u8], &[u16]); 9] = [
        (b"", &[500]),
        (b"[\"\xff\xfe\"]", &[500]),
        (b"[\"\\ud800\"]", &[200, 204, 404]),
        (b"[\"{}\"", &[500]),
        (b"{\"a\":1}", &[500]),
        (b"[1]", &[500]),
        (b"[\"a\x00b\"]", &[200, 204, 404]),
        (deep.as_bytes(), &[500]),
        (floods.as_bytes(), &[413, 500]),
    ];
    for door in ["xhr_send", "jsonp_send"] {
        // What comes for a session that isn't there is not even looked at.
        for session in ["none", "there"] {
            http::head(app.address(), Request::post("/sockjs/0/there/xhr")).await?;
            for (body, statuses) in bodies {
                let head = format!(
                    "POST /sockjs/0/{session}/{door} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                     content-type: text/plain\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let answer = exchange(&app, &[head.as_bytes(), body].concat()).await?;
                let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
                let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
                let statuses = if session == "none" { &[404] } else { statuses };
                assert!(statuses.contains(&status), "{door} of {session}: {shown:?}: {answer}");
            }
        }
    }
    ann.say("public", "undisturbed").await?;
    bob.expect_text("undisturbed").await?;
    Ok(())
}
