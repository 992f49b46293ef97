//! A server that breaks a promise is found out by a whole run, from the clients to the checker.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use mqttchat_e2e::chaos::checker::report;
use mqttchat_e2e::chaos::liar::Lie;
use mqttchat_e2e::chaos::run::{Outcome, Run};
use mqttchat_e2e::chaos::stage::Configuration;

/// Long enough for each lie to be told many times.
const LONG: Duration = Duration::from_secs(4);
/// Messages of each device in a second: all lies are told at the same time.
const RATE: u32 = 8;

async fn run(lie: Lie) -> Result<Outcome> {
    let run = Run {
        name: format!("lie-{lie:?}"),
        configuration: Configuration::Embedded,
        seed: 5,
        replay: format!("what failed was told {lie:?}"),
        duration: LONG,
        first: Vec::new(),
        faults: Vec::new(),
        rate: RATE,
        database: None,
        lie: Some(lie),
    };
    run.go().await.with_context(|| format!("{lie:?}"))
}

/// Each promise of the checker, by its number, is broken by one lie at least.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_them_turns_a_run_red() -> Result<()> {
    let lies = [
        (Lie::Lost, 1),
        (Lie::Swapped, 2),
        (Lie::LeftOut, 2),
        (Lie::MadeUp, 2),
        (Lie::TwoAnswers, 3),
        (Lie::Leaked, 4),
        (Lie::Repeated, 5),
        (Lie::Changed, 6),
        (Lie::KeptBack, 7),
        (Lie::StillThere, 4),
        (Lie::LetIn, 4),
    ];
    assert!((1..=7).all(|promise| lies.iter().any(|(_, broken)| *broken == promise)));
    let outcomes = try_join_all(lies.map(|(lie, _)| run(lie))).await?;
    for ((lie, promise), outcome) in lies.iter().zip(outcomes) {
        let found = outcome.violations.iter().any(|violation| violation.invariant == *promise);
        let report = report(&outcome.history, &outcome.violations);
        assert!(found, "{lie:?} was not found as {promise}: {}\n{report}", outcome.figures);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_truth_does_not() -> Result<()> {
    let outcome = run(Lie::Nothing).await?;
    assert!(outcome.violations.is_empty(), "{}", report(&outcome.history, &outcome.violations));
    assert!(outcome.figures.acknowledged > 100, "{}", outcome.figures);
    Ok(())
}
