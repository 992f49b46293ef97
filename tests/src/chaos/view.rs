//! What a device knows of a conversation.

use std::collections::BTreeSet;

/// The places of a conversation that a device has, and the holes between them.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Everything up to here is known.
    whole: u64,
    /// What is known above it.
    above: BTreeSet<u64>,
    /// The highest place that it was told of.
    head: u64,
}

impl View {
    pub(super) fn add(&mut self, seq: u64) {
        if seq > self.whole {
            self.above.insert(seq);
        }
        while self.above.remove(&(self.whole + 1)) {
            self.whole += 1;
        }
        self.head = self.head.max(seq);
    }

    /// Remembers that there are entries up to here.
    pub(super) fn reaches(&mut self, head: u64) {
        self.head = self.head.max(head);
    }

    /// The last place that was seen: where to resume.
    pub(super) fn last(&self) -> u64 {
        self.above.last().copied().unwrap_or(self.whole)
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// The place before the first hole.
    pub(super) fn hole(&self) -> Option<u64> {
        (self.whole < self.head).then_some(self.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::View;

    #[test]
    fn holes_are_found_and_filled() {
        let mut view = View::default();
        assert_eq!((view.hole(), view.last()), (None, 0));
        for seq in [1, 2, 5, 7] {
            view.add(seq);
        }
        assert_eq!((view.hole(), view.last()), (Some(2), 7));
        for seq in [3, 4, 6] {
            view.add(seq);
        }
        assert_eq!((view.hole(), view.last()), (None, 7));
        view.reaches(9);
        assert_eq!((view.hole(), view.last(), view.head()), (Some(7), 7, 9));
    }
}
