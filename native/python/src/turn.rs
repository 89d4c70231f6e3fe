//! A turn: what happens when the event loop calls.
//!
//! The loop calls when the one descriptor that it watches is readable. A turn gathers, serves and
//! flushes. A task that answers later has the loop call the continuation, once for all that answer
//! in the same iteration. A turn is total: whatever happens to one connection ends there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferricorn_engine::{Batch, Reactor, SessionId};
use ferricorn_proto::Millis;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::crew::Crew;
use crate::ffi;
use crate::link::{Continuation, Link};
use crate::scope::Ends;
use crate::serve::Service;
use crate::slot;
use crate::wait::Wake;

/// `logging.ERROR`.
const ERROR: i32 = 40;
/// Deadlines are met to about this many milliseconds, so that many share one wake-up.
const COARSE: Millis = 50;
/// Flushes in one turn: as many requests of a pipeline may be served before others have their turn.
const ROUNDS: usize = 32;

#[pyclass(frozen, weakref, module = "ferricorn._native")]
pub struct Server {
    pub link: Arc<Link>,
    /// What a turn uses. A turn within a turn (an application that runs the loop by itself) finds
    /// it taken, and leaves its work to the turn it is in.
    turn: Mutex<Option<Box<Turn>>>,
    /// The threads of WSGI applications.
    pub crew: Option<Crew>,
    timer: Mutex<Option<Timer>>,
    /// Listeners are left with the next turn.
    leave_asked: AtomicBool,
    /// A graceful end begins with the next turn.
    stop_asked: AtomicBool,
    /// So many WebSockets are closed with the next turn.
    closings: AtomicUsize,
}

struct Turn {
    service: Service,
    batch: Batch,
}

/// The loop's timer for the next deadline.
struct Timer {
    due: Millis,
    handle: Py<PyAny>,
}

/// What a turn leaves to be done.
struct Left {
    /// The loop will call anyway.
    scheduled: bool,
    unfinished: bool,
    /// Milliseconds until something is due.
    after: Option<Millis>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gather {
    /// Ask the sockets.
    Poll,
    /// Only what is known to be ready.
    Ready,
}

impl Turn {
    fn run(
        &mut self,
        py: Python<'_>,
        link: &Arc<Link>,
        how: Wake,
        act: impl FnOnce(&mut Reactor<ffi::Payload>, &mut Batch),
    ) {
        let Self { service, batch } = self;
        let mut state = link.lock();
        act(&mut state.reactor, batch);
        for round in 0.. {
            let spent = state.reactor.take_spent();
            drop(state);
            drop(spent);
            let idle = batch.work.is_empty();
            let broken = if idle {
                Vec::new()
            } else {
                service.serve(py, link, batch, how)
            };
            state = link.lock();
            for session in broken {
                state.reactor.cut(session, batch);
            }
            if round == ROUNDS || (batch.work.is_empty() && !state.reactor.has_dirty()) {
                break;
            }
            state.reactor.flush(batch);
        }
    }
}

impl Server {
    pub fn over(link: Arc<Link>, service: Service, crew: Option<Crew>) -> Self {
        let turn = Turn {
            service,
            batch: Batch::default(),
        };
        Self {
            link,
            turn: Mutex::new(Some(Box::new(turn))),
            crew,
            timer: Mutex::new(None),
            leave_asked: AtomicBool::new(false),
            stop_asked: AtomicBool::new(false),
            closings: AtomicUsize::new(0),
        }
    }

    /// One turn: flush what is queued, gather, serve, and see to what is left.
    pub fn advance(slf: &Bound<'_, Self>, gather: Gather) {
        let left = Self::go_on(slf, gather);
        Self::see_to(slf, left);
    }

    /// One turn in the thread that calls, which waits for what is left itself: gives the milliseconds
    /// until something is due.
    pub fn advance_here(slf: &Bound<'_, Self>, gather: Gather) -> Option<Millis> {
        let left = Self::go_on(slf, gather)?;
        if left.unfinished { Some(0) } else { left.after }
    }

    fn go_on(slf: &Bound<'_, Self>, gather: Gather) -> Option<Left> {
        let this = slf.get();
        let mut stop = false;
        let left = Self::run(slf, Wake::Now, |reactor, batch| {
            // Only here, in a turn that is ours: another thread's would not know what was taken.
            if this.leave_asked.swap(false, Ordering::Relaxed) {
                reactor.leave(batch);
            }
            stop = this.stop_asked.swap(false, Ordering::Relaxed);
            if stop {
                reactor.stop(batch);
            }
            let closings = this.closings.swap(0, Ordering::Relaxed);
            if closings > 0 {
                reactor.close_sockets(closings, batch);
            }
            if gather == Gather::Ready {
                reactor.flush(batch);
            }
            reactor.gather(batch, gather == Gather::Poll);
        });
        if stop {
            let told = this.link.lock().take_told();
            slot::wake(slf.py(), told, Wake::Soon);
        }
        left
    }

    /// The loop's timer has called.
    pub fn due(slf: &Bound<'_, Self>) {
        locked(&slf.get().timer).take();
        Self::advance(slf, Gather::Ready);
    }

    /// Lets the engine fill a batch and serves it, then flushes what that queued; and again, for
    /// requests that waited in a buffer for the answer to the one before. Whoever may be a task says
    /// [`Wake::Soon`]: no other may run within it. False: there is a turn already, and nothing was done.
    pub fn with_engine(
        slf: &Bound<'_, Self>,
        how: Wake,
        act: impl FnOnce(&mut Reactor<ffi::Payload>, &mut Batch),
    ) -> bool {
        let left = Self::run(slf, how, act);
        let ran = left.is_some();
        Self::see_to(slf, left);
        ran
    }

    /// Gives what is left; nothing within another turn, which sees to it.
    fn run(
        slf: &Bound<'_, Self>,
        how: Wake,
        act: impl FnOnce(&mut Reactor<ffi::Payload>, &mut Batch),
    ) -> Option<Left> {
        let (py, this) = (slf.py(), slf.get());
        let link = &this.link;
        let mut turn = locked(&this.turn).take()?;
        // Whoever queues something now need not ask for the flush that comes anyway.
        let scheduled = std::mem::replace(&mut link.lock().scheduled, true);
        // Nothing here is known to panic outside of the guards of single connections; if it does, the
        // server must not lose what it works with.
        let whole = catch_unwind(AssertUnwindSafe(|| turn.run(py, link, how, act)));
        *locked(&this.turn) = Some(turn);
        if whole.is_err() {
            link.report(py, ERROR, "Internal error in a turn of the server.", None);
        }
        link.flush_log();
        let mut state = link.lock();
        state.scheduled = scheduled;
        let deadline = state.reactor.next_deadline().map(|after| after + COARSE);
        let look = state.reactor.next_look();
        Some(Left {
            scheduled,
            unfinished: state.reactor.has_dirty() || state.reactor.has_ready(),
            after: deadline.into_iter().chain(look).min(),
        })
    }

    /// Has the loop call for what a turn left.
    fn see_to(slf: &Bound<'_, Self>, left: Option<Left>) {
        let Some(left) = left else { return };
        match &slf.get().crew {
            Some(crew) if crew.pool.leads() => return crew.pool.ring(),
            Some(crew) => crew.muster(slf),
            None => {}
        }
        if left.unfinished && !left.scheduled {
            Self::schedule(slf);
        }
        if let Some(after) = left.after {
            Self::arm(slf, after);
        }
    }

    /// Tells the link what to have the loop call, and that this is the context for requests to start
    /// from; to be done before the first connection.
    ///
    /// # Errors
    /// If Python is out of memory.
    pub fn prepare(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let event_loop = &slf.get().link.event_loop;
        if event_loop.continuation(py).is_none() {
            let context = PyDict::new(py);
            let current = py.import("contextvars")?.call_method0("copy_context")?;
            context.set_item("context", current)?;
            event_loop.set_continuation(Some(Continuation {
                method: slf.getattr("_continue")?.unbind(),
                context: context.unbind(),
            }));
        }
        Ok(())
    }

    /// Has somebody come for what was queued.
    pub fn schedule(slf: &Bound<'_, Self>) {
        if let Some(crew) = slf.get().crew.as_ref().filter(|crew| crew.pool.leads()) {
            return crew.pool.ring();
        }
        if let Err(error) = slf.get().link.schedule(slf.py()) {
            error.write_unraisable(slf.py(), Some(slf));
        }
    }

    /// Has the loop call after so many milliseconds, unless an earlier call will see to it.
    fn arm(slf: &Bound<'_, Self>, after: Millis) {
        let (py, this) = (slf.py(), slf.get());
        let due = this.link.lock().reactor.now() + after;
        let mut timer = locked(&this.timer);
        if timer.as_ref().is_some_and(|timer| timer.due <= due) {
            return;
        }
        let earlier = timer.take();
        drop(timer);
        if let Some(earlier) = earlier {
            let _ = earlier
                .handle
                .bind(py)
                .call_method0(&this.link.names.cancel);
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a delay of at most some minutes"
        )]
        let seconds = after as f64 / 1000.0;
        let armed = slf.getattr("_tick").and_then(|tick| {
            let event_loop = &this.link.event_loop;
            let keywords = event_loop.continuation(py);
            let context = keywords.map(|continuation| continuation.context.into_bound(py));
            let call_later = event_loop.call_later.bind(py);
            call_later.call((seconds, tick), context.as_ref())
        });
        match armed {
            Ok(handle) => {
                let timer = Timer {
                    due,
                    handle: handle.unbind(),
                };
                *locked(&this.timer) = Some(timer);
            }
            Err(error) => error.write_unraisable(py, Some(slf)),
        }
    }

    /// A connection that the event loop accepted.
    ///
    /// # Errors
    /// If the transport does not know its ends.
    pub fn host_opened(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<SessionId> {
        let link = &slf.get().link;
        link.settle_here();
        let ends = Ends::of_transport(transport)?;
        // The engine keeps the output: it is to hear whether the peer has taken all it was given.
        let limits = PyDict::new(transport.py());
        limits.set_item("high", 0)?;
        transport.call_method("set_write_buffer_limits", (), Some(&limits))?;
        let mut opened = None;
        Self::with_engine(slf, Wake::Now, |reactor, _| {
            opened = Some(reactor.open_host());
        });
        let session =
            opened.ok_or_else(|| PyRuntimeError::new_err("a connection within a turn"))?;
        let judged = link.lock().reactor.judges_peers();
        let peer = judged.then(|| ends.peer(transport.py()));
        let mut state = link.lock();
        let (slot, left) = state.claim(session);
        slot.ends = Some(ends);
        slot.transport = Some(transport.clone().unbind());
        drop(state);
        drop(left);
        // The slot knows the transport by now, so that it is closed if the peer may not stay.
        if let Some(peer) = peer {
            Self::with_engine(slf, Wake::Now, |reactor, batch| {
                reactor.admit_host(session, &peer, batch);
            });
        }
        Ok(session)
    }

    pub fn host_data(slf: &Bound<'_, Self>, session: SessionId, data: &Bound<'_, PyBytes>) {
        Self::with_engine(slf, Wake::Now, |reactor, batch| {
            reactor.feed(session, data.as_bytes(), batch);
        });
    }

    pub fn host_eof(slf: &Bound<'_, Self>, session: SessionId) {
        Self::with_engine(slf, Wake::Now, |reactor, batch| {
            reactor.feed_eof(session, batch);
        });
    }

    pub fn host_lost(slf: &Bound<'_, Self>, session: SessionId) {
        Self::with_engine(slf, Wake::Now, |reactor, batch| {
            reactor.lost(session, batch);
        });
    }

    /// May be called from within a turn, by a transport that is written to.
    pub fn host_writable(slf: &Bound<'_, Self>, session: SessionId, writable: bool) {
        let mut state = slf.get().link.lock();
        state.reactor.set_writable(session, writable);
        let wanted = !state.scheduled;
        drop(state);
        if wanted {
            Self::schedule(slf);
        }
    }

    /// Accepts no more from the next turn on.
    pub fn ask_leave(slf: &Bound<'_, Self>) {
        slf.get().link.lock().reactor.announce_stop();
        slf.get().leave_asked.store(true, Ordering::Relaxed);
        Self::schedule(slf);
    }

    /// Begins a graceful end, in a turn of its own: whoever asks for it may be a task, in which no
    /// other can be started.
    pub fn ask_stop(slf: &Bound<'_, Self>) {
        slf.get().link.lock().reactor.announce_stop();
        slf.get().stop_asked.store(true, Ordering::Relaxed);
        Self::schedule(slf);
    }

    /// Closes so many WebSockets, in a turn of its own.
    pub fn ask_closings(slf: &Bound<'_, Self>, count: usize) {
        slf.get().closings.store(count, Ordering::Relaxed);
        Self::schedule(slf);
    }

    /// Stops the loop's timer.
    pub fn disarm(&self, py: Python<'_>) {
        let timer = locked(&self.timer).take();
        if let Some(timer) = timer {
            let _ = timer.handle.bind(py).call_method0(&self.link.names.cancel);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
