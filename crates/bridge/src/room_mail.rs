//! Changes of rooms that a session is told of by themselves, each once, whether it reads the room or not.

use std::collections::HashMap;

use mqttchat_protocol::{Conversation, Frame};

use crate::mail::RoomMail;

/// Rooms of which is remembered how far the session has been told.
const REMEMBERED: usize = 256;

/// Changes that may wait until it is clear whether the session gets them with the room's entries.
const WAITING_MAX: usize = 256;

/// How a session stands to a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It doesn't read it.
    Away,
    /// It will, or won't, in a moment.
    Coming,
    /// It reads it, and has had everything up to this `seq`.
    Reading(u64),
}

/// What one session has been told, and what waits.
#[derive(Debug, Default)]
pub(crate) struct RoomNews {
    waiting: Vec<RoomMail>,
    told: HashMap<Conversation, u64>,
}

impl RoomNews {
    /// Takes in what the node has left for the session.
    pub(crate) fn arrived(&mut self, mail: impl IntoIterator<Item = RoomMail>) {
        self.waiting.extend(mail);
        let above = self.waiting.len().saturating_sub(WAITING_MAX);
        self.waiting.drain(..above);
    }

    /// The session has had everything of a room up to `seq`.
    pub(crate) fn note(&mut self, conversation: &Conversation, seq: u64) {
        if !matches!(conversation, Conversation::Room(_)) {
            return;
        }
        if self.told.len() == REMEMBERED {
            self.told.clear();
        }
        let told = self.told.entry(conversation.clone()).or_default();
        *told = seq.max(*told);
    }

    /// Whether something waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What the session is to be told now. What it gets with the room's entries isn't told twice.
    pub(crate) fn due(&mut self, standing: impl Fn(&Conversation) -> Standing) -> Vec<Frame> {
        let mut due = Vec::new();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|mail| match standing(&mail.conversation) {
            Standing::Coming => true,
            Standing::Reading(seq) => seq < mail.seq,
            Standing::Away => {
                if self.told.get(&mail.conversation).is_none_or(|told| *told < mail.seq) {
                    self.note(&mail.conversation, mail.seq);
                    due.push(mail.frame.clone());
                }
                false
            }
        });
        self.waiting = waiting;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Conversation {
        Conversation::parse("rooms/ops").unwrap()
    }

    fn mail(seq: u64) -> RoomMail {
        RoomMail { conversation: room(), seq, frame: Frame::text(seq.to_string().as_bytes()) }
    }

    fn due(news: &mut RoomNews, standing: Standing) -> Vec<String> {
        let text = |frame: &Frame| String::from_utf8_lossy(frame.as_json()).into_owned();
        news.due(|_| standing).iter().map(text).collect()
    }

    #[test]
    fn told_once_whichever_way_it_comes() {
        let mut news = RoomNews::default();
        news.arrived([mail(4), mail(4)]);
        assert_eq!(due(&mut news, Standing::Away), ["4"]);
        news.arrived([mail(4), mail(7)]);
        news.note(&room(), 7);
        assert!(due(&mut news, Standing::Away).is_empty() && news.is_empty());
    }

    #[test]
    fn what_a_reader_gets_anyhow_waits_for_its_end() {
        let mut news = RoomNews::default();
        news.arrived([mail(5), mail(6)]);
        assert!(due(&mut news, Standing::Coming).is_empty());
        assert!(due(&mut news, Standing::Reading(4)).is_empty() && !news.is_empty());
        news.note(&room(), 5);
        assert_eq!(due(&mut news, Standing::Away), ["6"], "removed by the one, taken in again by the other");
        news.arrived([mail(8)]);
        assert!(due(&mut news, Standing::Reading(8)).is_empty() && news.is_empty());
    }
}
