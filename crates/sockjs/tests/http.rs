//! What there is besides sessions: greeting, info, iframe, CORS, cookies, methods.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use mqttchat_sockjs::{Options, Origins};
use support::{Site, open_to_all};

#[tokio::test]
async fn greeting_and_info() {
    let site = Site::echo(open_to_all()).await;
    for path in ["", "/"] {
        let greeting = site.get(path).await;
        assert_eq!((greeting.status, &*greeting.body), (200, "Welcome to SockJS!\n"));
    }
    let info = site.get("/info").await;
    assert!(info.body.contains("\"websocket\":true") && info.body.contains("\"cookie_needed\":false"));
    assert!(info.header("cache-control").unwrap().contains("no-store"));
    assert_ne!(info.body, site.get("/info").await.body, "the entropy is new each time");
    for path in ["/a", "//", "/a/b", "/a/b/c", "/a/./xhr", "/iframe.html", "/0/a.b/xhr"] {
        assert_eq!(site.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_iframe_is_kept_by_browsers() {
    let client_url = Some("https://cdn.example/sockjs.js?v=\"1\"".to_owned());
    let site = Site::echo(Options { client_url, ..open_to_all() }).await;
    let page = site.get("/iframe-1.6.1.html?t=1").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<script src=\"https://cdn.example/sockjs.js?v=&quot;1&quot;\"></script>"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("'sha256-") && policy.contains(" https://cdn.example/sockjs.js;"), "{policy}");
    let etag = page.header("etag").unwrap();
    let known = site.open("GET", "/iframe.html", &[("if-none-match", etag)], "").await.whole().await;
    assert_eq!((known.status, &*known.body, known.header("content-type")), (304, "", None));
}

#[tokio::test]
async fn pages_of_others_are_refused_everywhere() {
    let site = Site::echo(Options { client_url: Some("/c.js".to_owned()), ..Options::default() }).await;
    let own = format!("http://{}", site.address);
    let info = site.open("GET", "/info", &[("origin", &own)], "").await;
    assert_eq!(info.status, 200);
    assert_eq!(info.header("access-control-allow-origin"), Some(&*own));
    assert_eq!(info.header("access-control-allow-credentials"), Some("true"));
    for origin in ["http://evil.example", "null", &format!("{own}.evil.example"), "http://127.0.0.1:1"] {
        for (method, path) in [
            ("GET", "/info"),
            ("OPTIONS", "/info"),
            ("OPTIONS", "/0/a/xhr"),
            ("POST", "/0/a/xhr"),
            ("POST", "/0/a/xhr_streaming"),
            ("POST", "/0/a/xhr_send"),
            ("GET", "/0/a/eventsource"),
            ("GET", "/0/a/htmlfile?c=x"),
            ("GET", "/0/a/jsonp?c=x"),
            ("POST", "/0/a/jsonp_send"),
            ("GET", "/0/a/websocket"),
            ("GET", "/websocket"),
            ("GET", "/iframe.html"),
        ] {
            let response = site.open(method, path, &[("origin", origin)], "").await;
            assert_eq!(response.status, 403, "{origin} {method} {path}");
            assert_eq!(response.header("access-control-allow-origin"), None);
        }
    }
}

#[tokio::test]
async fn a_hook_decides_about_pages() {
    let origins = Origins::Those(std::sync::Arc::new(|headers| {
        headers.get("origin").is_some_and(|origin| origin == "https://friend.example")
    }));
    let site = Site::echo(Options { origins, ..Options::default() }).await;
    assert_eq!(site.open("GET", "/info", &[("origin", "https://friend.example")], "").await.status, 200);
    assert_eq!(
        site.open("GET", "/info", &[("origin", &format!("http://{}", site.address))], "").await.status,
        403
    );
    assert_eq!(site.get("/info").await.status, 403);
}

#[tokio::test]
async fn preflights() {
    let site = Site::echo(open_to_all()).await;
    let wanted = [
        ("origin", "null"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "a, b"),
    ];
    let reply = site.open("OPTIONS", "/0/a/xhr_send", &wanted, "").await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("access-control-allow-origin"), Some("null"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("OPTIONS, POST"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("a, b"));
    assert_eq!(reply.header("access-control-max-age"), Some("31536000"));
}

#[tokio::test]
async fn other_methods() {
    let site = Site::echo(open_to_all()).await;
    for (method, path, allow) in [
        ("GET", "/0/a/xhr", "OPTIONS, POST"),
        ("DELETE", "/0/a/jsonp_send", "POST"),
        ("POST", "/0/a/eventsource", "GET"),
        ("POST", "/0/a/websocket", "GET"),
        ("POST", "/info", "OPTIONS, GET"),
    ] {
        let reply = site.open(method, path, &[], "").await.whole().await;
        assert_eq!(
            (reply.status, reply.header("allow"), &*reply.body),
            (405, Some(allow), ""),
            "{method} {path}"
        );
    }
    for headers in [&[][..], &[("upgrade", "websocket"), ("connection", "close")]] {
        assert_eq!(site.open("GET", "/0/a/websocket", headers, "").await.status, 400);
    }
}

#[tokio::test]
async fn cookies() {
    let site = Site::echo(Options { cookies: true, ..open_to_all() }).await;
    let poll = async |cookie: &str| {
        let reply = site.open("POST", "/0/a/xhr", &[("cookie", cookie)], "").await;
        reply.header("set-cookie").map(str::to_owned)
    };
    let cookie = |value: &str| Some(format!("JSESSIONID={value}; path=/; HttpOnly; SameSite=Strict"));
    assert_eq!(poll("x=y").await, cookie("dummy"));
    assert_eq!(poll("x=y; JSESSIONID=abc.1").await, cookie("abc.1"));
    assert_eq!(poll("JSESSIONID=a\"b").await, cookie("dummy"));
    assert_eq!(site.get("/info").await.header("set-cookie"), None);
    assert!(site.get("/info").await.body.contains("\"cookie_needed\":true"));
}

#[tokio::test]
async fn bodies_that_are_no_messages() {
    let site = Site::echo(open_to_all()).await;
    site.post("/0/a/xhr", "").await;
    for (body, sentence) in [
        ("", "Payload expected."),
        ("[\"x", "Broken JSON encoding."),
        ("{}", "Payload expected."),
        ("[1]", "Payload expected."),
        (&"[".repeat(10_000), "Payload expected."),
    ] {
        let reply = site.post("/0/a/xhr_send", body).await;
        assert_eq!((reply.status, &*reply.body), (500, sentence), "{body:.20}");
    }
    assert_eq!(site.post("/0/a/xhr_send", "[]").await.status, 204);
}
