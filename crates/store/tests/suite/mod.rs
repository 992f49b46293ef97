//! What every store does, whichever backend it is on.
//!
//! A backend's test file says `suite::behaviour!(super::fresh);`, where `fresh()` makes a [`Place`] without any data.

// Each test file uses its own share of it, and all of it is tests.
#![allow(dead_code, unused_macros, unused_imports, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::panic)]

pub mod apikeys;
pub mod changes;
pub mod cluster;
pub mod cursors;
pub mod cutter;
pub mod idempotency;
pub mod leases;
pub mod log;
pub mod presence;
pub mod queue;
pub mod rooms;
pub mod search;
pub mod users;
pub mod welcome;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use mqttchat_protocol::{Conversation, DisplayName, EntryKind, MessageId, Party, RoomId, UserId};
use mqttchat_store::{Appended, ClaimOutcome, Clock, NewEntry, Store, StoreOptions, User};

/// Where a store is, to be opened more than once.
pub trait Place {
    /// How to open it.
    fn options(&self) -> StoreOptions;
}

/// Opens the store of a place.
pub async fn open(place: &impl Place) -> Store {
    Store::open(place.options()).await.unwrap()
}

/// One test for each function of the suite.
macro_rules! behaviour {
    ($fresh:path) => {
        suite::behaviour! { @ $fresh;
            log {
                numbers_without_holes, pages, pages_bounded_in_bytes, what_was_said_comes_back, survives_reopening, order_under_concurrency,
                a_refused_entry_takes_no_number, private_conversations_need_users, strangers_write_one_way,
                rooms_have_to_be_there, time_never_runs_backwards, unconfirmed_entries_of_a_node,
                confirmed_never_moves_back, how_far_readers_have_come,
                heads_that_changed,
            }
            idempotency {
                the_same_again, spelled_otherwise, something_else_under_the_same_id, ids_are_each_senders_own,
                at_the_same_instant_from_fifty_tasks, twice_in_one_commit, again_after_reopening,
                a_refused_id_is_still_free, a_conflict_leaves_nothing_behind, redelivered_publishes,
                redelivered_before_the_first_is_committed,
            }
            rooms {
                made_and_read_again, only_one_of_a_name, who_may_write, members_come_and_go, changes_count_at_once,
                deleted_and_made_again, listed, unread_of_private_ones_and_rooms, strangers_change_nothing,
            }
            changes {
                an_edit_is_an_entry_and_the_present_text, who_may_change_a_message, targets_that_are_none,
                deleted_is_gone, reactions_add_up, changes_in_one_commit, changes_in_a_room_go_with_it,
            }
            search {
                words_phrases_prefixes_and_authors, any_script, only_what_one_may_read, newest_first_and_no_more,
                follows_changes, nothing_is_left_of_a_deleted_room, found_after_reopening, what_isnt_text,
            }
            queue {
                outcomes_come_in_order, what_waits_is_committed_together, a_full_queue_makes_submitters_wait,
                a_dropped_submit_appends_nothing, closing_commits_what_is_queued, closed_for_other_handles,
                the_last_handle_commits_what_is_queued, a_panic_of_whoever_waits_harms_nobody,
            }
            users {
                an_id_is_claimed_once, claimed_by_one_of_many, renamed, free_names, pages_by_id, the_most_recent,
                users_survive_reopening,
            }
            apikeys {
                made_and_revoked_while_a_server_runs, names_that_are_taken, made_before_the_first_start,
                their_last_use,
            }
            welcome {
                nothing_of_a_blocked_user_is_stored, a_new_serial_for_each_token, rotated_secrets_in_their_time,
                commands_see_whether_it_is_there,
            }
            cursors {
                own_entries_are_delivered, delivered_moves_forward_only, delivered_once_by_all_that_move_it,
                an_answer_delivers_what_is_before_it, read_moves_forward_only,
                notes_to_oneself, undelivered_conversations, a_users_conversations, pages_of_conversations,
            }
            presence { last_seen_when_gone, on_two_nodes, after_a_crash, unknown_users_are_skipped }
            leases {
                one_owner_at_a_time, run_out_and_taken, run_out_and_still_renewed, given_back,
                the_lowest_free_node, nodes_and_whether_they_live,
            }
        }
    };
    (@ $fresh:path; $($module:ident { $($test:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[tokio::test]
            async fn $test() {
                crate::suite::$module::$test(&$fresh()).await;
            })*
        })*
    };
}
pub(crate) use behaviour;

/// A clock that shows what it is set to, and counts how often it is looked at.
#[derive(Clone, Default)]
pub struct HandClock {
    now: Arc<AtomicU64>,
    looks: Arc<AtomicU64>,
}

impl HandClock {
    pub fn at(now: u64) -> Self {
        let clock = Self::default();
        clock.set(now);
        clock
    }

    pub fn set(&self, now: u64) {
        self.now.store(now, Ordering::SeqCst);
    }

    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }

    pub fn clock(&self) -> Clock {
        let clock = self.clone();
        Clock::from_fn(move || {
            clock.looks.fetch_add(1, Ordering::SeqCst);
            clock.now.load(Ordering::SeqCst)
        })
    }
}

pub fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

pub fn party(id: &str) -> Party {
    Party::parse(id).unwrap()
}

pub fn pair(one: &str, other: &str) -> Conversation {
    Conversation::pair(party(one), party(other))
}

pub fn room(id: &str) -> Conversation {
    Conversation::Room(RoomId::parse(id).unwrap())
}

pub fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

/// A message to be appended.
pub fn msg(from: &str, conversation: &Conversation, message_id: &str, text: &str) -> NewEntry {
    NewEntry {
        conversation: conversation.clone(),
        kind: EntryKind::Msg,
        id: id(message_id),
        from: party(from),
        name: from.into(),
        data: serde_json::json!({ "text": text }).to_string().into(),
        change: None,
        ingest: None,
    }
}

/// Says something in public.
pub async fn say(store: &Store, from: &str, message_id: &str) -> Appended {
    store.append(msg(from, &Conversation::Public, message_id, message_id)).await.unwrap()
}

/// Claims an id of this name.
pub async fn claim(store: &Store, name: &str) -> User {
    let name = DisplayName::parse(name).unwrap();
    match store.claim_user(&user(&name.guest_id()), &name, "guest").await.unwrap() {
        ClaimOutcome::Created(user) => user,
        ClaimOutcome::Taken => panic!("{name} is taken"),
    }
}

/// Holds the writer up until this is dropped: what is submitted meanwhile waits, to be committed together.
pub struct HeldUp(#[allow(dead_code, reason = "dropped to let go")] mpsc::Sender<()>);

pub async fn hold_up(store: &Store) -> HeldUp {
    let (let_go, held) = mpsc::channel::<()>();
    let (reached, at_it) = tokio::sync::oneshot::channel();
    let done = Box::new(move |_| {
        reached.send(()).unwrap();
        // Until the other end is dropped.
        let _ = held.recv();
    });
    store
        .submit(msg("mqtt:holdup", &Conversation::Public, &uuid::Uuid::new_v4().to_string(), ""), done)
        .await;
    at_it.await.unwrap();
    HeldUp(let_go)
}
