//! What somebody may do in a while: a user, over all their sessions on this node, and an address, over all its users.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mqttchat_protocol::{ErrorCode, Refusal};

use crate::limits::Bucket;
use crate::options::{OtherRates, Rates};

/// What is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spending {
    /// Something that is to be an entry, or a frame of the application's own.
    Message,
    /// Joining a conversation.
    Join,
    /// A page of a log, a roster, or another list.
    Page,
    /// A search.
    Search,
    /// Any other frame: receipts, typing, pings, and what can't be carried out.
    Frame,
}

/// What a user may spend; each kind by itself.
#[derive(Debug)]
pub(crate) struct Budget {
    messages: Bucket,
    joins: Bucket,
    pages: Bucket,
    searches: Bucket,
    frames: Bucket,
}

impl Budget {
    /// A full one.
    pub(crate) fn new(rates: Rates, others: OtherRates, now: Instant) -> Self {
        let bucket = |per_second| Bucket::new(ten_seconds_worth(per_second), now);
        Self {
            messages: Bucket::new(rates, now),
            joins: bucket(others.joins),
            pages: bucket(others.pages),
            searches: bucket(others.searches),
            frames: bucket(others.frames),
        }
    }

    /// Whether it is the same as a new one.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        let all = [&self.messages, &self.joins, &self.pages, &self.searches, &self.frames];
        all.iter().all(|bucket| bucket.is_full(now))
    }

    fn take(&mut self, what: Spending, now: Instant) -> Result<(), Duration> {
        match what {
            Spending::Message => &mut self.messages,
            Spending::Join => &mut self.joins,
            Spending::Page => &mut self.pages,
            Spending::Search => &mut self.searches,
            Spending::Frame => &mut self.frames,
        }
        .take(now)
    }
}

fn ten_seconds_worth(per_second: u32) -> Rates {
    Rates { messages_per_second: per_second, burst: per_second.saturating_mul(10) }
}

/// What a session or a program spends from.
#[derive(Clone, Debug)]
pub(crate) struct Wallet {
    user: Arc<Mutex<Budget>>,
    address: Option<Arc<Mutex<Bucket>>>,
}

impl Wallet {
    /// Of a user, wherever they are.
    pub(crate) fn new(user: Arc<Mutex<Budget>>) -> Self {
        Self { user, address: None }
    }

    /// The same, of a user at an address.
    pub(crate) fn at(self, address: Option<Arc<Mutex<Bucket>>>) -> Self {
        Self { address, ..self }
    }

    /// Spends one of something.
    ///
    /// # Errors
    /// `rate_limited`, with how long to wait.
    pub(crate) fn spend(&self, what: Spending) -> Result<(), Refusal> {
        // Receipts of everybody in an office are many, and cost little.
        if what != Spending::Frame {
            knock(self.address.as_ref(), 1)?;
        }
        let taken = self.user.lock().unwrap_or_else(PoisonError::into_inner).take(what, Instant::now());
        taken.map_err(|wait| {
            limited(
                wait,
                match what {
                    Spending::Message => "you are sending too fast; wait a moment",
                    Spending::Join => "you are joining too fast; wait a moment",
                    Spending::Page => "you are reading too fast; wait a moment",
                    Spending::Search => "you are searching too fast; wait a moment",
                    Spending::Frame => "this client sends too much; it has to wait a moment",
                },
            )
        })
    }
}

/// Spends so much of what an address may ask, if it is limited.
///
/// # Errors
/// `rate_limited`, with how long to wait.
pub(crate) fn knock(address: Option<&Arc<Mutex<Bucket>>>, cost: u32) -> Result<(), Refusal> {
    let Some(bucket) = address else { return Ok(()) };
    let taken = bucket.lock().unwrap_or_else(PoisonError::into_inner).take_many(cost, Instant::now());
    taken.map_err(|wait| limited(wait, "too much comes from your address; wait a moment"))
}

/// A refusal that says how long to wait.
pub(crate) fn limited(wait: Duration, reason: &str) -> Refusal {
    metrics::counter!("mqttchat_rate_limited_total").increment(1);
    let mut refusal = Refusal::new(ErrorCode::RateLimited, reason);
    refusal.retry_after = Some(wait.as_millis() as u64 + 1);
    refusal
}

/// Forgotten are those that are full again, when so many more have come.
const SWEEP: usize = 1024;

/// What addresses may ask.
#[derive(Debug)]
pub(crate) struct Addresses {
    rates: Rates,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    buckets: HashMap<IpAddr, Arc<Mutex<Bucket>>>,
    sweep_at: usize,
}

impl Addresses {
    /// Each so many a second in the long run; 0 is no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { rates: ten_seconds_worth(per_second), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bucket of an address (IPv6: of a /64 network, which is what one customer has). This machine has none: behind
    /// a proxy that isn't configured it would be that of everybody.
    pub(crate) fn bucket_of(&self, address: IpAddr) -> Option<Arc<Mutex<Bucket>>> {
        let network = match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
            address => address,
        };
        if self.rates.messages_per_second == 0 || address.to_canonical().is_loopback() {
            return None;
        }
        let now = Instant::now();
        let mut known = self.known();
        if known.buckets.len() >= known.sweep_at.max(SWEEP) {
            known.buckets.retain(|_, bucket| {
                Arc::strong_count(bucket) > 1
                    || !bucket.lock().unwrap_or_else(PoisonError::into_inner).is_full(now)
            });
            known.sweep_at = known.buckets.len() + SWEEP;
        }
        let new = || Arc::new(Mutex::new(Bucket::new(self.rates, now)));
        Some(known.buckets.entry(network).or_insert_with(new).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> impl Iterator<Item = IpAddr> {
        (0..SWEEP as u32 * 3).map(|number| std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into())
    }

    #[test]
    fn each_kind_has_its_own_limit() {
        let others = OtherRates { joins: 1, pages: 0, searches: 2, frames: 3, per_address: 0 };
        let budget = Budget::new(Rates { messages_per_second: 1, burst: 3 }, others, Instant::now());
        let wallet = Wallet::new(Arc::new(Mutex::new(budget)));
        let spent = |what| (0..50).take_while(|_| wallet.spend(what).is_ok()).count();
        assert_eq!(spent(Spending::Message), 3);
        assert_eq!(spent(Spending::Join), 10);
        assert_eq!(spent(Spending::Search), 20);
        assert_eq!(spent(Spending::Page), 50);
        assert_eq!(spent(Spending::Frame), 30);
        let refusal = wallet.spend(Spending::Join).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert!((1..=1001).contains(&refusal.retry_after.unwrap()), "{:?}", refusal.retry_after);
    }

    #[test]
    fn an_address_is_one_whoever_comes_from_there() {
        let addresses = Addresses::new(1);
        let of = |text: &str| addresses.bucket_of(text.parse().unwrap());
        let all = (0..50).take_while(|_| knock(of("2001:db8::1").as_ref(), 1).is_ok()).count();
        assert_eq!(all, 10);
        assert!(knock(of("2001:db8::ffff").as_ref(), 1).is_err());
        assert!(knock(of("2001:db8:0:1::1").as_ref(), 1).is_ok());
        assert!(of("127.0.0.1").is_none() && of("::1").is_none() && of("::ffff:127.0.0.1").is_none());
        assert!(Addresses::new(0).bucket_of("10.0.0.1".parse().unwrap()).is_none());
    }

    #[test]
    fn those_who_have_gone_are_forgotten() {
        let limited = Addresses::new(1);
        for address in addresses() {
            limited.bucket_of(address);
        }
        assert!(limited.known().buckets.len() <= SWEEP + 1, "{}", limited.known().buckets.len());
    }
}
