//! The way to the writer and back.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use mqttchat_protocol::Conversation;
use mqttchat_store::{AppendError, Store};

use super::{HandClock, Place, hold_up, msg, open, say};

fn text(message_id: u64) -> mqttchat_store::NewEntry {
    msg("ann", &Conversation::Public, &message_id.to_string(), "x")
}

pub async fn outcomes_come_in_order(place: &impl Place) {
    let store = open(place).await;
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let (finished, all) = tokio::sync::oneshot::channel();
    let mut finished = Some(finished);
    for n in 1..=500 {
        let outcomes = outcomes.clone();
        let finished = if n == 500 { finished.take() } else { None };
        let done = Box::new(move |outcome: Result<mqttchat_store::Appended, _>| {
            outcomes.lock().unwrap().push(outcome.unwrap().entry.seq);
            if let Some(finished) = finished {
                finished.send(()).unwrap();
            }
        });
        store.submit(text(n), done).await;
    }
    all.await.unwrap();
    assert_eq!(*outcomes.lock().unwrap(), (1..=500).collect::<Vec<u64>>());
}

pub async fn what_waits_is_committed_together(place: &impl Place) {
    let clock = HandClock::at(1);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    let held = hold_up(&store).await;
    let before = clock.looks();
    let mut outcomes = Vec::new();
    for n in 0..1000 {
        let (sender, outcome) = tokio::sync::oneshot::channel();
        store.submit(text(n), Box::new(move |result| sender.send(result.is_ok()).unwrap())).await;
        outcomes.push(outcome);
    }
    drop(held);
    for outcome in outcomes {
        assert!(outcome.await.unwrap());
    }
    assert_eq!(clock.looks() - before, 1, "the time is looked at once for each commit");
}

pub async fn a_full_queue_makes_submitters_wait(place: &impl Place) {
    let store = open(place).await;
    let held = hold_up(&store).await;
    let large = "x".repeat(1 << 20);
    let mut inside = 0;
    let mut outside = loop {
        let entry = msg("ann", &Conversation::Public, &inside.to_string(), &large);
        let mut submit = Box::pin(store.submit(entry, Box::new(|_| ())));
        if submit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            break submit;
        }
        inside += 1;
        assert!(inside < 100, "a queue without bounds");
    };
    drop(held);
    outside.as_mut().await;
    say(&store, "ann", "last").await;
    // What held the writer up, those that had room, the one that waited, and the last.
    assert_eq!(store.head(&Conversation::Public).await.unwrap(), inside + 3);
}

pub async fn a_dropped_submit_appends_nothing(place: &impl Place) {
    let store = open(place).await;
    let held = hold_up(&store).await;
    // Waits for an empty queue, which it isn't.
    let huge = msg("ann", &Conversation::Public, "huge", &"x".repeat(16 << 20));
    {
        let mut submit = pin!(store.submit(huge, Box::new(|_| panic!("called"))));
        assert!(submit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(held);
    assert_eq!(say(&store, "ann", "next").await.entry.seq, 2);
}

pub async fn closing_commits_what_is_queued(place: &impl Place) {
    let store = open(place).await;
    let held = hold_up(&store).await;
    for n in 0..100 {
        store.submit(text(n), Box::new(|outcome| drop(outcome.unwrap()))).await;
    }
    tokio::join!(store.close(), async { drop(held) });
    let store = open(place).await;
    assert_eq!(store.head(&Conversation::Public).await.unwrap(), 101);
}

pub async fn closed_for_other_handles(place: &impl Place) {
    let store = open(place).await;
    let other = store.clone();
    store.close().await;
    assert!(matches!(other.append(text(1)).await, Err(AppendError::Unavailable(_))));
    assert!(other.head(&Conversation::Public).await.is_err());
    assert!(other.set_confirmed("n1", 1).await.is_err());
    other.close().await;
}

pub async fn the_last_handle_commits_what_is_queued(place: &impl Place) {
    let store = open(place).await;
    let held = hold_up(&store).await;
    let (finished, last) = tokio::sync::oneshot::channel();
    store.submit(text(1), Box::new(move |outcome| finished.send(outcome).unwrap())).await;
    drop(store);
    drop(held);
    assert_eq!(last.await.unwrap().unwrap().entry.seq, 2);
}

pub async fn a_panic_of_whoever_waits_harms_nobody(place: &impl Place) {
    let store = open(place).await;
    let held = hold_up(&store).await;
    store.submit(text(1), Box::new(|_| panic!("on purpose"))).await;
    let (outcome, ()) = tokio::join!(store.append(text(2)), async { drop(held) });
    assert_eq!(outcome.unwrap().entry.seq, 3);
}
