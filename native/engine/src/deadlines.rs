//! Which session to look at next, and when.
//!
//! A lazy heap: a session stands in it at most at one instant that counts, which is never later
//! than its real deadline. A deadline that moves back (a keep-alive connection that is used again)
//! costs nothing; the entry is found early, and moved to the real deadline then. So a busy
//! connection costs one heap operation for each keep-alive period, not one for each request. What
//! sessions leave behind that end before their deadline is swept up when it is the larger part.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ferricorn_proto::Millis;

use crate::work::SessionId;

#[derive(Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Millis, SessionId)>>,
}

impl Deadlines {
    pub(crate) fn push(&mut self, at: Millis, session: SessionId) {
        self.heap.push(Reverse((at, session)));
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Drops the entries that count no more: those of sessions that have ended.
    pub(crate) fn sweep(&mut self, mut counts: impl FnMut(Millis, SessionId) -> bool) {
        self.heap
            .retain(|&Reverse((at, session))| counts(at, session));
        self.heap.shrink_to(2 * self.heap.len());
    }

    /// The earliest instant at which a session may be due.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest entry, if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Millis) -> Option<(Millis, SessionId)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
