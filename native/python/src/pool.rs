//! The requests that a WSGI application is to run, and which of its threads does what.
//!
//! A thread that finds a request runs it at once: whoever waits for the sockets reads what has come and
//! runs it in the same thread, so that a request costs no hand-over. Nobody waits for the sockets
//! meanwhile, which is right for as long as the application works. One more thread, the keeper, sees
//! whether anybody has made progress within the last millisecond; if not, the application waits for
//! something, and the keeper has another thread go on. While it waits often, threads wake each other
//! before they run a request instead. So they do where threads run Python in parallel, while requests
//! take long enough to be worth it: a handed-over lead costs as much as a short request.
//!
//! Where the event loop sees to the sockets, because it serves others too, each turn calls as many
//! threads as there are requests for, and none of this is needed.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ferricorn_engine::ExchangeId;
use ferricorn_proto::Millis;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use crate::bell::Bell;
use crate::wsgi::Job;

/// What the application may take before another thread goes on.
const LULL: Duration = Duration::from_millis(1);
/// So many of these without anything to do send the keeper to sleep.
const QUIET: u32 = 50;
/// Steps within one of these that show an application which does not wait, where threads run in parallel.
const BRISK: u64 = 16;
/// A run of the application that is worth another thread, where threads run in parallel: about ten times
/// what it costs to wake one.
const LONG: Duration = Duration::from_micros(250);
/// So many times the keeper may pass over sockets of which nothing is known, until deadlines are due.
const SELDOM: u32 = 32;
/// The longest wait for the sockets, in milliseconds: another thread may have set a deadline.
const LONGEST: Millis = 250;

pub struct Pool {
    /// Threads that may run the application.
    threads: usize,
    /// Requests that may wait for one.
    queue: usize,
    /// Threads run Python at the same time.
    parallel: bool,
    inner: Mutex<Inner>,
    /// There is something for a thread that has nothing to do.
    news: Condvar,
    /// There is something to watch.
    activity: Condvar,
    /// What a thread waits for that sees to the sockets; `None` where the loop does.
    lookout: Option<Lookout>,
    /// How long the application may run for one request.
    timeout: Option<Duration>,
}

struct Lookout {
    /// The engine's poller.
    poller: OwnedFd,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Inner {
    ready: VecDeque<Job>,
    /// Threads that run the application, or could.
    workers: usize,
    /// Those of them that do.
    running: usize,
    /// What they run, where there is a limit to it.
    runs: Vec<Running>,
    idle: usize,
    /// Somebody waits for the sockets, or reads them.
    led: bool,
    /// Moves with everything that is done.
    beat: u64,
    /// The application was seen waiting a moment ago, or to be worth another thread.
    waits: bool,
    keeper_sleeps: bool,
    /// Threads that live: workers and the keeper.
    alive: usize,
    ending: bool,
}

/// A request that a thread runs.
struct Running {
    thread: ThreadIdent,
    exchange: ExchangeId,
    since: Instant,
    /// It has taken too long, and that was told.
    stuck: bool,
}

/// `threading.get_ident()`.
pub type ThreadIdent = u64;

/// A request that takes too long.
pub struct Stuck {
    pub thread: ThreadIdent,
    pub exchange: ExchangeId,
    pub age: Duration,
}

/// What a worker is to do.
pub enum Next {
    /// Run this; if `relieve`, after somebody else was told to go on.
    Run {
        job: Job,
        relieve: bool,
    },
    /// See to the sockets, then [`Pool::led`].
    Lead,
    /// Nothing: [`Pool::rest`].
    Rest,
    End,
}

/// What the keeper is to do.
pub enum Duty {
    /// Start a thread, which is counted already.
    Spawn,
    /// See to the sockets, then [`Pool::led`]: all run the application.
    Lead,
    End,
}

impl Pool {
    /// # Errors
    /// If there are no more descriptors.
    pub fn new(
        poller: Option<OwnedFd>,
        threads: usize,
        queue: usize,
        timeout: Option<Duration>,
        parallel: bool,
    ) -> std::io::Result<Self> {
        let inner = Inner {
            led: poller.is_none(),
            ..Inner::default()
        };
        Ok(Self {
            threads: threads.max(1),
            queue,
            parallel,
            inner: Mutex::new(inner),
            news: Condvar::new(),
            activity: Condvar::new(),
            lookout: poller.map(Lookout::new).transpose()?,
            timeout,
        })
    }

    /// Whether its threads see to the sockets, and not the loop.
    pub fn leads(&self) -> bool {
        self.lookout.is_some()
    }

    /// Ends a wait for the sockets.
    pub fn bell(&self) -> Option<Arc<Bell>> {
        let lookout = self.lookout.as_ref()?;
        Some(Arc::clone(&lookout.bell))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another request may wait.
    pub fn has_room(&self) -> bool {
        let inner = self.lock();
        inner.ready.len() < self.queue + (self.threads - inner.running)
    }

    pub fn push(&self, job: Job) {
        self.lock().ready.push_back(job);
    }

    /// What a worker does next, who has run the application or has not.
    pub fn next(&self, thread: ThreadIdent, ran: bool) -> Next {
        let mut inner = self.lock();
        inner.beat += 1;
        inner.running -= usize::from(ran);
        if self.timeout.is_some() && ran {
            inner.runs.retain(|run| run.thread != thread);
        }
        if let Some(job) = inner.ready.pop_front() {
            inner.running += 1;
            if self.timeout.is_some() {
                inner.runs.push(Running {
                    thread,
                    exchange: job.handle.id,
                    since: Instant::now(),
                    stuck: false,
                });
            }
            let relieve = inner.waits && (!inner.led || !inner.ready.is_empty());
            return Next::Run { job, relieve };
        }
        if inner.ending {
            Next::End
        } else if inner.led {
            Next::Rest
        } else {
            inner.led = true;
            Next::Lead
        }
    }

    /// Whether threads run Python at the same time. Then [`Pool::ran`] is to hear of each run.
    pub fn is_parallel(&self) -> bool {
        self.parallel
    }

    /// A run of the application took so long. Others could have run meanwhile: that is like one that waits.
    pub fn ran(&self, time: Duration) {
        if time >= LONG {
            self.lock().waits = true;
        }
    }

    /// Becomes the one who sees to the sockets, if nobody does.
    pub fn try_lead(&self) -> bool {
        !std::mem::replace(&mut self.lock().led, true)
    }

    /// Nobody sees to the sockets any more. `wake`: whoever has nothing to do looks.
    pub fn led(&self, wake: bool) {
        let mut inner = self.lock();
        inner.led = false;
        inner.beat += 1;
        let keeper = std::mem::take(&mut inner.keeper_sleeps);
        drop(inner);
        if keeper {
            self.activity.notify_one();
        }
        if wake {
            self.news.notify_one();
        }
    }

    /// The caller is going to wait for the sockets: what is queued from now on ends that.
    pub fn attend(&self) {
        if let Some(lookout) = &self.lookout {
            lookout.bell.attend();
        }
    }

    /// Waits for the sockets, for so many milliseconds at most. False: there is something to do, and
    /// nobody has waited.
    pub fn wait(&self, after: Option<Millis>) -> bool {
        let Some(lookout) = &self.lookout else {
            return false;
        };
        let inner = self.lock();
        let busy = !inner.ready.is_empty() || inner.ending;
        drop(inner);
        if busy {
            lookout.bell.leave();
            return false;
        }
        let timeout = i64::try_from(after.unwrap_or(LONGEST).min(LONGEST)).unwrap_or(0);
        let timeout = Timespec {
            tv_sec: timeout / 1000,
            tv_nsec: timeout % 1000 * 1_000_000,
        };
        lookout.wait(&timeout);
        lookout.bell.leave();
        true
    }

    /// Whether a socket has something to say, or somebody rang.
    fn is_readable(&self) -> bool {
        let now = Timespec::default();
        self.lookout
            .as_ref()
            .is_some_and(|lookout| lookout.wait(&now))
    }

    /// Ends a wait for the sockets.
    pub fn ring(&self) {
        if let Some(lookout) = &self.lookout {
            lookout.bell.ring();
        }
    }

    /// Waits until there is something to do.
    pub fn rest(&self) {
        let mut inner = self.lock();
        inner.idle += 1;
        while inner.led && inner.ready.is_empty() && !inner.ending {
            inner = self
                .news
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        inner.idle -= 1;
    }

    /// Has another thread go on, if there is one that does not run the application. True: it is to be
    /// started, and counted already.
    pub fn relieve(&self) -> bool {
        let mut inner = self.lock();
        if inner.idle > 0 || inner.ending {
            drop(inner);
            self.news.notify_one();
            return false;
        }
        let new = inner.workers < self.threads;
        inner.workers += usize::from(new);
        inner.alive += usize::from(new);
        new
    }

    /// Calls threads for what is ready. As many new ones as it gives are counted already.
    pub fn muster(&self) -> usize {
        let mut inner = self.lock();
        let wanted = inner.ready.len();
        let woken = wanted.min(inner.idle);
        let new = (wanted - woken).min(self.threads.saturating_sub(inner.workers));
        inner.workers += new;
        inner.alive += new;
        drop(inner);
        for _ in 0..woken {
            self.news.notify_one();
        }
        new
    }

    /// The requests that the application has run for too long since this was asked last, and how many
    /// there are in all.
    pub fn stuck(&self) -> (Vec<Stuck>, usize) {
        let mut inner = self.lock();
        let mut fresh = Vec::new();
        for run in &mut inner.runs {
            let age = run.since.elapsed();
            if !run.stuck && self.timeout.is_some_and(|most| age > most) {
                run.stuck = true;
                fresh.push(Stuck {
                    thread: run.thread,
                    exchange: run.exchange,
                    age,
                });
            }
        }
        let all = inner.runs.iter().filter(|run| run.stuck).count();
        (fresh, all)
    }

    /// The keeper lives.
    pub fn kept(&self) {
        self.lock().alive += 1;
    }

    /// A thread has ended.
    pub fn left(&self, worker: bool) {
        let mut inner = self.lock();
        inner.alive -= 1;
        inner.workers -= usize::from(worker);
    }

    /// Waits until there is something to do for the keeper: nobody has made progress for a while, and
    /// waking somebody does not help. `wanted`: something is ready that the poller does not know of.
    pub fn watch(&self, wanted: impl Fn() -> bool) -> Duty {
        let mut inner = self.lock();
        let mut quiet = 0;
        let mut passed_over = 0;
        let mut pace = Pace::new();
        loop {
            if inner.ending {
                return Duty::End;
            }
            let before = inner.beat;
            if quiet >= QUIET {
                quiet = 0;
                inner.keeper_sleeps = true;
                inner = self
                    .activity
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner);
            } else {
                (inner, _) = self
                    .activity
                    .wait_timeout(inner, LULL)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let done = inner.beat - before;
            let nothing = inner.led && inner.ready.is_empty();
            let works = if self.parallel {
                done >= BRISK
            } else {
                pace.is_busy()
            };
            inner.waits &= !works;
            quiet = if done == 0 && nothing { quiet + 1 } else { 0 };
            if done > 0 || inner.ending {
                continue;
            }
            if nothing {
                // Who waits for the sockets does not know of a response that its thread has not sent.
                drop(inner);
                if wanted()
                    && let Some(lookout) = &self.lookout
                {
                    lookout.bell.call();
                }
                inner = self.lock();
                continue;
            }
            inner.waits |= !works;
            if inner.idle > 0 {
                self.news.notify_one();
            } else if inner.workers < self.threads {
                inner.workers += 1;
                inner.alive += 1;
                return Duty::Spawn;
            } else if !inner.led {
                drop(inner);
                passed_over += 1;
                let due = passed_over >= SELDOM || wanted() || self.is_readable();
                if due && self.try_lead() {
                    return Duty::Lead;
                }
                inner = self.lock();
            }
        }
    }

    /// Has all threads end when they have run what they run. How many are left, and how many of these
    /// are in the application.
    pub fn end(&self) -> (usize, usize) {
        let mut inner = self.lock();
        inner.ending = true;
        let left = (inner.alive, inner.running);
        drop(inner);
        self.news.notify_all();
        self.activity.notify_all();
        self.ring();
        left
    }
}

/// How much of a processor this process uses. With Python's lock that is one at most, and one that is
/// busy tells of an application that works, however long it takes.
struct Pace {
    at: Instant,
    used: Timespec,
}

impl Pace {
    fn new() -> Self {
        Self {
            at: Instant::now(),
            used: clock_gettime(ClockId::ProcessCPUTime),
        }
    }

    /// Whether it was busy for most of the time since this was asked last.
    fn is_busy(&mut self) -> bool {
        let before = std::mem::replace(self, Self::new());
        let used = self.used - before.used;
        let used = Duration::try_from(used).unwrap_or_default();
        used * 2 > self.at - before.at
    }
}

impl Lookout {
    fn new(poller: OwnedFd) -> std::io::Result<Self> {
        let bell = Arc::new(Bell::new()?);
        Ok(Self { poller, bell })
    }

    /// Waits until there is something, and says whether there is.
    fn wait(&self, timeout: &Timespec) -> bool {
        let mut watched = [
            PollFd::new(&self.poller, PollFlags::IN),
            PollFd::new(self.bell.sound(), PollFlags::IN),
        ];
        // Interrupted, it is as if something had come.
        let ready = poll(&mut watched, Some(timeout)).map_or(true, |count| count > 0);
        if !watched[1].revents().is_empty() {
            self.bell.silence();
        }
        ready
    }
}
