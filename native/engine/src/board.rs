//! Who has how many connections, among workers that accept from the same sockets.
//!
//! Each worker has a word of shared memory: its open connections, and how many it has accepted. A
//! worker that is clearly ahead of another leaves a connection that waits to it: by connections
//! that are open, or, if the other has no more of these, by those accepted, as short ones do not show
//! otherwise. So giving way goes in no circle. Nobody is asked or woken for it, as a connection
//! wakes every worker anyway: who gives way looks again in a moment, for as long as those behind it
//! accept. If none has for [`PATIENCE`], it goes ahead, and they do not count until they accept
//! something: a worker that hangs costs one wait, and not one for each connection.

use std::sync::atomic::{AtomicU64, Ordering};

use ferricorn_proto::Millis;

/// How long to leave a connection to others before the next look at it.
const GIVE_WAY: Millis = 1;
/// Who is behind and has not accepted for so long is busy, or hangs: longer than a worker waits for a
/// processor, too short to be noticed.
const PATIENCE: Millis = 10;
/// Being ahead by one open connection is not clear yet, nor is it by this part of the other's.
const SLACK: usize = 16;
/// Nor is being ahead by so many accepted ones.
const LEAD: u32 = 4;
/// Who is further behind catches up no more than this: it is new, or was busy, and owes nothing.
const LAG: u32 = 32;
/// Where connections are short, being ahead passes, and a turn for each costs more than it brings:
/// as many as have just closed are no lead, up to this.
const CHURN: u32 = 12;
/// Connections that close within so long of each other have just closed.
const JUST: Millis = 10;

pub struct Board {
    words: Box<dyn AsRef<[AtomicU64]> + Send + Sync>,
    own: usize,
    /// Not less than the most that another has, but for `LAG`.
    accepted: u32,
    closed: u32,
    last_closed: Millis,
    /// Of each worker, what it had accepted when it was waited for in vain.
    stuck: Vec<Option<u32>>,
    wait: Option<Wait>,
}

/// A connection is left to others.
struct Wait {
    since: Millis,
    again: Millis,
    /// What each worker had accepted then.
    accepted: Vec<u32>,
}

/// What a word says; it is 0 while its worker does not accept.
#[derive(Clone, Copy)]
struct Load {
    open: usize,
    accepted: u32,
}

impl Load {
    fn read(word: &AtomicU64) -> Option<Self> {
        let word = word.load(Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
        let (accepted, open) = ((word >> 32) as u32, word as u32);
        let open = open.checked_sub(1)? as usize;
        Some(Self { open, accepted })
    }
}

/// By how many accepted connections one is ahead of another. The numbers go round.
fn ahead(one: u32, other: u32) -> u32 {
    one.wrapping_sub(other).cast_signed().max(0).cast_unsigned()
}

impl Board {
    /// The board as worker `own` sees it; `None` if it has no such place.
    pub fn new(words: Box<dyn AsRef<[AtomicU64]> + Send + Sync>, own: usize) -> Option<Self> {
        let places = (*words).as_ref().len();
        (own < places).then(|| Self {
            words,
            own,
            accepted: 0,
            closed: 0,
            last_closed: 0,
            stuck: vec![None; places],
            wait: None,
        })
    }

    fn words(&self) -> &[AtomicU64] {
        (*self.words).as_ref()
    }

    /// Tells the others how many connections are open.
    pub(crate) fn post(&self, open: usize) {
        let open = u32::try_from(open.saturating_add(1)).unwrap_or(u32::MAX);
        let word = u64::from(self.accepted) << 32 | u64::from(open);
        self.words()[self.own].store(word, Ordering::Relaxed);
    }

    /// Counts a connection that was accepted.
    pub(crate) fn accepted(&mut self, open: usize) {
        self.wait = None;
        let others = self.words().iter().filter_map(Load::read);
        let counted = self.accepted.wrapping_add(1);
        self.accepted = others.fold(counted, |own, other| {
            if ahead(other.accepted, own) > LAG {
                other.accepted.wrapping_sub(LAG)
            } else {
                own
            }
        });
        self.post(open);
    }

    /// Counts a connection that was closed.
    pub(crate) fn closed(&mut self, open: usize, now: Millis) {
        self.closed = CHURN.min(self.churn(now) + 1);
        self.last_closed = now;
        self.post(open);
    }

    fn churn(&self, now: Millis) -> u32 {
        if now <= self.last_closed + JUST {
            self.closed
        } else {
            0
        }
    }

    /// Tells the others that this worker accepts no more.
    pub(crate) fn withdraw(self) {
        self.words()[self.own].store(0, Ordering::Relaxed);
    }

    /// Those who should accept before this worker, which has `open` connections.
    fn behind(&self, open: usize, now: Millis) -> impl Iterator<Item = (usize, Load)> {
        let churn = self.churn(now);
        let loads = self.words().iter().map(Load::read).enumerate();
        loads
            .filter_map(|(place, load)| Some((place, load?)))
            .filter(move |&(place, load)| {
                place != self.own
                    && self.stuck[place] != Some(load.accepted)
                    && (open > load.open + 1 + load.open / SLACK + churn as usize
                        || open >= load.open && ahead(self.accepted, load.accepted) > LEAD + churn)
            })
    }

    /// Whether nobody else should accept first.
    pub(crate) fn admits(&self, open: usize, now: Millis) -> bool {
        self.behind(open, now).next().is_none()
    }

    /// Leaves a connection that waits to others; false if that has been in vain.
    pub(crate) fn give_way(&mut self, open: usize, now: Millis) -> bool {
        let behind: Vec<_> = self.behind(open, now).collect();
        let again = now + GIVE_WAY;
        match &mut self.wait {
            Some(wait)
                if behind
                    .iter()
                    .all(|&(place, load)| wait.accepted[place] == load.accepted) =>
            {
                wait.again = again;
                if now < wait.since + PATIENCE {
                    return true;
                }
                for (place, load) in behind {
                    self.stuck[place] = Some(load.accepted);
                }
                self.wait = None;
                false
            }
            _ => {
                let loads = self.words().iter().map(Load::read);
                let accepted = loads.map(|load| load.map_or(0, |load| load.accepted));
                self.wait = Some(Wait {
                    since: now,
                    again,
                    accepted: accepted.collect(),
                });
                true
            }
        }
    }

    /// When to look again at a connection that was left to others.
    pub(crate) fn again(&self) -> Option<Millis> {
        self.wait.as_ref().map(|wait| wait.again)
    }

    /// No connection waits any more.
    pub(crate) fn settled(&mut self) {
        self.wait = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Words(Arc<[AtomicU64]>);

    impl AsRef<[AtomicU64]> for Words {
        fn as_ref(&self) -> &[AtomicU64] {
            &self.0
        }
    }

    fn workers<const N: usize>() -> [Board; N] {
        let words: Arc<[AtomicU64]> = (0..N).map(|_| AtomicU64::new(0)).collect();
        std::array::from_fn(|own| {
            let board = Board::new(Box::new(Words(words.clone())), own).unwrap();
            board.post(0);
            board
        })
    }

    /// Each of `count` connections stays, and is taken by the first worker, beginning at a different
    /// one each time, that may.
    fn fill<const N: usize>(boards: &mut [Board; N], open: &mut [usize; N], count: usize) {
        for number in 0..count {
            let mut order = (0..N).map(|index| (number * number + index) % N);
            let taker = order.find(|&each| boards[each].admits(open[each], 1000));
            let taker = taker.expect("giving way goes in a circle");
            open[taker] += 1;
            boards[taker].accepted(open[taker]);
        }
    }

    #[test]
    fn there_is_a_place_or_none() {
        assert!(Board::new(Box::new(Words(Arc::new([]))), 0).is_none());
    }

    #[test]
    fn connections_that_stay_are_shared() {
        for count in [64, 100, 400, 10_000] {
            let mut open = [0; 4];
            fill(&mut workers(), &mut open, count);
            let (least, most) = (open.iter().min().unwrap(), open.iter().max().unwrap());
            assert!(most * 10 <= least * 12, "{open:?}");
        }
    }

    #[test]
    fn who_lost_its_connections_is_given_new_ones() {
        let (mut boards, mut open) = (workers::<4>(), [0; 4]);
        fill(&mut boards, &mut open, 400);
        open[2] = 0;
        boards[2].closed(0, 0);
        fill(&mut boards, &mut open, 80);
        assert!(open[2] >= 80, "{open:?}");
    }

    #[test]
    fn short_connections_are_shared() {
        let (mut boards, mut taken) = (workers::<4>(), [0_u32; 4]);
        for _ in 0..400 {
            let taker = (0..4).find(|&each| boards[each].admits(0, 1000)).unwrap();
            taken[taker] += 1;
            boards[taker].accepted(1);
            boards[taker].post(0);
        }
        assert!(taken.iter().all(|&count| count >= 92), "{taken:?}");
    }

    #[test]
    fn a_new_worker_owes_nothing_for_the_time_before() {
        let [mut old, mut new] = workers();
        for _ in 0..1000 {
            old.accepted(0);
        }
        let mut debt = 0;
        while !old.admits(0, 1000) {
            new.accepted(0);
            debt += 1;
        }
        assert!((1..=LAG).contains(&debt), "{debt}");
    }

    #[test]
    fn the_count_goes_round() {
        let [mut one, mut other] = workers();
        (one.accepted, other.accepted) = (u32::MAX, 3);
        one.accepted(0);
        other.accepted(0);
        assert_eq!((one.accepted, other.accepted), (0, 4));
        assert!(one.admits(0, 1000));
        assert!(other.admits(0, 1000));
        other.accepted(0);
        assert!(!other.admits(0, 1000));
    }

    #[test]
    fn it_waits_for_those_who_accept_and_once_for_one_who_does_not() {
        let [mut full, _, mut good] = workers();
        let mut now = 100;
        assert!(!full.admits(9, now));
        assert!(full.give_way(9, now));
        assert_eq!(full.again(), Some(now + GIVE_WAY));
        for open in 1..8 {
            now += PATIENCE;
            good.accepted(open);
            assert!(full.give_way(9, now));
        }
        assert!(full.give_way(9, now + PATIENCE - 1));
        assert!(!full.give_way(9, now + PATIENCE));
        assert_eq!(full.again(), None);
        assert!(full.admits(9, now));
        good.accepted(1);
        assert!(!full.admits(9, now));
    }

    #[test]
    fn a_wait_ends_with_what_was_waited_for() {
        let [mut full, _] = workers();
        assert!(full.give_way(9, 100));
        full.settled();
        assert!(full.give_way(9, 100 + PATIENCE));
    }

    #[test]
    fn who_has_withdrawn_is_not_waited_for() {
        let [full, empty] = workers();
        assert!(!full.admits(9, 1000));
        empty.withdraw();
        assert!(full.admits(9, 1000));
    }

    #[test]
    fn what_has_just_closed_is_no_lead() {
        let [mut busy, _] = workers();
        for _ in 0..100 {
            busy.closed(9, 1000);
        }
        assert!(busy.admits(CHURN as usize + 1, 1000 + JUST));
        assert!(!busy.admits(CHURN as usize + 2, 1000 + JUST));
        assert!(!busy.admits(2, 1001 + JUST));
    }
}
