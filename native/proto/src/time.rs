//! Deadlines of one connection: a table of timer kind x instant.
//!
//! Time is an argument: the caller brings the clock, in milliseconds from a start of its choice.
//! The table is small and has no heap, because every connection has one; the caller keeps the
//! nearest deadline of each connection in a structure of its own.

/// Milliseconds on the caller's monotonic clock.
pub type Millis = u64;

/// What a deadline is for, in the order in which deadlines of one instant expire.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// A whole request head.
    Head,
    /// The next byte of a request body.
    Body,
    /// The next request.
    KeepAlive,
    /// Progress in sending.
    Write,
    /// The peer's end after the last response.
    Linger,
}

/// A WebSocket has no requests. What it waits for takes the places of what they wait for, so that the
/// table of an idle connection stays small.
impl Timer {
    /// The next ping.
    pub const PING: Self = Self::KeepAlive;
    /// The answer to a ping.
    pub const PONG: Self = Self::Body;
    /// The peer's close frame after ours.
    pub const CLOSE: Self = Self::Head;
}

const ALL: [Timer; 5] = [
    Timer::Head,
    Timer::Body,
    Timer::KeepAlive,
    Timer::Write,
    Timer::Linger,
];

/// An instant that never comes marks a timer that is not set.
const UNSET: Millis = Millis::MAX;

/// The deadlines of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    at: [Millis; ALL.len()],
}

impl Timers {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            at: [UNSET; ALL.len()],
        }
    }

    /// Sets or moves a deadline.
    pub fn set(&mut self, timer: Timer, at: Millis) {
        // The last representable instant stands for "never"; nobody lives to miss it.
        self.at[timer as usize] = at;
    }

    pub fn stop(&mut self, timer: Timer) {
        self.at[timer as usize] = UNSET;
    }

    #[must_use]
    pub fn is_set(&self, timer: Timer) -> bool {
        self.at[timer as usize] != UNSET
    }

    /// The nearest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Millis> {
        let next = self.at.into_iter().min().unwrap_or(UNSET);
        (next != UNSET).then_some(next)
    }

    /// Moves every deadline before `to` there.
    pub fn postpone(&mut self, to: Millis) {
        for at in &mut self.at {
            *at = to.max(*at);
        }
    }

    /// Takes the earliest of the deadlines that have come by `now`.
    pub fn expired(&mut self, now: Millis) -> Option<Timer> {
        let timer = ALL
            .into_iter()
            .min_by_key(|&timer| self.at[timer as usize])?;
        let due = self.is_set(timer) && self.at[timer as usize] <= now;
        due.then(|| self.stop(timer))?;
        Some(timer)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_table_has_no_deadline() {
        let mut timers = Timers::new();
        assert_eq!(timers.next(), None);
        assert_eq!(timers.expired(Millis::MAX), None);
    }

    #[test]
    fn deadlines_expire_once_and_earliest_first() {
        let mut timers = Timers::new();
        timers.set(Timer::Write, 20);
        timers.set(Timer::Head, 30);
        timers.set(Timer::Body, 10);
        timers.stop(Timer::Head);
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.expired(9), None);
        assert_eq!(timers.expired(25), Some(Timer::Body));
        assert_eq!(timers.expired(25), Some(Timer::Write));
        assert_eq!(timers.expired(25), None);
        assert!(!timers.is_set(Timer::Write));
    }

    #[test]
    fn only_what_is_earlier_is_postponed() {
        let mut timers = Timers::new();
        timers.set(Timer::Head, 10);
        timers.set(Timer::Write, 30);
        timers.postpone(20);
        assert_eq!(timers.expired(19), None);
        assert_eq!(timers.expired(30), Some(Timer::Head));
        assert_eq!(timers.expired(30), Some(Timer::Write));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn the_table_stays_small() {
        assert!(size_of::<Timers>() <= 48);
    }
}
