//! What comes from the broker: signed payloads, strangers' messages and questions, what other nodes say of their people (a
//! message a line).
#![no_main]
#![allow(dead_code, unreachable_pub, reason = "the modules are those of the bridge, of which this is a part")]

mod hub {
    pub fn now_ms() -> u64 {
        1_800_000_000_000
    }
}
#[path = "../../crates/bridge/src/peer.rs"]
mod peer;
#[path = "../../crates/bridge/src/question.rs"]
mod question;
#[path = "../../crates/bridge/src/said.rs"]
mod said;

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use mqttchat_protocol::{DisplayName, Keyring, Party, SIGN_LEN};
use peer::Peer;
use question::Question;
use said::Said;

/// Entries in an answer.
const MOST: u64 = 100;

fn signed(keys: &Keyring, payload: &[u8]) {
    // Nobody finds a signature.
    assert!(keys.open(payload).is_err());
    let mut sealed = keys.seal(payload);
    let body = payload.strip_suffix(b"}").unwrap_or(payload);
    assert_eq!(sealed.len(), body.len() + SIGN_LEN);
    assert_eq!(keys.open(&sealed).unwrap().to_json(), [body, b"}"].concat());
    assert!(Keyring::new(&[(1, [8; 32])]).open(&sealed).is_err());
    let at =
        payload.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31) + usize::from(*byte)) % sealed.len();
    sealed[at] ^= 1;
    assert!(keys.open(&sealed).is_err());
}

fn said(payload: &[u8]) {
    let Ok(said) = Said::parse(payload) else { return };
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
    assert!(!said.text.is_empty() && said.text.len() <= payload.len() && said.text.chars().all(is_text));
    let (from, name) = said.sender();
    assert!(from.is_foreign() && Party::parse(from.as_str()).as_ref() == Some(&from));
    assert!(DisplayName::parse(&name).is_some());
    // An object that says the same is the same.
    let written = serde_json::json!({"text": said.text, "from": said.from, "id": said.id});
    assert_eq!(Said::parse(written.to_string().as_bytes()), Ok(said));
}

fn question(payload: &[u8]) {
    match Question::parse(payload, MOST) {
        Ok(question) => {
            assert!(question.limit <= MOST && question.bounds.limit == Some(question.limit));
            assert!(question.bounds.before.is_none() || question.bounds.after.is_none());
        }
        Err(refusal) => assert!(!refusal.reason.is_empty()),
    }
}

/// Whoever follows what a node's messages tell of people coming and going knows who is there.
fn people(payload: &[u8]) {
    let (mut peer, mut known) = (Peer::default(), HashMap::new());
    for line in payload.split(|byte| *byte == b'\n').take(64) {
        let Ok(said) = serde_json::from_slice(line) else { continue };
        let (moved, _) = peer.take_in(said);
        for moved in moved {
            let key = (moved.at, moved.user);
            match moved.left {
                None => known.insert(key, moved.name),
                Some(_) => known.remove(&key),
            };
        }
        assert_eq!(known, peer.people);
    }
}

fuzz_target!(|payload: &[u8]| {
    let keys = Keyring::new(&[(1, [7; 32])]);
    signed(&keys, payload);
    said(payload);
    question(payload);
    people(payload);
});
