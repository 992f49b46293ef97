//! The body of a sending request.

use std::time::Duration;

use bytes::Buf;
use futures::{Stream, StreamExt};

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBody {
    /// It is larger than it may be.
    TooLarge,
    /// It didn't come in time.
    Late,
    /// The connection was lost.
    Lost,
}

/// Reads a body to its end, which has to come within `patience`.
pub(crate) async fn read<S, D, E>(body: S, limit: usize, patience: Duration) -> Result<Vec<u8>, NoBody>
where
    S: Stream<Item = Result<D, E>> + Send,
    D: Buf + Send,
    E: Send,
{
    let read = async {
        let mut body = std::pin::pin!(body);
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            let mut piece = piece.map_err(|_| NoBody::Lost)?;
            if bytes.len() + piece.remaining() > limit {
                return Err(NoBody::TooLarge);
            }
            while piece.has_remaining() {
                let chunk = piece.chunk();
                bytes.extend_from_slice(chunk);
                let len = chunk.len();
                piece.advance(len);
            }
        }
        Ok(bytes)
    };
    tokio::time::timeout(patience, read).await.unwrap_or(Err(NoBody::Late))
}
