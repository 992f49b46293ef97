//! The server speaks TLS by itself.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use futures::{SinkExt, StreamExt};
use hyper::Request;
use mqttchat_e2e::https::{Certificate, VERSIONS};
use mqttchat_e2e::port::Port;
use mqttchat_e2e::{App, app, eventually, http};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

type Wss = WebSocketStream<tokio_rustls::client::TlsStream<TcpStream>>;

/// The next frame of this type.
async fn expect(socket: &mut Wss, kind: &Value) -> Result<Value> {
    let found = async {
        loop {
            let message = socket.next().await.context("the socket is closed")??;
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text)?;
            if frame["type"] == *kind {
                return anyhow::Ok(frame);
            }
        }
    };
    tokio::time::timeout(mqttchat_e2e::PATIENCE, found).await.with_context(|| format!("no {kind}"))?
}

async fn say(socket: &mut Wss, frame: &Value) -> Result<()> {
    Ok(socket.send(Message::text(frame.to_string())).await?)
}

#[tokio::test]
async fn both_versions_carry_the_page_and_the_sockets() -> Result<()> {
    let certificate = Certificate::make()?;
    let app = App::builder().args(certificate.args()).start().await?;
    ensure!(app.url().starts_with("https://"), "{}", app.url());
    let page = certificate.get(app.address(), "/").await?;
    ensure!(page.starts_with("HTTP/1.1 200 ") && page.trim_end().ends_with("</html>"), "{page:.300}");
    for (name, version) in ["Ann", "Bob"].into_iter().zip(VERSIONS) {
        let stream = certificate.connect(app.address(), &[version]).await?;
        let spoken = stream.get_ref().1.protocol_version();
        assert_eq!(spoken, Some(version.version));
        let url = format!("wss://{}/ws", app.address());
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        say(&mut socket, &json!({"type": "hello", "id": "h", "data": {"name": name}})).await?;
        expect(&mut socket, &json!(1000)).await?;
        // More than TLS's own buffers take at once.
        for number in 0..40 {
            let text = "x".repeat(4000);
            say(&mut socket, &json!({"type": "msg", "id": format!("{name}{number}"), "dest": "public", "data": {"text": text}}))
                .await?;
        }
        for _ in 0..40 {
            expect(&mut socket, &json!(100)).await?;
        }
        say(&mut socket, &json!({"type": "history", "id": "past", "dest": "public", "data": {}})).await?;
        let past = expect(&mut socket, &json!("reply")).await?;
        let texts = past["data"]["messages"].as_array().context("no messages")?;
        assert!(texts.len() >= 40, "{} messages", texts.len());
    }
    let healthy = app::run(["healthcheck", "--url", &format!("{}/healthz", app.url())]).await?;
    assert_eq!(healthy.status, Some(0), "{healthy:?}");
    Ok(())
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() -> Result<()> {
    let mut certificate = Certificate::make()?;
    let app = App::builder().args(certificate.args()).start().await?;
    let old = std::fs::read(certificate.file())?;
    let stream = certificate.connect(app.address(), &VERSIONS).await?;
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("wss://{}/ws", app.address()), stream).await?;

    std::fs::write(certificate.file(), "no certificate at all")?;
    app.hang_up()?;
    logged(&app, "the certificate in use stays").await?;
    certificate.get(app.address(), "/healthz").await?;

    std::fs::write(certificate.file(), old)?;
    let previous = Certificate::make()?;
    std::fs::copy(previous.key(), certificate.key())?;
    app.hang_up()?;
    logged(&app, "is not that of the first certificate").await?;
    certificate.get(app.address(), "/healthz").await?;

    certificate.renew()?;
    app.hang_up()?;
    logged(&app, "the certificate was read again").await?;
    let answer = certificate.get(app.address(), "/healthz").await?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Who was there before goes on.
    say(&mut socket, &json!({"type": "hello", "id": "h", "data": {"name": "Ann"}})).await?;
    expect(&mut socket, &json!(1000)).await?;
    Ok(())
}

async fn logged(app: &App, words: &str) -> Result<()> {
    eventually(&format!("{words:?} in the log"), async || {
        Ok(app.output().iter().any(|line| line.contains(words)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn plain_http_is_sent_to_https() -> Result<()> {
    let certificate = Certificate::make()?;
    let port = Port::reserve()?;
    let redirect = ([127, 0, 0, 1], port.number()).into();
    let app = App::builder()
        .args(certificate.args())
        .args(["--tls-redirect", &format!("127.0.0.1:{}", port.number())])
        .start()
        .await?;
    let answer = http::send(redirect, Request::post("/api/v1/messages?x=1")).await?;
    assert_eq!(answer.status.as_u16(), 308);
    let there = format!("https://127.0.0.1:{}/api/v1/messages?x=1", app.address().port());
    assert_eq!(answer.header("location"), there);
    let stranger = http::send(redirect, Request::get("/").header("host", "evil.example")).await?;
    assert_eq!((stranger.status.as_u16(), stranger.header("location")), (421, ""));

    let mistaken = http::get(app.address(), "/").await?;
    assert_eq!(mistaken.status.as_u16(), 400);
    assert!(mistaken.body.contains("HTTPS"), "{}", mistaken.body);
    Ok(())
}

#[tokio::test]
async fn who_only_connects_takes_a_place_too() -> Result<()> {
    let certificate = Certificate::make()?;
    let app = App::builder()
        .args(certificate.args())
        .variable("MQTTCHAT_LIMITS__CONNECTIONS_PER_ADDRESS", "3")
        .start()
        .await?;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(app.address()).await?);
    }
    let refused = certificate.get(app.address(), "/healthz").await?;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 5"), "{refused}");
    drop(silent);
    eventually("a place", async || {
        let answer = certificate.get(app.address(), "/healthz").await?;
        Ok(answer.starts_with("HTTP/1.1 200 ").then_some(()))
    })
    .await
}

#[tokio::test]
async fn who_shakes_no_hands_is_let_go() -> Result<()> {
    let certificate = Certificate::make()?;
    let app = App::builder().args(certificate.args()).config("[http]\nheader_timeout = 1\n").start().await?;
    let mut silent = TcpStream::connect(app.address()).await?;
    let mut halfway = TcpStream::connect(app.address()).await?;
    halfway.write_all(&[22, 3, 1, 2, 0, 1]).await?;
    let mut nonsense = TcpStream::connect(app.address()).await?;
    nonsense.write_all(&[0; 64]).await?;
    for stream in [&mut nonsense, &mut silent, &mut halfway] {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(mqttchat_e2e::PATIENCE, stream.read_to_end(&mut rest)).await;
        // With an alert, or a reset: all the same.
        ended.context("it was not let go")?.ok();
    }
    Ok(())
}

#[tokio::test]
async fn files_that_are_no_good_are_named() -> Result<()> {
    let (one, other) = (Certificate::make()?, Certificate::make()?);
    let home = tempfile::tempdir()?;
    let data = home.path().join("data");
    let text = |path: std::path::PathBuf| path.display().to_string();
    let missing = home.path().join("none.pem").display().to_string();
    for (certificate, key, names) in [
        (text(one.file()), text(other.key()), vec!["is not that of the first certificate", "give the key"]),
        (missing.clone(), text(one.key()), vec!["none.pem", "No such file"]),
        (text(one.file()), missing, vec!["none.pem", "private key"]),
        (text(one.key()), text(one.key()), vec!["holds no certificate"]),
        (text(one.file()), text(one.file()), vec!["holds no private key"]),
    ] {
        let arguments = ["--tls-cert", &certificate, "--tls-key", &key, "--data", &text(data.clone())];
        for command in [&["--port", "0"][..], &["check-config"]] {
            let ended = app::run(command.iter().copied().chain(arguments)).await?;
            assert_eq!(ended.status, Some(2), "{ended:?}");
            assert!(names.iter().all(|name| ended.stderr.contains(name)), "{names:?}: {ended:?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        }
    }
    for (arguments, name) in [
        (&["--tls-cert", "a.pem"][..], "tls_key"),
        (&["--tls-key", "a.pem"], "tls_cert"),
        (&["--tls-redirect", "127.0.0.1:80"], "tls_cert"),
    ] {
        let ended = app::run(["check-config"].iter().chain(arguments)).await?;
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(name), "{ended:?}");
    }
    assert!(!data.exists(), "a refused start leaves nothing behind");
    Ok(())
}

#[tokio::test]
async fn how_long_a_certificate_is_good_is_told() -> Result<()> {
    const UNTIL: &str = "mqttchat_tls_certificate_expires_timestamp_seconds ";
    for (days, level, words) in [
        (-10..-1, "ERROR", "has expired on 20"),
        (2..10, "ERROR", "is not valid before 20"),
        (-80..3, "WARN", "expires on 20"),
        (-1..365, "", ""),
    ] {
        let mut certificate = Certificate::make()?;
        certificate.renew_for(days)?;
        let file = certificate.file().display().to_string();
        let app = App::builder().args(certificate.args()).start().await?;
        if level.is_empty() {
            eventually("the metric", async || {
                let metrics = certificate.get(app.address(), "/metrics").await?;
                let until = metrics.lines().find_map(|line| line.strip_prefix(UNTIL));
                let Some(until) = until else { return Ok(None) };
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
                let days = (until.parse::<f64>()? - now) / 86_400.0;
                assert!((364.0..366.0).contains(&days), "{days} days");
                Ok(Some(()))
            })
            .await?;
            assert!(!app.output().iter().any(|line| line.contains(&file)), "{:?}", app.output());
        } else {
            logged(&app, words).await?;
            let said = |line: &String| line.contains(level) && line.contains(words) && line.contains(&file);
            assert!(app.output().iter().any(said), "{:?}", app.output());
        }
        let data = tempfile::tempdir()?;
        let mut arguments =
            vec!["check-config".to_owned(), "--data".to_owned(), data.path().display().to_string()];
        arguments.extend(certificate.args());
        let checked = app::run(arguments).await?;
        assert_eq!(checked.status, Some(0), "{checked:?}");
        assert_eq!(checked.stderr.contains(&format!("{file} {words}")), !words.is_empty(), "{checked:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_clients_refuse_replaces_no_good_one() -> Result<()> {
    let (good, mut expired) = (Certificate::make()?, Certificate::make()?);
    expired.renew_for(-10..-1)?;
    let kept = Certificate::make()?;
    good.replace(&kept)?;
    let app = App::builder().args(good.args()).start().await?;
    expired.replace(&good)?;
    app.hang_up()?;
    logged(&app, "the certificate in use stays").await?;
    logged(&app, "has expired on 20").await?;
    // It knows the one that the server was started with.
    good.get(app.address(), "/healthz").await?;

    let app = App::builder().args(expired.args()).start().await?;
    logged(&app, "has expired on 20").await?;
    kept.replace(&expired)?;
    app.hang_up()?;
    logged(&app, "the certificate was read again").await?;
    good.get(app.address(), "/healthz").await?;
    Ok(())
}
