//! Somebody sets the clock.

use anyhow::{Context, Result};
use mqttchat_e2e::chaos::clock::Clock;
use mqttchat_e2e::chaos::say::skipped;
use mqttchat_e2e::{App, User};
use serde_json::{Value, json};

const HOUR: i64 = 3600;

async fn types(ann: &mut User, bob: &mut User) -> Result<()> {
    for typing in [true, false] {
        bob.send(&json!({"type": "typing", "dest": "public", "data": {"typing": typing}})).await?;
        let told = |frame: &Value| frame["type"] == "typing" && frame["data"]["typing"] == typing;
        ann.expect_where("that Bob types, or has stopped", told).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_hour_forth_and_back_changes_no_order() -> Result<()> {
    let Some(clock) = Clock::new()? else {
        skipped("setting the clock", "libfaketime is not installed");
        return Ok(());
    };
    let mut options = App::builder().no_rate_limit();
    for (name, value) in clock.variables() {
        options = options.variable(name, &value);
    }
    let mut app = options.keeps_port()?.start().await?;
    let (mut ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let begun = ann.say("public", "at first").await?.time;
    let mut times = vec![begun];
    for (number, offset) in [HOUR, -HOUR, 0, HOUR, -HOUR, 0].into_iter().enumerate() {
        clock.step(offset)?;
        for dest in ["public", "private/bob"] {
            let text = format!("{number} {dest}");
            let said = ann.say(dest, &text).await?;
            let heard = bob.expect_text(&text).await?;
            assert_eq!(heard["time"], said.time);
            if dest == "public" {
                times.push(said.time);
            }
        }
        types(&mut ann, &mut bob).await?;
    }
    assert!(times.is_sorted(), "{times:?}");
    let hour = times.last().context("no times")? - begun;
    assert!(hour >= 3_500_000, "the clock was really set: {times:?}");

    // A restart while the clock is behind, and somebody who comes back.
    clock.step(-HOUR)?;
    app.kill().await?;
    app.start_again().await?;
    let mut back = ann.resume(app.address(), &[("public", 5)]).await?;
    let last = back.say("public", "at last").await?;
    assert!(last.time >= *times.last().context("no times")? && last.seq == 8, "{last:?}");
    let log = back.whole_history("public").await?;
    let seqs: Vec<_> = log.iter().filter_map(|entry| entry["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=8).collect::<Vec<_>>());
    Ok(())
}
