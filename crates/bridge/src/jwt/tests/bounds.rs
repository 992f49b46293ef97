//! Where what is good ends: lengths, moments, kinds of keys, and what is said about the rest.

use base64::engine::general_purpose::STANDARD;
use mqttchat_protocol::RoomId;
use mqttchat_store::Scopes;

use super::*;

async fn with_secret(rules: JwtRules) -> (Jwt, tempfile::TempDir) {
    jwt(rules, JwtKeys::fixed(KeySet::of_file(SECRET).unwrap())).await
}

fn hs256_of(more: &Value) -> String {
    Signer::new().sign(&json!({"alg": "HS256"}), &claims(more))
}

async fn why(jwt: &Jwt, token: &str) -> String {
    match show(jwt, token).await {
        Err(Denied::Unauthorized(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_is_refused_is_told_why() {
    let (jwt, _directory) = with_secret(rules()).await;
    let now = now_ms() / 1000;
    for (more, said) in [
        (json!({"exp": now - 60}), "expired"),
        (json!({"nbf": now + 60}), "not good yet"),
        (json!({"iss": "else"}), "another issuer"),
        (json!({"aud": "else"}), "another audience"),
        (json!({"sub": null}), "no token"),
        (json!({"iss": null}), "lacks one of"),
        (json!({"rights": 7}), "rights"),
        (json!({"rooms": 7}), "rooms"),
        (json!({"sub": ""}), "nobody"),
    ] {
        let reason = why(&jwt, &hs256_of(&more)).await;
        assert!(reason.contains(said), "{more}: {reason}");
    }
    let token = hs256_of(&json!({}));
    let (content, _) = token.rsplit_once('.').unwrap();
    assert!(why(&jwt, &format!("{content}.AAAA")).await.contains("signature"));
    assert!(why(&jwt, "a.b.c").await.contains("no token"));
    assert!(
        why(&jwt, &Signer::new().sign(&json!({"alg": "ES256"}), &claims(&json!({})))).await.contains("key")
    );
    let hello = Hello { name: None, token: None, log: None, resume: BTreeMap::new() };
    assert!(
        matches!(jwt.authenticate(&hello).await, Err(Denied::Unauthorized(why)) if why.contains("data.token"))
    );
    assert!(format!("{jwt:?}").contains("shop") && !format!("{jwt:?}").contains("0123456789"));
}

#[tokio::test]
async fn a_token_has_so_many_bytes() {
    let (jwt, _directory) = with_secret(rules()).await;
    let signer = Signer::new();
    let token_of = |kid: usize, more: usize| {
        let header = json!({"alg": "HS256", "kid": "k".repeat(kid)});
        signer.sign(&header, &claims(&json!({"more": "x".repeat(more)})))
    };
    // Base64 has no texts of every length: of both parts together it has.
    let near = TOKEN_MAX * 3 / 4 - 400;
    let of_length = |length: usize| {
        let tokens = (0..4).flat_map(|kid| (near..near + 400).map(move |more| (kid, more)));
        let fits = |(kid, more): &(usize, usize)| token_of(*kid, *more).len() == length;
        let (kid, more) = tokens.into_iter().find(fits).unwrap();
        token_of(kid, more)
    };
    show(&jwt, &of_length(TOKEN_MAX)).await.unwrap();
    for longer in [1, 2, 100] {
        assert!(why(&jwt, &of_length(TOKEN_MAX + longer)).await.contains("too long"), "{longer}");
    }
}

#[tokio::test]
async fn a_token_ends_within_its_second() {
    let (jwt, _directory) = with_secret(rules()).await;
    // On or after its end, and what clocks may differ, it is no longer good: half a second ago is enough.
    let end = (now_ms() - 500) as f64 / 1000.0 - 5.0;
    assert!(why(&jwt, &hs256_of(&json!({ "exp": end }))).await.contains("expired"));
    let (strict, _directory) = with_secret(JwtRules { leeway: 0, ..rules() }).await;
    assert!(why(&strict, &hs256_of(&json!({"exp": now_ms() / 1000 - 1}))).await.contains("expired"));
    assert!(why(&strict, &hs256_of(&json!({"nbf": now_ms() / 1000 + 3}))).await.contains("not good yet"));
}

#[tokio::test]
async fn a_token_is_for_what_it_says() {
    let (jwt, _directory) = with_secret(rules()).await;
    let grant = async |more: Value| show(&jwt, &hs256_of(&more)).await.unwrap().grant;
    let all = grant(json!({})).await;
    assert_eq!((all.scopes, all.rooms), (Scopes::ALL, None));
    let some = grant(json!({"rights": "read", "rooms": ["ops", "No Room"]})).await;
    assert_eq!(some.scopes, Scopes { read: true, ..Scopes::NONE });
    assert_eq!(some.rooms.as_deref(), Some(&[RoomId::parse("ops").unwrap()][..]));
    let end = now_ms() / 1000 + 30;
    assert_eq!(grant(json!({ "exp": end })).await.expires, Some((end + 5) * 1000));
    let many = grant(json!({"rooms": vec!["a"; 1000]})).await;
    assert_eq!(many.rooms.map(|rooms| rooms.len()), Some(1000));
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_needed() {
    let (jwt, _directory) = with_secret(JwtRules { issuer: None, audience: Vec::new(), ..rules() }).await;
    let nobodys = json!({"iss": null, "aud": null});
    show(&jwt, &hs256_of(&nobodys)).await.unwrap();
    assert_eq!(
        &*jwt.store.user(&mqttchat_protocol::UserId::parse("ann").unwrap()).await.unwrap().unwrap().issuer,
        "jwt:"
    );
    assert!(
        why(&jwt, &hs256_of(&json!({"iss": null}))).await.contains("audience"),
        "it is for somebody else"
    );
    assert!(why(&jwt, &hs256_of(&json!({"aud": null}))).await.contains("somebody else"), "of another issuer");
    let only = JwtRules { algorithms: vec![JwtAlgorithm::Es256], ..rules() };
    let (jwt, _directory) = with_secret(only).await;
    assert!(why(&jwt, &hs256_of(&json!({}))).await.contains("not allowed"), "though there is a key for it");
}

#[tokio::test]
async fn names_are_the_tokens_before_the_clients() {
    let (jwt, _directory) = with_secret(rules()).await;
    let name = async |more: Value, said: Option<&str>| {
        let token = Some(hs256_of(&more));
        let name = said.and_then(DisplayName::parse);
        let hello = Hello { name, token, log: None, resume: BTreeMap::new() };
        jwt.authenticate(&hello).await.unwrap().name
    };
    assert_eq!(&*name(json!({"name": null}), Some("Anna")).await, "Anna");
    assert_eq!(&*name(json!({"name": "Ann"}), Some("Anna")).await, "Ann");
    assert_eq!(&*name(json!({"name": null}), None).await, "Ann");
}

fn pem(prefix: &[u8], key: &[u8]) -> String {
    let der = STANDARD.encode([prefix, key].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}

/// RFC 5480 and RFC 8410: what stands before the bytes of a key.
const P_256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const ED_25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// openssl ecparam -name secp384r1 -genkey | openssl ec -pubout
const P_384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE4JiKDp+m5E7JiWyiKxkd0gNUqz3LaG16
CnohMrbDybseE4QdvU4Z+da6TDbpBD5ojmFIUweJIUPPL9uN01J4Z5UdDuhtcnH2
izrdSGbFfD+TUTHs0yFooENDanBjMRke
-----END PUBLIC KEY-----
";

#[tokio::test]
async fn keys_of_each_kind_in_one_file() {
    let signer = Signer::new();
    let ed = Ed25519KeyPair::from_pkcs8(&signer.ed).unwrap();
    let (ec, ed) = (pem(P_256, signer.ec().public_key().as_ref()), pem(ED_25519, ed.public_key().as_ref()));
    let rsa = String::from_utf8(RSA_PUBLIC.to_vec()).unwrap();
    let set = KeySet::of_file(format!("{rsa}{ec}{ed}").as_bytes()).unwrap();
    assert_eq!(set.algorithms(), [JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa]);
    let (jwt, _directory) = jwt(rules(), JwtKeys::fixed(set)).await;
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        show(&jwt, &signer.sign(&json!({ "alg": algorithm }), &claims(&json!({})))).await.unwrap();
    }
    let why = |content: &str| KeySet::of_file(content.as_bytes()).unwrap_err().to_string();
    assert!(why(P_384).contains("another curve"), "{}", why(P_384));
    assert!(why("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").contains("private"));
    assert!(why("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").contains("certificate"));
    assert!(
        why(&format!("{ec}-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
            .contains("PUBLIC KEY")
    );
}

#[tokio::test]
async fn rsa_keys_of_a_set() {
    let rsa = RsaKeyPair::from_pkcs8(RSA).unwrap();
    let numbers = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(rsa.public());
    let [n, e] = [numbers.n, numbers.e].map(|number| URL_SAFE_NO_PAD.encode(number));
    let set = json!({"kty": "RSA", "alg": "RS256", "n": n, "e": e}).to_string();
    let (jwt, _directory) = jwt(rules(), JwtKeys::fixed(KeySet::of_file(set.as_bytes()).unwrap())).await;
    let token = Signer::new().sign(&json!({"alg": "RS256"}), &claims(&json!({})));
    show(&jwt, &token).await.unwrap();
    assert!(why(&jwt, &format!("{}AAAA", &token[..token.len() - 4])).await.contains("signature"));
    let other = json!({"kty": "RSA", "alg": "RS512", "n": n, "e": e}).to_string();
    assert!(KeySet::of_file(other.as_bytes()).is_err());
}

#[tokio::test]
async fn secrets_of_a_file() {
    for end in ["", "\n", "\r\n"] {
        let content = [SECRET, end.as_bytes()].concat();
        let (jwt, _directory) = jwt(rules(), JwtKeys::fixed(KeySet::of_file(&content).unwrap())).await;
        show(&jwt, &hs256_of(&json!({}))).await.unwrap();
    }
    assert!(KeySet::of_file(&SECRET[..16]).is_ok());
    assert!(KeySet::of_file(&SECRET[..15]).unwrap_err().to_string().contains("15 bytes"));
    assert!(KeySet::of_file(b"0123456789abcde\n").is_err(), "the end of the line is no part of it");
    let oct = |secret: &[u8]| json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret)}).to_string();
    assert!(KeySet::of_file(oct(&SECRET[..16]).as_bytes()).is_ok());
    assert!(KeySet::of_file(oct(&SECRET[..15]).as_bytes()).is_err());
}

#[test]
fn keys_that_are_for_something_else_are_left_out() {
    let set: Value = serde_json::from_slice(&Signer::new().jwks(["a", "b"])).unwrap();
    let algorithms = |key: usize, change: Value| {
        let mut key = set["keys"][key].clone();
        key.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        KeySet::of_file(key.to_string().as_bytes()).map(|set| set.algorithms()).unwrap_or_default()
    };
    for (key, own, algorithm) in [
        (0, "ES256", JwtAlgorithm::Es256),
        (1, "EdDSA", JwtAlgorithm::EdDsa),
        (2, "HS256", JwtAlgorithm::Hs256),
    ] {
        assert_eq!(algorithms(key, json!({})), [algorithm]);
        assert_eq!(algorithms(key, json!({"alg": own, "use": "sig"})), [algorithm]);
        for other in [
            json!({"alg": "ES384"}),
            json!({"alg": "RS256"}),
            json!({"use": "enc"}),
            json!({"crv": "P-384", "kty": "EC"}),
        ] {
            assert!(algorithms(key, other.clone()).is_empty(), "{own} {other}");
        }
    }
    assert!(algorithms(1, json!({"crv": "P-256"})).is_empty());
    let many = |count: usize| {
        let filler = vec![json!({"kty": "what"}); count];
        let keys = [filler, vec![set["keys"][0].clone()]].concat();
        KeySet::of_file(json!({ "keys": keys }).to_string().as_bytes()).is_ok()
    };
    assert!(many(99) && !many(100), "so many are looked at");
    assert!(format!("{:?}", KeySet::of_file(&Signer::new().jwks(["a", "b"])).unwrap()).contains("Es256"));
    for (name, algorithm) in ["HS256", "RS256", "ES256", "EdDSA"].into_iter().zip(JwtAlgorithm::ALL) {
        assert_eq!(JwtAlgorithm::parse(name), Some(algorithm));
    }
}

#[tokio::test]
async fn a_grant_holds_as_long_as_its_key() {
    let keys = JwtKeys::fixed(KeySet::of_file(SECRET).unwrap());
    let (jwt, _directory) = jwt(rules(), keys.clone()).await;
    let grant = show(&jwt, &hs256_of(&json!({}))).await.unwrap().grant;
    let before = jwt.changes();
    keys.replace(KeySet::of_file(&[SECRET, b"more"].concat()).unwrap());
    assert!(jwt.changes() > before);
    assert!(!jwt.still_good(&grant) && jwt.still_good(&Grant::default()));
    keys.replace(KeySet::of_file(SECRET).unwrap());
    assert!(jwt.still_good(&grant), "it is the same key again");
}
