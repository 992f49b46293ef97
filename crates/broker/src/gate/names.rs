//! The topics and filters that devices have used.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::gate::guard::Offence;

/// Different topics and filters from all devices together. rumqttd keeps about 7 KB for each until it ends, and
/// compares each new topic with all filters.
pub(crate) const MAX_NAMES: usize = 4096;

/// Which names are already known to rumqttd, so that an endless supply of new ones ends here.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashSet<String>>);

impl Names {
    /// Notes `name`.
    ///
    /// # Errors
    /// [`Offence::TooManyNames`] if it is a new one and there are [`MAX_NAMES`].
    pub(crate) fn note(&self, name: &str) -> Result<(), Offence> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return Ok(());
        }
        if known.len() >= MAX_NAMES {
            return Err(Offence::TooManyNames);
        }
        known.insert(name.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_still_good_when_no_new_one_is() {
        let names = Names::default();
        for number in 0..MAX_NAMES {
            assert!(names.note(&format!("t/{number}")).is_ok());
        }
        assert!(names.note("t/7").is_ok());
        assert!(matches!(names.note("one/more"), Err(Offence::TooManyNames)));
    }
}
