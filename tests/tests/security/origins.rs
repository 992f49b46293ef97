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
async fn where_it_is_asked_for_a_program_needs_a_token() -> Result<()> {
    let app = App::builder().config("[http]\norigin_or_token = true\n").start().await?;
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
    let mut page = format!("ws://{}/ws", app.address()).into_client_request()?;
    page.headers_mut().insert("origin", app.url().parse()?);
    let (socket, _) = Socket::connect_with(page).await?;
    let ann = User::hello_over(socket, app.address(), &json!({"name": "Ann"})).await?;
    let mut program = User::hello(app.address(), &json!({"token": ann.token})).await?;
    program.say("public", "I have a token").await?;
    Ok(())
}
