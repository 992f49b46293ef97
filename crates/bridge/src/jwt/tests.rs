mod bounds;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mqttchat_store::StoreOptions;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const RSA: &[u8] = include_bytes!("test_keys/rsa.p8");
const RSA_PUBLIC: &[u8] = include_bytes!("test_keys/rsa.pem");

/// Somebody who signs tokens.
struct Signer {
    ec: Vec<u8>,
    ed: Vec<u8>,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        Self { ec: ec.as_ref().to_vec(), ed: ed.as_ref().to_vec() }
    }

    fn ec(&self) -> EcdsaKeyPair {
        let random = SystemRandom::new();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.ec, &random).unwrap()
    }

    fn jwks(&self, ids: [&str; 2]) -> Vec<u8> {
        let ec = self.ec();
        let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
        let ed = Ed25519KeyPair::from_pkcs8(&self.ed).unwrap();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": ids[0], "x": text(x), "y": text(y)},
            {"kty": "OKP", "crv": "Ed25519", "kid": ids[1], "use": "sig", "x": text(ed.public_key().as_ref())},
            {"kty": "oct", "kid": "secret", "k": text(SECRET)},
            {"kty": "what", "is": "this"},
        ]});
        keys.to_string().into_bytes()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let content = format!("{}.{}", encode(header), encode(claims));
        let random = SystemRandom::new();
        let sign = match header["alg"].as_str().unwrap() {
            "HS256" => hs256(SECRET, content.as_bytes()),
            "RS256" => {
                let key = RsaKeyPair::from_pkcs8(RSA).unwrap();
                let mut sign = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, content.as_bytes(), &mut sign).unwrap();
                sign
            }
            "ES256" => self.ec().sign(&random, content.as_bytes()).unwrap().as_ref().to_vec(),
            "EdDSA" => {
                Ed25519KeyPair::from_pkcs8(&self.ed).unwrap().sign(content.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{content}.{}", URL_SAFE_NO_PAD.encode(sign))
    }
}

fn hs256(secret: &[u8], content: &[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    ring::hmac::sign(&key, content).as_ref().to_vec()
}

fn claims(more: &Value) -> Value {
    let now = now_ms() / 1000;
    let mut claims = json!({"sub": "ann", "name": "Ann", "iss": "shop", "aud": "chat", "exp": now + 60});
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    claims
}

fn rules() -> JwtRules {
    JwtRules {
        algorithms: JwtAlgorithm::ALL.to_vec(),
        issuer: Some("shop".to_owned()),
        audience: vec!["chat".to_owned()],
        leeway: 5,
    }
}

async fn jwt(rules: JwtRules, keys: JwtKeys) -> (Jwt, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::sqlite(directory.path())).await.unwrap();
    (Jwt::new(store, rules, keys), directory)
}

async fn show(jwt: &Jwt, token: &str) -> Result<Identity, Denied> {
    let hello = Hello { name: None, token: Some(token.to_owned()), log: None, resume: BTreeMap::new() };
    jwt.authenticate(&hello).await
}

#[tokio::test]
async fn each_algorithm_with_a_key_of_its_own() {
    let signer = Signer::new();
    for (algorithm, content) in [
        ("HS256", SECRET.to_vec()),
        ("RS256", RSA_PUBLIC.to_vec()),
        ("ES256", signer.jwks(["a", "b"])),
        ("EdDSA", signer.jwks(["a", "b"])),
    ] {
        let keys = JwtKeys::fixed(KeySet::of_file(&content).unwrap());
        let (jwt, _directory) = jwt(rules(), keys).await;
        let token = signer.sign(&json!({ "alg": algorithm }), &claims(&json!({})));
        let identity = show(&jwt, &token).await.unwrap();
        assert_eq!((identity.user.as_str(), &*identity.name), ("ann", "Ann"), "{algorithm}");
        let left = identity.grant.expires.unwrap() - now_ms();
        assert!((60_000..=65_000).contains(&left), "{left}");
        let (content, _) = token.rsplit_once('.').unwrap();
        for sign in ["", "AAAA", &URL_SAFE_NO_PAD.encode([0; 64]), &URL_SAFE_NO_PAD.encode([0; 256])] {
            assert!(show(&jwt, &format!("{content}.{sign}")).await.is_err(), "{algorithm} {sign}");
        }
        let other = signer.sign(&json!({ "alg": algorithm }), &claims(&json!({"sub": "bob"})));
        let (other, _) = other.rsplit_once('.').unwrap();
        let stolen = format!("{other}.{}", token.rsplit_once('.').unwrap().1);
        assert!(show(&jwt, &stolen).await.is_err(), "{algorithm}: a signature of another token");
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token() {
    let signer = Signer::new();
    let keys = JwtKeys::fixed(KeySet::of_file(SECRET).unwrap());
    let (jwt, _directory) = jwt(rules(), keys).await;
    let now = now_ms() / 1000;
    let good = json!({"alg": "HS256"});
    for (header, more) in [
        (json!({"alg": "none"}), json!({})),
        (json!({"alg": "None"}), json!({})),
        (json!({"alg": "HS384"}), json!({})),
        (json!({"alg": "RS256"}), json!({})),
        (json!({"alg": "HS256", "crit": ["b64"]}), json!({})),
        (good.clone(), json!({"exp": now - 6})),
        (good.clone(), json!({"exp": null})),
        (good.clone(), json!({"exp": "4000000000"})),
        (good.clone(), json!({"nbf": now + 30})),
        (good.clone(), json!({"nbf": "soon"})),
        (good.clone(), json!({"iss": "else"})),
        (good.clone(), json!({"iss": null})),
        (good.clone(), json!({"iss": {"a": 1}})),
        (good.clone(), json!({"iss": ["shop", "else"]})),
        (good.clone(), json!({"aud": "mail"})),
        (good.clone(), json!({"aud": null})),
        (good.clone(), json!({"aud": []})),
        (good.clone(), json!({"sub": null})),
        (good.clone(), json!({"sub": ""})),
        (good.clone(), json!({"sub": 7})),
        (good.clone(), json!({"rooms": "ops"})),
    ] {
        let token = signer.sign(&header, &claims(&more));
        let shown = show(&jwt, &token).await;
        assert!(matches!(shown, Err(Denied::Unauthorized(_))), "{header} {more}: {shown:?}");
    }
    for text in ["", ".", "..", "a.b.c", "mc1.1.ann.1.x", &"x".repeat(20_000)] {
        assert!(matches!(show(&jwt, text).await, Err(Denied::Unauthorized(_))), "{text}");
    }
    for more in [json!({"exp": now - 3}), json!({"nbf": now + 3}), json!({"aud": ["mail", "chat"]})] {
        show(&jwt, &signer.sign(&good, &claims(&more))).await.unwrap();
    }
}

#[tokio::test]
async fn without_an_audience_only_tokens_for_nobody_in_particular() {
    let signer = Signer::new();
    let keys = JwtKeys::fixed(KeySet::of_file(SECRET).unwrap());
    let rules = JwtRules { issuer: None, audience: Vec::new(), ..rules() };
    let (jwt, _directory) = jwt(rules, keys).await;
    let token = |more: Value| signer.sign(&json!({"alg": "HS256"}), &claims(&more));
    show(&jwt, &token(json!({"aud": null, "iss": null}))).await.unwrap();
    for aud in [json!("chat"), json!([]), json!(["mail", 7]), json!(7), json!({"mail": true})] {
        let shown = show(&jwt, &token(json!({ "aud": aud }))).await;
        assert!(matches!(shown, Err(Denied::Unauthorized(_))), "{aud}: {shown:?}");
    }
    for iss in [json!(7), json!(["shop"]), json!({"shop": true})] {
        let shown = show(&jwt, &token(json!({ "aud": null, "iss": iss }))).await;
        assert!(matches!(shown, Err(Denied::Unauthorized(_))), "{iss}: {shown:?}");
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let signer = Signer::new();
    let keys = JwtKeys::fixed(KeySet::of_file(RSA_PUBLIC).unwrap());
    let (jwt, _directory) = jwt(rules(), keys).await;
    let token = signer.sign(&json!({"alg": "HS256"}), &claims(&json!({})));
    let (content, _) = token.rsplit_once('.').unwrap();
    let der = KeySet::of_file(RSA_PUBLIC).unwrap().find(JwtAlgorithm::Rs256, None).remove(0).key;
    for secret in [RSA_PUBLIC, RSA_PUBLIC.trim_ascii(), der.try_get_as_bytes().unwrap()] {
        let token = format!("{content}.{}", URL_SAFE_NO_PAD.encode(hs256(secret, content.as_bytes())));
        assert!(matches!(show(&jwt, &token).await, Err(Denied::Unauthorized(_))));
    }
}

#[tokio::test]
async fn users_belong_to_their_issuer_and_keep_their_names() {
    let signer = Signer::new();
    let keys = JwtKeys::fixed(KeySet::of_file(SECRET).unwrap());
    let (jwt, _directory) = jwt(rules(), keys).await;
    let guest = mqttchat_protocol::UserId::parse("bob").unwrap();
    jwt.store.claim_user(&guest, &DisplayName::parse("Bob").unwrap(), "guest").await.unwrap();
    let token = |more: Value| signer.sign(&json!({"alg": "HS256"}), &claims(&more));
    assert!(show(&jwt, &token(json!({"sub": "bob"}))).await.is_err(), "a guest's id is never inherited");
    let name = async |more: Value| show(&jwt, &token(more)).await.unwrap().name;
    assert_eq!(&*name(json!({"name": null})).await, "ann");
    assert_eq!(&*name(json!({"name": "Ann B."})).await, "Ann B.");
    assert_eq!(&*name(json!({"name": null})).await, "Ann B.");
    assert_eq!(&*name(json!({"name": "\u{202e}bad"})).await, "Ann B.");
    let user = show(&jwt, &token(json!({"sub": "Ann@example.com"}))).await.unwrap().user;
    assert_eq!(user.as_str(), "u-e3535a54578d4c12");
    jwt.store.set_blocked(&user, true).await.unwrap();
    assert!(show(&jwt, &token(json!({"sub": "Ann@example.com"}))).await.is_err());
}

struct Counted(Arc<AtomicUsize>, Vec<Vec<u8>>);

impl FetchKeys for Counted {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let time = self.0.fetch_add(1, Ordering::SeqCst);
        let set = self.1.get(time).or(self.1.last()).cloned().ok_or_else(|| "nobody is there".to_owned());
        Box::pin(async move { set })
    }
}

#[tokio::test]
async fn a_key_that_nobody_knows_is_looked_for_once() {
    let (old, new) = (Signer::new(), Signer::new());
    let fetches = Arc::new(AtomicUsize::new(0));
    let sets = vec![old.jwks(["a", "b"]), new.jwks(["c", "d"])];
    let fetcher = Counted(fetches.clone(), sets);
    let (jwt, _directory) = jwt(rules(), JwtKeys::fetched(Box::new(fetcher))).await;
    let token = |signer: &Signer, kid: &str| {
        signer.sign(&json!({"alg": "ES256", "kid": kid, "jku": "http://127.0.0.1:9/"}), &claims(&json!({})))
    };
    show(&jwt, &token(&old, "a")).await.unwrap();
    show(&jwt, &token(&old, "a")).await.unwrap();
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    show(&jwt, &token(&new, "c")).await.unwrap();
    assert_eq!(fetches.load(Ordering::SeqCst), 2, "the application has changed its key");
    let strange: Vec<String> = (0..50).map(|n| token(&new, &format!("k{n}"))).collect();
    let shown = futures::future::join_all(strange.iter().map(|token| show(&jwt, token))).await;
    assert!(shown.iter().all(Result::is_err));
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
    assert!(show(&jwt, &token(&old, "a")).await.is_err(), "the old key is gone");
    let secret = old.sign(&json!({"alg": "HS256", "kid": "secret"}), &claims(&json!({})));
    assert!(show(&jwt, &secret).await.is_err(), "what anybody can fetch is no secret");
}

#[tokio::test]
async fn without_keys_one_comes_back_later() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let fetcher = Counted(fetches.clone(), Vec::new());
    let (jwt, _directory) = jwt(rules(), JwtKeys::fetched(Box::new(fetcher))).await;
    let token = Signer::new().sign(&json!({"alg": "ES256"}), &claims(&json!({})));
    for _ in 0..5 {
        assert!(matches!(show(&jwt, &token).await, Err(Denied::Refused(_))));
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
}

#[test]
fn key_files() {
    for bad in [
        &b"short"[..],
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        br#"{"keys": []}"#,
        br#"{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}"#,
        br#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "enc", "x": "AAAA"}]}"#,
        br#"{"a": 1}"#,
        b"{",
    ] {
        assert!(KeySet::of_file(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
    let weak = KeySet::of_file(include_bytes!("test_keys/rsa1024.pem")).unwrap_err();
    assert!(weak.0.contains("1024 bits"), "{weak}");
    assert_eq!(KeySet::of_file(RSA_PUBLIC).unwrap().algorithms(), [JwtAlgorithm::Rs256]);
    let rsa = |bytes: usize| {
        let modulus = URL_SAFE_NO_PAD.encode([&[0xff][..], &vec![1; bytes - 1]].concat());
        json!({"kty": "RSA", "e": "AQAB", "n": modulus})
    };
    let of = |keys: Value| KeySet::of_file(json!({ "keys": keys }).to_string().as_bytes());
    assert!(of(json!([rsa(128)])).unwrap_err().0.contains("2048"));
    assert!(of(json!([rsa(255)])).is_err());
    assert_eq!(of(json!([rsa(128), rsa(256)])).unwrap().find(JwtAlgorithm::Rs256, None).len(), 1);
    let set = KeySet::of_file(&Signer::new().jwks(["a", "b"])).unwrap();
    assert_eq!(set.algorithms(), [JwtAlgorithm::Hs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa]);
    let (of_a, of_b) = (set.find(JwtAlgorithm::Es256, Some("a")), set.find(JwtAlgorithm::Es256, Some("b")));
    assert_eq!((of_a.len(), of_b.len(), set.find(JwtAlgorithm::Es256, None).len()), (1, 0, 1));
    assert!(!format!("{set:?}").contains("0123456789"));
    for algorithm in JwtAlgorithm::ALL {
        assert_eq!(JwtAlgorithm::of(algorithm.into()), Some(algorithm));
    }
    assert_eq!(
        (JwtAlgorithm::parse("EdDSA"), JwtAlgorithm::parse("none")),
        (Some(JwtAlgorithm::EdDsa), None)
    );
}
