//! A few connections for reads, and for those writes that are not the writer's: claims, leases, presence.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::Row;

use super::fault::Fault;
use super::session::{Database, Params, Session};
use crate::health::HealthCell;
use crate::{Health, StoreError};

/// How many ask at the same time. More wait, in order.
const SESSIONS: u32 = 6;
/// How often something is tried that others were in the way of.
const TRIES: u32 = 5;

/// Connections that are used by one caller at a time.
pub(super) struct Pool {
    database: Arc<Database>,
    health: Arc<HealthCell>,
    runtime: Handle,
    idle: Mutex<Vec<Session>>,
    room: Semaphore,
}

/// A connection on loan. It goes back when dropped: what was asked and not waited for is answered before what is
/// asked next.
struct Loan<'a> {
    pool: &'a Pool,
    session: Option<Session>,
    _room: SemaphorePermit<'a>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && !session.is_closed()
        {
            self.pool.lock().push(session);
        }
    }
}

impl Pool {
    pub(super) fn new(database: Arc<Database>, health: Arc<HealthCell>, runtime: Handle) -> Self {
        Self { database, health, runtime, idle: Mutex::default(), room: Semaphore::new(SESSIONS as usize) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one question, which may be asked twice.
    pub(super) async fn read(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let first = self.ask(sql, params).await;
        let answer = match first {
            // The connection may have died while it was idle, or with the server, which may be back by now.
            Err(Ok(Fault::Postgres(error))) if error.code().is_none() || error.is_closed() => {
                self.ask(sql, params).await
            }
            other => other,
        };
        answer.map_err(|refusal| self.refused(refusal))
    }

    async fn ask(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Refusal> {
        let mut loan = self.borrow().await?;
        let Some(session) = &loan.session else { return Err(Err(StoreError::closed())) };
        let answer = session.query(sql, params).await;
        if answer.as_ref().is_err_and(Fault::is_of_connection) {
            loan.session = None;
        }
        answer.map_err(Ok)
    }

    /// Writes: all statements in one transaction. Dropped after the first await, it may or may not happen.
    pub(super) async fn write(
        &self,
        statements: &[(&'static str, Params<'_>)],
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_write(statements).await {
                Err(Ok(fault)) if fault.is_passing() && tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(rand::random_range(1..20))).await;
                }
                Err(refusal) => return Err(self.refused(refusal)),
                Ok(rows) => return Ok(rows),
            }
        }
    }

    async fn try_write(&self, statements: &[(&'static str, Params<'_>)]) -> Result<Vec<Vec<Row>>, Refusal> {
        let mut loan = self.borrow().await?;
        let Some(session) = &loan.session else { return Err(Err(StoreError::closed())) };
        let done = session.transaction(statements).await;
        if let Err(fault) = &done
            && fault.is_of_connection()
        {
            loan.session = None;
            self.health.set(Health::Failing(fault.reason()));
        }
        done.map_err(Ok)
    }

    async fn borrow(&self) -> Result<Loan<'_>, Refusal> {
        let room = self.room.acquire().await.map_err(|_| Err(StoreError::closed()))?;
        let mut loan = Loan { pool: self, session: None, _room: room };
        loop {
            let idle = self.lock().pop();
            match idle {
                Some(session) if session.is_closed() => {}
                Some(session) => {
                    loan.session = Some(session);
                    return Ok(loan);
                }
                None => break,
            }
        }
        match self.database.connect(&self.runtime).await {
            Ok(session) => loan.session = Some(session),
            Err(fault) => {
                self.health.set(Health::Failing(fault.reason()));
                return Err(Ok(fault));
            }
        }
        Ok(loan)
    }

    fn refused(&self, refusal: Result<Fault, StoreError>) -> StoreError {
        match refusal {
            Ok(fault) => {
                metrics::counter!("mqttchat_store_errors_total").increment(1);
                StoreError::from(&fault)
            }
            Err(error) => error,
        }
    }

    /// Waits for those that ask, and closes all connections.
    pub(super) async fn close(&self) {
        let all = self.room.acquire_many(SESSIONS).await;
        self.room.close();
        drop(all);
        self.lock().clear();
    }
}

/// Why nothing was asked or answered: the database's fault, or that the store is closed.
type Refusal = Result<Fault, StoreError>;
