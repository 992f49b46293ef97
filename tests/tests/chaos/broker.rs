//! The broker is gone for a while, and comes back without anything that it knew.

use std::collections::BTreeSet;

use anyhow::Result;
use mqttchat_e2e::chaos::proxy::{Every, Proxy, Weather};
use mqttchat_e2e::mqtt::{Subscriber, publish};
use mqttchat_e2e::{App, Mosquitto, eventually};

#[tokio::test]
async fn a_broker_that_comes_back_empty_gets_all_that_was_said() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let link = Proxy::start(broker.address()).await?;
    let url = broker.url().replace(&broker.address().to_string(), &link.address().to_string());
    let app = App::builder().no_rate_limit().broker(&url).start().await?;
    let (mut ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let outsider = Subscriber::start(&broker, "public/msgs").await?;
    ann.say("public", "before").await?;
    outsider.expect_text("before").await?;

    broker.kill().await?;
    for number in 0..100 {
        let text = format!("meanwhile {number}");
        ann.say("public", &text).await?;
        bob.expect_text(&text).await?;
    }
    // Somebody listens again before the server is there, so that nothing can pass unheard.
    link.set_weather(Weather::BlackHole, Every(1));
    link.cut(Every(1));
    broker.start_empty().await?;
    let listener = Subscriber::start(&broker, "public/msgs").await?;
    link.set_weather(Weather::Fair, Every(1));
    link.cut(Every(1));
    ann.say("public", "after").await?;

    let missing = std::cell::RefCell::new(
        (0..100).map(|number| format!("meanwhile {number}")).collect::<BTreeSet<_>>(),
    );
    eventually("everything that was said meanwhile", async || {
        for delivery in listener.deliveries() {
            missing.borrow_mut().remove(delivery.json()?["data"]["text"].as_str().unwrap_or_default());
        }
        Ok(missing.borrow().is_empty().then_some(()))
    })
    .await?;
    listener.expect_text("after").await?;

    // The server's subscriptions were lost with the broker's state, and are made again.
    let number = std::cell::Cell::new(0);
    eventually("what an MQTT client says", async || {
        number.set(number.get() + 1);
        publish(&broker, "public/msgs", &format!("reading {}", number.get())).await?;
        Ok(bob.seen_of("msg").into_iter().find(|frame| frame["via"] == "mqtt"))
    })
    .await?;
    Ok(())
}
