//! Requests of SockJS's clients: paths, queries and bodies, at a service that says everything again. What is sent comes
//! back as it was; and no more of a request gets into a response than the name of a function.
//!
//! An input is a byte that chooses what is done, and a body; or (behind a byte below 8) a path, a query, a content type and
//! a body in one line each.
#![no_main]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use libfuzzer_sys::fuzz_target;
use mqttchat_sockjs::{Options, Origins, Request, Session, SockJs, frame};
use tokio::runtime::Builder;
use warp::http::header::CONTENT_TYPE;
use warp::http::{HeaderMap, HeaderValue, Method};

/// For responses that have to come: a machine may be slow.
const PATIENCE: Duration = Duration::from_secs(600);

/// Messages of a session that are read back.
const READ_BACK: usize = 64;

struct Reply {
    status: u16,
    content_type: String,
    /// `None`: it waits for messages, and wasn't waited for.
    body: Option<String>,
}

fn service() -> SockJs {
    let echo = async |mut session: Session| {
        while let Some(text) = session.recv().await {
            session.send(text).await;
        }
    };
    let options = Options {
        origins: Origins::Any,
        cookies: true,
        streaming_limit: 1,
        client_url: Some("/sockjs.js".to_owned()),
        heartbeat: PATIENCE,
        disconnect_delay: PATIENCE,
        body_timeout: PATIENCE,
        queue_patience: PATIENCE,
        ..Options::default()
    };
    SockJs::new(options, echo)
}

async fn ask(service: &SockJs, request: Request, body: &[u8], patience: Duration) -> Reply {
    // In two pieces, as the network may have it.
    let (one, other) = body.split_at(body.len() / 2);
    let pieces = [one, other].map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)));
    let reply = service.answer(request, futures::stream::iter(pieces)).await;
    let status = reply.status().as_u16();
    let content_type = reply.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let body = tokio::time::timeout(patience, reply.into_body().collect()).await;
    let body = body.ok().map(|body| String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap());
    Reply { status, content_type, body }
}

fn request(method: Method, path: &str, query: &str, headers: HeaderMap) -> Request {
    let (path, query) = (path.to_owned(), query.to_owned());
    Request { method, path, query, headers, peer: None, secure: true, origin_known: false, upgrade: None }
}

async fn post(service: &SockJs, path: &str, content_type: &str, body: &[u8]) -> Reply {
    let mut headers = HeaderMap::new();
    headers.extend(HeaderValue::from_str(content_type).ok().map(|value| (CONTENT_TYPE, value)));
    ask(service, request(Method::POST, path, "", headers), body, PATIENCE).await
}

/// A body that is sent comes back, message for message.
async fn echo(service: &SockJs, choice: u8, body: &[u8]) {
    assert_eq!(post(service, "0/x/xhr", "", b"").await.body.as_deref(), Some("o\n"));
    let sent = match choice % 3 {
        0 => post(service, "0/x/xhr_send", "text/plain", body).await,
        1 => post(service, "0/x/jsonp_send", "text/plain;charset=UTF-8", body).await,
        _ => {
            let form: String = form_urlencoded::Serializer::new(String::new())
                .append_pair("d", &String::from_utf8_lossy(body))
                .finish();
            post(service, "0/x/jsonp_send", "application/x-www-form-urlencoded", form.as_bytes()).await
        }
    };
    let decoded = match choice % 3 {
        2 => frame::decode(String::from_utf8_lossy(body).as_bytes()),
        _ => frame::decode(body),
    };
    let texts = match decoded {
        Ok(texts) => texts,
        Err(error) => {
            assert_eq!((sent.status, sent.body), (500, Some(error.to_string())));
            return;
        }
    };
    assert!(matches!(sent.status, 200 | 204), "{}", sent.status);
    let wanted = texts.len().min(READ_BACK);
    let mut back = Vec::new();
    while back.len() < wanted {
        let reply = post(service, "0/x/xhr", "", b"").await;
        let json = reply.body.as_ref().and_then(|body| body.strip_prefix('a')?.strip_suffix('\n'));
        let json = json.expect("messages");
        back.extend(frame::decode(json.as_bytes()).unwrap());
    }
    assert_eq!(back[..wanted], texts[..wanted]);
}

/// Whatever is asked, at most a name is taken from it.
async fn any(service: &SockJs, choice: u8, text: &str) {
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (path, query, content_type, body) = (line(), line(), line(), line());
    let method = [Method::GET, Method::POST, Method::OPTIONS, Method::HEAD][usize::from(choice & 3)].clone();
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, value.clone());
        headers.insert("cookie", value);
    }
    for _ in 0..2 {
        let request = request(method.clone(), path, query, headers.clone());
        let reply = ask(service, request, body.as_bytes(), Duration::from_millis(1)).await;
        assert!(matches!(reply.status, 200 | 204 | 304 | 400 | 404 | 405 | 500), "{}", reply.status);
        let Some(body) = reply.body else { continue };
        if reply.status == 200 && path.ends_with("/jsonp") {
            let script = body.strip_prefix("/**/").expect("a comment");
            let (name, _) = script.split_once('(').expect("a call");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
                "{name}"
            );
            assert!(script.ends_with(");\r\n") && reply.content_type.starts_with("application/javascript"));
        }
        if reply.content_type.starts_with("text/html") {
            let known = ["<!doctype html>", "<!DOCTYPE html>"];
            assert!(body.is_empty() || known.iter().any(|known| body.starts_with(known)));
            assert!(body.matches("<script").count() <= 2, "{body}");
        }
    }
}

/// What a WebSocket brings is the same as in a body, or a text by itself; and what is written is read again.
fn frames(body: &[u8]) {
    let decoded = frame::decode(body);
    let Ok(text) = std::str::from_utf8(body) else { return };
    let by_websocket = frame::decode_websocket(text);
    assert!(frame::close(3000, text).starts_with("c[3000,\""));
    let Ok(texts) = decoded else {
        assert!(by_websocket.is_err() || body.is_empty() || body[0] == b'"');
        return;
    };
    assert_eq!(by_websocket.as_ref(), Ok(&texts));
    assert!(texts.len() <= frame::MESSAGES_MAX);
    let written = frame::messages(&texts);
    let back = written.strip_prefix('a').map(|json| frame::decode(json.as_bytes()));
    assert_eq!(back, Some(Ok(texts)), "{written}");
    let mangled = |c: char| matches!(c, '\0'..='\u{1f}' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202f}');
    assert!(!written.contains(mangled));
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    frames(input);
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let service = service();
    if *choice < 8 {
        runtime.block_on(any(&service, *choice, &String::from_utf8_lossy(body)));
    } else {
        frames(body);
        runtime.block_on(echo(&service, *choice, body));
    }
});
