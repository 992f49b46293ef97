//! The runs. `CHAOS_SECONDS` is how long all of them together break things, `CHAOS_SEED` what they are made
//! from, and `CHAOS_ONLY` names the one to run.

use std::time::Duration;

use anyhow::{Context, Result};
use mqttchat_e2e::chaos::fault::Fault;
use mqttchat_e2e::chaos::run::Run;
use mqttchat_e2e::chaos::stage::Configuration;

/// Seconds for all runs, where nothing else is said: together with their ends about two minutes.
const SECONDS: u64 = 60;
/// So many runs share the seconds.
const RUNS: u64 = 4;

fn number(name: &str) -> Result<Option<u64>> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value
        .map(|value| value.parse().with_context(|| format!("{name} is {value:?} and not a number")))
        .transpose()
}

/// Runs with the seed and the time that the environment gives.
#[expect(clippy::print_stdout, reason = "whoever runs it wants to see the seed and the figures")]
async fn run(name: &str, configuration: Configuration, faults: Vec<Fault>) -> Result<()> {
    let only = std::env::var("CHAOS_ONLY").unwrap_or_default();
    if !only.is_empty() && only != name {
        return Ok(());
    }
    let share = if only.is_empty() { RUNS } else { 1 };
    let seed = number("CHAOS_SEED")?.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let seconds = number("CHAOS_SECONDS")?.unwrap_or(SECONDS);
    println!("chaos: {name} with seed {seed}");
    let duration = Duration::from_secs(seconds) / u32::try_from(share)?;
    let figures = Run { name: name.to_owned(), configuration, seed, duration, faults }.go().await?;
    println!("chaos: {name} with seed {seed}: {figures:?}");
    assert!(figures.acknowledged > 0 && figures.foreign > 0, "nothing was said: {figures:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_broker_inside() -> Result<()> {
    run("embedded", Configuration::Embedded, Vec::new()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_mosquitto() -> Result<()> {
    run("mosquitto", Configuration::Mosquitto, Vec::new()).await
}

/// Where the broker keeps what it has confirmed, MQTT clients lose nothing either.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_mosquitto_that_stays() -> Result<()> {
    let lossy = |fault: &Fault| matches!(fault, Fault::KillBroker | Fault::EmptyBroker);
    let faults = Configuration::Mosquitto.faults(10).into_iter().filter(|fault| !lossy(fault)).collect();
    run("mosquitto-stays", Configuration::Mosquitto, faults).await
}

/// The disk is full now and then, and somebody sets the clock.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_bad_machine() -> Result<()> {
    run("machine", Configuration::Machine, Vec::new()).await
}
