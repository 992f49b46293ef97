//! The runs. `CHAOS_SECONDS` is how long all of them together break things, `CHAOS_SEED` what they are made
//! from, and `CHAOS_ONLY` names the one to run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mqttchat_e2e::chaos::fault::Fault;
use mqttchat_e2e::chaos::run::{Run, devices};
use mqttchat_e2e::chaos::stage::{Configuration, Database};

use crate::postgres::Cluster;

/// Seconds for all runs, where nothing else is said: together with their ends about two minutes.
const SECONDS: u64 = 60;
/// So many runs share the seconds.
const RUNS: u64 = 6;
/// So many devices take part in each.
const DEVICES: usize = devices();

fn number(name: &str) -> Result<Option<u64>> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value
        .map(|value| value.parse().with_context(|| format!("{name} is {value:?} and not a number")))
        .transpose()
}

/// Runs with the seed and the time that the environment gives.
#[expect(clippy::print_stdout, reason = "whoever runs it wants to see the seed and the figures")]
async fn run_on(
    name: &str,
    configuration: Configuration,
    faults: Vec<Fault>,
    database: impl FnOnce() -> Option<Arc<dyn Database>>,
) -> Result<()> {
    let only = std::env::var("CHAOS_ONLY").unwrap_or_default();
    if !only.is_empty() && only != name {
        return Ok(());
    }
    let share = if only.is_empty() { RUNS } else { 1 };
    let seed = number("CHAOS_SEED")?.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let seconds = number("CHAOS_SECONDS")?.unwrap_or(SECONDS);
    println!("chaos: {name} with seed {seed}");
    let database = database();
    let duration = Duration::from_secs(seconds) / u32::try_from(share)?;
    let figures = Run { name: name.to_owned(), configuration, seed, duration, faults, database }.go().await?;
    println!("chaos: {name} with seed {seed}: {figures:?}");
    assert!(figures.acknowledged > 0 && figures.foreign > 0, "nothing was said: {figures:?}");
    Ok(())
}

async fn run(name: &str, configuration: Configuration, faults: Vec<Fault>) -> Result<()> {
    run_on(name, configuration, faults, || None).await
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
    run("mosquitto-stays", Configuration::Mosquitto, without_loss(Configuration::Mosquitto)).await
}

/// All faults but those by which a broker forgets what it has confirmed.
fn without_loss(configuration: Configuration) -> Vec<Fault> {
    let lossy = |fault: &Fault| matches!(fault, Fault::KillBroker | Fault::EmptyBroker);
    configuration.faults(DEVICES).into_iter().filter(|fault| !lossy(fault)).collect()
}

/// The disk is full now and then, and somebody sets the clock.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_bad_machine() -> Result<()> {
    run("machine", Configuration::Machine, Vec::new()).await
}

/// A PostgreSQL with one database.
struct Postgres {
    cluster: Cluster,
    url: String,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.url)
    }
}

impl Database for Postgres {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn end(&self, orderly: bool) {
        self.cluster.stop(if orderly { "fast" } else { "immediate" });
    }

    fn start_again(&self) {
        self.cluster.start_again();
    }
}

/// Several servers are one: clients move between them, and each of them may die.
#[tokio::test(flavor = "multi_thread")]
async fn with_three_nodes() -> Result<()> {
    run_on("nodes", Configuration::Nodes(3), Vec::new(), || Some(postgres())).await
}

/// What a node had not published when it died, it or another publishes later.
#[tokio::test(flavor = "multi_thread")]
async fn with_two_nodes_and_a_mosquitto_that_stays() -> Result<()> {
    let configuration = Configuration::Nodes(2);
    run_on("nodes-stay", configuration, without_loss(configuration), || Some(postgres())).await
}

fn postgres() -> Arc<dyn Database> {
    let cluster = Cluster::start();
    let url = cluster.database("chat");
    Arc::new(Postgres { cluster, url })
}
