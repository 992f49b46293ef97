//! What holds for a session whatever carries it: its life, its limits, and whose it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mqttchat_sockjs::{Admission, Binding, Bodies, Event, Options, Request, Session};
use support::{PATIENCE, Site, open_to_all};
use tokio::sync::mpsc;

/// Tells what the sessions of a site hear.
fn told() -> (impl Fn(Session) -> futures::future::BoxFuture<'static, ()> + Send + Sync, mpsc::Receiver<Event>)
{
    let (tell, told) = mpsc::channel(100);
    let handler = move |mut session: Session| {
        let tell = tell.clone();
        let run = async move {
            loop {
                let event = session.next(true).await;
                let over = event == Event::Closed;
                tell.send(event).await.unwrap();
                if over {
                    break;
                }
            }
        };
        Box::pin(run) as futures::future::BoxFuture<'static, ()>
    };
    (handler, told)
}

async fn next(told: &mut mpsc::Receiver<Event>) -> Event {
    tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_end_is_told_to_whoever_asks() {
    let site = Site::start(open_to_all(), |mut session: Session| async move {
        session.feed("last words");
        session.close(3000, "Go away!").await;
    })
    .await;
    assert_eq!(site.post("/0/a/xhr", "").await.body, "o\n");
    assert_eq!(site.post("/0/a/xhr", "").await.body, "a[\"last words\"]\n");
    for _ in 0..3 {
        assert_eq!(site.post("/0/a/xhr", "").await.body, "c[3000,\"Go away!\"]\n");
    }
    assert_eq!(site.post("/0/a/xhr_send", "[\"x\"]").await.status, 404);
}

#[tokio::test]
async fn one_receives_at_a_time() {
    let site = Site::echo(open_to_all()).await;
    let mut first = site.open("GET", "/0/a/eventsource", &[], "").await;
    first.chunk().await.unwrap();
    first.chunk().await.unwrap();
    assert_eq!(site.post("/0/a/xhr", "").await.body, "c[2010,\"Another connection still open\"]\n");
    site.post("/0/a/xhr_send", "[\"x\"]").await;
    assert_eq!(first.chunk().await.unwrap(), "data: a[\"x\"]\r\n\r\n");
}

#[tokio::test]
async fn a_broken_connection_ends_its_session() {
    let (handler, mut told) = told();
    let site = Site::start(open_to_all(), handler).await;
    let mut stream = site.open("POST", "/0/a/xhr_streaming", &[], "").await;
    stream.chunk().await.unwrap();
    stream.chunk().await.unwrap();
    drop(stream);
    assert_eq!(next(&mut told).await, Event::Closed);
    assert_eq!(site.post("/0/a/xhr", "").await.body, "c[1002,\"Connection interrupted\"]\n");
}

#[tokio::test]
async fn a_poll_that_is_away_for_too_long_ends_its_session() {
    let (handler, mut told) = told();
    let options = Options { disconnect_delay: Duration::from_millis(300), ..open_to_all() };
    let site = Site::start(options, handler).await;
    site.post("/0/a/xhr", "").await;
    site.post("/0/a/xhr_send", "[\"x\"]").await;
    assert_eq!(next(&mut told).await, Event::Message("x".to_owned()));
    assert_eq!(next(&mut told).await, Event::Closed);
    assert_eq!(site.post("/0/a/xhr_send", "[\"x\"]").await.status, 404);
    assert_eq!(site.post("/0/a/xhr", "").await.body, "o\n", "the id is free again");
}

#[tokio::test]
async fn a_ping_asks_the_client_to_come_again() {
    let site = Site::start(open_to_all(), |mut session: Session| async move {
        while let Some(text) = session.recv().await {
            if text == "ping" {
                session.ping();
            }
        }
    })
    .await;
    let mut stream = site.open("GET", "/0/a/eventsource", &[], "").await;
    stream.chunk().await.unwrap();
    stream.chunk().await.unwrap();
    site.post("/0/a/xhr_send", "[\"ping\"]").await;
    assert_eq!(stream.chunk().await.unwrap(), "data: h\r\n\r\n");
    assert_eq!(stream.chunk().await, None);
}

#[tokio::test]
async fn a_session_is_its_clients() {
    let site = Site::echo(open_to_all()).await;
    let agent = [("user-agent", "one")];
    let body = |headers: Vec<(&'static str, &'static str)>, from: [u8; 4]| {
        let site = &site;
        async move { site.open_from(from.into(), "POST", "/0/a/xhr", &headers, "").await.whole().await.body }
    };
    let here = [127, 0, 0, 1];
    assert_eq!(body(agent.to_vec(), here).await, "o\n");
    let sent = site.open("POST", "/0/a/xhr_send", &agent, "[\"secret\"]").await;
    assert_eq!(sent.status, 204);
    // The others get sessions of their own, and hear and say nothing in this one.
    assert_eq!(body(agent.to_vec(), [127, 0, 0, 2]).await, "o\n");
    assert_eq!(body(vec![("user-agent", "two")], here).await, "o\n");
    let there = [127, 0, 0, 3].into();
    assert_eq!(site.open_from(there, "POST", "/0/a/xhr_send", &agent, "[\"forged\"]").await.status, 404);
    assert_eq!(body(agent.to_vec(), here).await, "a[\"secret\"]\n");
}

#[tokio::test]
async fn a_session_can_be_anybodys() {
    let site = Site::echo(Options { binding: Binding::Anybody, ..open_to_all() }).await;
    site.post("/0/a/xhr", "").await;
    let there = [127, 0, 0, 2].into();
    assert_eq!(site.open_from(there, "POST", "/0/a/xhr_send", &[], "[\"x\"]").await.status, 204);
    assert_eq!(site.post("/0/a/xhr", "").await.body, "a[\"x\"]\n");
}

#[tokio::test]
async fn a_session_that_does_not_read_makes_senders_wait_and_then_refuses() {
    let (read, mut reading) = mpsc::channel::<()>(1);
    let (tell, mut told) = mpsc::channel(100);
    let reading = std::sync::Mutex::new(Some({
        let (start, started) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            reading.recv().await;
            let _ = start.send(());
        });
        started
    }));
    let options = Options { queue_limit: 1000, queue_patience: Duration::from_millis(300), ..open_to_all() };
    let site = Site::start(options, move |mut session: Session| {
        let (started, tell) = (reading.lock().unwrap().take().unwrap(), tell.clone());
        async move {
            let _ = started.await;
            while let Some(text) = session.recv().await {
                tell.send(text.len()).await.unwrap();
            }
        }
    })
    .await;
    site.post("/0/a/xhr", "").await;
    let text = format!("[\"{}\"]", "x".repeat(600));
    assert_eq!(site.post("/0/a/xhr_send", &text).await.status, 204);
    assert_eq!(site.post("/0/a/xhr_send", &text).await.status, 204);
    let full = site.post("/0/a/xhr_send", "[\"lost\",\"lost too\"]").await;
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
    read.send(()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(tokio::time::timeout(PATIENCE, told.recv()).await.unwrap(), Some(600));
    }
    assert_eq!(site.post("/0/a/xhr_send", "[\"y\"]").await.status, 204);
    assert_eq!(tokio::time::timeout(PATIENCE, told.recv()).await.unwrap(), Some(1), "nothing of the refused");
}

#[tokio::test]
async fn what_is_too_large_is_dropped_and_told() {
    let (handler, mut told) = told();
    let options = Options { message_limit: 10, body_limit: 1000, ..open_to_all() };
    let site = Site::start(options, handler).await;
    site.post("/0/a/xhr", "").await;
    assert_eq!(site.post("/0/a/xhr_send", "[\"12345678901\",\"1234567890\"]").await.status, 204);
    assert_eq!(next(&mut told).await, Event::TooLarge);
    assert_eq!(next(&mut told).await, Event::Message("1234567890".to_owned()));
    let body = format!("[\"{}\"]", "x".repeat(1000));
    assert_eq!(site.post("/0/a/xhr_send", &body).await.status, 413);
    assert_eq!(next(&mut told).await, Event::TooLarge);
    assert_eq!(site.post("/0/a/xhr_send", "[\"z\"]").await.status, 204);
    assert_eq!(next(&mut told).await, Event::Message("z".to_owned()));
    let many = Site::echo(open_to_all()).await;
    many.post("/0/a/xhr", "").await;
    let body = format!("[{}\"\"]", "\"\",".repeat(1024));
    let refused = many.post("/0/a/xhr_send", &body).await;
    assert_eq!((refused.status, &*refused.body), (500, "Too many messages."));
}

#[tokio::test]
async fn sessions_are_bounded() {
    let options = Options { sessions: 3, sessions_per_address: 2, ..open_to_all() };
    let site = Site::echo(options).await;
    for id in ["a", "b"] {
        assert_eq!(site.post(&format!("/0/{id}/xhr"), "").await.body, "o\n");
    }
    let full = site.post("/0/c/xhr", "").await;
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
    let there = [127, 0, 0, 2].into();
    assert_eq!(site.open_from(there, "POST", "/0/c/xhr", &[], "").await.status, 200);
    assert_eq!(site.open_from(there, "POST", "/0/d/xhr", &[], "").await.status, 503);
    assert_eq!(site.post("/0/a/xhr_send", "[\"x\"]").await.status, 204, "those that are open go on");
}

#[tokio::test]
async fn a_hook_decides_who_may_come_now() {
    let asked = Arc::new(AtomicUsize::new(0));
    let hook = {
        let asked = Arc::clone(&asked);
        move |request: &Request| {
            assert!(request.peer.is_some());
            let before = asked.fetch_add(1, Ordering::Relaxed);
            if before < 2 { Ok(()) } else { Err(Duration::from_millis(1500)) }
        }
    };
    let site = Site::echo(Options { admission: Admission::By(Arc::new(hook)), ..open_to_all() }).await;
    assert_eq!(site.get("/info").await.status, 200);
    assert_eq!(site.post("/0/a/xhr", "").await.body, "o\n");
    let late = site.post("/0/b/xhr", "").await;
    assert_eq!((late.status, late.header("retry-after")), (429, Some("2")));
    assert_eq!(site.get("/info").await.status, 429);
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    // Whoever is there goes on, unasked.
    assert_eq!(site.post("/0/a/xhr_send", "[\"x\"]").await.status, 204);
    assert_eq!(site.post("/0/a/xhr", "").await.body, "a[\"x\"]\n");
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let options = Options { body_timeout: Duration::from_millis(50), ..open_to_all() };
    let site = Site::echo(options).await;
    assert_eq!(site.post("/0/a/xhr", "").await.body, "o\n");
    let late = site.open("POST", "/0/a/xhr_send", &[("content-length", "10")], "").await;
    assert_eq!(late.status, 408);
    assert_eq!(
        site.post("/0/a/xhr_send", "[\"x\"]").await.status,
        204,
        "the session is none the worse for it"
    );
}

#[tokio::test]
async fn a_slow_reader_is_not_fed_for_ever() {
    let (tell, mut told) = mpsc::channel(1);
    let site = Site::start(open_to_all(), move |mut session: Session| {
        let tell = tell.clone();
        async move {
            let text = "x".repeat(10_000);
            // The kernel takes some; no system takes this much.
            for sent in 0..10_000 {
                let send = session.send(text.clone());
                if tokio::time::timeout(Duration::from_secs(1), send).await.is_err() {
                    tell.send(sent).await.unwrap();
                    return session.shut(3000, "slow");
                }
            }
            tell.send(10_000).await.unwrap();
        }
    })
    .await;
    let stream = site.open("POST", "/0/a/xhr_streaming", &[], "").await;
    let sent = tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert!(sent < 10_000, "{sent}");
    drop(stream);
}

#[tokio::test]
async fn what_a_response_was_handed_waits_until_its_client_takes_it() {
    let (tell, mut told) = mpsc::channel(1);
    let ask = Arc::new(tokio::sync::Notify::new());
    let asked = Arc::clone(&ask);
    let site = Site::start(open_to_all(), move |mut session: Session| {
        let (tell, asked) = (tell.clone(), Arc::clone(&asked));
        async move {
            // No kernel takes so much by itself.
            session.feed("x".repeat(32 << 20));
            asked.notified().await;
            tell.send(session.backlog()).await.unwrap();
            while session.next(true).await != Event::Drained {}
            tell.send(session.backlog()).await.unwrap();
        }
    })
    .await;
    assert_eq!(site.post("/0/a/xhr", "").await.body, "o\n");
    let response = site.open("POST", "/0/a/xhr", &[], "").await;
    ask.notify_one();
    assert!(tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap() > 32 << 20);
    assert_eq!(response.whole().await.body.len(), (32 << 20) + 6);
    assert_eq!(tokio::time::timeout(PATIENCE, told.recv()).await.unwrap(), Some(0));
}

#[tokio::test]
async fn bodies_share_their_memory() {
    let options =
        Options { bodies: Bodies::new(16 << 10), body_timeout: Duration::from_millis(50), ..open_to_all() };
    let site = Site::echo(options).await;
    site.post("/0/a/xhr", "").await;
    let body = |len| format!("[\"{}\"]", "x".repeat(len));
    let refused = site.post("/0/a/xhr_send", &body(50_000)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert_eq!(site.post("/0/a/xhr_send", &body(8000)).await.status, 204, "small ones need not ask");
    assert_eq!(site.post("/0/b/xhr_send", &body(50_000)).await.status, 404, "for nobody nothing is kept");
    let late = site.open("POST", "/0/b/xhr_send", &[("content-length", "10")], "").await;
    assert_eq!(late.status, 408);
}
