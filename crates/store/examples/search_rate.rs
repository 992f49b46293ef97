//! How long searches take among many messages.
//!
//! ```text
//! cargo run --release -p mqttchat-store --example search_rate -- [MESSAGES] [DIR | postgres://…]
//! ```
//!
//! Messages have about 12 words, of which there are 50,000, as frequent as words are (Zipf); one in 20 is Chinese. Four
//! in five are public, the others between 20 people. A directory or database that has them already is searched as it is.

use std::time::{Duration, Instant};

use mqttchat_protocol::{Conversation, DisplayName, EntryKind, MessageId, Party, UserId};
use mqttchat_store::{NewEntry, Query, Store, StoreOptions};
use rand::RngExt as _;

const WORDS: f64 = 50_000.0;
const PEOPLE: u32 = 20;
const TOGETHER: u64 = 2000;
const ROUNDS: usize = 50;
/// Said last: what is there when it is found is all.
const LAST: &str = "theverylastword";

/// A kind of query: its name, and one of it.
type Kind = (&'static str, fn() -> String);

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let messages = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let scratch = tempfile::tempdir()?;
    let options = match arguments.next() {
        Some(url) if url.starts_with("postgres") => StoreOptions::postgres(url),
        Some(directory) => StoreOptions::sqlite(directory),
        None => StoreOptions::sqlite(scratch.path()),
    };
    let store = Store::open(options).await?;
    if store.head(&Conversation::Public).await? == 0 {
        fill(&store, messages).await?;
    }
    let started = Instant::now();
    while find(&store, "mqtt:nobody", LAST).await?.1 == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    say(&format!("indexed {:.1} s later", started.elapsed().as_secs_f64()));
    let kinds: [Kind; 9] = [
        ("rare word", || word(rand::random_range(20_000.0..WORDS))),
        ("common word", || word(rand::random_range(1.0..20.0))),
        ("two common words", || {
            format!("{} {}", word(rand::random_range(1.0..20.0)), word(rand::random_range(20.0..60.0)))
        }),
        ("common and rare", || {
            format!("{} {}", word(rand::random_range(1.0..20.0)), word(rand::random_range(20_000.0..WORDS)))
        }),
        ("phrase of two", || {
            format!("\"{} {}\"", word(rand::random_range(1.0..40.0)), word(rand::random_range(1.0..40.0)))
        }),
        ("prefix of four", || {
            format!("{}*", word(rand::random_range(1000.0..WORDS)).chars().take(4).collect::<String>())
        }),
        ("from: and a word", || {
            format!("from:u{} {}", rand::random_range(0..PEOPLE), word(rand::random_range(1.0..500.0)))
        }),
        ("Chinese, two signs", || chinese(2)),
        ("nothing there", || "nosuchwordatall".to_owned()),
    ];
    let mut all = Vec::new();
    for (kind, query) in kinds {
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let (time, count) = find(&store, "u1", &query()).await?;
            times.push(time);
            found += count as u64;
        }
        all.extend_from_slice(&times);
        #[allow(clippy::cast_precision_loss, reason = "a report")]
        let mean = found as f64 / ROUNDS as f64;
        report(kind, &mut times, Some(mean));
    }
    report("all of these", &mut all, None);
    store.close().await;
    Ok(())
}

/// A word by its place among all, the most frequent first.
fn word(place: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    let mut rest = place as u64 * 7919 % 99_991;
    let mut word = String::new();
    for _ in 0..4 {
        word.push(char::from(b"bdfgklmnprstvz"[usize::try_from(rest % 14).unwrap_or(0)]));
        rest /= 14;
        word.push(char::from(b"aeiou"[usize::try_from(rest % 5).unwrap_or(0)]));
        rest /= 5;
    }
    word
}

fn chinese(signs: usize) -> String {
    (0..signs).filter_map(|_| char::from_u32(0x4e00 + rand::random_range(0..2000u32))).collect()
}

fn text() -> String {
    if rand::rng().random_bool(0.05) {
        return chinese(20);
    }
    // The inverse of a distribution that falls like 1/x.
    let words = (0..12).map(|_| word(WORDS.powf(rand::random::<f64>())));
    words.collect::<Vec<_>>().join(" ")
}

async fn fill(store: &Store, messages: u64) -> anyhow::Result<()> {
    let person = |number: u32| format!("u{number}");
    for number in 0..PEOPLE {
        let name = person(number);
        let (Some(id), Some(name)) = (UserId::parse(&name), DisplayName::parse(&name)) else { continue };
        store.claim_user(&id, &name, "guest").await?;
    }
    let started = Instant::now();
    let mut stored = 0;
    while stored < messages {
        let appends = (0..TOGETHER).map(|_| {
            let (one, other) = (rand::random_range(0..PEOPLE), rand::random_range(0..PEOPLE));
            let private = rand::rng().random_bool(0.2);
            append(store, person(one), private.then(|| person(other)), text())
        });
        for done in futures::future::join_all(appends).await {
            done?;
        }
        stored += TOGETHER;
    }
    append(store, "mqtt:last".to_owned(), None, LAST.to_owned()).await?;
    say(&format!("{stored} messages stored in {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

async fn append(store: &Store, from: String, to: Option<String>, text: String) -> anyhow::Result<()> {
    let party = |name: &str| Party::parse(name).ok_or_else(|| anyhow::anyhow!("{name}"));
    let conversation = match to {
        Some(to) => Conversation::pair(party(&from)?, party(&to)?),
        None => Conversation::Public,
    };
    let id = MessageId::parse(&uuid::Uuid::now_v7().to_string()).ok_or_else(|| anyhow::anyhow!("no id"))?;
    let data = format!(r#"{{"text":"{text}"}}"#).into();
    let (from, name) = (party(&from)?, from.into());
    let entry =
        NewEntry { conversation, kind: EntryKind::Msg, id, from, name, data, change: None, ingest: None };
    store.append(entry).await?;
    Ok(())
}

async fn find(store: &Store, who: &str, query: &str) -> anyhow::Result<(Duration, usize)> {
    let query = Query::parse(query).map_err(|reason| anyhow::anyhow!("{reason}"))?;
    let who = Party::parse(who).ok_or_else(|| anyhow::anyhow!("nobody"))?;
    let started = Instant::now();
    let found = store.search(&who, &query, None, 50).await?;
    Ok((started.elapsed(), found.len()))
}

fn report(kind: &str, times: &mut [Duration], found: Option<f64>) {
    times.sort_unstable();
    let at =
        |part: usize| times.get((times.len() * part / 100).min(times.len() - 1)).copied().unwrap_or_default();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let found = found.map_or_else(String::new, |found| format!(", {found:.1} found"));
    say(&format!("{kind:<20} median {:7.2} ms, 99 % {:7.2} ms{found}", ms(at(50)), ms(at(99))));
}

#[allow(clippy::print_stdout, reason = "a report for people")]
fn say(line: &str) {
    println!("{line}");
}
