//! Which sessions there are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::link::Link;
use crate::owner::Owner;

/// A session's name: of two clients that chose the same id, each has its own session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) id: Box<str>,
    pub(crate) owner: Owner,
}

/// There is no place for another session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full;

/// The sessions of a service, WebSockets aside: these are as many as connections, and nobody asks for them by name.
#[derive(Debug)]
pub(crate) struct Registry {
    max: usize,
    max_per_address: usize,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    by_key: HashMap<Key, Place>,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Place {
    link: Arc<Link>,
    address: Option<IpAddr>,
}

impl Registry {
    pub(crate) fn new(max: usize, max_per_address: usize) -> Self {
        Self { max, max_per_address, sessions: Mutex::default() }
    }

    /// The maps are right whatever a panicking holder did: nothing between two changes can panic.
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, key: &Key) -> Option<Arc<Link>> {
        self.lock().by_key.get(key).map(|place| Arc::clone(&place.link)).filter(|link| !link.is_expired())
    }

    /// The session of this name; made, and then true, if there is none.
    pub(crate) fn find_or_open(
        &self,
        key: &Key,
        address: Option<IpAddr>,
        open: impl FnOnce() -> Arc<Link>,
    ) -> Result<(Arc<Link>, bool), Full> {
        let mut sessions = self.lock();
        if let Some(place) = sessions.by_key.get(key)
            && !place.link.is_expired()
        {
            return Ok((Arc::clone(&place.link), false));
        }
        sessions.remove(key);
        let from_there = address.and_then(|address| sessions.by_address.get(&address)).copied().unwrap_or(0);
        if sessions.by_key.len() >= self.max || from_there >= self.max_per_address {
            return Err(Full);
        }
        if let Some(address) = address {
            sessions.by_address.insert(address, from_there + 1);
        }
        let link = open();
        sessions.by_key.insert(key.clone(), Place { link: Arc::clone(&link), address });
        Ok((link, true))
    }

    /// Forgets a session, unless another has taken its name.
    pub(crate) fn remove(&self, key: &Key, link: &Arc<Link>) {
        let mut sessions = self.lock();
        if sessions.by_key.get(key).is_some_and(|place| Arc::ptr_eq(&place.link, link)) {
            sessions.remove(key);
        }
    }
}

impl Sessions {
    fn remove(&mut self, key: &Key) {
        let Some(place) = self.by_key.remove(key) else { return };
        let Some(address) = place.address else { return };
        if let Entry::Occupied(mut count) = self.by_address.entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::link::LinkLimits;

    fn link() -> Arc<Link> {
        let second = Duration::from_secs(1);
        Link::new(LinkLimits { message: 1, queue: 1, queue_patience: second, disconnect_delay: second }, true)
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let registry = Registry::new(3, 2);
        let key = |id: &str| Key { id: id.into(), owner: Owner::default() };
        let (here, there) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        let (first, is_new) = registry.find_or_open(&key("a"), here, link).unwrap();
        assert!(is_new);
        assert!(!registry.find_or_open(&key("a"), here, link).unwrap().1);
        registry.find_or_open(&key("b"), here, link).unwrap();
        assert!(registry.find_or_open(&key("c"), here, link).is_err(), "two from one address");
        registry.find_or_open(&key("c"), there, link).unwrap();
        assert!(registry.find_or_open(&key("d"), there, link).is_err(), "three in all");
        registry.remove(&key("a"), &link());
        assert!(registry.find(&key("a")).is_some(), "another's name is left alone");
        registry.remove(&key("a"), &first);
        assert!(registry.find(&key("a")).is_none());
        registry.find_or_open(&key("d"), here, link).unwrap();
    }

    #[test]
    fn who_gives_one_place_back_has_the_others_still() {
        let registry = Registry::new(9, 2);
        let key = |id: &str| Key { id: id.into(), owner: Owner::default() };
        let open = |id: &str| registry.find_or_open(&key(id), Some([10, 0, 0, 1].into()), link);
        let (first, _) = open("a").unwrap();
        open("b").unwrap();
        registry.remove(&key("a"), &first);
        assert!(open("c").is_ok());
        assert!(open("d").is_err(), "two from one address");
    }
}
