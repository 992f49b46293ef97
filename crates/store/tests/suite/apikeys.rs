//! API keys, made and revoked beside a store that is open.

use mqttchat_protocol::{ApiSecret, DisplayName};
use mqttchat_store::{ApiKey, KeyOutcome, NewApiKey, Operator, Scopes, Store};

use super::{HandClock, Place, claim, open, user};

fn name(text: &str) -> DisplayName {
    DisplayName::parse(text).unwrap()
}

fn new(text: &str) -> NewApiKey {
    NewApiKey { name: name(text), scopes: Scopes::parse("read write").unwrap(), secret: ApiSecret::random() }
}

async fn made(operator: &Operator, new: &NewApiKey) -> ApiKey {
    match operator.create_apikey(new).await.unwrap() {
        KeyOutcome::Made(key) => key,
        other => panic!("{other:?}"),
    }
}

pub async fn made_and_revoked_while_a_server_runs(place: &impl Place) {
    let clock = HandClock::at(5_000);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    let operator = Operator::open(place.options().clock(clock.clock())).await.unwrap();
    let bot = new("Deploy Bot");
    let key = made(&operator, &bot).await;
    assert_eq!((&*key.name, key.user.as_str(), key.created), ("Deploy Bot", "deploy-bot", 5_000));
    assert_eq!(store.apikey(&bot.secret).await.unwrap(), Some(key.clone()));
    assert_eq!(store.apikey(&ApiSecret::random()).await.unwrap(), None);
    let bot_user = store.user(&user("deploy-bot")).await.unwrap().unwrap();
    assert_eq!((&*bot_user.issuer, &*bot_user.name), ("apikey", "Deploy Bot"));
    assert_eq!(store.revoked_apikeys(&[key.id, 99]).await.unwrap(), [99]);
    clock.set(6_000);
    let counted = store.revocations().await.unwrap();
    assert!(operator.revoke_apikey(&bot.name).await.unwrap());
    assert!(store.revocations().await.unwrap() > counted, "nodes are told to look");
    assert_eq!(store.apikey(&bot.secret).await.unwrap(), None);
    assert_eq!(store.revoked_apikeys(&[key.id]).await.unwrap(), [key.id]);
    assert!(!operator.revoke_apikey(&bot.name).await.unwrap());
    assert_eq!(operator.apikeys().await.unwrap(), [ApiKey { revoked: Some(6_000), ..key.clone() }]);
    // Made again it is another key of the same user.
    let again = new("Deploy Bot");
    let second = made(&operator, &again).await;
    assert_eq!((second.user == key.user, second.id == key.id), (true, false));
    assert_eq!(store.apikey(&bot.secret).await.unwrap(), None);
    operator.close().await;
    super::say(&store, "deploy-bot", "still writable").await;
}

pub async fn names_that_are_taken(place: &impl Place) {
    let store = open(place).await;
    claim(&store, "Ann").await;
    let operator = Operator::open(place.options()).await.unwrap();
    made(&operator, &new("bot")).await;
    assert_eq!(operator.create_apikey(&new("bot")).await.unwrap(), KeyOutcome::Exists);
    let taken = |id| KeyOutcome::UserTaken(user(id));
    assert_eq!(operator.create_apikey(&new("Ann")).await.unwrap(), taken("ann"));
    assert_eq!(operator.create_apikey(&new("Bot!")).await.unwrap(), taken("bot"));
    assert_eq!(operator.create_apikey(&new("小明")).await.unwrap(), KeyOutcome::NoUser);
    assert_eq!(operator.apikeys().await.unwrap().len(), 1);
}

pub async fn made_before_the_first_start(place: &impl Place) {
    let operator = Operator::open(place.options()).await.unwrap();
    let bot = new("bot");
    let key = made(&operator, &bot).await;
    operator.close().await;
    let store = open(place).await;
    assert_eq!(store.apikey(&bot.secret).await.unwrap(), Some(key));
}

pub async fn their_last_use(place: &impl Place) {
    let clock = HandClock::at(5_000);
    let store = Store::open(place.options().clock(clock.clock())).await.unwrap();
    let operator = Operator::open(place.options().clock(clock.clock())).await.unwrap();
    let bot = new("bot");
    let key = made(&operator, &bot).await;
    assert!(key.used.is_none() && key.is_use_news(5_000));
    clock.set(7_000);
    store.use_apikey(key.id).await.unwrap();
    let used = store.apikey(&bot.secret).await.unwrap().unwrap();
    assert_eq!(used.used, Some(7_000));
    assert!(!used.is_use_news(606_999) && used.is_use_news(607_000));
}
