//! What comes from the broker: signed payloads, strangers' messages; and tokens, which are signed with the same secret.
#![no_main]
#![allow(dead_code, reason = "the module is that of the bridge, of which this is a part")]

#[path = "../../crates/bridge/src/said.rs"]
mod said;

use libfuzzer_sys::fuzz_target;
use mqttchat_protocol::{Keyring, Token};
use said::Said;

fuzz_target!(|payload: &[u8]| {
    let keys = Keyring::new(&[(1, [7; 32])]);
    // Nobody finds a signature.
    assert!(keys.open(payload).is_err());
    if let Ok(text) = std::str::from_utf8(payload) {
        assert!(Token::verify(text, &keys).is_err());
    }
    if let Ok(said) = Said::parse(payload) {
        assert!(!said.text.is_empty());
        // Sealed, it is opened and is the same.
        let json = serde_json::json!({ "text": said.text }).to_string();
        let sealed = keys.seal(json.as_bytes());
        assert_eq!(keys.open(&sealed).map(|envelope| envelope.to_json()).ok().as_deref(), Some(json.as_bytes()));
    }
});
