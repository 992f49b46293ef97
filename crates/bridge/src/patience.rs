//! How long a client is waited for, and how much it is forgiven.

use std::time::{Duration, Instant};

use mqttchat_protocol::{ErrorCode, Refusal};

use crate::hub::far_future;
use crate::session::CloseCode;
use crate::transport::Transport;

/// A socket that takes nothing for this long, while more is waiting than it was handed, is closed with 4413.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// How long the answer to a ping may take.
const PONG_WITHIN: Duration = Duration::from_secs(15);

/// How long after a look the next one comes at the earliest.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// So many bad frames in a row end a session (docs/protocol.md §2).
const BAD_FRAMES_MAX: u32 = 10;

/// So many frames that came before their `retry_after`, without a pause of [`RATE_PAUSE`], end a session with 4429.
const RATE_REFUSALS_MAX: u32 = 200;

/// A pause after which refusals for the rate are forgotten.
const RATE_PAUSE: Duration = Duration::from_secs(2);

/// What to do about a client's silence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Wait,
    /// Ask whether it is still there.
    Ping,
    /// End it.
    Close(CloseCode),
}

/// Watches whether a client takes what it is sent, and is still there.
#[derive(Debug)]
pub(crate) struct Patience {
    ping_every: Duration,
    pinged: Option<Instant>,
    not_before: Instant,
}

impl Patience {
    /// Pings after `ping_ms` of silence.
    pub(crate) fn new(ping_ms: u64) -> Self {
        Self {
            ping_every: Duration::from_millis(ping_ms.max(1000)),
            pinged: None,
            not_before: Instant::now(),
        }
    }

    /// When to look next.
    pub(crate) fn alarm<T: Transport>(&self, transport: &T, reads: bool) -> Instant {
        let stuck = (transport.backlog() > 0).then(|| transport.last_progress() + STUCK_AFTER);
        let silent = reads.then(|| match self.pinged {
            Some(pinged) if transport.last_heard() < pinged => pinged + PONG_WITHIN,
            _ => transport.last_heard() + self.ping_every,
        });
        stuck.into_iter().chain(silent).min().map_or_else(far_future, |alarm| alarm.max(self.not_before))
    }

    /// Looks. Without `reads` nothing is expected of the client.
    pub(crate) fn look<T: Transport>(&mut self, transport: &T, reads: bool, more_waits: bool) -> Verdict {
        let now = Instant::now();
        // What is still so is looked at again after a while, not at once.
        self.not_before = now + LOOK_AGAIN;
        let stuck = transport.backlog() > 0 && now.duration_since(transport.last_progress()) >= STUCK_AFTER;
        if stuck && more_waits {
            return Verdict::Close((4413, "the socket took nothing for 10 s; come back with resume"));
        }
        if !reads {
            return Verdict::Wait;
        }
        match self.pinged {
            Some(pinged) if transport.last_heard() < pinged && now.duration_since(pinged) >= PONG_WITHIN => {
                return Verdict::Close((4408, "no answer to pings"));
            }
            Some(pinged) if transport.last_heard() < pinged => {}
            _ if now.duration_since(transport.last_heard()) >= self.ping_every => {
                self.pinged = Some(now);
                return Verdict::Ping;
            }
            _ => {}
        }
        Verdict::Wait
    }
}

/// Counts what a client gets wrong.
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    bad_in_a_row: u32,
    rate_refusals: u32,
    last_rate_refusal: Option<Instant>,
    /// What the last refusal asked it to wait for.
    wait_until: Option<Instant>,
}

impl Strikes {
    /// Bad frames in a row so far.
    pub(crate) fn bad_in_a_row(&self) -> u32 {
        self.bad_in_a_row
    }

    /// A frame was none of the bad ones.
    pub(crate) fn good(&mut self) {
        self.bad_in_a_row = 0;
    }

    /// Something was refused.
    pub(crate) fn refused(&mut self, refusal: &Refusal, now: Instant) {
        match refusal.code {
            ErrorCode::BadFrame => self.bad_in_a_row += 1,
            ErrorCode::RateLimited => {
                let paused = self.last_rate_refusal.is_none_or(|last| now.duration_since(last) > RATE_PAUSE);
                // Whoever waits as they are told has done nothing wrong, however often they have to.
                let early = self.wait_until.is_some_and(|until| now < until);
                self.rate_refusals = if paused { 0 } else { self.rate_refusals } + u32::from(early);
                self.last_rate_refusal = Some(now);
                self.wait_until = refusal.retry_after.map(|wait| now + Duration::from_millis(wait));
            }
            _ => {}
        }
    }

    /// Whether it was too much.
    pub(crate) fn verdict(&self) -> Option<CloseCode> {
        if self.bad_in_a_row >= BAD_FRAMES_MAX {
            Some((4400, "this client doesn't speak the protocol"))
        } else if self.rate_refusals >= RATE_REFUSALS_MAX {
            Some((4429, "this client keeps exceeding its rate"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(code: ErrorCode) -> Refusal {
        Refusal::new(code, "no frame")
    }

    #[test]
    fn ten_bad_frames_in_a_row() {
        let (mut strikes, now) = (Strikes::default(), Instant::now());
        for _ in 0..9 {
            strikes.refused(&bad(ErrorCode::BadFrame), now);
        }
        strikes.good();
        strikes.refused(&bad(ErrorCode::UnknownType), now);
        for _ in 0..9 {
            strikes.refused(&bad(ErrorCode::BadFrame), now);
        }
        assert_eq!(strikes.verdict(), None);
        strikes.refused(&bad(ErrorCode::BadFrame), now);
        assert_eq!(strikes.verdict().map(|close| close.0), Some(4400));
    }

    fn limited(retry_after: u64) -> Refusal {
        Refusal { retry_after: Some(retry_after), ..Refusal::new(ErrorCode::RateLimited, "too fast") }
    }

    #[test]
    fn a_client_that_never_pauses_is_closed() {
        let (mut strikes, now) = (Strikes::default(), Instant::now());
        for count in 0..RATE_REFUSALS_MAX {
            strikes.refused(&limited(50), now + Duration::from_millis(u64::from(count)));
        }
        assert_eq!(strikes.verdict(), None);
        let mut pausing = Strikes::default();
        for count in 0..RATE_REFUSALS_MAX * 2 {
            let now = now + (RATE_PAUSE + Duration::from_millis(1)) * count;
            pausing.refused(&limited(5000), now);
        }
        assert_eq!(pausing.verdict(), None);
        strikes.refused(&limited(50), now + Duration::from_millis(220));
        assert_eq!(strikes.verdict().map(|close| close.0), Some(4429));
    }

    #[test]
    fn a_client_that_waits_as_it_is_told_stays() {
        let (mut strikes, now) = (Strikes::default(), Instant::now());
        for count in 0..RATE_REFUSALS_MAX * 2 {
            strikes.refused(&limited(30), now + Duration::from_millis(30) * count);
        }
        assert_eq!(strikes.verdict(), None);
    }
}
