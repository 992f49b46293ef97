//! The runs. Of the environment, `CHAOS_SECONDS` is how long all of them together break things, `CHAOS_SEED` what they
//! are made from, `CHAOS_ONLY` names the one to run, `CHAOS_RATE` is how many messages each device writes in a second,
//! and `CHAOS_KILLS` how many times more often servers and brokers are killed than anything else breaks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mqttchat_e2e::chaos::fault::Fault;
use mqttchat_e2e::chaos::run::{RATE, Run, devices};
use mqttchat_e2e::chaos::say::say;
use mqttchat_e2e::chaos::stage::{Configuration, Database};

use crate::database::postgres;

/// Seconds for all runs, where nothing else is said: together with their ends about two minutes.
const SECONDS: u64 = 60;

/// A run: what it plays on, and what it breaks first. All of them together break everything, however short they are.
#[derive(Debug, Clone, Copy)]
struct Scene {
    name: &'static str,
    configuration: Configuration,
    /// Whether the broker never forgets what it has confirmed.
    broker_stays: bool,
    first: [Fault; 4],
}

const EMBEDDED: Scene = Scene {
    name: "embedded",
    configuration: Configuration::Embedded,
    broker_stays: false,
    first: [Fault::KillServer(0), Fault::Storm, Fault::SlowReader(0), Fault::ReadOnly],
};
const MOSQUITTO: Scene = Scene {
    name: "mosquitto",
    configuration: Configuration::Mosquitto,
    broker_stays: false,
    first: [Fault::EmptyBroker, Fault::KillBroker, Fault::CutLink, Fault::BlackHoleClients(2)],
};
const MOSQUITTO_STAYS: Scene = Scene {
    name: "mosquitto-stays",
    configuration: Configuration::Mosquitto,
    broker_stays: true,
    first: [Fault::FreezeBroker, Fault::BlackHoleLink, Fault::KillServer(0), Fault::FreezeServer(0)],
};
const MACHINE: Scene = Scene {
    name: "machine",
    configuration: Configuration::Machine,
    broker_stays: false,
    first: [Fault::FullDisk, Fault::StepClock(3600), Fault::StepClock(-3600), Fault::KillServer(0)],
};
const NODES: Scene = Scene {
    name: "nodes",
    configuration: Configuration::Nodes(3),
    broker_stays: false,
    first: [Fault::KillDatabase, Fault::KillServer(0), Fault::KillServer(2), Fault::DelayClients(2)],
};
const NODES_STAY: Scene = Scene {
    name: "nodes-stay",
    configuration: Configuration::Nodes(2),
    broker_stays: true,
    first: [Fault::StopDatabase, Fault::StopServer(0), Fault::DelayLink, Fault::CutClients(1)],
};
const SCENES: [Scene; 6] = [EMBEDDED, MOSQUITTO, MOSQUITTO_STAYS, MACHINE, NODES, NODES_STAY];

impl Scene {
    /// Everything that breaks in it after that; kills so many times more often.
    fn faults(&self, kills: usize) -> Vec<Fault> {
        let faults = self.configuration.faults(devices());
        let forgets = |fault: &Fault| matches!(fault, Fault::KillBroker | Fault::EmptyBroker);
        let faults = faults.into_iter().filter(|fault| !(self.broker_stays && forgets(fault)));
        faults.flat_map(|fault| std::iter::repeat_n(fault, if fault.kills() { kills } else { 1 })).collect()
    }

    async fn play(&self) -> Result<()> {
        let only = std::env::var("CHAOS_ONLY").unwrap_or_default();
        if !only.is_empty() && only != self.name {
            return Ok(());
        }
        let share = if only.is_empty() { u32::try_from(SCENES.len())? } else { 1 };
        let seed = number("CHAOS_SEED")?.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        let seconds = number("CHAOS_SECONDS")?.unwrap_or(SECONDS);
        let rate = number("CHAOS_RATE")?.map_or(Ok(RATE), u32::try_from)?;
        let kills = number("CHAOS_KILLS")?.map_or(Ok(1), usize::try_from)?;
        say(&format!("{} seed={seed} begins", self.name));
        let is_cluster = matches!(self.configuration, Configuration::Nodes(_));
        let duration = Duration::from_secs(seconds) / share;
        let run = Run {
            name: self.name.to_owned(),
            configuration: self.configuration,
            seed,
            replay: format!(
                "replay: CHAOS_SEED={seed} CHAOS_SECONDS={} CHAOS_RATE={rate} CHAOS_KILLS={kills} CHAOS_ONLY={} make test-chaos",
                duration.as_secs(),
                self.name
            ),
            duration,
            first: self.first.to_vec(),
            faults: self.faults(kills),
            rate,
            database: is_cluster.then(|| -> Arc<dyn Database> { postgres() }),
            lie: None,
        };
        let outcome = run.go().await?;
        let figures = &outcome.figures;
        say(&format!("{} seed={seed} {figures}", self.name));
        run.demand(&outcome)?;
        assert!(figures.acknowledged > 0 && figures.foreign > 0, "nothing was said: {figures}");
        let rooms = [figures.rooms, figures.removals, figures.changes, figures.barred, figures.sockjs];
        assert!(rooms.iter().all(|count| *count > 0), "rooms and SockJS were left out: {figures}");
        for fault in self.first.map(|fault| fault.kind()) {
            assert!(figures.faults.contains_key(&fault) || figures.skipped.contains(&fault), "no {fault}");
        }
        Ok(())
    }
}

fn number(name: &str) -> Result<Option<u64>> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value
        .map(|value| value.parse().with_context(|| format!("{name} is {value:?} and not a number")))
        .transpose()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_broker_inside() -> Result<()> {
    EMBEDDED.play().await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_mosquitto() -> Result<()> {
    MOSQUITTO.play().await
}

/// Where the broker keeps what it has confirmed, MQTT clients lose nothing either.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_mosquitto_that_stays() -> Result<()> {
    MOSQUITTO_STAYS.play().await
}

/// The disk is full now and then, and somebody sets the clock.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_bad_machine() -> Result<()> {
    MACHINE.play().await
}

/// Several servers are one: clients move between them, and each of them may die.
#[tokio::test(flavor = "multi_thread")]
async fn with_three_nodes() -> Result<()> {
    NODES.play().await
}

/// What a node had not published when it died, it or another publishes later.
#[tokio::test(flavor = "multi_thread")]
async fn with_two_nodes_and_a_mosquitto_that_stays() -> Result<()> {
    NODES_STAY.play().await
}

#[test]
fn even_short_runs_break_everything_between_them() {
    let begun: Vec<_> = SCENES.iter().flat_map(|scene| scene.first).map(|fault| fault.kind()).collect();
    for scene in SCENES {
        let all = scene.faults(1);
        assert!(
            scene.first.iter().all(|fault| all.iter().any(|other| other.kind() == fault.kind())),
            "{scene:?}"
        );
        for fault in all {
            assert!(begun.contains(&fault.kind()), "{fault:?} of {}", scene.name);
        }
    }
}
