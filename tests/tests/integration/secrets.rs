//! What nobody may read: tokens, keys and passwords are in no log line at any level, in no metric, and in no error.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures::future::join_all;
use hyper::Request;
use mqttchat_e2e::application::{Answer, Application};
use mqttchat_e2e::jwt::{SECRET, SigningKey, key_set, token};
use mqttchat_e2e::sockjs::Door;
use mqttchat_e2e::{App, Mosquitto, Socket, User, app, eventually, http, signature};
use serde_json::{Value, json};

use crate::postgres::Cluster;

/// Each level of everybody, of those too who are quiet by themselves.
const EVERYTHING: &str = "trace,hyper=trace,warp=trace,rumqttc=trace,rumqttd=trace,tokio_postgres=trace,tokio_postgres::query=trace";
const DATABASE_PASSWORD: &str = "sesame-of-the-database";
const WEBHOOK_KEY: &str = "sesame-of-the-webhook";
const WEBHOOK_PATH: &str = "sesame-in-the-path";

/// Everything that the server has said to anybody but whom it was for.
#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    /// Asks in each way that shows a token, rightly and wrongly.
    async fn ask(&mut self, app: &App, token: &str) -> Result<()> {
        let basic = STANDARD.encode(format!("ann:{token}"));
        for header in [
            format!("Bearer {token}"),
            format!("Bearer {token}x"),
            format!("Basic {basic}"),
            token.to_owned(),
        ] {
            for (method, path, body) in [
                ("GET", "conversations", ""),
                ("POST", "messages", "{\"dest\":\"nowhere\"}"),
                ("POST", "messages", "{"),
                ("GET", "rooms/none", ""),
                ("GET", "events?dest=rooms/none", ""),
                ("PATCH", "users/none", "{\"blocked\":true}"),
            ] {
                let request = Request::builder()
                    .method(method)
                    .uri(format!("/api/v1/{path}"))
                    .header("authorization", &header)
                    .header("content-type", "application/json");
                let answer = http::send_with(app.address(), request, body).await?;
                // What was asked for rightly is for whoever asked.
                self.0.extend((!answer.status.is_success()).then_some(answer.body));
            }
        }
        // Where somebody writes it all the same.
        for path in [
            format!("/?token={token}"),
            format!("/api/v1/conversations?token={token}"),
            format!("/ws?access_token={token}"),
            format!("/api/v1/users/{token}"),
            format!("/sockjs/000/{}/xhr?token={token}", &token[..token.len().min(8)].replace('.', "-")),
        ] {
            let answer = app.get(&path).await?;
            // A page about what isn't there may name it.
            self.0.push(answer.body.replace(token, ""));
        }
        for frame in [
            json!({"type": "hello", "id": "h", "data": {"token": format!("{token}x")}}),
            json!({"type": "hello", "id": "h", "data": {"token": [token]}}),
            json!({"type": "hello", "id": "h", "data": {"name": "\u{202e}", "token": token}}),
            json!({"type": "msg", "id": "h", "dest": "public", "token": token}),
        ] {
            let mut socket = app.socket().await?;
            socket.send(&frame).await?;
            self.0.push(socket.expect("error").await?.to_string());
        }
        Ok(())
    }

    /// What the session has had of errors.
    fn errors_of(&mut self, session: &Socket) {
        self.0.extend(session.seen_of("error").iter().map(Value::to_string));
    }

    /// A stream of events that this token opens.
    async fn stream(&mut self, app: &App, token: &str) -> Result<()> {
        let request =
            Request::get("/api/v1/events?dest=public").header("authorization", format!("Bearer {token}"));
        let stream = http::head(app.address(), request).await?;
        ensure!(stream.status == 200, "{}", stream.status);
        Ok(())
    }

    async fn end(mut self, app: &App, secrets: &[String]) -> Result<()> {
        self.0.push(app.get("/metrics").await?.body);
        self.0.push(app.get("/readyz").await?.body);
        self.0.extend(app.output());
        ensure!(self.0.iter().any(|line| line.contains("TRACE")), "nothing was logged in detail");
        for secret in secrets {
            ensure!(secret.len() >= 12, "{secret} may stand anywhere");
            for line in &self.0 {
                ensure!(!line.contains(secret.as_str()), "{secret} stands in: {line}");
            }
        }
        Ok(())
    }
}

/// A token, and what makes it one.
fn with_signature(token: &str) -> [String; 2] {
    [token.to_owned(), token.rsplit('.').next().unwrap_or_default().to_owned()]
}

#[tokio::test]
async fn of_guests_programs_broker_database_and_webhook() -> Result<()> {
    let (database, mut broker) = (Cluster::start(), Mosquitto::start().await?);
    let url = database.database("chat").replace("postgres@", &format!("postgres:{DATABASE_PASSWORD}@"));
    let receiver = Application::start(|_| Answer::Content(500, "text/plain", Vec::new())).await?;
    let key = format!("whsec_{}", STANDARD.encode(WEBHOOK_KEY));
    let toml = format!(
        "[auth]\nsigning = \"optional\"\n[webhook]\nurl = \"{}/{WEBHOOK_PATH}\"\nsecret = \"{key}\"\nevents = [\"message\"]\n",
        receiver.origin()
    );
    let server = App::builder().config(&toml).args(["--database", &url, "--log-level", EVERYTHING]);
    let app = server.broker(&broker.url()).no_rate_limit().start().await?;
    let run = async |arguments: &[&str]| -> Result<String> {
        let ended = app::run([arguments, &["--database", &url]].concat()).await?;
        ensure!(ended.status == Some(0), "{arguments:?}: {}", ended.stderr);
        Ok(ended.stdout.trim_end().to_owned())
    };
    let mut said = Said::default();

    let mut ann = app.member("Ann").await?;
    let socket = Socket::over(app.address(), Door::XhrPolling);
    let hello = json!({"name": "Ann", "token": ann.token});
    let polling = User::hello_over(socket, app.address(), &hello).await?;
    let key_of_program = run(&["apikey", "create", "Bot", "--scope", "read", "--scope", "write"]).await?;
    let fresh = run(&["user", "token", "Ann"]).await?;
    ann.expect_end().await?;
    said.errors_of(&ann);
    said.errors_of(&polling);
    let first = ann.token.clone();
    ann = User::hello(app.address(), &json!({ "token": fresh })).await?;
    ann.say("public", "a private matter of ours").await?;
    for token in [&first, &fresh, &key_of_program] {
        said.ask(&app, token).await?;
    }
    join_all([&fresh, &key_of_program].map(async |token| Said::default().stream(&app, token).await))
        .await
        .into_iter()
        .collect::<Result<Vec<()>>>()?;
    let mut bot = User::hello(app.address(), &json!({ "token": key_of_program })).await?;
    bot.say("public", "a private matter of a program").await?;
    eventually("the webhook to be tried", async || Ok((!receiver.asked().is_empty()).then_some(()))).await?;
    broker.kill().await?;
    ann.say("public", "a private matter without the broker").await?;
    said.0.push(run(&["apikey", "list"]).await?);
    said.0.push(run(&["user", "list"]).await?);
    run(&["apikey", "revoke", "Bot"]).await?;
    said.ask(&app, &key_of_program).await?;
    bot.expect_end().await?;
    said.errors_of(&bot);
    run(&["secret", "rotate", "--grace", "0"]).await?;
    ann.expect_end().await?;
    said.errors_of(&ann);
    let bob = app.user("Bob").await?;
    let master = database.sql("chat", "SELECT value FROM mqttchat.meta WHERE key = 'secret'");
    drop(database);
    let lost = User::hello(app.address(), &json!({ "token": bob.token })).await;
    ensure!(lost.is_err(), "there is no database");

    let mut secrets = vec![
        DATABASE_PASSWORD.to_owned(),
        "a-password-of-the-tests".to_owned(),
        WEBHOOK_PATH.to_owned(),
        WEBHOOK_KEY.to_owned(),
        STANDARD.encode(WEBHOOK_KEY),
        key_of_program,
        "a private matter".to_owned(),
    ];
    for token in [&first, &fresh, &bob.token] {
        secrets.extend(with_signature(token));
    }
    secrets.push(ann.ready["data"]["key"].as_str().context("no key")?.to_owned());
    let words = master.split_whitespace().filter(|word| word.len() == 64);
    secrets.extend(words.map(str::to_owned));
    said.end(&app, &secrets).await
}

#[tokio::test]
async fn of_users_of_an_application() -> Result<()> {
    let key = SigningKey::es256("one")?;
    let set = key_set(&[&key]);
    let site = Application::start(move |_| Answer::json(&set)).await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), SECRET)?;
    for (place, token) in [
        (format!("jwks_url = \"{}/{WEBHOOK_PATH}\"", site.origin()), key.token("ann", &json!({}))?),
        (format!("key_file = {:?}", file.path()), token("ann", &json!({}))),
    ] {
        let toml =
            format!("[auth]\nmode = \"jwt\"\n[auth.jwt]\n{place}\nissuer = \"shop\"\naudience = \"chat\"\n");
        let app =
            App::builder().config(&toml).args(["--log-level", EVERYTHING]).no_rate_limit().start().await?;
        let mut said = Said::default();
        let mut ann = User::hello(app.address(), &json!({ "token": token })).await?;
        ann.send(&json!({"type": "token", "id": "t", "data": {"token": format!("{token}x")}})).await?;
        ann.expect_error("t", "unauthorized").await?;
        ann.request(json!({"type": "token", "data": {"token": token}})).await?;
        said.errors_of(&ann);
        said.ask(&app, &token).await?;
        said.stream(&app, &token).await?;
        app.hang_up()?;
        eventually("the keys to be read again", async || {
            let again = |line: &String| line.contains("were read again") || line.contains("were fetched");
            Ok((app.output().iter().filter(|line| again(line)).count() >= 1).then_some(()))
        })
        .await?;
        let master: String =
            signature::master_secret(&app.data())?.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut secrets =
            vec![SECRET.to_owned(), URL_SAFE_NO_PAD.encode(SECRET), WEBHOOK_PATH.to_owned(), master];
        secrets.extend(with_signature(&token));
        said.end(&app, &secrets).await?;
    }
    Ok(())
}

#[tokio::test]
async fn of_settings_that_are_wrong() -> Result<()> {
    let password = "sesame-of-somebody";
    for (setting, value) in [
        ("MQTTCHAT_BROKER", format!("mqtt//ann:{password}@host")),
        ("MQTTCHAT_BROKER", format!("mqtt://ann:{password}@host:port")),
        ("MQTTCHAT_BROKER", format!("mqtt://ann:{password}@host:1883/path")),
        ("MQTTCHAT_DATABASE", format!("postgres//ann:{password}@host")),
        ("MQTTCHAT_DATABASE", format!("mysql://ann:{password}@host/chat")),
        ("MQTTCHAT_DATABASE", format!("postgres://ann:{password}@host/chat?sslmode=some")),
        ("MQTTCHAT_WEBHOOK__URL", format!("https://ann:{password}@host/")),
        ("MQTTCHAT_WEBHOOK__SECRET", format!("whsec_{password}")),
        ("MQTTCHAT_AUTH__JWT__JWKS_URL", format!("https://ann:{password}@host/")),
        ("MQTTCHAT_AUTH__JWT__JWKS_URL", format!("{password}@host")),
        ("MQTTCHAT_AUTH__JWT__JWKS_URL", format!("ftp://host/{password}")),
    ] {
        let ended =
            app::run_with(["check-config", "--data", "/nowhere"], [(setting, value.as_str())]).await?;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        ensure!(ended.status == Some(2), "{setting}={value}: {said}");
        ensure!(!said.contains(password), "{said}");
        ensure!(said.lines().count() == 1 && said.len() > 40, "{said}");
    }
    Ok(())
}
