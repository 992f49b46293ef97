//! Who has joined a conversation on this node, and what changed since it was last told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqttchat_protocol::{Person, PersonState, PresenceChange, UserId};

/// How long somebody whose connection was lost counts as still there: a page reload shows nothing.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Frames of one conversation are made at least this far apart, so that there are no more than four within any second. What
/// is above a quarter of a second allows for sessions that are handed one a little late and the next in time.
pub(crate) const APART: Duration = Duration::from_millis(300);

/// With more people than this a presence frame names only the first of those who came and went.
const NAMES_ALL_BELOW: usize = 1000;

/// How many names a presence frame of a large conversation carries in each of its lists.
const NAMES_FIRST: usize = 10;

/// How many of those who left are remembered for readers that missed a frame.
const GONE_MAX: usize = 1000;

/// The people of one conversation. Every change has a version; a reader that missed frames asks for all since one.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    here: BTreeMap<UserId, Here>,
    /// Those of them whose coming is told, by the version of it.
    came: BTreeMap<u64, UserId>,
    gone: BTreeMap<UserId, Gone>,
    lingering: BTreeSet<UserId>,
    version: u64,
    announced: u64,
    announced_at: Option<Instant>,
    /// Up to this version there is nothing to announce, though it is above `announced`.
    looked: u64,
    local: Vec<LocalChange>,
}

#[derive(Debug)]
struct Here {
    name: Arc<str>,
    /// Sessions on this node.
    sessions: usize,
    /// Other nodes that say they are there.
    nodes: BTreeSet<Arc<str>>,
    version: u64,
    lingers_until: Option<Instant>,
    left_at: u64,
}

impl Here {
    fn is_local(&self) -> bool {
        self.sessions > 0 || self.lingers_until.is_some()
    }
}

/// Somebody has come to or gone from a conversation on this node: what other nodes are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalChange {
    /// Who.
    pub(crate) user: UserId,
    /// The name that is shown.
    pub(crate) name: Arc<str>,
    /// Since when they are gone, Unix time in ms; `None`: they are here.
    pub(crate) left_at: Option<u64>,
}

#[derive(Debug)]
struct Gone {
    name: Arc<str>,
    last_seen: u64,
    version: u64,
}

impl Roster {
    /// Counts a session of `user` in.
    pub(crate) fn enter(&mut self, user: &UserId, name: &Arc<str>) {
        let here = self.arrive(user, name);
        let news = !here.is_local();
        here.sessions += 1;
        here.lingers_until = None;
        here.name = name.clone();
        self.lingering.remove(user);
        if news {
            self.local.push(LocalChange { user: user.clone(), name: name.clone(), left_at: None });
        }
    }

    /// Another node says that `user` is there.
    pub(crate) fn enter_on(&mut self, node: &Arc<str>, user: &UserId, name: &Arc<str>) {
        self.arrive(user, name).nodes.insert(node.clone());
    }

    fn arrive(&mut self, user: &UserId, name: &Arc<str>) -> &mut Here {
        let (version, gone, announced) = (&mut self.version, &mut self.gone, self.announced);
        let came = &mut self.came;
        self.here.entry(user.clone()).or_insert_with(|| {
            *version += 1;
            // Somebody whose leaving nobody was told of has never left.
            let unnoticed = gone.remove(user).is_some_and(|gone| gone.version > announced);
            if !unnoticed {
                came.insert(*version, user.clone());
            }
            Here {
                name: name.clone(),
                sessions: 0,
                nodes: BTreeSet::new(),
                version: if unnoticed { 0 } else { *version },
                lingers_until: None,
                left_at: 0,
            }
        })
    }

    /// Counts a session of `user` out, at Unix time `at` in ms; with `lingers_until` it shows only then.
    pub(crate) fn leave(&mut self, user: &UserId, lingers_until: Option<Instant>, at: u64) {
        let Some(here) = self.here.get_mut(user) else { return };
        here.sessions = here.sessions.saturating_sub(1);
        if here.sessions > 0 {
            return;
        }
        here.left_at = at;
        if lingers_until.is_some() {
            here.lingers_until = lingers_until;
            self.lingering.insert(user.clone());
            return;
        }
        self.depart_here(user);
    }

    /// Another node says that `user` is no longer there, since Unix time `at` in ms.
    pub(crate) fn leave_on(&mut self, node: &str, user: &UserId, at: u64) {
        let Some(here) = self.here.get_mut(user) else { return };
        if here.nodes.remove(node) && here.nodes.is_empty() && !here.is_local() {
            here.left_at = here.left_at.max(at);
            self.depart(user);
        }
    }

    /// The last session here has gone.
    fn depart_here(&mut self, user: &UserId) {
        self.lingering.remove(user);
        let Some(here) = self.here.get_mut(user) else { return };
        here.lingers_until = None;
        let change = LocalChange { user: user.clone(), name: here.name.clone(), left_at: Some(here.left_at) };
        if here.nodes.is_empty() {
            self.depart(user);
        }
        self.local.push(change);
    }

    fn depart(&mut self, user: &UserId) {
        let Some(here) = self.here.remove(user) else { return };
        self.came.remove(&here.version);
        self.version += 1;
        if here.version <= self.announced {
            let gone = Gone { name: here.name, last_seen: here.left_at, version: self.version };
            self.gone.insert(user.clone(), gone);
        }
        if self.gone.len() > GONE_MAX {
            let floor = self.version.saturating_sub(GONE_MAX as u64 / 2);
            self.gone.retain(|_, gone| gone.version > floor);
        }
    }

    /// Who has come and gone on this node since the last call.
    pub(crate) fn take_local_changes(&mut self) -> Vec<LocalChange> {
        std::mem::take(&mut self.local)
    }

    /// Everybody who is here on this node.
    pub(crate) fn local_people(&self) -> Vec<(UserId, Arc<str>)> {
        let local = self.here.iter().filter(|(_, here)| here.is_local());
        local.map(|(user, here)| (user.clone(), here.name.clone())).collect()
    }

    /// Whether somebody is here on this node.
    pub(crate) fn has_local(&self) -> bool {
        self.here.values().any(Here::is_local)
    }

    /// Lets those go whose time is up.
    pub(crate) fn expire(&mut self, now: Instant) {
        let over = |user: &&UserId| {
            self.here.get(*user).is_none_or(|here| here.lingers_until.is_none_or(|until| until <= now))
        };
        let over: Vec<UserId> = self.lingering.iter().filter(over).cloned().collect();
        for user in over {
            self.depart_here(&user);
        }
    }

    /// When what nobody was told of yet may be, if there is something and that is later than `now`.
    pub(crate) fn due_after(&self, now: Instant) -> Option<Instant> {
        let news = self.version != self.announced.max(self.looked);
        self.announced_at.filter(|_| news).map(|at| at + APART).filter(|due| *due > now)
    }

    /// What nobody was told of yet, and the version it leads to; `None` when there is nothing. `now` is Unix time in ms.
    pub(crate) fn unannounced(&mut self, now: u64) -> Option<(PresenceChange, u64)> {
        if self.version == self.announced.max(self.looked) {
            return None;
        }
        self.looked = self.version;
        let change = self.between(self.announced, self.version, now);
        let nothing = change.joined.is_empty() && change.left.is_empty();
        (!nothing).then_some((change, self.version))
    }

    /// Says that readers can get everything up to `version` from the ring.
    pub(crate) fn announce(&mut self, version: u64, now: Instant) {
        self.announced = version;
        self.announced_at = Some(now);
    }

    /// The version that readers have been told of.
    pub(crate) fn announced(&self) -> u64 {
        self.announced
    }

    /// The present version.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Who came and went after version `from` and up to `to`. `now` is Unix time in ms.
    pub(crate) fn between(&self, from: u64, to: u64, now: u64) -> PresenceChange {
        let within = |version: u64| version > from && version <= to;
        let most = if self.here.len() > NAMES_ALL_BELOW { NAMES_FIRST } else { usize::MAX };
        let came = self.came.range((Bound::Excluded(from), Bound::Included(to.max(from))));
        let joined = came.filter_map(|(_, id)| self.here.get_key_value(id)).take(most);
        let left = self.gone.iter().filter(|(_, gone)| within(gone.version)).take(most);
        let person = |id: &UserId, name: &Arc<str>, last_seen| Person {
            id: id.clone(),
            name: name.clone(),
            state: None,
            last_seen,
        };
        PresenceChange {
            online: self.here.len(),
            joined: joined.map(|(id, here)| person(id, &here.name, now)).collect(),
            left: left.map(|(id, gone)| person(id, &gone.name, gone.last_seen)).collect(),
        }
    }

    /// How many people are here.
    pub(crate) fn online(&self) -> usize {
        self.here.len()
    }

    /// Whether `user` is here.
    pub(crate) fn has(&self, user: &UserId) -> bool {
        self.here.contains_key(user)
    }

    /// When somebody who is not here was last seen here, if that is remembered; Unix time in ms.
    pub(crate) fn last_seen(&self, user: &UserId) -> Option<u64> {
        self.gone.get(user).map(|gone| gone.last_seen)
    }

    /// The first `most` people who are here, by id.
    pub(crate) fn people(&self, most: usize, now: u64) -> Vec<Person> {
        self.people_after(None, most, now)
    }

    /// The first `most` people who are here and have an id above `after`, by id.
    pub(crate) fn people_after(&self, after: Option<&str>, most: usize, now: u64) -> Vec<Person> {
        let person = |(id, here): (&UserId, &Here)| Person {
            id: id.clone(),
            name: here.name.clone(),
            state: Some(PersonState::Online),
            last_seen: now,
        };
        let first = after.and_then(UserId::parse).map_or(Bound::Unbounded, Bound::Excluded);
        self.here.range((first, Bound::Unbounded)).take(most).map(person).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn names(people: &[Person]) -> Vec<&str> {
        people.iter().map(|person| person.id.as_str()).collect()
    }

    fn announce(roster: &mut Roster) -> Option<(Vec<String>, Vec<String>)> {
        let (change, version) = roster.unannounced(0)?;
        roster.announce(version, Instant::now());
        let own = |people: &[Person]| names(people).into_iter().map(str::to_owned).collect();
        Some((own(&change.joined), own(&change.left)))
    }

    #[test]
    fn changes_are_told_once() {
        let mut roster = Roster::default();
        roster.enter(&user("ann"), &"Ann".into());
        roster.enter(&user("bob"), &"Bob".into());
        roster.enter(&user("bob"), &"Bob".into());
        assert_eq!(announce(&mut roster), Some((vec!["ann".into(), "bob".into()], vec![])));
        assert_eq!(announce(&mut roster), None);
        roster.leave(&user("bob"), None, 5);
        assert_eq!(announce(&mut roster), None);
        roster.leave(&user("bob"), None, 6);
        assert_eq!(announce(&mut roster), Some((vec![], vec!["bob".into()])));
        assert_eq!(names(&roster.between(0, 9, 0).joined), ["ann"]);
    }

    #[test]
    fn a_reload_shows_nothing() {
        let mut roster = Roster::default();
        let start = Instant::now();
        roster.enter(&user("ann"), &"Ann".into());
        announce(&mut roster);
        roster.leave(&user("ann"), Some(start + LINGER), 0);
        roster.expire(start + LINGER / 2);
        assert_eq!(announce(&mut roster), None);
        roster.enter(&user("ann"), &"Ann".into());
        roster.expire(start + LINGER * 2);
        assert_eq!(announce(&mut roster), None);
        roster.leave(&user("ann"), Some(start + LINGER * 3), 7000);
        roster.expire(start + LINGER * 3);
        let (change, _) = roster.unannounced(9000).unwrap();
        assert_eq!((names(&change.left), change.left[0].last_seen), (vec!["ann"], 7000));
    }

    #[test]
    fn who_came_and_went_between_two_frames_was_never_there() {
        let mut roster = Roster::default();
        roster.enter(&user("ann"), &"Ann".into());
        roster.leave(&user("ann"), None, 0);
        assert_eq!(announce(&mut roster), None);
        roster.enter(&user("bob"), &"Bob".into());
        announce(&mut roster);
        roster.leave(&user("bob"), None, 0);
        roster.enter(&user("bob"), &"Bob".into());
        assert_eq!(announce(&mut roster), None);
    }

    #[test]
    fn somebody_on_another_node_is_here_too() {
        let mut roster = Roster::default();
        let (n2, ann, name): (Arc<str>, UserId, Arc<str>) = ("n2".into(), user("ann"), "Ann".into());
        roster.enter_on(&n2, &ann, &name);
        assert_eq!(announce(&mut roster), Some((vec!["ann".into()], vec![])));
        roster.enter(&ann, &name);
        roster.leave_on("n2", &ann, 1);
        assert_eq!(announce(&mut roster), None);
        roster.enter_on(&n2, &ann, &name);
        roster.leave(&ann, None, 2);
        assert_eq!(announce(&mut roster), None);
        let told: Vec<_> = roster.take_local_changes().into_iter().map(|change| change.left_at).collect();
        assert_eq!(told, [None, Some(2)], "other nodes are told of this one only");
        roster.leave_on("n2", &ann, 3);
        assert_eq!(announce(&mut roster), Some((vec![], vec!["ann".into()])));
        assert_eq!(roster.last_seen(&ann), Some(3));
    }

    #[test]
    fn frames_are_made_apart_and_the_first_at_once() {
        let mut roster = Roster::default();
        let start = Instant::now();
        roster.enter(&user("ann"), &"Ann".into());
        assert_eq!(roster.due_after(start), None);
        let (_, version) = roster.unannounced(0).unwrap();
        roster.announce(version, start);
        assert_eq!(roster.due_after(start), None, "there is nothing to tell");
        roster.enter(&user("bob"), &"Bob".into());
        assert_eq!(roster.due_after(start + APART / 2), Some(start + APART));
        assert_eq!(roster.due_after(start + APART), None);
        assert!(APART * 4 > Duration::from_secs(1), "a fifth frame comes more than a second after the first");
    }

    #[test]
    fn large_conversations_name_the_first_only() {
        let mut roster = Roster::default();
        for number in 0..1200 {
            roster.enter(&user(&format!("u{number}")), &"U".into());
        }
        let change = roster.between(0, 2000, 0);
        assert_eq!((change.online, change.joined.len()), (1200, NAMES_FIRST));
    }
}
