//! Fifty people who all talk at once.

use anyhow::Result;
use mqttchat_e2e::{App, Mosquitto, User, eventually};
use serde_json::{Value, json};

const PEOPLE: usize = 50;
const MESSAGES_EACH: usize = 100;
const ALL: usize = PEOPLE * MESSAGES_EACH;

/// What identifies a message, in the order in which somebody saw them.
fn order(user: &User) -> Vec<(Value, Value, Value)> {
    user.seen_of("msg").iter().map(|m| (m["seq"].clone(), m["from"].clone(), m["id"].clone())).collect()
}

/// Everybody sends a hundred messages; everybody sees all five thousand in one order.
async fn crowd(app: &App) -> Result<()> {
    let names: Vec<_> = (0..PEOPLE).map(|number| format!("Person {number}")).collect();
    let mut people = futures::future::try_join_all(names.iter().map(|name| app.member(name))).await?;
    let talking = people.iter_mut().map(async |person| {
        for chunk in 0..10 {
            let message = |number| {
                let id = format!("m-{}", chunk * 10 + number);
                json!({"type": "msg", "id": id, "dest": "public", "data": {"text": format!("{id} of everybody's")}})
            };
            person.send_together(&(0..10).map(message).collect::<Vec<_>>()).await?;
        }
        anyhow::Ok(())
    });
    futures::future::try_join_all(talking).await?;

    for person in &people {
        let what = format!("message {ALL} at {}", person.id);
        person.expect_where(&what, |frame| frame["type"] == "msg" && frame["seq"] == ALL).await?;
        eventually("all acknowledgements", async || {
            Ok((person.seen_of(100).len() >= MESSAGES_EACH).then_some(()))
        })
        .await?;
        assert_eq!(person.seen_of("error"), Vec::<Value>::new());
    }
    let first = order(&people[0]);
    assert_eq!(
        first.iter().filter_map(|(seq, ..)| seq.as_u64()).collect::<Vec<_>>(),
        (1..=5000).collect::<Vec<_>>()
    );
    for person in &people[1..] {
        assert!(order(person) == first, "{} saw another order than {}", person.id, people[0].id);
    }
    let stored = people[0].whole_history("public").await?;
    let stored: Vec<_> =
        stored.iter().map(|m| (m["seq"].clone(), m["from"].clone(), m["id"].clone())).collect();
    assert!(stored == first, "the log has another order than what was seen");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_embedded_broker_all_see_the_same() -> Result<()> {
    crowd(&App::builder().no_rate_limit().start().await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mosquitto_all_see_the_same_and_so_does_the_broker() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let outsider = mqttchat_e2e::mqtt::Subscriber::start(&broker, "public/msgs").await?;
    let app = App::builder().no_rate_limit().broker(&broker.url()).start().await?;
    crowd(&app).await?;
    let published = eventually("5,000 messages on the broker", async || {
        let deliveries = outsider.deliveries();
        Ok((deliveries.len() >= ALL).then_some(deliveries))
    });
    let seqs = published
        .await?
        .iter()
        .map(|delivery| Ok(delivery.json()?["seq"].clone()))
        .collect::<Result<Vec<_>>>()?;
    let distinct: std::collections::BTreeSet<_> = seqs.iter().filter_map(Value::as_u64).collect();
    assert_eq!(distinct.len(), ALL);
    Ok(())
}
