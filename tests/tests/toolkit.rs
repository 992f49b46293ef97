//! What programs around the chat do: ask for history over MQTT, use the lab's calls, and hear from the webhook; on one
//! node and on two.

#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "the store's tests have it too"
)]
#[path = "../../crates/store/tests/suite/cluster.rs"]
mod postgres;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use futures::future::try_join;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mqttchat_e2e::certificates::{Authority, Certificate, text};
use mqttchat_e2e::mqtt::{Access, Subscriber, publish, publish_retained};
use mqttchat_e2e::{App, Mosquitto, eventually};
use postgres::Cluster;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const HISTORY: &str = "[mqtt]\nhistory = true\n";

/// Asks until there is an answer: whoever answers may not have subscribed yet.
async fn ask(broker: Access, client: &str, question: &Value) -> Result<Value> {
    let answers = Subscriber::start(broker.clone(), &format!("history/{client}/got")).await?;
    eventually("an answer", async || {
        publish(broker.clone(), &format!("history/{client}/get"), &question.to_string()).await?;
        answers.deliveries().first().map(|answer| answer.json()).transpose()
    })
    .await
}

fn texts(answer: &Value) -> Vec<&str> {
    let messages = answer["messages"].as_array().into_iter().flatten();
    messages.filter_map(|message| message["data"]["text"].as_str()).collect()
}

#[tokio::test]
async fn a_device_asks_for_history_at_the_broker_inside() -> Result<()> {
    let app = App::builder().args(["--broker-listen", "127.0.0.1:0"]).config(HISTORY).start().await?;
    let mut ann = app.user("Ann").await?;
    for number in 1..=5 {
        ann.say("public", &number.to_string()).await?;
    }
    let create =
        json!({"type": "room.create", "dest": "rooms/lamps", "data": {"title": "Lamps", "open": true}});
    ann.request(create).await?;
    ann.say("rooms/lamps", "on").await?;
    let closed = json!({"type": "room.create", "dest": "rooms/board", "data": {"title": "Board"}});
    ann.request(closed).await?;
    ann.say("private/ann", "a note").await?;
    let device = Access::of_devices(&app).await?;
    let newest = ask(device.clone(), "lamp-1", &json!({"dest": "public", "limit": 2, "id": "q1"})).await?;
    assert_eq!(
        (texts(&newest), &newest["more"], &newest["id"]),
        (vec!["4", "5"], &json!(true), &json!("q1"))
    );
    assert!(newest["sign"].is_string() && newest["topic"] == "history/lamp-1/got", "{newest}");
    let after = ask(device.clone(), "lamp-2", &json!({"dest": "public", "after": 1, "limit": 3})).await?;
    assert_eq!((texts(&after), &after["messages"][0]["seq"]), (vec!["2", "3", "4"], &json!(2)));
    let before = ask(device.clone(), "lamp-3", &json!({"dest": "public", "before": 3})).await?;
    assert_eq!((texts(&before), &before["more"]), (vec!["1", "2"], &json!(false)));
    assert_eq!(texts(&ask(device.clone(), "lamp-4", &json!({"dest": "rooms/lamps"})).await?), ["on"]);
    for (client, question, code) in [
        ("x1", json!({"dest": "private/ann"}), "not_found"),
        ("x2", json!({"dest": "rooms/board"}), "not_found"),
        ("x3", json!({"dest": "rooms/none"}), "not_found"),
        ("x4", json!({"dest": "nowhere"}), "bad_dest"),
        ("x5", json!("public"), "bad_frame"),
        ("x6", json!({"dest": "public", "after": 1, "before": 2}), "bad_frame"),
    ] {
        let answer = ask(device.clone(), client, &question).await?;
        assert_eq!(answer["error"]["code"], code, "{question}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn of_two_nodes_one_answers_and_without_the_setting_none() -> Result<()> {
    let (database, broker) = (Cluster::start(), Mosquitto::start().await?);
    let url = database.database("chat");
    let node = || App::builder().args(["--database", &url]).broker(&broker.url()).config(HISTORY).start();
    let (one, _two) = try_join(node(), node()).await?;
    one.user("Ann").await?.say("public", "hello").await?;
    broker.expect_subscriptions("history/+/get", 1).await?;
    let answers = Subscriber::start(&broker, "history/lamp/got").await?;
    publish_retained(&broker, "history/lamp/get", r#"{"dest":"public","id":"1"}"#).await?;
    for id in ["2", "3"] {
        publish(&broker, "history/lamp/get", &json!({"dest": "public", "id": id}).to_string()).await?;
    }
    answers.expect("the last answer", |answer| answer.json().is_ok_and(|answer| answer["id"] == "3")).await?;
    let ids: Vec<Value> =
        answers.deliveries().iter().flat_map(|answer| answer.json()).map(|a| a["id"].clone()).collect();
    assert_eq!(ids.iter().filter(|id| **id == "2").count(), 1, "{ids:?}");

    let (off, broker) = (Mosquitto::start().await?, broker);
    let app = App::builder().broker(&off.url()).start().await?;
    let mut ann = app.member("Ann").await?;
    off.expect_subscriptions("public/msgs", 1).await?;
    let answers = Subscriber::start(&off, "history/lamp/got").await?;
    publish(&off, "history/lamp/get", r#"{"dest":"public"}"#).await?;
    // What comes behind it on the same way has been seen to.
    publish(&off, "public/msgs", "behind it").await?;
    ann.expect_text("behind it").await?;
    ann.say("public", "seen").await?;
    assert!(answers.deliveries().is_empty());
    drop(broker);
    Ok(())
}

/// Somebody who takes what the webhook posts.
struct Receiver {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    async fn start() -> Result<Self> {
        Self::start_with(None).await
    }

    /// As [`Receiver::start`], for `https://localhost`.
    async fn start_encrypted(certificate: &Certificate) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(&certificate.certificate)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&certificate.key)?;
        let config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Self::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let posts: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = posts.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let kept = kept.clone();
                    async move {
                        let body = request.into_body().collect().await?.to_bytes();
                        let body = serde_json::from_slice(&body).unwrap_or_default();
                        kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                        Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
                    }
                });
                let (server, tls) = (hyper::server::conn::http1::Builder::new(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => server.serve_connection(TokioIo::new(stream), service).await?,
                        // Whoever doesn't trust it ends the handshake.
                        Some(tls) => {
                            let stream = tls.accept(stream).await?;
                            server.serve_connection(TokioIo::new(stream), service).await?;
                        }
                    }
                    anyhow::Ok(())
                });
            }
        });
        Ok(Self { address, posts })
    }

    /// The texts told, each once, in the order in which they came first.
    fn texts(&self) -> Vec<String> {
        let posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut texts: Vec<String> = Vec::new();
        for post in posts.iter() {
            let text = post["entry"]["data"]["text"].as_str().unwrap_or_default().to_owned();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts
    }
}

#[tokio::test]
async fn what_is_said_on_either_node_is_told_and_a_dead_nodes_rest_by_the_other() -> Result<()> {
    let (database, broker, receiver) =
        (Cluster::start(), Mosquitto::start().await?, Receiver::start().await?);
    let url = database.database("chat");
    let settings = format!(
        "[webhook]\nurl = \"http://{}/\"\nevents = [\"message\", \"private.undelivered\"]\nafter = 1\n",
        receiver.address
    );
    let node = || {
        App::builder()
            .no_rate_limit()
            .args(["--database", &url])
            .broker(&broker.url())
            .config(&settings)
            .start()
    };
    let (mut one, two) = (node().await?, node().await?);
    let (mut ann, mut bob) = (one.user("Ann").await?, two.user("Bob").await?);
    for number in 0..20 {
        ann.say("public", &format!("ann {number}")).await?;
        bob.say("public", &format!("bob {number}")).await?;
    }
    eventually("everything told", async || Ok((receiver.texts().len() >= 40).then_some(()))).await?;
    // The node that tells dies (the first one has the lease), and what both had said last is told by the other.
    ann.say("private/bob", "ann's last").await?;
    one.kill().await?;
    bob.say("public", "bob's last").await?;
    eventually("the rest told", async || {
        let texts = receiver.texts();
        Ok(["ann's last", "bob's last"]
            .iter()
            .all(|last| texts.iter().any(|text| text == last))
            .then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_webhook_by_https_is_trusted_or_not_told_anything() -> Result<()> {
    let authority = Authority::new()?;
    let receiver = Receiver::start_encrypted(&authority.server(&["localhost"])?).await?;
    let settings = format!(
        "[webhook]\nurl = \"https://localhost:{}/\"\nevents = [\"message\"]\n",
        receiver.address.port()
    );
    let stranger = App::builder().config(&settings).start().await?;
    stranger.user("Ann").await?.say("public", "to nobody").await?;
    eventually("a word about the certificate", async || {
        Ok(stranger.output().iter().any(|line| line.contains("SSL_CERT_FILE")).then_some(()))
    })
    .await?;
    assert!(receiver.texts().is_empty());
    // As an operator has this machine trust an authority of their own.
    let app = App::builder().config(&settings).variable("SSL_CERT_FILE", &text(&authority.path()));
    let app = app.start().await?;
    app.user("Ann").await?.say("public", "to the receiver").await?;
    eventually("the post", async || Ok((!receiver.texts().is_empty()).then_some(()))).await?;
    assert_eq!(receiver.texts(), ["to the receiver"]);
    Ok(())
}

#[tokio::test]
async fn the_labs_rooms_are_those_of_all_nodes() -> Result<()> {
    let (database, broker) = (Cluster::start(), Mosquitto::start().await?);
    let url = database.database("chat");
    let node = || App::builder().args(["--lab-api", "--database", &url]).broker(&broker.url()).start();
    let (one, two) = try_join(node(), node()).await?;
    let send = |from: &str, text: &str| {
        format!("/send/?room_name=general&message={text}&from_alias={from}&group_room=true")
    };
    // Both make the room at the same moment.
    let (first, second) = (send("ann", "one"), send("bob", "two"));
    let (first, second) = try_join(one.get(&first), two.get(&second)).await?;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200), "{} {}", first.body, second.body);
    let texts = |body: &str| serde_json::from_str::<Vec<String>>(body).context("no list of texts");
    let here = texts(&one.get("/messages/?room_name=general").await?.body)?;
    let there = texts(&two.get("/messages/?room_name=general").await?.body)?;
    assert_eq!(here, there);
    let mut sorted = here;
    sorted.sort();
    assert_eq!(sorted, ["one", "two"]);
    let forged = Request::get(send("ann", "three")).header("sec-fetch-site", "cross-site");
    assert_eq!(mqttchat_e2e::http::send(one.address(), forged).await?.status.as_u16(), 403);
    Ok(())
}
