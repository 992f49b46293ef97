//! The body of a sending request.

use std::time::Duration;

use bytes::Buf;
use futures::{Stream, StreamExt};

use crate::bodies::{Bodies, Room};

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBody {
    /// It is larger than it may be.
    TooLarge,
    /// It didn't come in time.
    Late,
    /// There was no room for it.
    NoRoom,
    /// The connection was lost.
    Lost,
}

/// Reads a body to its end, which has to come within `patience`; with the room that it takes.
pub(crate) async fn read<S, D, E>(
    body: S,
    limit: usize,
    patience: Duration,
    bodies: &Bodies,
) -> Result<(Vec<u8>, Room), NoBody>
where
    S: Stream<Item = Result<D, E>> + Send,
    D: Buf + Send,
    E: Send,
{
    let mut whole = bodies.begin();
    let read = async {
        let mut body = std::pin::pin!(body);
        while let Some(piece) = body.next().await {
            let mut piece = piece.map_err(|_| NoBody::Lost)?;
            if whole.len() + piece.remaining() > limit {
                return Err(NoBody::TooLarge);
            }
            while piece.has_remaining() {
                let chunk = piece.chunk();
                whole.push(chunk).await;
                let len = chunk.len();
                piece.advance(len);
            }
        }
        Ok(())
    };
    match tokio::time::timeout(patience, read).await {
        Ok(Ok(())) => Ok(whole.finish()),
        Ok(Err(error)) => Err(error),
        Err(_) if whole.is_waiting() => Err(NoBody::NoRoom),
        Err(_) => Err(NoBody::Late),
    }
}

/// Reads a body that is of no use to its end, keeping nothing of it.
pub(crate) async fn skip<S, D, E>(body: S, limit: usize, patience: Duration) -> Result<(), NoBody>
where
    S: Stream<Item = Result<D, E>> + Send,
    D: Buf + Send,
    E: Send,
{
    let skip = async {
        let mut body = std::pin::pin!(body);
        let mut len = 0;
        while let Some(piece) = body.next().await {
            len += piece.map_err(|_| NoBody::Lost)?.remaining();
            if len > limit {
                return Err(NoBody::TooLarge);
            }
        }
        Ok(())
    };
    tokio::time::timeout(patience, skip).await.unwrap_or(Err(NoBody::Late))
}
