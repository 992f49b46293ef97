//! What the members of a run hear, all together: how long it took, and whether it was right.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::check::{Faults, Ledger, Reader};
use crate::client::Client;
use crate::event::Event;
use crate::lab::Crew;
use crate::latency::{Latency, Summary};
use crate::stamp::Stamp;

/// Shared by the tasks of all members.
pub(crate) struct Hearing {
    pub(crate) crew: Crew,
    places: bool,
    ledger: RefCell<Ledger>,
    readers: RefCell<Vec<Reader>>,
    acceptance: RefCell<Latency>,
    delivery: RefCell<Latency>,
    refused: Cell<u64>,
    refusal: RefCell<Option<String>>,
    delivered: Cell<u64>,
    failure: RefCell<Option<String>>,
    /// Deliveries from which on the waiting one is woken.
    awaited: Cell<u64>,
    progress: Notify,
}

impl Hearing {
    /// `places`: whether messages have any (`seq`).
    pub(crate) fn new(crew: Crew, places: bool) -> Result<Self> {
        Ok(Self {
            crew,
            places,
            ledger: RefCell::default(),
            readers: RefCell::default(),
            acceptance: RefCell::new(Latency::new()?),
            delivery: RefCell::new(Latency::new()?),
            refused: Cell::default(),
            refusal: RefCell::default(),
            delivered: Cell::default(),
            failure: RefCell::default(),
            awaited: Cell::new(u64::MAX),
            progress: Notify::new(),
        })
    }

    /// A reader more, who has everything up to `head`. Returns their number: 0, 1, 2 …
    ///
    /// All come before the first message is sent.
    pub(crate) fn seat(&self, head: u64) -> usize {
        let mut readers = self.readers.borrow_mut();
        if readers.is_empty() {
            *self.ledger.borrow_mut() = Ledger::after(head);
        }
        readers.push(Reader::new(self.places.then_some(head)));
        readers.len() - 1
    }

    /// Takes note of what a sender is answered.
    pub(crate) fn answered(&self, event: &Event<'_>) {
        match event {
            Event::Accepted { stamp, seq } => {
                self.acceptance.borrow_mut().record(self.crew.clock.since(stamp.at));
                self.ledger.borrow_mut().accept(*stamp, *seq);
            }
            Event::Refused { code, reason } => {
                self.refused.set(self.refused.get() + 1);
                self.refusal.borrow_mut().get_or_insert_with(|| format!("{code}: {reason}"));
            }
            _ => return,
        }
        self.progress.notify_one();
    }

    /// Takes note of what a reader is sent. Their own messages, as sender `own`, are no deliveries to others.
    pub(crate) fn heard(&self, reader: usize, own: Option<usize>, event: &Event<'_>) {
        let Event::Message { stamp, seq } = event else { return };
        let stamp = stamp.filter(|stamp: &Stamp| stamp.run == self.crew.run);
        let fresh = self.readers.borrow_mut()[reader].see(*seq, stamp, &mut self.ledger.borrow_mut());
        let Some(stamp) = stamp.filter(|_| fresh) else { return };
        let delivered = self.delivered.get() + 1;
        self.delivered.set(delivered);
        if own != Some(stamp.sender as usize) {
            self.delivery.borrow_mut().record(self.crew.clock.since(stamp.at));
        }
        if delivered >= self.awaited.get() {
            self.progress.notify_one();
        }
    }

    /// Listens for a reader for good; a connection that ends is the failure of the run.
    pub(crate) async fn listen(&self, mut client: Client, reader: usize) {
        loop {
            if let Err(ended) = client.turn(|event| self.heard(reader, None, &event)).await {
                return self.fail(&ended.to_string());
            }
        }
    }

    /// The run can't go on.
    pub(crate) fn fail(&self, why: &str) {
        self.failure.borrow_mut().get_or_insert_with(|| why.to_owned());
        self.progress.notify_one();
    }

    /// Waits for the next answer, or, from `awaited` deliveries on, for the next delivery.
    ///
    /// # Errors
    /// When the run has failed, or nothing happened within the patience.
    pub(crate) async fn progress(&self, awaited: u64, patience: Duration) -> Result<()> {
        self.awaited.set(awaited);
        let progress = tokio::time::timeout(patience, self.progress.notified()).await;
        self.awaited.set(u64::MAX);
        self.check()?;
        if progress.is_err() {
            bail!("nothing more came: {} accepted, {} delivered", self.accepted(), self.delivered());
        }
        Ok(())
    }

    /// Waits until `messages` were answered and whatever was accepted is with each of the readers.
    ///
    /// What does not come within the patience is left to the [`verdict`](Self::verdict).
    ///
    /// # Errors
    /// When the run has failed.
    pub(crate) async fn all(&self, messages: u64, patience: Instant) -> Result<()> {
        let readers = self.readers.borrow().len() as u64;
        self.awaited.set(0);
        loop {
            self.check()?;
            let accepted = self.accepted();
            if accepted + self.refused() >= messages && self.delivered() >= accepted * readers {
                return Ok(());
            }
            if tokio::time::timeout_at(patience, self.progress.notified()).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Fails when the run has.
    pub(crate) fn check(&self) -> Result<()> {
        match &*self.failure.borrow() {
            Some(failure) => bail!("{failure}"),
            None => Ok(()),
        }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.ledger.borrow().accepted()
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.get()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// The first refusal.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refusal.borrow().clone()
    }

    /// From sending to the answer.
    pub(crate) fn acceptance(&self) -> Summary {
        self.acceptance.borrow().summary()
    }

    /// From sending until another has it.
    pub(crate) fn delivery(&self) -> Summary {
        self.delivery.borrow().summary()
    }

    /// Forgets the times so far, for a new round.
    pub(crate) fn forget_times(&self) {
        self.acceptance.borrow_mut().clear();
        self.delivery.borrow_mut().clear();
    }

    /// What was wrong, when everything that was accepted should have been heard by all.
    pub(crate) fn verdict(&self) -> Faults {
        let ledger = self.ledger.borrow();
        let mut faults = ledger.verdict();
        for reader in &*self.readers.borrow() {
            faults.add(&reader.verdict(&ledger));
        }
        faults
    }
}
