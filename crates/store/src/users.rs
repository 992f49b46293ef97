//! Users: who they are and who says so.

use std::sync::Arc;

use mqttchat_protocol::{DisplayName, UserId};

use crate::{Store, StoreError, on_backend};

/// Somebody who has signed in at least once. Users are never deleted, nor their ids given to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The name that is shown.
    pub name: Arc<str>,
    /// Who vouches for them: `guest`, or a JWT issuer.
    pub issuer: Arc<str>,
    /// Which of their tokens is the valid one, from 1.
    pub serial: u64,
    /// Whether an operator has locked them out.
    pub blocked: bool,
    /// How often one has: sessions of before end, also when the block was undone before anybody saw it.
    pub blocks: u64,
    /// When the id was claimed, Unix time in ms.
    pub created: u64,
    /// When they were last there, Unix time in ms. While they are there: when they last were before.
    pub last_seen: u64,
}

/// What became of claiming an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// It was free, and is this user's now.
    Created(User),
    /// It belongs to somebody already.
    Taken,
}

/// What a session's right to be there depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The user.
    pub id: UserId,
    /// Which of their tokens is the valid one.
    pub serial: u64,
    /// Whether an operator has locked them out.
    pub blocked: bool,
    /// How often one has: sessions of before end, also when the block was undone before anybody saw it.
    pub blocks: u64,
}

impl Store {
    /// How often something was taken away from users or keys, counted by every node and command together: when it has
    /// risen, [`Store::standings`] and [`Store::revoked_apikeys`] may say something new.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn revocations(&self) -> Result<u64, StoreError> {
        on_backend!(self, backend => backend.revocations().await)
    }

    /// How those of these users stand that there are. At most a thousand at once, so that nobody else has to wait.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn standings(&self, among: &[UserId]) -> Result<Vec<Standing>, StoreError> {
        on_backend!(self, backend => backend.standings(among).await)
    }

    /// Locks a user out, or lets them in again; `None` when there is no such user. From here on nothing of theirs is
    /// stored; their sessions are the nodes' to end.
    ///
    /// Cancel safety: dropped, it may or may not happen.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn set_blocked(&self, id: &UserId, blocked: bool) -> Result<Option<User>, StoreError> {
        on_backend!(self, backend => backend.set_blocked(id, blocked).await)
    }

    /// Claims a user id, for ever. Of several at the same moment one gets it.
    ///
    /// Cancel safety: dropped, the id may or may not be claimed.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn claim_user(
        &self,
        id: &UserId,
        name: &DisplayName,
        issuer: &str,
    ) -> Result<ClaimOutcome, StoreError> {
        on_backend!(self, backend => backend.claim_user(id, name, issuer).await)
    }

    /// A user by id.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        on_backend!(self, backend => backend.user(id).await)
    }

    /// Changes the name that is shown; `false` when there is no such user. Entries keep the name of their time.
    ///
    /// # Errors
    /// [`StoreError`] when it couldn't be written.
    pub async fn rename_user(&self, id: &UserId, name: &DisplayName) -> Result<bool, StoreError> {
        on_backend!(self, backend => backend.rename_user(id, name).await)
    }

    /// This name with a number behind it, whose guest id nobody has at this moment: what to suggest when the name
    /// is taken. Not always the lowest number: it asks for a few dozen, however many are taken.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn free_name(&self, name: &DisplayName) -> Result<DisplayName, StoreError> {
        on_backend!(self, backend => backend.free_name(name).await)
    }

    /// Users by id, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn users_page(&self, after: Option<&str>, limit: u64) -> Result<Vec<User>, StoreError> {
        on_backend!(self, backend => backend.users_page(after, limit).await)
    }

    /// Users by when they were last seen, the latest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub async fn users_recent(&self, limit: u64) -> Result<Vec<User>, StoreError> {
        on_backend!(self, backend => backend.users_recent(limit).await)
    }
}

/// The search for a number from 2 on whose name is free, in about 2 log2(taken) questions: doubles until one is free,
/// then halves the distance to the last taken one. Gaps below are not looked for.
pub(crate) struct FreeNumber {
    taken: u32,
    free: u32,
    doubling: bool,
}

impl FreeNumber {
    pub(crate) fn new() -> Self {
        Self { taken: 1, free: 2, doubling: true }
    }

    /// The number to ask about next; the free one, when there is nothing more to ask.
    pub(crate) fn question(&self) -> Result<u32, u32> {
        if self.doubling {
            Ok(self.free)
        } else if self.free - self.taken > 1 {
            Ok(self.taken + (self.free - self.taken) / 2)
        } else {
            Err(self.free)
        }
    }

    /// Whether the number asked about is free.
    pub(crate) fn answer(&mut self, number: u32, is_free: bool) {
        if is_free {
            (self.free, self.doubling) = (number, false);
        } else if !self.doubling {
            self.taken = number;
        } else if number > u32::MAX / 2 {
            // Nobody has 2^31 names; should they, it is as good as any other.
            (self.taken, self.doubling) = (number - 1, false);
        } else {
            (self.taken, self.free) = (number, number * 2);
        }
    }
}

/// The number that [`FreeNumber`] finds.
pub(crate) fn free_number<E>(mut is_free: impl FnMut(u32) -> Result<bool, E>) -> Result<u32, E> {
    let mut search = FreeNumber::new();
    loop {
        match search.question() {
            Ok(number) => search.answer(number, is_free(number)?),
            Err(found) => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::free_number;
    use std::convert::Infallible;

    fn ask(taken_up_to: u32) -> (u32, u32) {
        let mut asked = 0;
        let Ok(number) = free_number::<Infallible>(|n| {
            asked += 1;
            Ok(n > taken_up_to)
        });
        (number, asked)
    }

    #[test]
    fn the_next_number_without_asking_for_each() {
        assert_eq!(ask(1), (2, 1));
        assert_eq!(ask(2).0, 3);
        assert_eq!(ask(99).0, 100);
        let (number, asked) = ask(10_000);
        assert_eq!(number, 10_001);
        assert!(asked <= 28, "{asked}");
    }

    #[test]
    fn ends_even_when_all_are_taken() {
        assert!(ask(u32::MAX).1 <= 32);
    }

    #[test]
    fn is_never_one_that_is_taken() {
        let taken = [2, 3, 4, 7, 8, 9, 16, 33];
        let Ok(number) = free_number::<Infallible>(|n| Ok(!taken.contains(&n)));
        assert!(!taken.contains(&number));
    }
}
