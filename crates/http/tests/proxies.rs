//! Behind a proxy: who asks, by what, and under which name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use std::time::Duration;

use mqttchat_http::{ListenOptions, Origin, Proxies, ProxyHeaders, QuotaLimits, Security};
use support::{PATIENCE, Setup, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn behind(network: &str, per_address: usize) -> Site {
    let proxies = Proxies::new(vec![Proxies::network(network).unwrap()], ProxyHeaders::XForwarded);
    let quota = QuotaLimits { total: 100, per_address };
    let security = Security { hsts: Duration::from_secs(60), ..Security::default() };
    let listen = ListenOptions { quota, proxies, ..ListenOptions::default() };
    Site::with(Setup { listen, security, ..Setup::default() }).await
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Asks for a WebSocket on behalf of `client`, and returns the status.
async fn open(site: &Site, client: &str) -> (u16, TcpStream) {
    let mut stream = site.connect().await;
    let request =
        format!("GET /ws HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {client}\r\n{UPGRADE}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8_lossy(&head[9..12]).parse().unwrap(), stream)
}

#[tokio::test]
async fn each_client_behind_it_has_its_own_places() {
    let site = behind("127.0.0.1", 2).await;
    let mut held = Vec::new();
    for client in ["198.51.100.1", "198.51.100.1", "198.51.100.2"] {
        let (status, stream) = open(&site, client).await;
        assert_eq!(status, 101);
        held.push(stream);
    }
    assert_eq!(open(&site, "198.51.100.1").await.0, 429);
    let refused = site.request("GET", "/healthz", &[("x-forwarded-for", "6.6.6.6, 198.51.100.1")]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("5")));
    assert_eq!(refused.json()["code"], "rate_limited");
    // Requests give their places back when they are answered.
    for _ in 0..5 {
        let answer = site.request("GET", "/", &[("x-forwarded-for", "198.51.100.3")]).await;
        assert_eq!(answer.status, 200);
    }
    drop(held);
    let answered = async { while open(&site, "198.51.100.1").await.0 != 101 {} };
    tokio::time::timeout(PATIENCE, answered).await.expect("the places are free again");
}

#[tokio::test]
async fn a_stranger_is_believed_nothing() {
    let site = behind("192.0.2.1", 2).await;
    let lies = [
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-host", "chat.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=198.51.100.1;host=chat.example;proto=https"),
    ];
    let answer = site.request("GET", "/", &[lies[0], lies[1], lies[2], lies[3]]).await;
    assert_eq!((answer.status, answer.header("strict-transport-security")), (200, None));
    let answer = site.request("GET", "/", &[("host", "evil.example"), lies[1], lies[3]]).await;
    assert_eq!(answer.status, 421);
    let (one, _held) = open(&site, "198.51.100.1").await;
    let (two, _held_too) = open(&site, "198.51.100.2").await;
    assert_eq!((one, two), (101, 101));
    assert_eq!(site.get("/").await.status, 503, "all come from one address");
}

#[tokio::test]
async fn the_name_and_the_scheme_are_those_of_the_client() {
    let site = behind("127.0.0.0/8", 0).await;
    let proxied =
        |host, proto| [("host", "app:9091"), ("x-forwarded-host", host), ("x-forwarded-proto", proto)];
    let answer = site.request("GET", "/", &proxied("chat.example", "https")).await;
    assert_eq!((answer.status, answer.header("strict-transport-security")), (200, Some("max-age=60")));
    let answer = site.request("GET", "/", &proxied("chat.example", "http")).await;
    assert_eq!((answer.status, answer.header("strict-transport-security")), (200, None));
    // Other servers on a machine are none of ours, and an address has no certificate of its own.
    for host in ["localhost", "127.0.0.1", "box.local"] {
        let answer = site.request("GET", "/", &proxied(host, "https")).await;
        assert_eq!((answer.status, answer.header("strict-transport-security")), (200, None), "{host}");
    }
    assert_eq!(site.request("GET", "/", &proxied("evil.example", "https")).await.status, 421);
    assert_eq!(site.request("GET", "/", &[("host", "app:9091")]).await.status, 421);

    let origin = async |origin, proto| {
        let [host, name, proto] = proxied("chat.example", proto);
        let headers = [host, name, proto, ("origin", origin)];
        site.request("GET", "/api/v1/openapi.json", &headers).await.status
    };
    assert_eq!(origin("https://chat.example", "https").await, 200);
    assert_eq!(
        origin("http://chat.example", "https").await,
        403,
        "whoever sits on the wire can be that page"
    );
    assert_eq!(origin("http://chat.example", "http").await, 200);
    assert_eq!(origin("https://chat.example", "http").await, 403);
}

#[tokio::test]
async fn sites_that_may_embed_the_page() {
    let embedders = vec![Origin::parse("https://intranet.example").unwrap()];
    let security = Security { embedders, ..Security::default() };
    let site = Site::with(Setup { security, ..Setup::default() }).await;
    let answer = site.get("/").await;
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.ends_with("frame-ancestors 'self' https://intranet.example"), "{policy}");
    assert_eq!(answer.header("x-frame-options"), None);
}
