//! How many connections there may be, in all and from one address.
//!
//! A proxy's connection is counted in all only; what it carries is counted for the address behind it, request by request,
//! and after an upgrade as long as the connection lasts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The limits; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Connections in all.
    pub total: usize,
    /// Connections from one address (IPv6: from one /64 network, which is what one customer has).
    pub per_address: usize,
}

/// Counts connections. Cloning shares the count.
#[derive(Clone, Debug)]
pub struct Quota {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: QuotaLimits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why there is no place for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The server has as many as it may.
    Total,
    /// This address has as many as it may.
    Address,
}

impl Full {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Total => "connections",
            Self::Address => "connections_per_address",
        }
    }

    /// Counts a refusal.
    pub(crate) fn count(self) {
        metrics::counter!("mqttchat_http_refused_total", "limit" => self.label()).increment(1);
    }
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    /// Whether it is one of all.
    in_total: bool,
    /// Whose it is, unless a proxy's.
    network: Option<IpAddr>,
}

impl Quota {
    /// A quota in which nobody is yet.
    #[must_use]
    pub fn new(limits: QuotaLimits) -> Self {
        Self { shared: Arc::new(Shared { limits, counts: Mutex::default() }) }
    }

    /// Takes a place for a connection from `address`.
    ///
    /// # Errors
    /// [`Full`] when there is none.
    pub fn take(&self, address: IpAddr) -> Result<Permit, Full> {
        self.place(true, Some(address))
    }

    /// Takes a place for a proxy's connection, which is nobody's own.
    pub(crate) fn take_for_proxy(&self) -> Result<Permit, Full> {
        self.place(true, None)
    }

    /// Takes a place for `address` on a proxy's connection.
    fn take_behind(&self, address: IpAddr) -> Result<Permit, Full> {
        self.place(false, Some(address))
    }

    fn place(&self, in_total: bool, address: Option<IpAddr>) -> Result<Permit, Full> {
        let network = address.map(network);
        let limits = self.shared.limits;
        let mut counts = self.shared.lock();
        if in_total && limits.total > 0 && counts.total >= limits.total {
            return Err(Full::Total);
        }
        if let Some(network) = network {
            let from_here = counts.by_address.get(&network).copied().unwrap_or(0);
            if limits.per_address > 0 && from_here >= limits.per_address {
                return Err(Full::Address);
            }
            counts.by_address.insert(network, from_here + 1);
        }
        if in_total {
            counts.total += 1;
            metrics::gauge!("mqttchat_http_connections").set(counts.total as f64);
        }
        Ok(Permit { shared: Arc::clone(&self.shared), in_total, network })
    }
}

/// The place of a connection, shared by the connection and its requests.
#[derive(Clone, Debug)]
pub(crate) struct Seat(Arc<SeatOf>);

#[derive(Debug)]
struct SeatOf {
    quota: Quota,
    _own: Permit,
    /// The place of whoever was upgraded on a proxy's connection.
    behind: Mutex<Option<Arc<Permit>>>,
}

impl Seat {
    pub(crate) fn new(quota: Quota, own: Permit) -> Self {
        Self(Arc::new(SeatOf { quota, _own: own, behind: Mutex::default() }))
    }

    /// Takes a place for the request of a client behind the proxy whose connection this is.
    pub(crate) fn take_behind(&self, address: IpAddr) -> Result<Arc<Permit>, Full> {
        self.0.quota.take_behind(address).map(Arc::new)
    }

    /// Keeps such a place for as long as the connection lasts.
    pub(crate) fn keep(&self, permit: Arc<Permit>) {
        *self.0.behind.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
    }
}

impl Shared {
    /// The counts are right whatever a panicking holder did: nothing between two changes can panic.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.shared.lock();
        if let Some(network) = self.network
            && let Some(count) = counts.by_address.get_mut(&network)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_address.remove(&network);
            }
        }
        if self.in_total {
            counts.total = counts.total.saturating_sub(1);
            metrics::gauge!("mqttchat_http_connections").set(counts.total as f64);
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_free_again_when_the_connection_is_gone() {
        let quota = Quota::new(QuotaLimits { total: 3, per_address: 2 });
        let one = quota.take(ip("10.0.0.1")).unwrap();
        let _two = quota.take(ip("::ffff:10.0.0.1")).unwrap();
        assert_eq!(quota.take(ip("10.0.0.1")).unwrap_err(), Full::Address);
        let _three = quota.take(ip("10.0.0.2")).unwrap();
        assert_eq!(quota.take(ip("10.0.0.3")).unwrap_err(), Full::Total);
        drop(one);
        quota.take(ip("10.0.0.1")).unwrap();
    }

    #[test]
    fn refusals_are_counted_by_the_limit() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            Full::Total.count();
            Full::Address.count();
            Full::Address.count();
        });
        let written = recorder.handle().render();
        for line in [
            r#"mqttchat_http_refused_total{limit="connections"} 1"#,
            r#"mqttchat_http_refused_total{limit="connections_per_address"} 2"#,
        ] {
            assert!(written.contains(line), "{written}");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let quota = Quota::new(QuotaLimits { total: 0, per_address: 1 });
        let _one = quota.take(ip("2001:db8::1")).unwrap();
        assert_eq!(quota.take(ip("2001:db8::ffff:2")).unwrap_err(), Full::Address);
        quota.take(ip("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn behind_a_proxy_each_address_has_its_own() {
        let quota = Quota::new(QuotaLimits { total: 2, per_address: 1 });
        let seat = Seat::new(quota.clone(), quota.take_for_proxy().unwrap());
        let _other = quota.take_for_proxy().unwrap();
        assert_eq!(quota.take_for_proxy().unwrap_err(), Full::Total);
        let ann = seat.take_behind(ip("10.0.0.1")).unwrap();
        assert_eq!(seat.take_behind(ip("10.0.0.1")).unwrap_err(), Full::Address);
        seat.keep(seat.take_behind(ip("10.0.0.2")).unwrap());
        assert_eq!(seat.take_behind(ip("10.0.0.2")).unwrap_err(), Full::Address);
        drop((ann, seat));
        assert!(quota.shared.lock().by_address.is_empty());
        assert_eq!(quota.shared.lock().total, 1);
    }

    #[test]
    fn zero_is_no_limit() {
        let quota = Quota::new(QuotaLimits { total: 0, per_address: 0 });
        let permits: Vec<_> = (0..5000).map(|_| quota.take(ip("10.0.0.1")).unwrap()).collect();
        drop(permits);
        assert!(quota.shared.lock().by_address.is_empty());
    }
}
