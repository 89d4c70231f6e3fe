//! How an exchange reaches its connection, whoever drives it.
//!
//! A [`Link`] is shared by everything that belongs to one server: the engine and the state of each
//! connection's exchange behind one lock, and the handles of the event loop. No Python code runs
//! while the lock is held; so nothing that may run some, or collect garbage, or drop an object of
//! an application, is done under it: values are taken out first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use ferricorn_engine::{ExchangeId, Reactor, SessionId};
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::PyDict;

use crate::access::AccessLog;
use crate::bell::Bell;
use crate::ffi::Payload;
use crate::format::Format;
use crate::names::Names;
use crate::record::Record;
use crate::runs::Runs;
use crate::slot::{Exchange, Slot, Socket, Waiter};
use crate::wait::{Wait, Wake};

pub struct Link {
    state: Mutex<State>,
    /// Marks the event loop's thread.
    home: AtomicUsize,
    pub names: Names,
    pub event_loop: EventLoop,
    pub access_log: Option<AccessLog>,
    pub error_log: Py<PyAny>,
    /// What WebSockets need of the floor above; `None` where there are none.
    pub sockets: Option<SocketHooks>,
    /// Ends a wait for the sockets, where threads see to these.
    pub bell: Option<Arc<Bell>>,
}

pub struct SocketHooks {
    /// `(scope, status)`: writes the line of a request that was accepted, or answered with a status.
    pub log: Py<PyAny>,
    /// What `send` raises when the client is gone.
    pub disconnected: Py<PyAny>,
}

/// The event loop's methods that requests use.
pub struct EventLoop {
    pub object: Py<PyAny>,
    pub call_soon: Py<PyAny>,
    pub call_soon_threadsafe: Py<PyAny>,
    pub call_later: Py<PyAny>,
    /// A future that is done.
    done: PyOnceLock<Py<PyAny>>,
    /// None before the first connection, and after the end: it refers to the server.
    pub continuation: Mutex<Option<Continuation>>,
}

/// What the loop calls to go on with what is unfinished.
pub struct Continuation {
    /// The server's method.
    pub method: Py<PyAny>,
    /// Keywords of the call: the context that every request starts from, whoever asks for the call.
    pub context: Py<PyDict>,
}

pub struct State {
    pub reactor: Reactor<Payload>,
    pub slots: Vec<Slot>,
    pub runs: Runs,
    /// What is to be logged when the application ends, though the connection has. Bounded by the
    /// tasks that run.
    pub departed: HashMap<ExchangeId, Box<Record>>,
    /// WebSockets whose applications have not heard everything, though the connections are gone.
    /// Bounded like these.
    pub parted: HashMap<ExchangeId, Box<Socket>>,
    /// Header lines that were left out of environs for the underscores in their names.
    pub left_out: u64,
    /// The continuation is on the loop's list already.
    pub scheduled: bool,
    /// The server's end has cancelled what still ran.
    pub aborted: bool,
}

/// Whether an id still means something.
pub enum Found<'a> {
    Current(&'a mut Exchange),
    /// The exchange is complete and the connection has gone on.
    Past,
    /// The connection is gone.
    Gone,
}

impl Link {
    pub fn new(
        reactor: Reactor<Payload>,
        names: Names,
        event_loop: EventLoop,
        access_log: Option<AccessLog>,
        error_log: Py<PyAny>,
        sockets: Option<SocketHooks>,
        bell: Option<Arc<Bell>>,
    ) -> Self {
        let state = State {
            reactor,
            slots: Vec::new(),
            runs: Runs::default(),
            departed: HashMap::new(),
            parted: HashMap::new(),
            left_out: 0,
            scheduled: false,
            aborted: false,
        };
        Self {
            state: Mutex::new(state),
            home: AtomicUsize::new(thread_mark()),
            names,
            event_loop,
            access_log,
            error_log,
            sockets,
            bell,
        }
    }

    /// The state, for a moment in which no Python code runs.
    ///
    /// Who has to wait for it is detached meanwhile. Without the interpreter's lock others hold this one
    /// while they run, and a collector that stops all threads would wait for one that waits here.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        let state = match self.state.try_lock() {
            Ok(state) => return state,
            Err(TryLockError::Poisoned(error)) => Err(error),
            Err(TryLockError::WouldBlock) => Python::attach(|py| self.state.lock_py_attached(py)),
        };
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares this thread to be the event loop's.
    pub fn settle_here(&self) {
        self.home.store(thread_mark(), Ordering::Relaxed);
    }

    pub fn is_home(&self) -> bool {
        self.home.load(Ordering::Relaxed) == thread_mark()
    }

    /// Has the loop come back to flush and continue, once for however many ask.
    ///
    /// # Errors
    /// If the loop is closed.
    pub fn schedule(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::replace(&mut self.lock().scheduled, true) {
            return Ok(());
        }
        match self.event_loop.continuation(py) {
            Some(Continuation { method, context }) => {
                let call_soon = if self.is_home() {
                    &self.event_loop.call_soon
                } else {
                    &self.event_loop.call_soon_threadsafe
                };
                let asked = call_soon.bind(py).call((method,), Some(context.bind(py)));
                if asked.is_err() {
                    // Whoever comes next must not rely on a call that will never come.
                    self.lock().scheduled = false;
                }
                asked.map(drop)
            }
            None => Ok(()),
        }
    }

    /// Has a thread that waits for the sockets send what was queued: the application may go on for long.
    pub fn hurry(&self) {
        if let Some(bell) = &self.bell {
            bell.call();
        }
    }

    /// Takes one of those who wait to receive.
    pub fn take_receiver(&self, id: ExchangeId) -> Option<Waiter> {
        self.lock().current(id).and_then(Exchange::take_receiver)
    }

    /// Lets one who waits to receive look again: `first`, or who is next if that one waits no more.
    pub fn wake_receiver(&self, py: Python<'_>, id: ExchangeId, first: Option<Waiter>, how: Wake) {
        let mut next = first;
        while let Some(waiter) = next
            && !Wait::wake(waiter.wait.bind(py), how)
        {
            next = self.take_receiver(id);
        }
    }

    /// How lines of the access log look, if not as uvicorn's.
    pub fn format(&self) -> Option<&Format> {
        self.access_log.as_ref()?.format.as_ref()
    }

    /// Writes what is to be logged of an exchange that is over.
    pub fn log(&self, py: Python<'_>, record: Option<Box<Record>>) {
        if let (Some(record), Some(access_log)) = (record, &self.access_log) {
            access_log.over(py, &self.names, &record);
        }
    }

    /// Has written lines of the access log go on their way.
    pub fn flush_log(&self) {
        if let Some(access_log) = &self.access_log {
            access_log.flush();
        }
    }

    /// Writes to the error log.
    pub fn report(&self, py: Python<'_>, level: i32, text: &str, error: Option<&PyErr>) {
        // With its traceback, which the bare value may lack.
        let error = error.map(|error| error.clone_ref(py).into_value(py));
        if let Err(error) = self.error_log.bind(py).call1((level, text, error)) {
            error.write_unraisable(py, None);
        }
    }
}

impl EventLoop {
    /// # Errors
    /// If `object` is no event loop.
    pub fn new(object: Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            call_soon: object.getattr("call_soon")?.unbind(),
            call_soon_threadsafe: object.getattr("call_soon_threadsafe")?.unbind(),
            call_later: object.getattr("call_later")?.unbind(),
            done: PyOnceLock::new(),
            continuation: Mutex::new(None),
            object: object.unbind(),
        })
    }

    /// A future of the loop's that is done. One does for all.
    ///
    /// # Errors
    /// If the loop makes none.
    pub fn done(&self, py: Python<'_>) -> PyResult<&Py<PyAny>> {
        self.done.get_or_try_init(py, || {
            let future = self.object.bind(py).call_method0("create_future")?;
            future.call_method1("set_result", (py.None(),))?;
            Ok(future.unbind())
        })
    }

    pub fn continuation(&self, py: Python<'_>) -> Option<Continuation> {
        let continuation = self.continuation.lock();
        let continuation = continuation.unwrap_or_else(PoisonError::into_inner);
        continuation.as_ref().map(|continuation| Continuation {
            method: continuation.method.clone_ref(py),
            context: continuation.context.clone_ref(py),
        })
    }

    /// Says what to call from now on.
    pub fn set_continuation(&self, continuation: Option<Continuation>) {
        let place = self.continuation.lock();
        let earlier = std::mem::replace(
            &mut *place.unwrap_or_else(PoisonError::into_inner),
            continuation,
        );
        drop(earlier);
    }
}

impl State {
    pub fn find(&mut self, id: ExchangeId) -> Found<'_> {
        match self.slots.get_mut(id.session.slot as usize) {
            Some(slot) if slot.generation == id.session.generation => {
                if slot.exchange.number == id.number {
                    Found::Current(&mut slot.exchange)
                } else {
                    Found::Past
                }
            }
            _ => Found::Gone,
        }
    }

    /// The exchange, if the application can still act on it.
    pub fn current(&mut self, id: ExchangeId) -> Option<&mut Exchange> {
        match self.find(id) {
            Found::Current(exchange) => Some(exchange),
            Found::Past | Found::Gone => None,
        }
    }

    /// What is to be logged of an exchange that is over.
    pub fn take_record(&mut self, id: ExchangeId) -> Option<Box<Record>> {
        if let Some(exchange) = self.current(id) {
            return exchange.record.take();
        }
        let any = !self.departed.is_empty();
        any.then(|| self.departed.remove(&id)).flatten()
    }

    /// Whether an exchange is a stream of events whose application may know that the server ends: it
    /// was told, or has seen it elsewhere since it was announced.
    pub fn may_end_early(&mut self, id: ExchangeId) -> bool {
        self.reactor.is_stopping() && self.current(id).is_some_and(|exchange| exchange.events)
    }

    /// Those who wait to receive though their stream of events is to end with the server.
    pub fn take_told(&mut self) -> Vec<Waiter> {
        let slots = self.slots.iter_mut();
        let streams = slots.filter(|slot| slot.exchange.events);
        streams
            .flat_map(|slot| slot.exchange.take_waiters(false))
            .collect()
    }

    /// The slot of a session, emptied if another generation left it. What it held is returned, to
    /// be dropped without the lock.
    pub fn claim(&mut self, id: SessionId) -> (&mut Slot, Option<Slot>) {
        let index = id.slot as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let slot = &mut self.slots[index];
        let mut left = None;
        if slot.generation != id.generation {
            let fresh = Slot {
                generation: id.generation,
                ..Slot::default()
            };
            left = Some(std::mem::replace(slot, fresh));
        }
        (slot, left)
    }
}

/// A number that differs between threads which are alive at the same time.
pub fn thread_mark() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}
