//! Frames of a client: each is understood or refused, and a refusal is a frame that can be sent. Signatures of clients
//! hold for what they were made of.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use mqttchat_protocol::{ClientFrame, ClientKey, ClientSign, Command, Dest, DisplayName, Refusal, canonical};
use serde_json::{Value, json};

/// The greatest whole number that every JSON implementation holds exactly.
const NUMBER_MAX: u64 = 1 << 53;

fn assert_bounded(frame: &ClientFrame) {
    let numbers = match &frame.command {
        Command::Join { history } => vec![Some(*history)],
        Command::Read { seq } => vec![Some(*seq)],
        Command::History(bounds) => {
            assert!(bounds.before.is_none() || bounds.after.is_none());
            vec![bounds.before, bounds.after, bounds.limit]
        }
        Command::Hello(hello) => hello.resume.values().copied().map(Some).collect(),
        Command::React { emoji, .. } => {
            assert!((1..=32).contains(&emoji.len()));
            Vec::new()
        }
        Command::Msg(data) => {
            assert!(data.get("text").is_none_or(Value::is_string));
            Vec::new()
        }
        _ => Vec::new(),
    };
    assert!(numbers.into_iter().flatten().all(|number| number <= NUMBER_MAX));
    if let Command::Hello(hello) = &frame.command
        && let Some(name) = &hello.name
    {
        assert_eq!(DisplayName::parse(name.as_str()).as_ref(), Some(name));
    }
    if let Some(dest) = &frame.dest {
        assert_eq!(Dest::parse(&dest.to_string()).as_ref(), Ok(dest));
    }
}

fn assert_can_be_said(refusal: &Refusal) {
    // Nothing long of the client's comes back.
    assert!((1..400).contains(&refusal.reason.len()), "{}", refusal.reason);
    let frame: Value = serde_json::from_slice(&refusal.to_frame().payload()).unwrap();
    assert_eq!(frame["type"], "error");
    assert_eq!(frame["data"]["reason"], *refusal.reason);
}

fn assert_signed(text: &str, frame: &Value) {
    let key = ClientKey::random();
    // Nobody finds a signature.
    assert_ne!(key.check(text), ClientSign::Good);
    let Value::Object(mut signed) = frame.clone() else { return };
    let content =
        ["id", "type", "dest", "data"].map(|name| signed.get(name).cloned().unwrap_or_default()).to_vec();
    let secret = URL_SAFE_NO_PAD.decode(key.to_text()).unwrap();
    let mac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
    let sign = ring::hmac::sign(&mac, canonical(&Value::from(content)).as_bytes());
    signed.insert("sign".to_owned(), URL_SAFE_NO_PAD.encode(sign).into());
    assert_eq!(key.check(&Value::from(signed.clone()).to_string()), ClientSign::Good);
    let another = json!({ "was": signed.get("data") });
    signed.insert("data".to_owned(), another);
    assert_eq!(key.check(&Value::from(signed).to_string()), ClientSign::Wrong);
}

fuzz_target!(|text: &str| {
    let parsed = ClientFrame::parse(text);
    match &parsed {
        Ok(frame) => assert_bounded(frame),
        Err(refusal) => assert_can_be_said(refusal),
    }
    // What an application knows besides is all that differs.
    match (ClientFrame::parse_with(text, |_| true).map(|frame| frame.command), &parsed) {
        (Ok(Command::Own { kind, .. }), Err(_)) => {
            assert!(ClientFrame::parse_with(text, |own| own == kind).is_ok())
        }
        (own, parsed) => assert_eq!(own.is_ok(), parsed.is_ok()),
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    if parsed.is_ok() {
        // The same in other bytes.
        assert_eq!(ClientFrame::parse(&value.to_string()), parsed);
    }
    let written = canonical(&value);
    assert_eq!(canonical(&serde_json::from_str(&written).unwrap()), written);
    assert_signed(text, &value);
});
