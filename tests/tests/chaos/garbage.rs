//! Somebody on the broker publishes rubbish everywhere.

use std::cell::Cell;

use anyhow::{Context, Result};
use futures::future::try_join;
use mqttchat_e2e::chaos::outsider::Outsider;
use mqttchat_e2e::mqtt::{Access, Subscriber};
use mqttchat_e2e::{App, Mosquitto, User, eventually};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

const PAYLOADS: usize = 10_000;
/// Payloads that are on their way to the broker at a time.
const AT_ONCE: usize = 50;
/// Payloads after which the server is waited for: of one that can't keep up, brokers throw messages away.
const AT_A_STRETCH: usize = 500;
const TOPICS: [&str; 14] = [
    "public/msgs",
    "public/typing",
    "public/acks",
    "public",
    "rooms/ops/msgs",
    "rooms/ops/typing",
    "private/ann/msgs",
    "private/ann/acks",
    "private/ann/typing",
    "private/ann/status",
    "private/bob/msgs",
    "nodes/n1/presence",
    "nodes/n2/presence",
    "something/else",
];

/// Random bytes, or a real envelope with a part of it changed. Never a plain text, which may be said.
fn rubbish(rng: &mut StdRng, envelopes: &[Vec<u8>]) -> Vec<u8> {
    if rng.random_bool(0.5) {
        let mut bytes: Vec<u8> = (0..rng.random_range(1..200)).map(|_| rng.random()).collect();
        let place = rng.random_range(0..bytes.len());
        bytes[place] = 0xff;
        return bytes;
    }
    let mut envelope = envelopes[rng.random_range(0..envelopes.len())].clone();
    // The last 54 bytes are the signature; before it anything may change, and in it any character.
    let place = rng.random_range(1..envelope.len() - 2);
    let other = loop {
        let byte = rng.random_range(b'0'..=b'z');
        if byte != envelope[place] && byte != b'"' && byte != b'\\' {
            break byte;
        }
    };
    envelope[place] = other;
    // Where the members' names themselves are hit, it would be an object of somebody's own.
    let own = serde_json::from_slice::<Value>(&envelope).ok();
    match own {
        Some(object) if object.get("type").is_none() && object.get("sign").is_none() => vec![0xff],
        // What is no JSON any more is a plain text.
        None => [&envelope[..], &[0xff]].concat(),
        Some(_) => envelope,
    }
}

/// What the metrics say about payloads on the broker, all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Judged {
    /// Taken in as somebody's message.
    taken: u64,
    /// Refused as messages.
    refused: u64,
    /// Seen to be forged on the other topics.
    forged: u64,
}

async fn judged(app: &App) -> Result<Judged> {
    let body = app.get("/metrics").await?.body;
    let mut judged = Judged { taken: 0, refused: 0, forged: 0 };
    for line in body.lines() {
        let count = || line.rsplit(' ').next().unwrap_or_default().parse::<u64>().context("a count");
        if line.starts_with("mqttchat_forged_total ") {
            judged.forged += count()?;
        } else if line.starts_with("mqttchat_ingest_total{") {
            let is_taken = line.contains("\"taken\"") || line.contains("\"known\"");
            *(if is_taken { &mut judged.taken } else { &mut judged.refused }) += count()?;
        }
    }
    Ok(judged)
}

async fn talk(
    ann: &mut User,
    bob: &mut User,
    app: &App,
    access: Access,
    envelopes: Vec<Vec<u8>>,
) -> Result<()> {
    let seed = rand::random();
    let done = Cell::new(false);
    let vandal = async {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut outsider = Outsider::connect(&access, "vandal").await?;
        let mut as_messages: u64 = 0;
        for sent in (AT_ONCE..=PAYLOADS).step_by(AT_ONCE) {
            for _ in 0..AT_ONCE {
                let topic = TOPICS[rng.random_range(0..TOPICS.len())];
                as_messages += u64::from(topic.ends_with("/msgs"));
                outsider.send(topic, &rubbish(&mut rng, &envelopes), false).await?;
            }
            for _ in 0..AT_ONCE {
                outsider.confirmed().await?;
            }
            if sent % AT_A_STRETCH == 0 {
                let looked_at = async || Ok((judged(app).await?.refused >= as_messages).then_some(()));
                let unseen = || format!("{as_messages} sent as messages");
                eventually("all of the rubbish to be looked at", looked_at).await.with_context(unseen)?;
            }
        }
        done.set(true);
        anyhow::Ok(())
    };
    let people = async {
        let mut said = Vec::new();
        while !done.get() || said.len() < 20 {
            let text = format!("undisturbed {}", said.len());
            let dest = if said.len() % 3 == 0 { "private/bob" } else { "public" };
            ann.say(dest, &text).await?;
            bob.expect_text(&text).await?;
            said.push(text);
        }
        Ok(said)
    };
    let ((), said) = try_join(vandal, people).await.with_context(|| format!("seed {seed}"))?;
    eventually("what is forged to be counted", async || Ok((judged(app).await?.forged > 1000).then_some(())))
        .await?;
    assert_eq!(judged(app).await?.taken, 0, "seed {seed}");
    ann.ping().await?;
    bob.ping().await?;

    let heard: Vec<_> =
        bob.seen_of("msg").iter().filter_map(|f| f["data"]["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(heard[1..], said, "seed {seed}");
    for session in [&*ann, &*bob] {
        for kind in ["typing", "status", "receipt", "gap", "error", "bye"] {
            assert_eq!(session.seen_of(kind), Vec::<Value>::new(), "seed {seed}: {kind}");
        }
        let gone = session
            .seen_of("presence")
            .into_iter()
            .find(|frame| frame["data"]["left"] != serde_json::json!([]));
        assert_eq!(gone, None, "seed {seed}");
        assert_eq!(session.seen_of(300), Vec::<Value>::new(), "seed {seed}");
    }
    assert_eq!(app.get("/readyz").await?.status, 200);
    Ok(())
}

/// Ann and Bob talk on this server while somebody does that to its broker.
async fn disturb(app: &App, access: Access) -> Result<()> {
    app.hears_strangers().await?;
    let outsider = Subscriber::start(access.clone(), "#").await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.say("public", "a genuine one").await?;
    outsider.expect_text("a genuine one").await?;
    let envelopes = outsider.deliveries().into_iter().map(|delivery| delivery.payload);
    let envelopes: Vec<_> = envelopes.filter(|payload| payload.len() > 60).collect();
    talk(&mut ann, &mut bob, app, access, envelopes).await
}

#[tokio::test]
async fn on_mosquitto_it_changes_nothing() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let app = App::builder().no_rate_limit().broker(&broker.url()).start().await?;
    disturb(&app, Access::from(&broker)).await
}

#[tokio::test]
async fn on_the_embedded_broker_it_changes_nothing() -> Result<()> {
    let app = App::builder().no_rate_limit().args(["--broker-listen", "127.0.0.1:0"]).start().await?;
    disturb(&app, Access::of_devices(&app).await?).await
}
