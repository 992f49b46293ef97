//! Frame types of the application around the server (docs/toolkit.md).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::BoxFuture;
use mqttchat_protocol::{Dest, ErrorCode, Refusal, UserId};
use serde_json::Value;
use tokio::time::timeout;

use crate::caller::Caller;
use crate::command::{Outcome, Re};
use crate::deliver::unavailable;
use crate::hub::Hub;
use crate::routes::unpanicked;

/// How long a handler may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A frame of an application's own type.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnFrame {
    /// Its `type`.
    pub kind: String,
    /// The conversation that it names. What its user may do there is the handler's to check.
    pub dest: Option<Dest>,
    /// Its `data`; `null` where there was none.
    pub data: Value,
}

/// Who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The user, signed in.
    pub user: UserId,
    /// The name that is shown.
    pub name: Arc<str>,
}

/// Answers frames of one type.
///
/// A closure `Fn(&Asker, &OwnFrame) -> Result<Value, Refusal>` is a handler, too.
pub trait FrameHandler: Send + Sync + 'static {
    /// What the `reply` carries as its `data`, or the `error` that comes instead. The session's next frame waits for it;
    /// after 10 s it is dropped, at any await, and answered with `unavailable`. A panic is answered so, too.
    fn handle<'a>(&'a self, asker: &'a Asker, frame: &'a OwnFrame) -> BoxFuture<'a, Result<Value, Refusal>>;
}

impl<F> FrameHandler for F
where
    F: Fn(&Asker, &OwnFrame) -> Result<Value, Refusal> + Send + Sync + 'static,
{
    fn handle<'a>(&'a self, asker: &'a Asker, frame: &'a OwnFrame) -> BoxFuture<'a, Result<Value, Refusal>> {
        Box::pin(std::future::ready(self(asker, frame)))
    }
}

/// Why a type can't be an application's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} can't be a frame type: it has to be like poll.vote, and room and member are the protocol's own"
)]
pub struct BadFrameType(String);

/// The application's frame types. A cheap handle: clones are the same, which can change while sessions are open.
#[derive(Clone, Default)]
pub struct FrameTypes {
    handlers: Arc<RwLock<HashMap<String, Arc<dyn FrameHandler>>>>,
}

impl fmt::Debug for FrameTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(handlers.keys()).finish()
    }
}

impl FrameTypes {
    /// Has `handler` answer frames of this type, in place of whoever did before.
    ///
    /// # Errors
    /// [`BadFrameType`] for what may be of the protocol, now or later: a type of the application has a dot in it, between
    /// `[a-z0-9_-]`.
    pub fn add(&self, kind: &str, handler: impl FrameHandler) -> Result<(), BadFrameType> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        };
        let space = kind.split_once('.').map(|(space, _)| space);
        let good = kind.len() <= 64
            && space.is_some_and(|space| !matches!(space, "room" | "member"))
            && kind.split('.').all(is_part);
        if !good {
            return Err(BadFrameType(kind.to_owned()));
        }
        self.handlers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(kind.to_owned(), Arc::new(handler));
        Ok(())
    }

    /// Frames of this type are unknown again; `false` when they were already.
    #[allow(clippy::must_use_candidate, reason = "a type that isn't there needn't be removed")]
    pub fn remove(&self, kind: &str) -> bool {
        self.handlers.write().unwrap_or_else(PoisonError::into_inner).remove(kind).is_some()
    }

    /// Whether this type has a handler.
    pub(crate) fn has(&self, kind: &str) -> bool {
        self.handlers.read().unwrap_or_else(PoisonError::into_inner).contains_key(kind)
    }

    fn handler(&self, kind: &str) -> Option<Arc<dyn FrameHandler>> {
        self.handlers.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }
}

/// Has the application answer a frame.
pub(crate) async fn own_frame(
    hub: &Hub,
    caller: &Caller,
    re: &Re,
    kind: String,
    data: Value,
) -> Result<Outcome, Refusal> {
    let Some(handler) = hub.options.frame_types.handler(&kind) else {
        return Err(Refusal::new(ErrorCode::UnknownType, "this server doesn't know this type any more"));
    };
    let asker = Asker { user: caller.user.clone(), name: caller.name.clone() };
    let frame = OwnFrame { kind, dest: re.dest.clone(), data };
    match timeout(ANSWER_WITHIN, unpanicked(async { handler.handle(&asker, &frame).await })).await {
        Ok(Some(answer)) => Ok(Outcome::frame(re.reply(answer?.to_string().as_bytes()))),
        failed => {
            let panicked = failed.is_ok();
            tracing::error!(kind = frame.kind, panicked, "the handler of a frame type gave no answer");
            Err(unavailable())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_can_be_taken() {
        let types = FrameTypes::default();
        let handler = |_: &Asker, _: &OwnFrame| Ok(Value::Null);
        for good in ["poll.vote", "my-app.x_1.y"] {
            types.add(good, handler).unwrap();
            assert!(types.has(good));
        }
        for bad in ["", "msg", "poll", "room.paint", "member.x", ".x", "x.", "a..b", "Poll.vote", "a.b c"] {
            assert_eq!(types.add(bad, handler), Err(BadFrameType(bad.to_owned())));
        }
        assert!(types.remove("poll.vote") && !types.remove("poll.vote") && !types.has("poll.vote"));
    }
}
