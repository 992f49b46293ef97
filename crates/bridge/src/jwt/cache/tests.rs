use std::sync::atomic::AtomicUsize;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;

/// Somebody who has these keys, by their ids, or none to give.
#[derive(Default)]
struct Publisher {
    keys: Mutex<Option<Vec<&'static str>>>,
    asked: AtomicUsize,
    /// Answers, when it is to be told to; else there is one whenever it is asked.
    told: Option<Semaphore>,
}

impl Publisher {
    fn of(keys: &[&'static str]) -> Arc<Self> {
        Arc::new(Self { keys: Mutex::new(Some(keys.to_vec())), ..Self::default() })
    }

    fn has(&self, keys: Option<&[&'static str]>) {
        *self.keys.lock().unwrap() = keys.map(<[_]>::to_vec);
    }

    /// Waits until it was asked so often.
    async fn is_asked(&self, times: usize) {
        let asked = async {
            while self.asked() < times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(20 * SECOND, asked).await.expect("nobody asks");
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A key for each id; that of "-" has none.
fn set(ids: &[&str]) -> Vec<u8> {
    let key = |id: &&str| {
        let x = URL_SAFE_NO_PAD.encode([id.as_bytes()[0]; 32]);
        let mut key = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        if *id != "-" {
            key["kid"] = json!(id);
        }
        key
    };
    json!({"keys": ids.iter().map(key).collect::<Vec<_>>()}).to_string().into_bytes()
}

fn keys(ids: &[&str]) -> KeySet {
    KeySet::of_jwks(&set(ids), false).unwrap()
}

impl FetchKeys for Arc<Publisher> {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if let Some(told) = &self.told {
                told.acquire().await.unwrap().forget();
            }
            let keys = self.keys.lock().unwrap().clone();
            keys.map(|ids| set(&ids)).ok_or_else(|| "nobody is there".to_owned())
        })
    }
}

/// How many keys a token of this key id may be of; `None`: they can't be fetched.
async fn found(keys: &JwtKeys, id: &str) -> Option<usize> {
    match keys.find(JwtAlgorithm::EdDsa, Some(id)).await {
        Ok(found) => Some(found.len()),
        Err(Denied::Refused(refusal)) if refusal.code == ErrorCode::Unavailable => None,
        Err(other) => panic!("{other:?}"),
    }
}

/// Lets time pass.
fn pass(keys: &JwtKeys, time: Duration) {
    let mut state = keys.0.state();
    state.since = state.since.map(|since| since - time);
    state.tried = state.tried.map(|tried| tried - time);
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn keys_are_fetched_when_they_are_needed_and_when_they_are_old() {
    let publisher = Publisher::of(&["a"]);
    let keys = JwtKeys::fetched(Box::new(publisher.clone()));
    assert_eq!(publisher.asked(), 0);
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 1));
    pass(&keys, 9 * MINUTE);
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 1));
    pass(&keys, MINUTE);
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 2));
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 2));
    publisher.has(None);
    pass(&keys, 10 * MINUTE);
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 3), "old ones are better than none");
    pass(&keys, 9 * SECOND);
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 3));
    pass(&keys, SECOND);
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 4));
}

#[tokio::test]
async fn a_key_that_is_not_known_is_looked_for_every_ten_seconds() {
    let publisher = Publisher::of(&["a"]);
    let keys = JwtKeys::fetched(Box::new(publisher.clone()));
    found(&keys, "a").await;
    publisher.has(Some(&["a", "b"]));
    assert_eq!((found(&keys, "b").await, publisher.asked()), (Some(1), 2), "the first one at once");
    assert_eq!((found(&keys, "c").await, publisher.asked()), (Some(0), 2));
    pass(&keys, 9 * SECOND);
    assert_eq!((found(&keys, "c").await, publisher.asked()), (Some(0), 2));
    pass(&keys, SECOND);
    assert_eq!((found(&keys, "c").await, publisher.asked()), (Some(0), 3));
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 3));
    let other = keys.find(JwtAlgorithm::Rs256, Some("a")).await.unwrap();
    assert_eq!((other.len(), publisher.asked()), (0, 3), "nor is one for another algorithm");
}

#[tokio::test]
async fn nobody_is_asked_for_more_than_every_ten_seconds_while_there_are_none() {
    let publisher = Arc::new(Publisher::default());
    let keys = JwtKeys::fetched(Box::new(publisher.clone()));
    for _ in 0..3 {
        assert_eq!((found(&keys, "a").await, publisher.asked()), (None, 1));
    }
    pass(&keys, 10 * SECOND);
    publisher.has(Some(&["a"]));
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 2));
}

#[tokio::test]
async fn a_key_id_has_so_many_bytes() {
    for keys in [JwtKeys::fixed(keys(&["-"])), JwtKeys::fetched(Box::new(Publisher::of(&["-"])))] {
        assert_eq!(found(&keys, &"x".repeat(256)).await, Some(1), "the key is good for any id");
        assert_eq!(found(&keys, &"x".repeat(257)).await, Some(0));
    }
}

#[tokio::test]
async fn who_has_a_key_does_not_wait_and_who_has_none_waits_for_one_fetch() {
    let publisher = Publisher { told: Some(Semaphore::new(1)), ..Publisher::default() };
    let publisher = Arc::new(publisher);
    publisher.has(Some(&["a"]));
    let keys = JwtKeys::fetched(Box::new(publisher.clone()));
    found(&keys, "a").await;
    publisher.has(Some(&["a", "b"]));
    pass(&keys, 10 * MINUTE);
    // The first who comes leaves; what they began goes on.
    let (first, waiting) = (keys.clone(), keys.clone());
    let first = tokio::spawn(async move { found(&first, "a").await });
    publisher.is_asked(2).await;
    first.abort();
    assert_eq!((found(&keys, "a").await, publisher.asked()), (Some(1), 2));
    let waiting = tokio::spawn(async move { found(&waiting, "b").await });
    publisher.told.as_ref().unwrap().add_permits(1);
    assert_eq!((waiting.await.unwrap(), publisher.asked()), (Some(1), 2));
}

#[tokio::test]
async fn keys_that_were_taken_away_are_counted() {
    let of = JwtKeys::fixed(keys(&["a", "b"]));
    let mark = of.find(JwtAlgorithm::EdDsa, Some("a")).await.unwrap().remove(0).mark;
    assert_eq!((of.has(&mark), of.removals()), (true, 0));
    of.clone().replace(keys(&["c", "b", "a"]));
    assert_eq!((of.has(&mark), of.removals()), (true, 0), "more are no fewer");
    of.replace(keys(&["c", "b"]));
    assert_eq!((of.has(&mark), of.removals()), (false, 1));
    assert_eq!((found(&of, "a").await, found(&of, "b").await), (Some(0), Some(1)));
    let unfetched = JwtKeys::fetched(Box::new(Publisher::of(&["b"])));
    assert!(unfetched.has(&mark), "nothing is known yet");
    found(&unfetched, "b").await;
    assert_eq!((unfetched.has(&mark), unfetched.removals()), (false, 0), "the first take nothing away");
    assert!(format!("{of:?}").contains("EdDsa") && format!("{of:?}").contains('c'));
    assert_eq!(format!("{mark:?}"), "KeyMark", "secrets can be guessed from their hashes");
}

#[tokio::test]
async fn an_operator_has_them_fetched_at_once() {
    let publisher = Publisher::of(&["a"]);
    let keys = JwtKeys::fetched(Box::new(publisher.clone()));
    found(&keys, "a").await;
    keys.fetch_again().await;
    publisher.has(Some(&["b"]));
    keys.fetch_again().await;
    assert_eq!((publisher.asked(), keys.removals(), found(&keys, "b").await), (3, 1, Some(1)));
    assert_eq!(
        (found(&keys, "c").await, publisher.asked()),
        (Some(0), 3),
        "that was the fetch of these ten seconds"
    );
    publisher.has(None);
    keys.fetch_again().await;
    assert_eq!((publisher.asked(), found(&keys, "b").await), (4, Some(1)), "those that there are stay");
    let file = JwtKeys::fixed(self::keys(&["a"]));
    file.fetch_again().await;
    assert_eq!((found(&file, "a").await, found(&file, "c").await), (Some(1), Some(0)));
}
