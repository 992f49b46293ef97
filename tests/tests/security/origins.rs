//! From which pages one may come, by every door.

use anyhow::Result;
use hyper::Request;
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::sockjs::Door;
use mqttchat_e2e::{App, Socket, User, http};
use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const FRIEND: &str = "https://intranet.example";
const STRANGERS: [&str; 4] =
    ["https://evil.example", "null", "http://127.0.0.1:1", "https://intranet.example.evil.example"];

/// Every way in, and the status for those who are welcome; WebSockets get their upgrade.
const DOORS: [(&str, &str, &[u16]); 14] = [
    ("GET", "/ws", &[101]),
    ("GET", "/sockjs/websocket", &[101]),
    ("GET", "/sockjs/0/ws/websocket", &[101]),
    ("GET", "/sockjs/info", &[200]),
    ("POST", "/sockjs/0/x/xhr", &[200]),
    ("POST", "/sockjs/0/xs/xhr_streaming", &[200]),
    ("POST", "/sockjs/0/x/xhr_send", &[500]),
    ("GET", "/sockjs/0/e/eventsource", &[200]),
    ("GET", "/sockjs/0/h/htmlfile?c=x", &[200]),
    ("GET", "/sockjs/0/j/jsonp?c=x", &[200]),
    ("POST", "/sockjs/0/j/jsonp_send", &[500]),
    ("GET", "/api/v1/openapi.json", &[200]),
    ("GET", "/api/v1/messages?dest=public", &[401]),
    ("POST", "/api/v1/messages", &[401]),
];

fn request(method: &str, path: &str) -> hyper::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    if path.ends_with("/ws") || path.ends_with("/websocket") {
        return request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    request
}

#[tokio::test]
async fn foreign_pages_stay_out_of_every_door() -> Result<()> {
    let app = App::builder().config(&format!("[http]\norigins = [{FRIEND:?}]\n")).start().await?;
    for (method, path, welcome) in DOORS {
        for stranger in STRANGERS {
            let answer = http::head(app.address(), request(method, path).header("origin", stranger)).await?;
            assert_eq!(answer.status, 403, "{stranger} at {path}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{stranger} at {path}");
        }
        let twice = request(method, path).header("origin", app.url()).header("origin", STRANGERS[0]);
        assert_eq!(http::head(app.address(), twice).await?.status, 403, "two origins at {path}");
        for origin in [Some(app.url()), Some(FRIEND.to_owned()), None] {
            let mut asked = request(method, path);
            if let Some(origin) = &origin {
                asked = asked.header("origin", origin);
            }
            let answer = http::head(app.address(), asked).await?;
            assert!(welcome.contains(&answer.status.as_u16()), "{origin:?} at {path}: {}", answer.status);
        }
    }
    Ok(())
}

#[tokio::test]
async fn other_names_of_this_machine_are_answered_by_no_door() -> Result<()> {
    let app = App::start().await?;
    for (method, path, _) in DOORS.into_iter().chain([("GET", "/", &[][..]), ("GET", "/metrics", &[])]) {
        // A page on a name that was pointed at this machine: to the browser it is of the same origin.
        let rebound = request(method, path)
            .header("host", "evil.example")
            .header("origin", "http://evil.example")
            .header("x-forwarded-host", "localhost");
        assert_eq!(http::head(app.address(), rebound).await?.status, 421, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_program_on_another_machine_needs_a_token() -> Result<()> {
    let app = App::builder().config("[http]\nproxies = [\"127.0.0.1\"]\n").start().await?;
    let elsewhere = [("x-forwarded-for", "198.51.100.1")];
    let hello = json!({"type": "hello", "id": "h", "data": {"name": "Ann"}});
    let mut stranger = with(&app, &elsewhere).await?;
    stranger.send(&hello).await?;
    stranger.expect_error("h", "unauthorized").await?;
    assert_eq!(stranger.expect_end().await?, Ending::Closed(4401));
    let url = app.url();
    let page = [elsewhere[0], ("origin", &url)];
    for (headers, name) in [(&page[..], "Page"), (&[], "Program"), (&[("x-forwarded-for", "::1")], "Too")] {
        let socket = with(&app, headers).await?;
        let user = User::hello_over(socket, app.address(), &json!({"name": name})).await?;
        let known = json!({"token": user.token});
        User::hello_over(with(&app, &elsewhere).await?, app.address(), &known).await?;
    }
    let created =
        mqttchat_e2e::app::run(["apikey", "create", "Bot", "--data", &app.data().to_string_lossy()]).await?;
    let key = json!({"token": created.stdout.trim_end()});
    User::hello_over(with(&app, &elsewhere).await?, app.address(), &key)
        .await?
        .say("public", "I have a key")
        .await?;
    let app = App::builder()
        .config("[http]\nproxies = [\"127.0.0.1\"]\norigin_or_token = \"off\"\n")
        .start()
        .await?;
    User::hello_over(with(&app, &elsewhere).await?, app.address(), &json!({"name": "Ann"})).await?;
    Ok(())
}

/// A WebSocket whose request has these headers, too.
async fn with(app: &App, headers: &[(&'static str, &str)]) -> Result<Socket> {
    let mut request = format!("ws://{}/ws", app.address()).into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse()?);
    }
    Ok(Socket::connect_with(request).await?.0)
}

/// Browsers name the page when they send, and not always when they open what they listen to.
#[tokio::test]
async fn a_page_on_another_machine_is_known_by_what_it_sends() -> Result<()> {
    let app = App::builder().config("[http]\nproxies = [\"127.0.0.1\"]\n").start().await?;
    let url = app.url();
    for (session, origin, answer) in [("page", Some(&url), "1000"), ("program", None, "unauthorized")] {
        let call = |door: &str| {
            Request::post(format!("/sockjs/0/{session}/{door}")).header("x-forwarded-for", "198.51.100.1")
        };
        let receive = async || http::send(app.address(), call("xhr")).await;
        assert_eq!(receive().await?.body, "o\n");
        let hello = json!({"type": "hello", "id": "h", "data": {"name": "Ann"}}).to_string();
        let sending = origin.iter().fold(call("xhr_send"), |call, origin| call.header("origin", *origin));
        let sent = http::send_with(app.address(), sending, &json!([hello]).to_string()).await?;
        assert_eq!(sent.status, 204, "{}", sent.body);
        let heard = receive().await?.body;
        assert!(heard.contains(answer), "{session} heard {heard}");
    }
    Ok(())
}

#[tokio::test]
async fn where_it_is_asked_for_every_program_needs_a_token() -> Result<()> {
    let app = App::builder().config("[http]\norigin_or_token = \"all\"\n").start().await?;
    let hello = json!({"type": "hello", "id": "h", "data": {"name": "Ann"}});
    for door in [None, Some(Door::XhrPolling), Some(Door::XhrStreaming), Some(Door::WebSocket)] {
        let mut program = match door {
            None => app.socket().await?,
            Some(door) => Socket::over(app.address(), door),
        };
        program.send(&hello).await?;
        program.expect_error("h", "unauthorized").await?;
        assert_eq!(program.expect_end().await?, Ending::Closed(4401));
    }
    let socket = with(&app, &[("origin", &app.url())]).await?;
    let ann = User::hello_over(socket, app.address(), &json!({"name": "Ann"})).await?;
    let mut program = User::hello(app.address(), &json!({"token": ann.token})).await?;
    program.say("public", "I have a token").await?;
    Ok(())
}
