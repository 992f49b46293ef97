//! Where a stream stands: the ids of its events, and what `Last-Event-ID` brings back.

use std::collections::BTreeMap;
use std::fmt;

use mqttchat_protocol::{Dest, Frame, UserId};
use serde::Deserialize;

/// The last `seq` of each conversation of a stream; `None` where it isn't known yet.
///
/// Written as an event's id it is the `seq` alone where there is one conversation, else `public:41,rooms/ops:7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Positions(pub(crate) BTreeMap<Dest, Option<u64>>);

/// The part of a frame that says where it stands.
#[derive(Deserialize)]
struct Place<'f> {
    #[serde(borrow, rename = "type")]
    kind: &'f serde_json::value::RawValue,
    dest: Option<&'f str>,
    from: Option<&'f str>,
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct Bounds {
    data: BoundsData,
}

#[derive(Deserialize)]
struct BoundsData {
    head: Option<u64>,
    before: Option<u64>,
}

/// What a frame means to a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// An answer to what the stream itself has asked: not to be shown.
    Answer,
    /// It moves a position: the event that shows it carries the new id.
    Moves,
    /// Anything else.
    Other,
}

impl Positions {
    /// Reads an id that an event of the same conversations has carried.
    pub(crate) fn resume(&mut self, id: &str) -> Result<(), &'static str> {
        if let (Ok(seq), 1) = (id.parse::<u64>(), self.0.len()) {
            self.0.values_mut().for_each(|known| *known = Some(seq));
            return Ok(());
        }
        for part in id.split(',') {
            let (dest, seq) = part.rsplit_once(':').ok_or(NO_ID)?;
            let dest = Dest::parse(dest).map_err(|_| NO_ID)?;
            let seq: u64 = seq.parse().map_err(|_| NO_ID)?;
            // A conversation that is no longer asked for is none of this stream's.
            if let Some(known) = self.0.get_mut(&dest) {
                *known = Some(seq);
            }
        }
        Ok(())
    }

    /// Notes where a frame to `me` stands.
    pub(crate) fn note(&mut self, frame: &Frame, me: &UserId) -> Meaning {
        let Ok(place) = serde_json::from_slice::<Place<'_>>(frame.as_json()) else { return Meaning::Other };
        let dest = place.dest.and_then(|dest| Dest::parse(dest).ok());
        match place.kind.get() {
            "1000" => Meaning::Answer,
            "\"reply\"" => {
                self.set(dest, bounds(frame).and_then(|data| data.head));
                Meaning::Answer
            }
            "\"gap\"" => {
                // What follows begins there, even if nothing does.
                self.set(
                    dest,
                    bounds(frame).and_then(|data| data.before).map(|before| before.saturating_sub(1)),
                );
                Meaning::Moves
            }
            kind if kind.starts_with('"') && place.seq.is_some() => {
                let to_me = matches!(&dest, Some(Dest::Private(party)) if *party == *me);
                let dest = match place.from {
                    Some(from) if to_me => Dest::parse(&format!("private/{from}")).ok(),
                    _ => dest,
                };
                self.set(dest, place.seq);
                Meaning::Moves
            }
            _ => Meaning::Other,
        }
    }

    fn set(&mut self, dest: Option<Dest>, seq: Option<u64>) {
        if let (Some(dest), Some(seq)) = (dest, seq)
            && let Some(known) = self.0.get_mut(&dest)
        {
            *known = Some(seq);
        }
    }

    /// Whether every conversation's place is known.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.values().all(Option::is_some)
    }
}

const NO_ID: &str =
    "Last-Event-ID has to be the id of an event: a seq, or for several conversations public:41,rooms/ops:7";

fn bounds(frame: &Frame) -> Option<BoundsData> {
    serde_json::from_slice::<Bounds>(frame.as_json()).ok().map(|frame| frame.data)
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.iter().filter_map(|(dest, seq)| Some((dest, (*seq)?)));
        for (at, (dest, seq)) in known.enumerate() {
            if self.0.len() == 1 {
                return write!(f, "{seq}");
            }
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{dest}:{seq}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(dests: &[&str]) -> Positions {
        Positions(dests.iter().map(|dest| (Dest::parse(dest).unwrap(), None)).collect())
    }

    fn frame(json: &serde_json::Value) -> Frame {
        Frame::json(json)
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        let mut one = positions(&["rooms/ops"]);
        one.resume("41").unwrap();
        assert_eq!(one.to_string(), "41");
        let mut two = positions(&["public", "private/mqtt:lamp", "rooms/ops"]);
        two.resume("private/mqtt:lamp:3,public:41,rooms/gone:9").unwrap();
        assert_eq!((two.to_string().as_str(), two.is_whole()), ("public:41,private/mqtt:lamp:3", false));
        one.resume("rooms/ops:42").unwrap();
        assert_eq!(one.to_string(), "42");
        for bad in ["", "x", "41", "public", "public:x", "nowhere:1", "public:1,", "-1"] {
            assert!(two.resume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frames_move_positions() {
        let me = UserId::parse("ann").unwrap();
        let mut all = positions(&["public", "private/bob"]);
        let reply = frame(&serde_json::json!({"type":"reply","re":"j","dest":"public","data":{"head":7}}));
        assert_eq!((all.note(&reply, &me), all.to_string().as_str()), (Meaning::Answer, "public:7"));
        let own = frame(
            &serde_json::json!({"type":"msg","id":"1","dest":"private/bob","from":"ann","seq":2,"data":{}}),
        );
        let theirs = frame(
            &serde_json::json!({"type":"msg","id":"1","dest":"private/ann","from":"bob","seq":3,"data":{"seq":9}}),
        );
        assert_eq!(
            (all.note(&own, &me), all.to_string().as_str()),
            (Meaning::Moves, "public:7,private/bob:2")
        );
        assert_eq!(
            (all.note(&theirs, &me), all.to_string().as_str()),
            (Meaning::Moves, "public:7,private/bob:3")
        );
        let gap = frame(&serde_json::json!({"type":"gap","dest":"public","data":{"after":7,"before":900}}));
        assert_eq!(
            (all.note(&gap, &me), all.to_string().as_str()),
            (Meaning::Moves, "public:899,private/bob:3")
        );
        let typing =
            frame(&serde_json::json!({"type":"typing","dest":"public","from":"bob","data":{"typing":true}}));
        assert_eq!(all.note(&typing, &me), Meaning::Other);
        assert_eq!(all.note(&frame(&serde_json::json!({"type":1000,"data":{}})), &me), Meaning::Answer);
    }
}
