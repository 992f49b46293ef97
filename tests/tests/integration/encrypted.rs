//! TLS to the broker and to the database: whom the server trusts, what it shows, and what it says when that fails.

use std::path::Path;

use anyhow::{Context, Result};
use futures::future::{try_join, try_join_all};
use mqttchat_e2e::certificates::{Authority, Certificate, text};
use mqttchat_e2e::mqtt::{Subscriber, publish};
use mqttchat_e2e::port::Port;
use mqttchat_e2e::{App, Mosquitto, app, eventually};

use crate::postgres::Cluster;

const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// The settings of TLS to the broker.
fn settings(authority: &Path, client: Option<&Certificate>) -> String {
    let mut toml = format!("[mqtt]\nca = {:?}\n", text(authority));
    if let Some(client) = client {
        toml += &format!("cert = {:?}\nkey = {:?}\n", text(&client.certificate), text(&client.key));
    }
    toml
}

/// Waits for the server to say this of its broker; people are served meanwhile.
async fn expect_said(app: &App, said: &str) -> Result<()> {
    eventually(&format!("{said:?} in the log"), async || {
        Ok(app.output().iter().any(|line| line.contains(said)).then_some(()))
    })
    .await
}

/// A database whose server has TLS, and demands it over TCP.
fn encrypted_database(port: &Port, server: &Certificate) -> Result<Cluster> {
    let read = |path: &Path| std::fs::read_to_string(path).context("a certificate");
    Ok(Cluster::start_encrypted(port.number(), &read(&server.certificate)?, &read(&server.key)?))
}

#[tokio::test]
async fn two_nodes_talk_over_tls_to_broker_and_database() -> Result<()> {
    let authority = Authority::new()?;
    let server = authority.server(&HERE)?;
    let broker = Mosquitto::builder().tls(&server).start().await?;
    let port = Port::reserve()?;
    let database = encrypted_database(&port, &server)?;
    database.database("chat");
    let url = database
        .address_by_tcp("chat", &format!("sslmode=verify-full&sslrootcert={}", text(&authority.path())));
    let toml = settings(&authority.path(), None);
    let node = || App::builder().args(["--database", &url]).broker(&broker.url()).config(&toml).start();
    let (one, two) = try_join(node(), node()).await?;
    // A session's own client, the hubs, and the one that takes in what devices say.
    broker.expect_subscriptions("public/+", 2).await?;
    broker.expect_subscriptions("rooms/+/msgs", 1).await?;
    let outsider = Subscriber::start(&broker, "#").await?;
    let (mut ann, mut bob) = (one.member("Ann").await?, two.member("Bob").await?);
    broker.expect_subscriptions("private/ann/+", 1).await?;
    broker.expect_subscriptions("private/bob/+", 1).await?;
    ann.say("public", "over and over").await?;
    bob.expect_text("over and over").await?;
    bob.say("private/ann", "between us").await?;
    ann.expect_text("between us").await?;
    publish(&broker, "public/msgs", "from a device").await?;
    ann.expect_text("from a device").await?;
    bob.expect_text("from a device").await?;
    outsider.expect_text("over and over").await?;
    // All sessions with the database but psql's own, which comes by the socket.
    let plain = "SELECT count(*) FILTER (WHERE NOT ssl) || ' of ' || count(*) FROM pg_stat_ssl JOIN pg_stat_activity \
                 USING (pid) WHERE application_name = 'mqttchat'";
    let counted = database.sql("chat", plain);
    assert!(counted.starts_with("0 of ") && counted != "0 of 0", "{counted}");
    expect_said(&one, "the broker asks for a login").await
}

#[tokio::test]
async fn a_client_certificate_is_all_that_the_broker_asks_for() -> Result<()> {
    let authority = Authority::new()?;
    let client = authority.client("mqttchat")?;
    let broker = Mosquitto::builder().tls(&authority.server(&HERE)?).client_certificates(&authority.path());
    let broker = broker.start().await?;
    let outsider = Subscriber::start(&broker, "#").await?;
    let url = broker.url_without_login();
    let app = App::builder().broker(&url).config(&settings(&authority.path(), Some(&client))).start().await?;
    // Somebody without a certificate is a stranger, and isn't let in.
    expect_said(&app, "the broker asks for a login").await?;
    let (mut ann, bob) = (app.user("Ann").await?, app.user("Bob").await?);
    ann.say("private/bob", "shown to whoever has a login").await?;
    bob.expect_text("shown to whoever has a login").await?;
    outsider.expect_text("shown to whoever has a login").await?;

    let without = App::builder().broker(&url).config(&settings(&authority.path(), None)).start().await?;
    expect_said(&without, "client certificate").await?;
    let other = Authority::new()?;
    let wrong = settings(&authority.path(), Some(&other.client("mqttchat")?));
    let refused = App::builder().broker(&url).config(&wrong).start().await?;
    expect_said(&refused, "the broker is away").await?;
    assert!(!refused.output().iter().any(|line| line.contains("connected to the broker")));
    Ok(())
}

#[tokio::test]
async fn a_broker_that_is_not_trusted_is_not_used_and_the_log_says_why() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let elsewhere =
        Mosquitto::builder().tls(&authority.server(&["broker.example", "10.0.0.7"])?).start().await?;
    let expired = Mosquitto::builder().tls(&authority.expired(&HERE)?).start().await?;
    let good = Mosquitto::builder().tls(&authority.server(&HERE)?).start().await?;
    let plain = Mosquitto::start().await?;
    let by_tls = plain.url().replace("mqtt://", "mqtts://");
    let by_plain = good.url().replace("mqtts://", "mqtt://");
    let trusting = settings(&authority.path(), None);
    let cases = [
        (good.url(), settings(&other.path(), None), "of an authority that is not trusted here: name"),
        (good.url(), String::new(), "of an authority that is not trusted here: name"),
        (elsewhere.url(), trusting.clone(), "for broker.example, 10.0.0.7, and not for localhost"),
        (expired.url(), trusting.clone(), "has expired: renew it there"),
        (by_tls, trusting, "its port is not for TLS"),
        (by_plain, String::new(), "mqtts://"),
    ];
    // Each waits a while for its broker at the start.
    try_join_all(cases.map(async |(url, toml, said)| {
        let app = App::builder().broker(&url).config(&toml).start().await?;
        expect_said(&app, said).await.with_context(|| format!("{url}: {:?}", app.output()))?;
        // People don't need the broker.
        app.member("Ann").await?.say("public", "here we are").await?;
        assert!(!app.output().iter().any(|line| line.contains("connected to the broker")), "{url}");
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

#[tokio::test]
async fn files_that_tls_cannot_use_are_named_at_the_start() -> Result<()> {
    let authority = Authority::new()?;
    let (one, other) = (authority.client("one")?, authority.client("other")?);
    let mixed = Certificate { certificate: one.certificate.clone(), key: other.key };
    let broken = Certificate { certificate: one.key.clone(), key: one.certificate.clone() };
    for (ca, client, said) in [
        (Path::new("/nowhere/ca.pem").to_owned(), None, "/nowhere/ca.pem can't be read"),
        (one.key.clone(), None, "holds no certificate"),
        (authority.path(), Some(&mixed), "the key is that of another certificate"),
        (authority.path(), Some(&broken), "holds no certificate"),
    ] {
        let home = tempfile::tempdir()?;
        let file = home.path().join("mqttchat.toml");
        std::fs::write(&file, settings(&ca, client))?;
        let data = text(&home.path().join("data"));
        let ended = app::run([
            "--port",
            "0",
            "--data",
            &data,
            "--broker",
            "mqtts://localhost:1",
            "--config",
            &text(&file),
        ])
        .await?;
        assert!(ended.status == Some(2) && ended.stderr.contains(said), "{said}: {ended:?}");
        check_config(&file, &["--broker", "mqtts://localhost:1"], Some(said)).await?;
    }
    Ok(())
}

/// Has a file checked, and demands that it is good, or that this is said.
async fn check_config(file: &Path, arguments: &[&str], said: Option<&str>) -> Result<()> {
    let (file, data) = (text(file), tempfile::tempdir()?);
    let data = text(&data.path().join("data"));
    let given = ["check-config", "--config", &file, "--data", &data];
    let ended = app::run(given.iter().chain(arguments)).await?;
    match said {
        None => assert_eq!((ended.status, &*ended.stderr), (Some(0), ""), "{arguments:?}"),
        Some(said) => {
            assert!(ended.status == Some(2) && ended.stderr.contains(said), "{said}: {ended:?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        }
    }
    assert!(!ended.stderr.contains("very-secret"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn every_file_that_settings_name_is_looked_at() -> Result<()> {
    let authority = Authority::new()?;
    let server = authority.server(&HERE)?;
    let home = tempfile::tempdir()?;
    let file = home.path().join("mqttchat.toml");
    let (ca, key) = (text(&authority.path()), text(&server.key));
    let jwt = |file: &str| {
        format!("[auth]\nmode = \"jwt\"\n[auth.jwt]\nkey_file = {file:?}\nalgorithms = [\"ES256\"]\n")
    };
    let secret = home.path().join("secret");
    std::fs::write(&secret, "a secret that is as long as HS256 wants it")?;
    let database = |root: &str| {
        let query = format!("sslmode=verify-full&sslrootcert={root}");
        format!("database = \"postgres://chat:very-secret@127.0.0.1:1/chat?{query}\"\n")
    };
    let broker = |file: &str| format!("broker_config = {file:?}\n");
    for (toml, said) in [
        (jwt("/nowhere/keys.pem"), Some("/nowhere/keys.pem")),
        (jwt(&text(&secret)), Some("it has no key for any of auth.jwt.algorithms")),
        (database("/nowhere/root.pem"), Some("/nowhere/root.pem can't be read")),
        (database(&key), Some("holds no certificate")),
        (database(&ca), None),
        (broker("/nowhere/broker.toml"), Some("/nowhere/broker.toml")),
        (broker(&key), Some(&key)),
        (broker(concat!(env!("CARGO_MANIFEST_DIR"), "/../broker.toml")), None),
    ] {
        std::fs::write(&file, &toml)?;
        check_config(&file, &[], said).await.with_context(|| toml.clone())?;
    }
    Ok(())
}

#[tokio::test]
async fn files_of_tls_to_the_broker_are_read_again() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let broker = Mosquitto::builder().tls(&authority.server(&HERE)?).client_certificates(&authority.path());
    let broker = broker.start().await?;
    let outsider = Subscriber::start(&broker, "#").await?;
    // What the server is told to use stays where it is, and is changed.
    let used = other.client("mqttchat")?;
    let toml = settings(&authority.path(), Some(&used));
    let app = App::builder().broker(&broker.url_without_login()).config(&toml).start().await?;
    expect_said(&app, "the broker is away").await?;

    std::fs::write(&used.certificate, "no certificate at all")?;
    app.hang_up()?;
    expect_said(&app, "TLS to the broker stays as it is").await?;
    let good = authority.client("mqttchat")?;
    std::fs::copy(&good.certificate, &used.certificate)?;
    std::fs::copy(&good.key, &used.key)?;
    app.hang_up()?;
    expect_said(&app, "the files of TLS to the broker were read again").await?;
    expect_said(&app, "connected to the broker").await?;
    app.user("Ann").await?.say("public", "with the new one").await?;
    outsider.expect_text("with the new one").await?;
    Ok(())
}

#[tokio::test]
async fn a_database_is_trusted_as_its_address_says() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let (port, other_port) = (Port::reserve()?, Port::reserve()?);
    let database = encrypted_database(&port, &authority.server(&["db.example"])?)?;
    database.database("chat");
    let (ca, wrong) = (text(&authority.path()), text(&other.path()));
    let plain = Cluster::start_at(other_port.number());
    plain.database("chat");
    for (words, said) in [
        // It demands TLS (hostssl), and gets it unasked.
        (String::new(), None),
        ("sslmode=require".to_owned(), None),
        (format!("sslmode=verify-ca&sslrootcert={ca}"), None),
        (format!("sslmode=verify-full&sslrootcert={ca}"), Some("for db.example, and not for localhost")),
        (format!("sslmode=verify-ca&sslrootcert={wrong}"), Some("that is not trusted here: name")),
        ("sslmode=verify-full".to_owned(), Some("that is not trusted here: name")),
        ("sslmode=disable".to_owned(), Some("no encryption")),
        ("sslmode=allow".to_owned(), Some("sslmode has to be")),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(), Some("/nowhere.pem can't be read")),
    ] {
        expect_database(&database.address_by_tcp("chat", &words), said).await?;
    }
    expect_database(&plain.address_by_tcp("chat", "sslmode=require"), Some("offers no TLS")).await?;
    expect_database(&plain.address_by_tcp("chat", ""), None).await
}

/// Starts a server on a database, and demands that it is ready or says this.
async fn expect_database(url: &str, said: Option<&str>) -> Result<()> {
    let Some(said) = said else {
        App::builder().args(["--database", url]).start().await.with_context(|| url.to_owned())?;
        return Ok(());
    };
    let home = tempfile::tempdir()?;
    let ended = app::run(["--port", "0", "--data", &text(home.path()), "--database", url]).await?;
    assert!(ended.status == Some(2) && ended.stderr.contains(said), "{url}: {ended:?}");
    Ok(())
}
