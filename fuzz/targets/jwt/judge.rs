//! What has to hold for a token that was let in, written down a second time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::Scopes;
use crate::around::{BLOCKED, BLOCKS, GUEST};
use crate::auth::Identity;
use crate::hub::now_ms;
use crate::jwt::{JwtAlgorithm, JwtRules};
use crate::signer::EC_ID;

fn part(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

fn seconds(number: &Value) -> f64 {
    number.as_f64().unwrap()
}

/// Who was let in has shown a token that was signed with `by`, and gets no more than it says. `began`: before it was
/// looked at, Unix time in ms.
pub fn judge(identity: &Identity, token: &str, by: JwtAlgorithm, rules: &JwtRules, began: u64) {
    let (content, _) = token.rsplit_once('.').unwrap();
    let (header, claims) = content.split_once('.').unwrap();
    let (header, claims) = (part(header), part(claims));

    assert_eq!(header["alg"].as_str().and_then(JwtAlgorithm::parse), Some(by));
    assert!(rules.algorithms.contains(&by));
    assert!(header["crit"].is_null() || header["crit"] == Value::Array(Vec::new()));
    assert!(by != JwtAlgorithm::Es256 || header["kid"].is_null() || header["kid"] == EC_ID);

    let leeway = rules.leeway as f64;
    assert!((seconds(&claims["exp"]).max(0.0) + leeway) * 1000.0 > began as f64, "expired");
    // To the second, rounded.
    assert!(claims["nbf"].is_null() || seconds(&claims["nbf"]) - leeway - 1.0 <= now_ms() as f64 / 1000.0);
    if let Some(issuer) = &rules.issuer {
        assert_eq!(claims["iss"], **issuer);
    }
    let is_for = |name: &Value| rules.audience.iter().any(|audience| *name == **audience);
    match &claims["aud"] {
        Value::Array(names) => assert!(names.iter().any(is_for)),
        name => assert!(rules.audience.is_empty() && name.is_null() || is_for(name)),
    }

    let sub = claims["sub"].as_str().unwrap();
    let user = identity.user.as_str();
    assert!(!sub.is_empty() && (user == sub || user.starts_with("u-") && user.len() == 18));
    assert!(user != GUEST && user != BLOCKED);
    assert!(mqttchat_protocol::DisplayName::parse(&identity.name).is_some());
    assert_eq!(identity.token, None);
    assert_grant(identity, &claims);
}

fn assert_grant(identity: &Identity, claims: &Value) {
    let grant = &identity.grant;
    assert!(grant.expires.unwrap() > 0);
    // Whoever is blocked again is out, by this.
    assert_eq!(grant.blocks, Some(BLOCKS));
    let has = |list: &Value, word: &str| match list {
        Value::Array(words) => words.iter().any(|given| given == word),
        Value::String(words) => words.split_whitespace().any(|given| given == word),
        _ => false,
    };
    let Scopes { read, write, rooms, admin } = grant.scopes;
    for (given, word) in [(read, "read"), (write, "write"), (rooms, "rooms"), (admin, "admin")] {
        let by_default = claims["rights"].is_null() && word != "admin";
        assert_eq!(given, by_default || has(&claims["rights"], word), "{word}");
    }
    assert_eq!(grant.rooms.is_none(), claims["rooms"].is_null());
    for room in grant.rooms.iter().flat_map(|rooms| rooms.iter()) {
        assert!(has(&claims["rooms"], room.as_str()));
    }
}
