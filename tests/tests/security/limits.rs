//! How often one may ask, as a user and from an address.

use anyhow::{Context, Result};
use hyper::Request;
use mqttchat_e2e::socket::Ending;
use mqttchat_e2e::{App, Socket, User, http};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Sends these frames together, and counts how many were refused for their rate.
async fn refused(user: &mut User, kind: &str, data: &Value, count: usize) -> Result<usize> {
    let frame =
        |number| json!({"type": kind, "id": format!("{kind}{number}"), "dest": "public", "data": data});
    user.send_together(&(0..count).map(frame).collect::<Vec<_>>()).await?;
    let mut refused = 0;
    for number in 0..count {
        let id = format!("{kind}{number}");
        let is_it = |frame: &Value| {
            frame["re"] == id.as_str() || (frame["type"] == 100 && frame["data"] == id.as_str())
        };
        let answer = user.expect_where(&format!("an answer to {id}"), is_it).await?;
        if answer["type"] == "error" {
            assert_eq!(answer["data"]["code"], "rate_limited", "{answer}");
            let wait = answer["data"]["retry_after"].as_u64().context("no retry_after")?;
            assert!((1..=1001).contains(&wait), "{answer}");
            refused += 1;
        }
    }
    Ok(refused)
}

#[tokio::test]
async fn joins_pages_and_searches_have_limits_of_their_own() -> Result<()> {
    let app = App::builder()
        .config("[limits]\njoins_per_second = 1\npages_per_second = 1\nsearches_per_second = 1\n")
        .start()
        .await?;
    let mut ann = app.user("Ann").await?;
    let mut bob = app.user("Bob").await?;
    for (kind, data) in
        [("join", json!({"history": 0})), ("search", json!({"q": "tea"})), ("history", json!({"limit": 1}))]
    {
        // Ten at once, and one more for each second that it took.
        let many = refused(&mut ann, kind, &data, 60).await?;
        assert!((1..60).contains(&many), "{many} of 60 {kind} were refused");
        assert_eq!(refused(&mut bob, kind, &data, 5).await?, 0, "of somebody else");
    }
    assert_eq!(refused(&mut ann, "msg", &json!({"text": "hello"}), 50).await?, 0);
    // Lists come from the same as pages of history, over HTTP too.
    let call = || Request::get("/api/v1/rooms").header("authorization", format!("Bearer {}", ann.token));
    for _ in 0..60 {
        let answer = http::send(app.address(), call()).await?;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), "1");
            assert!(answer.body.contains("rate_limited"), "{}", answer.body);
            return Ok(());
        }
    }
    anyhow::bail!("60 calls were never too many")
}

#[tokio::test]
async fn who_never_stops_is_closed() -> Result<()> {
    let app = App::builder().config("[limits]\nsearches_per_second = 1\n").start().await?;
    let mut ann = app.user("Ann").await?;
    let search = |number| json!({"type": "search", "id": format!("s{number}"), "data": {"q": "tea"}});
    // The rest may find the socket closed.
    let _ = ann.send_together(&(0..400).map(search).collect::<Vec<_>>()).await;
    assert_eq!(ann.expect_end().await?, Ending::Closed(4429));
    let last = ann.seen_of("error").pop().context("no error")?;
    assert!(last["data"]["retry_after"].is_u64(), "{last}");
    Ok(())
}

/// Somebody behind a proxy.
async fn from(app: &App, address: &str, name: &str) -> Result<User> {
    let mut request = format!("ws://{}/ws", app.address()).into_client_request()?;
    request.headers_mut().insert("x-forwarded-for", address.parse()?);
    request.headers_mut().insert("origin", app.url().parse()?);
    let (socket, _) = Socket::connect_with(request).await?;
    User::hello_over(socket, app.address(), &json!({"name": name})).await
}

#[tokio::test]
async fn an_address_has_one_limit_for_all_its_users() -> Result<()> {
    let app = App::builder()
        .config("[http]\nproxies = [\"127.0.0.1\"]\n[limits]\nper_second_per_address = 3\n")
        .start()
        .await?;
    let (mut ann, mut bob) =
        (from(&app, "198.51.100.1", "Ann").await?, from(&app, "198.51.100.1", "Bob").await?);
    let mut carol = from(&app, "198.51.100.2", "Carol").await?;
    let hello = json!({"text": "hello"});
    // Thirty at once, of which ten were for two new guests.
    let anns = refused(&mut ann, "msg", &hello, 15).await?;
    let bobs = refused(&mut bob, "msg", &hello, 60).await?;
    assert_eq!(anns, 0, "a few are nothing");
    assert!((1..60).contains(&bobs), "{bobs} were refused");
    assert_eq!(refused(&mut carol, "msg", &hello, 15).await?, 0, "from elsewhere");
    // Who is at the machine itself has no limit: behind an unknown proxy that would be everybody.
    let mut dan = app.user("Dan").await?;
    assert_eq!(refused(&mut dan, "msg", &hello, 60).await?, 0);
    Ok(())
}

#[tokio::test]
async fn behind_a_proxy_each_address_has_its_own_connections() -> Result<()> {
    let app = App::builder()
        .config("[http]\nproxies = [\"127.0.0.0/8\"]\n[limits]\nconnections_per_address = 2\n")
        .start()
        .await?;
    let _ann = from(&app, "198.51.100.1", "Ann").await?;
    let _too = from(&app, "198.51.100.1", "Ann 2").await?;
    let third = Request::get("/healthz").header("x-forwarded-for", "198.51.100.1");
    let refused = http::send(app.address(), third).await?;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "5"));
    from(&app, "198.51.100.2", "Bob").await?.say("public", "there is room for me").await?;
    Ok(())
}

/// The refusals for a rate among what was heard; each says how long to wait.
fn rate_limited(socket: &Socket) -> Vec<Value> {
    let mut refused = socket.seen_of("error");
    refused.retain(|error| error["data"]["code"] == "rate_limited");
    for error in &refused {
        let wait = error["data"]["retry_after"].as_u64().unwrap_or_default();
        assert!((1..=1001).contains(&wait), "{error}");
    }
    refused
}

#[tokio::test]
async fn frames_of_every_other_kind_have_a_limit_too() -> Result<()> {
    let app = App::builder().config("[limits]\nframes_per_second = 1\n").start().await?;
    let long = "x".repeat(5000);
    for (number, frame) in [
        json!({"type": "read", "dest": "public", "data": {"seq": 1}}),
        json!({"type": 200, "data": "nothing of mine"}),
        json!({"type": "typing", "dest": "public", "data": {"typing": true}}),
        json!({"type": "typing", "dest": "public", "data": {"typing": false}}),
        json!({"type": "leave", "id": "l", "dest": "rooms/none"}),
        json!({"type": "token", "id": "t", "data": {"token": "guessed"}}),
        json!({"type": 1001, "id": "p"}),
        json!({"type": 1002}),
        json!({"type": "dance", "id": "d"}),
        json!({"type": "msg", "id": "m", "dest": "public", "data": {"text": long}}),
        json!({"type": "msg", "id": "m", "dest": "nowhere", "data": {"text": "x"}}),
    ]
    .into_iter()
    .enumerate()
    {
        let mut flooder = app.member(&format!("Flooder {number}")).await?;
        flooder.send_together(&vec![frame.clone(); 60]).await?;
        // Messages have a limit of their own, and come behind all that.
        flooder.say("public", "still here").await?;
        let refused = rate_limited(&flooder).len();
        assert!((1..58).contains(&refused), "{refused} of 60 were refused: {frame}");
    }
    Ok(())
}

#[tokio::test]
async fn who_confirms_each_message_is_never_too_fast() -> Result<()> {
    let app = App::builder().no_rate_limit().config("[limits]\nframes_per_second = 1\n").start().await?;
    let (mut ann, mut bob) = (app.user("Ann").await?, app.user("Bob").await?);
    let message =
        |n| json!({"type": "msg", "id": format!("m{n}"), "dest": "private/bob", "data": {"text": "hello"}});
    ann.send_together(&(0..60).map(message).collect::<Vec<_>>()).await?;
    for n in 0..60 {
        bob.expect_where("a message", |frame| frame["type"] == "msg" && frame["id"] == format!("m{n}"))
            .await?;
        bob.send(&json!({"type": 200, "data": format!("m{n}")})).await?;
    }
    for n in 0..60 {
        ann.expect_where("a 300", |frame| frame["type"] == 300 && frame["data"] == format!("m{n}")).await?;
    }
    assert!(bob.seen_of("error").is_empty(), "{:?}", bob.seen_of("error"));
    // What is confirmed again confirms nothing.
    bob.send_together(&vec![json!({"type": 200, "data": "m1"}); 30]).await?;
    bob.say("public", "still here").await?;
    assert!((1..30).contains(&rate_limited(&bob).len()));
    Ok(())
}

#[tokio::test]
async fn who_floods_with_what_has_no_answer_is_closed_too() -> Result<()> {
    let app = App::builder().config("[limits]\nframes_per_second = 1\n").start().await?;
    let mut ann = app.user("Ann").await?;
    let _ = ann.send_together(&vec![json!({"type": 200, "data": "x"}); 400]).await;
    assert_eq!(ann.expect_end().await?, Ending::Closed(4429));
    Ok(())
}

#[tokio::test]
async fn nobody_tries_names_and_tokens_as_fast_as_they_like() -> Result<()> {
    let app = App::start().await?;
    let _ann = app.user("Ann").await?;
    for frame in [
        json!({"type": "hello", "id": "h", "data": {"name": "Ann"}}),
        json!({"type": "msg", "id": "m", "dest": "public", "data": {"text": "too early"}}),
        json!({"type": 1001, "id": "p"}),
    ] {
        let mut socket = app.socket().await?;
        // The rest may find the socket closed.
        let _ = socket.send_together(&vec![frame.clone(); 3000]).await;
        assert_eq!(socket.expect_end().await?, Ending::Closed(4429), "{frame}");
        let answered = socket.seen().len() - rate_limited(&socket).len();
        assert!((20..1500).contains(&answered), "{answered} were answered: {frame}");
    }
    Ok(())
}

#[tokio::test]
async fn who_comes_back_all_the_time_has_to_wait() -> Result<()> {
    let app = App::builder().config("[limits]\njoins_per_second = 1\n").start().await?;
    let ann = app.user("Ann").await?;
    let mut refused = 0;
    for _ in 0..30 {
        let mut socket = app.socket().await?;
        socket.send(&json!({"type": "hello", "id": "h", "data": {"token": ann.token}})).await?;
        let answer = socket.expect_where("an answer", |frame| frame["re"] == "h").await?;
        if answer["type"] == "error" {
            refused += rate_limited(&socket).len();
            // The socket stays open for another try.
            socket.ping().await?;
        }
    }
    assert!((1..30).contains(&refused), "{refused} of 30");
    Ok(())
}

#[tokio::test]
async fn each_door_of_http_says_when_to_come_again() -> Result<()> {
    let app = App::builder()
        .args(["--lab-api"])
        .config("[http]\nproxies = [\"127.0.0.1\"]\n[limits]\nper_second_per_address = 1\n")
        .start()
        .await?;
    let token = app.user("Ann").await?.token;
    let good = format!("Bearer {token}");
    for (number, (method, path, authorization)) in [
        ("GET", "/api/v1/rooms", ""),
        ("GET", "/api/v1/rooms", "Bearer guessed"),
        ("GET", "/api/v1/events?dest=public", "Bearer mc1.1.ann.1.Zm9v"),
        ("HEAD", "/api/v1/events?dest=public", &good),
        ("GET", "/sockjs/info", ""),
        ("POST", "/sockjs/0/NEW/xhr", ""),
        ("GET", "/sockjs/0/NEW/eventsource", ""),
        ("GET", "/messages/?room_name=x", ""),
        ("GET", "/send/?room_name=x&message=NEW&from_alias=NEW&group_room=true", ""),
        ("GET", "/rooms/", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let ask = async |address: String, count: usize| {
            let path = path.replace("NEW", &format!("n{number}x{count}"));
            let request = Request::builder().method(method).uri(path).header("x-forwarded-for", address);
            let request = match authorization {
                "" => request,
                token => request.header("authorization", token),
            };
            http::head(app.address(), request).await
        };
        let mut answers = Vec::new();
        while answers.last() != Some(&429) && answers.len() < 60 {
            let answer = ask(format!("198.51.100.{number}"), answers.len()).await?;
            if answer.status == 429 {
                let wait: u64 = answer.header("retry-after").parse().context("no Retry-After")?;
                assert!((1..=2).contains(&wait), "{wait}");
            }
            answers.push(answer.status.as_u16());
        }
        assert!(answers.len() > 10 && answers.last() == Some(&429), "{method} {path}: {answers:?}");
        let other = ask(format!("203.0.113.{number}"), 100).await?;
        assert_eq!(other.status, answers[0], "{method} {path} from elsewhere");
    }
    Ok(())
}

#[tokio::test]
async fn nought_is_no_limit() -> Result<()> {
    for variable in ["MQTTCHAT_LIMITS__MESSAGES_PER_SECOND", "MQTTCHAT_LIMITS__BURST"] {
        let app = App::builder().variable(variable, "0").start().await?;
        let mut ann = app.user("Ann").await?;
        assert_eq!(refused(&mut ann, "msg", &json!({"text": "hello"}), 300).await?, 0, "{variable}");
    }
    Ok(())
}
