//! The memory that the bodies of requests, or other things that come in parts, take together while they come.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What every body may have without asking: most need no more.
const FREE: usize = 8 << 10;

/// Bytes of one permit.
const UNIT: usize = 1 << 10;

/// Room for the bodies that are being read, and for what came in them until it is read. Clones share it.
///
/// The first 8 KiB of each body are not counted. What is larger waits for room, and goes on when there is some
/// ([`Body::push`]), or does without ([`Body::try_push`]).
#[derive(Clone, Debug)]
pub struct Bodies {
    room: Arc<Semaphore>,
    /// How many permits there are in all.
    size: usize,
}

impl Default for Bodies {
    /// 24 MiB.
    fn default() -> Self {
        Self::new(24 << 20)
    }
}

impl Bodies {
    /// Room for so many bytes. A body that is larger than all of it never comes to its end.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let size = (bytes / UNIT).min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(size)), size }
    }

    /// Whether less than a quarter of it is left.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.room.available_permits() < self.size / 4
    }

    /// A body that begins.
    #[must_use]
    pub fn begin(&self) -> Body {
        Body { bytes: Vec::new(), room: Arc::clone(&self.room), held: None, is_waiting: false }
    }
}

/// A body as far as it has come.
#[derive(Debug)]
pub struct Body {
    bytes: Vec<u8>,
    room: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    is_waiting: bool,
}

/// The room that a body took. It is free again when this is dropped.
#[derive(Debug)]
pub struct Room {
    _held: Option<OwnedSemaphorePermit>,
}

impl Body {
    /// How much has come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether it waits for room, or did when the waiting was given up.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Adds what came, waiting for room. Cancel safe: dropped, nothing is added.
    pub async fn push(&mut self, part: &[u8]) {
        let needed = self.bytes.len() + part.len();
        if needed > self.bytes.capacity() {
            let wanted = needed.max(self.bytes.capacity() * 2).next_multiple_of(UNIT);
            self.make_room(wanted).await;
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(part);
    }

    /// The same without waiting: says whether there was room. If not, nothing is added. Room is taken for at most
    /// `limit` bytes where they are enough.
    #[must_use]
    pub fn try_push(&mut self, part: &[u8], limit: usize) -> bool {
        let needed = self.bytes.len() + part.len();
        if needed > self.bytes.capacity() {
            // Twice as much, so that it isn't moved too often, or else just enough.
            let twice = (self.bytes.capacity() * 2).min(if needed > FREE { limit } else { FREE });
            let sizes = [needed.max(twice), needed];
            let Some(size) = sizes.into_iter().find(|size| self.try_make_room(*size)) else { return false };
            self.bytes.reserve_exact(size - self.bytes.len());
        }
        self.bytes.extend_from_slice(part);
        true
    }

    /// Adds the last part, which needs no room: what is whole waits for nothing.
    pub fn push_last(&mut self, part: &[u8]) {
        self.bytes.reserve_exact(part.len());
        self.bytes.extend_from_slice(part);
    }

    /// Whether it has taken room.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.held.is_some()
    }

    /// What has come.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    async fn make_room(&mut self, wanted: usize) {
        let Some(more) = self.lacking(wanted) else { return };
        self.is_waiting = true;
        // It is never closed.
        if let Ok(more) = Arc::clone(&self.room).acquire_many_owned(more).await {
            self.hold(more);
        }
        self.is_waiting = false;
    }

    fn try_make_room(&mut self, wanted: usize) -> bool {
        let Some(more) = self.lacking(wanted) else { return true };
        let Ok(more) = Arc::clone(&self.room).try_acquire_many_owned(more) else { return false };
        self.hold(more);
        true
    }

    /// How many permits more are needed for so many bytes.
    fn lacking(&self, wanted: usize) -> Option<u32> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = wanted.saturating_sub(FREE).div_ceil(UNIT).saturating_sub(held);
        u32::try_from(more).ok().filter(|more| *more > 0)
    }

    fn hold(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
    }

    /// The whole of it, and its room, to be kept until nothing of it is needed any more.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, Room) {
        (self.bytes, Room { _held: self.held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_waiting_there_is_room_or_there_is_not() {
        let bodies = Bodies::new(32 << 10);
        let (mut first, mut second) = (bodies.begin(), bodies.begin());
        for _ in 0..40 {
            assert!(first.try_push(&[b'x'; 1000], 40_000));
        }
        assert!(first.has_room() && bodies.is_short());
        assert!(
            second.try_push(&[b'y'; FREE - 1], 40_000) && second.try_push(b"y", 40_000),
            "so much is free"
        );
        assert!(!second.try_push(b"y", 40_000));
        assert_eq!(
            (second.as_slice().len(), second.bytes.capacity(), second.has_room()),
            (FREE, FREE, false)
        );
        drop(first);
        assert!(second.try_push(b"y", 40_000) && !bodies.is_short());
        second.push_last(&[b'z'; 100_000]);
        assert_eq!(second.finish().0.len(), FREE + 100_001);
        assert_eq!(bodies.room.available_permits(), 32);
    }

    #[tokio::test]
    async fn large_ones_wait_for_room_and_small_ones_do_not() {
        let bodies = Bodies::new(64 << 10);
        let mut large = bodies.begin();
        for _ in 0..64 {
            large.push(&[b'x'; 1000]).await;
        }
        assert_eq!((large.len(), large.is_empty(), large.is_waiting()), (64_000, false, false));
        let (mut small, mut other) = (bodies.begin(), bodies.begin());
        small.push(&[b'x'; FREE]).await;
        {
            let waiting = other.push(&[b'y'; 20_000]);
            tokio::pin!(waiting);
            assert!(futures::poll!(&mut waiting).is_pending());
        }
        assert!(other.is_waiting() && other.is_empty());
        let (bytes, room) = large.finish();
        assert_eq!(bytes.len(), 64_000);
        {
            let waiting = other.push(&[b'y'; 20_000]);
            tokio::pin!(waiting);
            assert!(futures::poll!(&mut waiting).is_pending(), "what came in it is still needed");
            drop(room);
            assert!(futures::poll!(&mut waiting).is_ready());
        }
        assert_eq!((other.finish().0, small.finish().0.len()), (vec![b'y'; 20_000], FREE));
        assert_eq!(bodies.room.available_permits(), 64);
    }
}
