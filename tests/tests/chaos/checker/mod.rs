//! The checker finds every kind of broken promise, and nothing in a history without one.

mod breaks;
mod story;

use breaks::BREAKS;
use mqttchat_e2e::chaos::checker::{check, report};
use mqttchat_e2e::chaos::history::History;
use rand::SeedableRng;
use rand::rngs::StdRng;
use story::{Story, is_saw, places};

#[test]
fn a_good_history_is_found_good() {
    for seed in 0..200 {
        let history = Story::tell(seed);
        let violations = check(&history);
        assert!(violations.is_empty(), "seed {seed}: {}", report(&history, &violations));
    }
}

#[test]
fn every_broken_promise_is_found() {
    for seed in 0..30 {
        let good = Story::rich(seed);
        for (what, invariant, breaks) in BREAKS {
            let mut history = good.clone();
            breaks(&mut history, &mut StdRng::seed_from_u64(seed));
            let violations = check(&history);
            let found = violations.iter().any(|violation| violation.invariant == *invariant);
            assert!(found, "seed {seed}: {what} was not found as {invariant}, only {violations:?}");
        }
    }
}

#[test]
fn every_promise_is_broken_by_some_test() {
    for invariant in 1..=7 {
        assert!(BREAKS.iter().any(|(_, breaks, _)| *breaks == invariant), "{invariant}");
    }
}

#[test]
fn a_report_shows_what_it_is_about_and_a_saved_history_is_found_the_same() {
    let mut history = Story::tell(1);
    let again = history.records[places(&history, is_saw)[3]].clone();
    history.records.push(again.clone());
    let violations = check(&history);
    let report = report(&history, &violations);
    assert!(report.contains("invariant 5") && report.contains("twice"), "{report}");
    let shown = serde_json::to_string(&again).unwrap();
    assert_eq!(report.matches(&shown).count(), 2, "{report}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    history.save(&path).unwrap();
    let loaded = History::load(&path).unwrap();
    assert_eq!(loaded, history);
    assert_eq!(check(&loaded), violations);
}
