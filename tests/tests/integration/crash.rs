//! SIGKILL, and what is left afterwards.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use mqttchat_e2e::mqtt::Subscriber;
use mqttchat_e2e::user::Accepted;
use mqttchat_e2e::{App, Mosquitto, Socket, User};
use serde_json::{Value, json};

/// Sends without pause until the connection breaks.
async fn talk_until_it_breaks(mut user: User, name: String) -> (User, Vec<Accepted>) {
    for number in 0.. {
        let id = format!("{name}-{number}");
        let frame = json!({"type": "msg", "id": id, "dest": "public", "data": {"text": id}});
        if user.send(&frame).await.is_err() {
            break;
        }
        // At most 20 are on their way unanswered.
        if number >= 20 && user.expect_accepted(&format!("{name}-{}", number - 20)).await.is_err() {
            break;
        }
    }
    user.expect_end().await.ok();
    let accepted = user.seen_of(100).iter().filter_map(|frame| Accepted::read(frame).ok()).collect();
    (user, accepted)
}

async fn killed_while_sending(mut app: App) -> Result<()> {
    let mut talkers = Vec::new();
    let mut all: BTreeMap<(String, String), Accepted> = BTreeMap::new();
    for round in 0..3 {
        let names: Vec<_> = (0..4).map(|number| format!("r{round}-p{number}")).collect();
        for name in &names {
            talkers.push(tokio::spawn(talk_until_it_breaks(app.user(name).await?, name.clone())));
        }
        let witness = app.member(&format!("witness {round}")).await?;
        let head = all.len() as u64;
        witness
            .expect_where("200 messages", |frame| {
                frame["type"] == "msg" && frame["seq"].as_u64() >= Some(head + 200)
            })
            .await?;
        app.kill().await?;
        for talker in talkers.drain(..) {
            let (user, accepted) = talker.await?;
            all.extend(accepted.into_iter().map(|message| ((user.id.clone(), message.id.clone()), message)));
        }
        app.start_again().await?;
    }
    let log = app.user("Reader").await?.whole_history("public").await?;
    let seqs: Vec<_> = log.iter().filter_map(|message| message["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=log.len() as u64).collect::<Vec<_>>(), "the log has a hole");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let stored: BTreeMap<_, _> = log.iter().map(|m| ((text(&m["from"]), text(&m["id"])), m)).collect();
    assert_eq!(stored.len(), log.len(), "something is stored twice");
    assert!(all.len() >= 300, "only {} messages were acknowledged", all.len());
    for (key, accepted) in &all {
        let message = stored.get(key).with_context(|| format!("{key:?} was acknowledged and is lost"))?;
        assert_eq!(
            (&message["seq"], &message["time"]),
            (&json!(accepted.seq), &json!(accepted.time)),
            "{key:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_sending_it_loses_nothing_that_was_acknowledged() -> Result<()> {
    killed_while_sending(App::builder().no_rate_limit().keeps_port()?.start().await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_sending_through_mosquitto_it_loses_nothing_either() -> Result<()> {
    let broker = Mosquitto::start().await?;
    killed_while_sending(App::builder().no_rate_limit().broker(&broker.url()).keeps_port()?.start().await?)
        .await
}

#[tokio::test]
async fn a_restart_keeps_people_messages_and_their_order() -> Result<()> {
    let mut app = App::builder().keeps_port()?.start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    for number in 0..5 {
        ann.say("public", &format!("Ann {number}")).await?;
        bob.say("public", &format!("Bob {number}")).await?;
    }
    let before = ann.whole_history("public").await?;
    app.stop().await?;
    app.start_again().await?;

    let mut back = ann.resume(app.address(), &[("public", 10)]).await?;
    assert_eq!((back.id.as_str(), back.log.as_str()), ("ann", ann.log.as_str()));
    assert_eq!(back.whole_history("public").await?, before);
    assert_eq!(back.say("public", "after the restart").await?.seq, 11);
    let roster = back.request(json!({"type": "roster", "dest": "public", "data": {}})).await?;
    let ids: Vec<_> = roster["roster"].as_array().into_iter().flatten().map(|person| &person["id"]).collect();
    assert_eq!(ids, ["ann", "bob"]);
    Ok(())
}

#[tokio::test]
async fn what_was_accepted_before_a_crash_reaches_the_broker_after_it() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let outsider = Subscriber::start_lasting(&mut broker, "public/msgs").await?;
    let mut app = App::builder().broker(&broker.url()).start().await?;
    let mut ann = app.user("Ann").await?;
    ann.say("public", "before").await?;
    broker.kill().await?;
    ann.say("public", "while it was away").await?;
    app.kill().await?;
    broker.start_again().await?;
    app.start_again().await?;
    assert_eq!(outsider.expect_text("while it was away").await?.json()?["seq"], 2);
    Ok(())
}

#[tokio::test]
async fn a_client_that_dies_without_a_word_is_gone_for_the_others() -> Result<()> {
    let app = App::start().await?;
    let ann = app.member("Ann").await?;
    let bob = app.member("Bob").await?;
    drop(bob);
    ann.expect_where("that Bob has left", |frame| frame["data"]["left"][0]["id"] == "bob").await?;
    Socket::connect(app.address()).await?.ping().await
}
