//! What the server gives over plain HTTP.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use hyper::{Method, Request, StatusCode};
use mqttchat_e2e::{App, Socket, http};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Error};

#[tokio::test]
async fn health_and_readiness() -> Result<()> {
    let app = App::start().await?;
    for path in ["/healthz", "/readyz"] {
        let response = app.get(path).await?;
        assert_eq!(response.status, StatusCode::OK, "{path}: {}", response.body);
    }
    Ok(())
}

#[tokio::test]
async fn metrics_count_what_happens() -> Result<()> {
    let app = App::start().await?;
    let mut ann = app.member("Ann").await?;
    ann.say("public", "counted").await?;
    ann.expect_text("counted").await?;
    let response = app.get("/metrics").await?;
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.header("content-type").starts_with("text/plain"), "{response:?}");
    for subject in ["session", "join", "accepted", "deliver", "broker", "commit", "queue"] {
        let named = response.body.lines().any(|line| !line.starts_with('#') && line.contains(subject));
        assert!(named, "no metric about {subject} in\n{}", response.body);
    }
    assert!(!response.body.contains("counted"), "no text of anybody in the metrics");
    Ok(())
}

/// What the page refers to: the values of `src` and `href`.
fn references(html: &str) -> BTreeSet<String> {
    let quoted = |attribute: &str| {
        let parts = html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
        parts.map(str::to_owned).collect::<Vec<_>>()
    };
    [quoted(" src=\""), quoted(" href=\"")].concat().into_iter().collect()
}

#[tokio::test]
async fn the_page_brings_everything_it_needs() -> Result<()> {
    let app = App::start().await?;
    let page = app.get("/").await?;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header("content-type").starts_with("text/html"), "{:?}", page.headers);
    let references = references(&page.body);
    assert!(!references.is_empty());
    for reference in references {
        assert!(!reference.contains("//"), "{reference} is somebody else's");
        let file = reference.split('#').next().unwrap_or_default();
        if file.is_empty() {
            continue;
        }
        let path = format!("/{}", file.trim_start_matches("./").trim_start_matches('/'));
        let asset = app.get(&path).await?;
        assert_eq!(asset.status, StatusCode::OK, "{path}");
        let kind = match path.rsplit('.').next().unwrap_or_default() {
            "css" => "text/css",
            "js" => "text/javascript",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "webmanifest" => "application/manifest+json",
            other => anyhow::bail!("{path} is a {other}"),
        };
        assert!(asset.header("content-type").starts_with(kind), "{path}: {:?}", asset.headers);
    }
    Ok(())
}

#[tokio::test]
async fn the_page_may_load_nothing_from_elsewhere_and_run_nothing_inline() -> Result<()> {
    let app = App::start().await?;
    let page = app.get("/").await?;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'self'") || policy.contains("default-src 'none'"), "{policy:?}");
    assert!(!policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"), "{policy:?}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    Ok(())
}

#[tokio::test]
async fn only_what_belongs_to_the_page_is_given() -> Result<()> {
    let app = App::start().await?;
    for path in [
        "/nothing-here",
        "/package.json",
        "/package-lock.json",
        "/tsconfig.json",
        "/test/store.test.js",
        "/js/../package.json",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/js/%2e%2e%2f%2e%2e%2fCargo.toml",
        "/..%5cCargo.toml",
        "//etc/passwd",
        "/js/",
    ] {
        let response = app.get(path).await?;
        assert!(response.status.is_client_error(), "{path} gives {}", response.status);
    }
    Ok(())
}

#[tokio::test]
async fn a_static_folder_stands_in_for_the_built_in_page() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("index.html"), "<!doctype html><title>mine</title>")?;
    std::fs::create_dir(folder.path().join("js"))?;
    std::fs::write(folder.path().join("js/app.js"), "export {};")?;
    let app = App::builder().args(["--static".as_ref(), folder.path().as_os_str()]).start().await?;
    assert!(app.get("/").await?.body.contains("mine"));
    assert_eq!(app.get("/js/app.js").await?.body, "export {};");
    std::fs::write(folder.path().join("index.html"), "<!doctype html><title>changed</title>")?;
    assert!(app.get("/").await?.body.contains("changed"), "a change shows at once");
    assert_eq!(app.get("/%2e%2e/etc/passwd").await?.status.as_u16() / 100, 4);
    Ok(())
}

#[tokio::test]
async fn methods_other_than_reading_are_refused() -> Result<()> {
    let app = App::start().await?;
    let head = http::send(app.address(), Request::head("/")).await?;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let response = http::send(app.address(), Request::builder().method(&method).uri("/")).await?;
        assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_host_name_is_misdirected() -> Result<()> {
    let app = App::start().await?;
    let port = app.address().port();
    for (host, status) in [
        (format!("evil.example:{port}"), 421),
        ("evil.example".to_owned(), 421),
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        (format!("chat-box.local:{port}"), 200),
    ] {
        let response = http::send(app.address(), Request::get("/").header("host", &host)).await?;
        assert_eq!(response.status.as_u16(), status, "Host: {host}");
    }
    Ok(())
}

async fn upgrade_status(app: &App, origin: &str) -> Result<u16> {
    let mut request = format!("ws://{}/ws", app.address()).into_client_request()?;
    request.headers_mut().insert("origin", origin.parse()?);
    match Socket::connect_with(request).await {
        Ok((_, response)) => Ok(response.status().as_u16()),
        Err(error) => match error.downcast::<tungstenite::Error>().context("no HTTP answer")? {
            Error::Http(response) => Ok(response.status().as_u16()),
            other => Err(other.into()),
        },
    }
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_open_a_socket() -> Result<()> {
    let app = App::start().await?;
    assert_eq!(upgrade_status(&app, &app.url()).await?, 101);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1"] {
        assert_eq!(upgrade_status(&app, origin).await?, 403, "Origin: {origin}");
    }
    Ok(())
}

#[tokio::test]
async fn the_socket_address_without_an_upgrade_is_a_clear_refusal() -> Result<()> {
    let app = App::start().await?;
    let response = app.get("/ws").await?;
    assert!(matches!(response.status.as_u16(), 400 | 426), "{}", response.status);
    assert!(!response.body.is_empty());
    Ok(())
}
