//! The id of each message that is sent: who sent it, which of theirs it is, and when.
//!
//! So a reader needs no table to tell how long a message took and whether one is missing.

use std::time::{Duration, Instant};

/// What a message's id says. As text it is a message id (docs/protocol.md §1) of [`Stamp::LENGTH`] characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The run that it belongs to: others may talk at the same time.
    pub(crate) run: u32,
    /// Which sender of this run.
    pub(crate) sender: u32,
    /// Which message of this sender: 0, 1, 2 …
    pub(crate) number: u32,
    /// When it was sent, in nanoseconds of the [`Clock`].
    pub(crate) at: u64,
}

impl Stamp {
    pub(crate) const LENGTH: usize = 8 + 8 + 8 + 16 + 3;

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let parts = [(self.run.into(), 8), (self.sender.into(), 8), (self.number.into(), 8), (self.at, 16)];
        for (place, (value, digits)) in parts.into_iter().enumerate() {
            if place > 0 {
                out.push(b'-');
            }
            hex(out, value, digits);
        }
    }

    /// `None` for an id that is none of ours.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::LENGTH || text[8] != b'-' || text[17] != b'-' || text[26] != b'-' {
            return None;
        }
        Some(Self {
            run: parsed(&text[..8])? as u32,
            sender: parsed(&text[9..17])? as u32,
            number: parsed(&text[18..26])? as u32,
            at: parsed(&text[27..])?,
        })
    }
}

fn hex(out: &mut Vec<u8>, value: u64, digits: u32) {
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (digit * 4)) as usize & 15]);
    }
}

fn parsed(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |sum, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u64::from(digit))
    })
}

/// Counts nanoseconds from the start of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long ago that was.
    pub(crate) fn since(self, at: u64) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp { run: 0xfeed_0001, sender: 7, number: u32::MAX, at: 1 << 60 };
        let mut text = Vec::new();
        stamp.write(&mut text);
        assert_eq!(text, b"feed0001-00000007-ffffffff-1000000000000000");
        assert_eq!(Stamp::parse(&text), Some(stamp));
    }

    #[test]
    fn other_ids_are_not_ours() {
        for id in [
            "",
            "1",
            "feed0001-00000007-ffffffff-100000000000000g",
            "feed0001_00000007-ffffffff-1000000000000000",
        ] {
            assert_eq!(Stamp::parse(id.as_bytes()), None, "{id}");
        }
    }
}
