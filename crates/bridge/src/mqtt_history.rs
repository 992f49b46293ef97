//! History for programs that speak nothing but MQTT (docs/mqtt.md "History"): asked on `history/<client>/get`, answered
//! on `history/<client>/got`, by the node that holds the ingest lease, and of what everybody may read only.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use mqttchat_protocol::{Conversation, Dest, ErrorCode, Frame, Party, Refusal};
use mqttchat_store::Access;
use rumqttc::Publish;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::command::store_away;
use crate::hub::Hub;
use crate::limits::Bucket;
use crate::options::Rates;
use crate::page::{frames, with_messages};
use crate::question::Question;

/// Questions a second from all programs together, and at once after a pause; what is above that is not answered.
const RATES: Rates = Rates { messages_per_second: 20, burst: 100 };

/// Questions that are answered at a time; those above are not answered either.
const AT_ONCE: usize = 8;

/// Bytes of entries in one answer: brokers bound their packets.
const ANSWER_MAX: usize = 256 << 10;

/// The questions of programs, while this node answers them.
pub(crate) struct MqttHistory {
    bucket: Mutex<Bucket>,
    places: Arc<Semaphore>,
}

impl MqttHistory {
    pub(crate) fn new() -> Self {
        Self {
            bucket: Mutex::new(Bucket::new(RATES, Instant::now())),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Has a question answered, soon. Never waits: a program that gets no answer asks again.
    pub(crate) fn ask(&self, hub: &Arc<Hub>, client: &str, publish: &Publish) {
        if publish.retain {
            return;
        }
        let turn = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        let (Ok(()), Ok(place)) = (turn, self.places.clone().try_acquire_owned()) else {
            metrics::counter!("mqttchat_mqtt_history_total", "result" => "dropped").increment(1);
            return;
        };
        let (hub, topic, question) = (hub.clone(), hub.topics.history_got(client), publish.payload.clone());
        tokio::spawn(async move {
            let answer = match answer(&hub, &question).await {
                Ok(answer) => answer,
                Err(refusal) => {
                    let error = json!({ "code": refusal.code.as_str(), "reason": refusal.reason });
                    json!({ "error": error }).to_string().into_bytes()
                }
            };
            let taken = hub.link.publish_state(topic.clone(), hub.seal_passing(&answer, &topic), false);
            let result = if taken { "answered" } else { "unsent" };
            metrics::counter!("mqttchat_mqtt_history_total", "result" => result).increment(1);
            drop(place);
        });
    }
}

async fn answer(hub: &Hub, question: &[u8]) -> Result<Vec<u8>, Refusal> {
    let Question { dest, bounds, limit, id } = Question::parse(question, hub.options.limits.history)?;
    let conversation = open_to_all(hub, &dest).await?;
    let entries = match bounds.after {
        Some(after) => hub.store.entries_after(&conversation, after, limit + 1).await,
        None => hub.store.entries_before(&conversation, bounds.before, limit + 1).await,
    };
    let mut frames = frames(&entries.map_err(store_away)?);
    let mut more = frames.len() as u64 > limit;
    if bounds.after.is_some() {
        frames.truncate(limit as usize);
        more |= keep_fitting(&mut frames);
    } else {
        frames.drain(..usize::from(more));
        frames.reverse();
        more |= keep_fitting(&mut frames);
        frames.reverse();
    }
    let mut members = json!({ "dest": dest, "more": more });
    if let Some(id) = id {
        members["id"] = id.into();
    }
    Ok(with_messages(&members, &frames))
}

/// The conversation, if strangers may read it: they have no login, and everybody on the broker sees the answer.
async fn open_to_all(hub: &Hub, dest: &Dest) -> Result<Conversation, Refusal> {
    let stranger = Party::foreign("guest");
    let readable = match dest {
        Dest::Public => true,
        Dest::Room(room) => hub.store.room_access(room, &stranger).await.map_err(store_away)? >= Access::Open,
        Dest::Private(_) => false,
    };
    if readable {
        return Ok(dest.seen_by(&stranger));
    }
    let reason = format!("there is no {dest}, or it is not open to everybody");
    Err(Refusal::new(ErrorCode::NotFound, reason))
}

/// Keeps the first frames that fit into an answer, at least one; true when some didn't.
fn keep_fitting(frames: &mut Vec<Frame>) -> bool {
    let mut bytes = 0;
    let fitting = frames.iter().take_while(|frame| {
        bytes += frame.len();
        bytes <= ANSWER_MAX
    });
    let count = fitting.count().max(1).min(frames.len());
    let cut = count < frames.len();
    frames.truncate(count);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_fit_into_packets() {
        let half = Frame::text(&vec![b'x'; ANSWER_MAX / 2 - 100]);
        let mut frames = vec![half.clone(), half.clone(), half];
        assert!(keep_fitting(&mut frames) && frames.len() == 2);
        assert!(!keep_fitting(&mut frames) && frames.len() == 2);
        let mut large = vec![Frame::text(&vec![b'x'; ANSWER_MAX * 2])];
        assert!(!keep_fitting(&mut large) && large.len() == 1);
    }
}
