//! The page, health, metrics, and what every response carries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use support::{Setup, Site, working_directory};

#[tokio::test]
async fn the_embedded_page_is_served_and_revalidated() {
    let site = Site::start().await;
    let page = site.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert!(page.text().starts_with("<!doctype html>") || page.text().starts_with("<!DOCTYPE html>"));
    let etag = page.header("etag").unwrap();
    let same = site.request("GET", "/", &[("if-none-match", etag)]).await;
    assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, Some(etag)));
    let other = site.request("GET", "/index.html", &[("if-none-match", "\"other\"")]).await;
    assert_eq!((other.status, &other.body), (200, &page.body));
    let head = site.request("HEAD", "/", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(page.body.len().to_string().as_str()));
}

#[tokio::test]
async fn every_file_that_the_page_names_is_there() {
    let site = Site::start().await;
    let page = site.get("/").await;
    let names: Vec<&str> = page
        .text()
        .split(['"', '\''])
        .filter(|text| {
            text.ends_with(".js")
                || text.ends_with(".css")
                || text.ends_with(".svg")
                || text.ends_with(".webmanifest")
        })
        .collect();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let file = site.get(&format!("/{}", name.trim_start_matches("./").trim_start_matches('/'))).await;
        assert_eq!(file.status, 200, "{name}");
        assert_ne!(file.header("content-type"), Some("text/html; charset=utf-8"), "{name}");
    }
}

#[tokio::test]
async fn a_working_directory_is_read_anew_each_time() {
    let page = working_directory();
    let index = page.path().join("index.html");
    let site = Site::with(Setup { page: Some(page), ..Setup::default() }).await;
    let first = site.get("/").await;
    assert_eq!((first.text(), first.header("cache-control")), ("<!doctype html>first", Some("no-store")));
    assert_eq!(first.header("etag"), None);
    std::fs::write(index, "<!doctype html>second").unwrap();
    assert_eq!(site.get("/").await.text(), "<!doctype html>second");
    assert_eq!(site.get("/js/app.js").await.header("content-type"), Some("text/javascript; charset=utf-8"));
}

#[tokio::test]
async fn nothing_but_the_page_is_served() {
    for site in
        [Site::start().await, Site::with(Setup { page: Some(working_directory()), ..Setup::default() }).await]
    {
        for path in [
            "/package.json",
            "/node_modules/x/index.js",
            "/test/app.test.js",
            "/js/../package.json",
            "/js/%2e%2e/package.json",
            "/js/..%2fpackage.json",
            "//etc/passwd",
            "/js/",
            "/js",
            "/index.html/",
            "/index.htm",
            "/.gitignore",
            "/healthz/x",
            "/wsx",
        ] {
            let answer = site.get(path).await;
            assert_eq!(answer.status, 404, "{path}");
            assert!(answer.text().contains("nothing at this address"), "{path}");
        }
    }
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let site = Site::start().await;
    for path in ["/", "/js/app.js", "/healthz", "/readyz", "/metrics"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = site.request(method, path, &[]).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
            assert_eq!(answer.json()["status"], 405);
        }
    }
}

#[tokio::test]
async fn browsers_are_told_what_they_may_do() {
    let site = Site::start().await;
    let host = site.address.to_string();
    for (path, status) in [("/", 200), ("/nothing", 404), ("/healthz", 200), ("/ws", 426), ("/metrics", 200)]
    {
        let answer = site.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
            &format!("connect-src 'self' ws://{host} wss://{host}"),
        ] {
            assert!(policy.split("; ").any(|found| found == part), "{part} is not in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(answer.header("permissions-policy").unwrap().contains("camera=()"));
    }
}

#[tokio::test]
async fn readiness_names_what_is_away() {
    let site = Site::start().await;
    let alive = site.get("/healthz").await;
    assert_eq!((alive.status, alive.json()["status"].as_str()), (200, Some("ok")));
    let ready = site.get("/readyz").await;
    assert_eq!((ready.status, ready.header("content-type")), (503, Some("application/problem+json")));
    let problem = ready.json();
    assert_eq!((&problem["status"], &problem["store"]), (&503.into(), &"ok".into()));
    assert!(problem["detail"].as_str().unwrap().starts_with("the broker is away: "), "{problem}");
    assert_eq!(ready.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn only_this_servers_names_are_answered() {
    let site = Site::start().await;
    let port = site.address.port();
    for host in ["localhost", "127.0.0.1", "192.168.7.7", "box.local", "chat.example", "[::1]"] {
        let answer = site.request("GET", "/healthz", &[("host", &format!("{host}:{port}"))]).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    for (host, status) in [("evil.example", 421), ("chat.example.evil.example", 421), ("a b", 400), ("", 400)]
    {
        for path in ["/", "/ws", "/healthz", "/metrics"] {
            let answer = site.request("GET", path, &[("host", host)]).await;
            assert_eq!(answer.status, status, "{host} {path}");
            assert!(answer.header("content-security-policy").is_some());
        }
    }
    let twice = site.request("GET", "/", &[("host", "localhost"), ("host", "evil.example")]).await;
    assert_eq!(twice.status, 400);
    assert_eq!(site.raw("GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.status, 400);
}
