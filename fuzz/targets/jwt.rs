//! Tokens of an application's users, and the keys they are signed with. Whatever is shown: nobody comes in without a
//! signature of a key that is configured, nor for longer or further than the token says.
//!
//! An input is three bytes that choose what is done, and a text: a token, its header and claims (in two lines), claims
//! that are to be good, or a document with keys.
#![no_main]
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the module is that of the bridge, of which this is a part"
)]

// The module says `mqttchat_store`, and means what is used here under `crate`.
extern crate self as mqttchat_store;

#[path = "jwt/around.rs"]
mod around;
#[path = "jwt/judge.rs"]
mod judge;
#[path = "../../crates/bridge/src/jwt/mod.rs"]
mod jwt;
#[path = "jwt/signer.rs"]
mod signer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use around::{BLOCKED, GUEST, auth, deliver, hub};
pub use around::{ClaimOutcome, Scopes, Store};
use auth::{Authenticator, Denied, Identity};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use hub::now_ms;
use jwt::{FetchKeys, Jwt, JwtAlgorithm, JwtKeys, JwtRules, KeySet};
use libfuzzer_sys::fuzz_target;
use mqttchat_protocol::Hello;
use serde_json::{Value, json};
use signer::{Signer, base64, hs256};
use tokio::runtime::{Builder, Runtime};

fn application() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(Signer::new)
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
}

/// Where keys are fetched from, and how often they were.
struct Place(Vec<u8>, Arc<AtomicUsize>);

impl FetchKeys for Place {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

/// How a token is to be looked at, and signed.
struct Setup {
    rules: JwtRules,
    /// The keys that are configured.
    configured: Vec<JwtAlgorithm>,
    is_fetched: bool,
    by: JwtAlgorithm,
    /// Otherwise the signature is of something else, or with a key that anybody has.
    is_honest: bool,
}

impl Setup {
    fn of([what, missing, pen]: [u8; 3]) -> Self {
        let without = |bits: u8| -> Vec<JwtAlgorithm> {
            let all = JwtAlgorithm::ALL.into_iter().enumerate();
            all.filter(|(bit, _)| bits >> bit & 1 == 0).map(|(_, algorithm)| algorithm).collect()
        };
        let is_fetched = what & 4 != 0;
        let mut configured = without(missing >> 4);
        // What anybody can fetch is no secret.
        configured.retain(|algorithm| !is_fetched || *algorithm != JwtAlgorithm::Hs256);
        Self {
            rules: JwtRules {
                algorithms: without(missing & 15),
                issuer: (what & 8 == 0).then(|| "shop".to_owned()),
                audience: if what & 16 == 0 { vec!["chat".to_owned()] } else { Vec::new() },
                leeway: 5,
            },
            configured,
            is_fetched,
            by: JwtAlgorithm::ALL[usize::from(pen & 3)],
            is_honest: pen & 4 == 0,
        }
    }

    fn keys(&self) -> JwtKeys {
        if self.is_fetched {
            // The secret is in the set, too, for whoever should take it from there.
            let mut all = self.configured.clone();
            all.push(JwtAlgorithm::Hs256);
            JwtKeys::fetched(Box::new(Place(application().jwks(&all), Arc::default())))
        } else {
            KeySet::of_file(&application().jwks(&self.configured)).map_or_else(
                |_| JwtKeys::fetched(Box::new(Place(Vec::new(), Arc::default()))),
                JwtKeys::fixed,
            )
        }
    }

    fn jwt(&self) -> Jwt {
        Jwt::new(Store, self.rules.clone(), self.keys())
    }

    fn is_good(&self) -> bool {
        self.is_honest && self.configured.contains(&self.by) && self.rules.algorithms.contains(&self.by)
    }

    fn sign(&self, content: &str) -> String {
        let sign = match (self.is_honest, self.by) {
            (true, _) => application().sign(self.by, content),
            (false, JwtAlgorithm::Hs256) => application().sign(self.by, "another token"),
            (false, _) => hs256(&application().public(self.by), content),
        };
        format!("{content}.{}", base64(sign))
    }

    /// Shows a token, and looks at whoever was let in with it.
    fn show(&self, token: &str) -> Result<Identity, Denied> {
        let (began, keys) = (now_ms(), self.keys());
        let jwt = Jwt::new(Store, self.rules.clone(), keys.clone());
        let shown = show(&jwt, token);
        if let Ok(identity) = &shown {
            assert!(self.is_good(), "{token}");
            judge::judge(identity, token, self.by, &self.rules, began);
            // They stay until the key is gone.
            assert!(jwt.still_good(&identity.grant) && jwt.changes() == 0);
            keys.replace(KeySet::of_file(b"of another application").unwrap());
            assert!(!jwt.still_good(&identity.grant) && jwt.changes() == 1);
            // Unless it is fetched again.
            assert!(self.is_fetched || show(&jwt, token).is_err());
        }
        shown
    }
}

fn show(jwt: &Jwt, token: &str) -> Result<Identity, Denied> {
    let hello = Hello { name: None, token: Some(token.to_owned()), log: None, resume: BTreeMap::new() };
    RUNTIME.with(|runtime| runtime.block_on(jwt.authenticate(&hello)))
}

/// Small times are meant from now on.
fn soon(claims: &mut Value) {
    for name in ["exp", "nbf"] {
        if let Some(seconds) = claims[name].as_f64().filter(|seconds| seconds.abs() <= 1000.0) {
            claims[name] = json!(seconds + now_ms() as f64 / 1000.0);
        }
    }
}

fn is_object(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// Claims that are made good where they have to be: there is no reason to refuse them.
fn good_claims(setup: &Setup, text: &str) {
    let Some(mut claims) = is_object(text) else { return };
    for (name, value) in
        [("exp", json!(1000)), ("nbf", json!(-60)), ("iss", json!("shop")), ("aud", json!("chat"))]
    {
        claims[name] = value;
    }
    soon(&mut claims);
    if setup.rules.audience.is_empty() {
        claims.as_object_mut().unwrap().remove("aud");
    }
    if claims["sub"].as_str().is_none_or(str::is_empty) {
        claims["sub"] = json!("ann");
    }
    let header = json!({ "alg": format!("{:?}", jsonwebtoken::Algorithm::from(setup.by)) });
    let content = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
    let is_user = claims["sub"] != GUEST && claims["sub"] != BLOCKED;
    let is_short = claims["rooms"].as_array().is_none_or(|rooms| rooms.len() <= 1000);
    let has_lists = matches!(claims.get("rooms"), None | Some(Value::Array(_)))
        && matches!(claims.get("rights"), None | Some(Value::Array(_) | Value::String(_)));
    let token = setup.sign(&content);
    let is_short = is_short && token.len() <= 16 << 10;
    let shown = setup.show(&token);
    assert_eq!(shown.is_ok(), setup.is_good() && is_user && has_lists && is_short, "{claims}: {shown:?}");
}

/// Keys of a document. None of those that sign here is in it.
fn keys(setup: &Setup, document: &[u8]) {
    let rules = JwtRules { algorithms: JwtAlgorithm::ALL.to_vec(), ..setup.rules.clone() };
    let claims = json!({"sub": "ann", "iss": "shop", "aud": "chat", "exp": now_ms() / 1000 + 60}).to_string();
    let token = |algorithm: &str, kid: &str| {
        format!("{}.{}", base64(json!({"alg": algorithm, "kid": kid}).to_string()), base64(&claims))
    };
    let (began, fetches) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let fetched = JwtKeys::fetched(Box::new(Place(document.to_vec(), fetches.clone())));
    let fetched = Jwt::new(Store, rules.clone(), fetched);
    if let Ok(keys) = KeySet::of_file(document) {
        assert!(!keys.algorithms().is_empty());
        let fixed = Jwt::new(Store, rules, JwtKeys::fixed(keys));
        for (algorithm, name) in
            [(JwtAlgorithm::Hs256, "HS256"), (JwtAlgorithm::Es256, "ES256"), (JwtAlgorithm::EdDsa, "EdDSA")]
        {
            let content = token(name, signer::EC_ID);
            let signed = format!("{content}.{}", base64(application().sign(algorithm, &content)));
            assert!(show(&fixed, &signed).is_err());
            assert!(show(&fetched, &signed).is_err());
        }
    }
    // Whatever secrets a set has that anybody can fetch.
    let set: Value = serde_json::from_slice(document).unwrap_or_default();
    for key in set["keys"].as_array().into_iter().flatten().chain([&set]).take(8) {
        for name in ["k", "n", "x"] {
            let secret = key[name].as_str().and_then(|key| URL_SAFE_NO_PAD.decode(key).ok());
            let content = token("HS256", key["kid"].as_str().unwrap_or_default());
            let signed = format!("{content}.{}", base64(hs256(&secret.unwrap_or_default(), &content)));
            assert!(show(&fetched, &signed).is_err());
        }
    }
    // The first, one for a key that isn't known, and no more within ten seconds.
    let allowed = 2 + began.elapsed().as_secs() / 10;
    assert!(fetches.load(Ordering::Relaxed) as u64 <= allowed);
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first_chunk::<3>() else { return };
    let setup = Setup::of(*choice);
    if choice[0] & 3 == 3 {
        return keys(&setup, rest);
    }
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match choice[0] & 3 {
        0 => {
            // Nobody finds a signature; and a good one doesn't make a token of any text.
            assert!(show(&setup.jwt(), text).is_err());
            let _ = setup.show(&setup.sign(text));
        }
        1 => {
            let (header, claims) = text.split_once('\n').unwrap_or((text, ""));
            let claims = match is_object(claims) {
                Some(mut object) if object["exp"].is_number() => {
                    soon(&mut object);
                    object.to_string()
                }
                _ => claims.to_owned(),
            };
            let _ = setup.show(&setup.sign(&format!("{}.{}", base64(header), base64(claims))));
        }
        _ => good_claims(&setup, text),
    }
});
