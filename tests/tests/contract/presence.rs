//! Coming and going, told in few frames.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Result;
use mqttchat_e2e::{App, User};
use serde_json::{Value, json};

/// The ids of one list of all `presence` frames that a session has seen, but its own.
fn all(user: &User, list: &str) -> Vec<String> {
    let frames = user.seen_of("presence");
    let people = frames.iter().flat_map(|frame| frame["data"][list].as_array().cloned().unwrap_or_default());
    let ids = people.filter_map(|person| person["id"].as_str().map(str::to_owned));
    ids.filter(|id| *id != user.id).collect()
}

fn names(list: &str, id: &'static str) -> impl Fn(&Value) -> bool {
    let list = list.to_owned();
    move |frame| {
        let people = frame["data"][&list].as_array();
        frame["type"] == "presence"
            && people.is_some_and(|people| people.iter().any(|person| person["id"] == id))
    }
}

#[tokio::test]
async fn joining_and_leaving_are_told_to_the_others() -> Result<()> {
    let app = App::start().await?;
    let ann = app.member("Ann").await?;
    let mut bob = app.member("Bob").await?;
    let came = ann.expect_where("that Bob has come", names("joined", "bob")).await?;
    assert_eq!((&came["dest"], &came["data"]["online"]), (&json!("public"), &json!(2)));
    let joined = came["data"]["joined"].as_array().into_iter().flatten().find(|person| person["id"] == "bob");
    let joined = joined.cloned().unwrap_or_default();
    assert_eq!(joined["name"], "Bob", "{came}");
    assert!(joined["last_seen"].is_u64(), "{came}");

    bob.leave("public").await?;
    let went = ann.expect_where("that Bob has left", names("left", "bob")).await?;
    assert_eq!(went["data"]["online"], 1);
    Ok(())
}

#[tokio::test]
async fn closing_the_last_session_is_leaving() -> Result<()> {
    let app = App::start().await?;
    let (ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let mut tab = bob.another_session().await?;
    tab.join("public").await?;
    bob.close().await?;
    // Carol's coming and going shows that enough has happened for a false "left" to have come.
    let mut carol = app.member("Carol").await?;
    ann.expect_where("that Carol has come", names("joined", "carol")).await?;
    carol.close().await?;
    ann.expect_where("that Carol has left", names("left", "carol")).await?;
    assert_eq!(all(&ann, "joined"), ["bob", "carol"]);
    assert_eq!(all(&ann, "left"), ["carol"]);

    tab.close().await?;
    ann.expect_where("that Bob has left", names("left", "bob")).await?;
    Ok(())
}

#[tokio::test]
async fn a_page_that_is_loaded_again_shows_nothing() -> Result<()> {
    let app = App::start().await?;
    let (ann, mut bob) = (app.member("Ann").await?, app.member("Bob").await?);
    ann.expect_where("that Bob has come", names("joined", "bob")).await?;
    bob.close().await?;
    let mut back = bob.another_session().await?;
    back.join("public").await?;
    // Whoever goes for good is missed no earlier than Bob would have been.
    let mut carol = app.member("Carol").await?;
    carol.close().await?;
    ann.expect_where("that Carol has left", names("left", "carol")).await?;
    assert_eq!(all(&ann, "left"), ["carol"]);
    assert_eq!(all(&ann, "joined").iter().filter(|id| *id == "bob").count(), 1);
    Ok(())
}

#[tokio::test]
async fn many_changes_come_in_few_frames() -> Result<()> {
    let app = App::start().await?;
    let ann = app.member("Ann").await?;
    let names: Vec<_> = (0..40).map(|number| format!("p{number:02}")).collect();
    let mut crowd = futures::future::try_join_all(names.iter().map(|name| app.user(name))).await?;

    let begun = Instant::now();
    futures::future::try_join_all(crowd.iter_mut().map(|person| person.join("public"))).await?;
    ann.expect_where("a crowd of 41", |frame| frame["type"] == "presence" && frame["data"]["online"] == 41)
        .await?;
    let frames = ann.seen_of("presence").len();
    let most = usize::try_from(begun.elapsed().as_millis() / 250)? + 2;
    assert!(frames <= most, "{frames} frames where {most} were enough");
    let joined: BTreeSet<_> = all(&ann, "joined").into_iter().collect();
    assert_eq!(joined.len(), 40, "{joined:?}");
    Ok(())
}

#[tokio::test]
async fn nobody_is_told_of_their_own_second_tab() -> Result<()> {
    let app = App::start().await?;
    let (ann, bob) = (app.member("Ann").await?, app.member("Bob").await?);
    let mut tab = bob.another_session().await?;
    assert_eq!(tab.join("public").await?["online"], 2);
    app.member("Carol").await?;
    ann.expect_where("that Carol has come", names("joined", "carol")).await?;
    assert_eq!(all(&ann, "joined"), ["bob", "carol"]);
    Ok(())
}

#[tokio::test]
async fn nobody_is_told_that_they_have_come_themselves() -> Result<()> {
    let app = App::start().await?;
    let bob = app.member("Bob").await?;
    let ann = app.member("Ann").await?;
    // Bob hears of her in the frame that she would be in.
    bob.expect_where("that Ann has come", names("joined", "ann")).await?;
    app.member("Carol").await?;
    ann.expect_where("that Carol has come", names("joined", "carol")).await?;
    let own = ann.seen_of("presence").into_iter().filter(|frame| names("joined", "ann")(frame));
    assert_eq!(own.collect::<Vec<_>>(), Vec::<Value>::new());
    Ok(())
}
