//! The accept loop: limits, time-outs, an end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use std::time::{Duration, Instant};

use mqttchat_http::{ListenOptions, QuotaLimits};
use support::{PATIENCE, Setup, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn with(listen: ListenOptions) -> Site {
    Site::with(Setup { listen, ..Setup::default() }).await
}

fn quick() -> ListenOptions {
    ListenOptions {
        header_timeout: Duration::from_millis(300),
        write_timeout: Duration::from_millis(300),
        ..ListenOptions::default()
    }
}

/// Reads until the server closes; how it does is all the same.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is closed");
    bytes
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let site = Site::start().await;
    let mut stream = site.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(br#"{"status":"ok"}"#) {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        }
    }
}

#[tokio::test]
async fn slow_heads_are_cut_off_and_disturb_nobody() {
    let site = with(quick()).await;
    let began = Instant::now();
    let mut silent = site.connect().await;
    let mut halfway = site.connect().await;
    halfway.write_all(b"GET / HTTP/1.1\r\nhost: local").await.unwrap();
    let mut idle = site.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(site.get("/healthz").await.status, 200);
    for stream in [&mut silent, &mut halfway, &mut idle] {
        until_closed(stream).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_slow_body_holds_nothing() {
    let site = with(quick()).await;
    let mut stream = site.connect().await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nslow")
        .await
        .unwrap();
    assert!(until_closed(&mut stream).await.starts_with(b"HTTP/1.1 405 "));
}

#[tokio::test]
async fn large_requests_are_refused() {
    let site = Site::start().await;
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let mut stream = site.connect().await;
    // It may be refused, and the connection closed, before all of it is sent.
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = until_closed(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );

    let fields = "x: y\r\n".repeat(100);
    let answer = site.raw(&format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")).await;
    assert_eq!(answer.status, 431);

    let answer = site.request("POST", "/", &[("content-length", "66561")]).await;
    assert_eq!((answer.status, &answer.json()["status"]), (413, &413.into()));
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let site = Site::start().await;
    for head in [
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
        "not http at all\r\n\r\n",
    ] {
        let mut stream = site.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = until_closed(&mut stream).await;
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{head:?}: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let site = with(quick()).await;
    let mut stream = site.connect().await;
    // Many responses that aren't read fill every buffer on the way.
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(64);
    let mut sent = 0_usize;
    let stuck = async {
        while stream.write_all(&request).await.is_ok() {
            sent += request.len();
        }
    };
    tokio::time::timeout(PATIENCE, stuck).await.expect("the server closes");
    assert!(sent > 0);
    assert_eq!(site.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn connections_are_limited_and_places_are_given_back() {
    let quota = QuotaLimits { total: 100, per_address: 3 };
    let site = with(ListenOptions { quota, ..ListenOptions::default() }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = site.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        held.push(stream);
    }
    let refused = site.get("/healthz").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert_eq!(refused.json()["status"], 503);
    drop(held);
    let answered = async {
        while site.get("/healthz").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("the places are free again");
}

#[tokio::test]
async fn stopping_ends_connections_that_wait() {
    let site = Site::start().await;
    let address = site.address;
    let mut idle = site.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    let mut halfway = site.connect().await;
    halfway.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let began = Instant::now();
    site.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    until_closed(&mut idle).await;
    until_closed(&mut halfway).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_response_under_way_is_finished() {
    let site = Site::start().await;
    let mut stream = site.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    site.stop().await;
    let mut rest = vec![byte[0]];
    rest.extend(until_closed(&mut stream).await);
    let text = String::from_utf8(rest).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 ") && text.trim_end().ends_with("</html>"), "{text:.200}");
}
