//! How an exchange reaches its connection, whoever drives it.
//!
//! A [`Link`] is shared by everything that belongs to one server: the engine and the state of each
//! connection's exchange behind one lock, and the handles of the event loop. No Python code runs
//! while the lock is held; so nothing that may run some, or collect garbage, or drop an object of
//! an application, is done under it: values are taken out first.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use ferricorn_engine::{ExchangeId, Reactor, SessionId};
use ferricorn_proto::Millis;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict};

use crate::access::AccessLog;
use crate::bell::Bell;
use crate::ffi::Payload;
use crate::format::Format;
use crate::names::Names;
use crate::record::Record;
use crate::scope::Ends;
use crate::spill::Spill;
use crate::spool::Spool;
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
    pub tasks: Tasks,
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

/// A connection, as far as exchanges need it. Indexed by the session's slot.
#[derive(Default)]
pub struct Slot {
    pub generation: u32,
    pub ends: Option<Ends>,
    pub exchange: Exchange,
    /// The asyncio transport of a connection that the loop drives.
    pub transport: Option<Py<PyAny>>,
}

/// One request and its response.
#[derive(Default)]
pub struct Exchange {
    pub number: u32,
    pub phase: Phase,
    /// The scope, kept for an access log as uvicorn's until the response starts.
    pub scope: Option<Py<PyDict>>,
    /// Kept for an access log with a format until the exchange is over.
    pub record: Option<Box<Record>>,
    pub body: Body,
    /// The application has called `receive`.
    pub asked: bool,
    /// The client has left.
    pub gone: bool,
    /// The response is a stream of events, whose client comes back by itself: it is told of the
    /// server's end as if its client had left.
    pub events: bool,
    /// `receive` and `send` calls that wait.
    pub waiters: Vec<Waiter>,
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// What is there if the request asks for a WebSocket.
    pub socket: Option<Box<Socket>>,
    /// What a WSGI application's client did not take.
    pub spill: Option<Arc<Mutex<Spill>>>,
    /// What is there while the body for a WSGI application comes.
    pub collecting: Option<Box<Collecting>>,
}

/// What a request wants of which WSGI application.
pub struct Wanted {
    pub application: Py<PyAny>,
    pub environ: Py<PyDict>,
    /// Where it stands in the list of runs.
    pub place: usize,
    /// The request is HEAD.
    pub head: bool,
}

/// A request for a WSGI application whose body is not complete.
pub struct Collecting {
    pub wanted: Wanted,
    pub spool: Spool,
}

/// Somebody who waits for an exchange to change.
pub struct Waiter {
    pub wait: Py<Wait>,
    /// Waits for room to send; else for something to receive.
    pub sends: bool,
}

/// Lets those who wait look again.
pub fn wake(py: Python<'_>, waiters: impl IntoIterator<Item = Waiter>, how: Wake) {
    for waiter in waiters {
        Wait::wake(waiter.wait.bind(py), how);
    }
}

/// A WebSocket, as far as its application is concerned.
#[derive(Default)]
pub struct Socket {
    pub stage: Stage,
    /// It was open once.
    pub opened: bool,
    /// The application has been told that somebody connects.
    pub connect_told: bool,
    /// Messages that it has not taken.
    pub inbox: VecDeque<Incoming>,
    /// What it hears when there are no more: code and reason.
    pub ended: Option<(u16, Option<String>)>,
    /// The scope, kept until the request is answered, for the log.
    pub scope: Option<Py<PyDict>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The request is not answered.
    #[default]
    Connecting,
    Open,
    /// It is answered as plain HTTP, and the answer goes on.
    Denying,
    /// The application has said its last word.
    Over,
}

/// A message as the application gets it.
pub struct Incoming {
    /// `str` or `bytes`.
    pub data: Py<PyAny>,
    pub text: bool,
    /// Bytes that it had on its way.
    pub length: usize,
}

/// What the response expects next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Start,
    Body,
    Trailers,
    Complete,
}

/// Request body bytes that the application has not taken.
#[derive(Default)]
pub struct Body {
    /// What came first, as the application gets it; then `rest`, which keeps a body that trickles
    /// in from costing an object for each byte.
    first: Option<Py<PyBytes>>,
    rest: Vec<u8>,
    /// The last byte has arrived.
    pub over: bool,
    /// The application has been told so.
    pub end_told: bool,
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
            tasks: Tasks::default(),
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
            continuation: Mutex::new(None),
            object: object.unbind(),
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

impl Exchange {
    /// Its client has left after the response, or the application took too long for one.
    pub fn is_given_up(&self) -> bool {
        self.gone && self.phase == Phase::Complete
    }

    /// Takes one of those who wait to receive.
    pub fn take_receiver(&mut self) -> Option<Waiter> {
        let index = self.waiters.iter().position(|waiter| !waiter.sends)?;
        Some(self.waiters.swap_remove(index))
    }

    /// Takes those who wait to receive, or those who wait to send.
    pub fn take_waiters(&mut self, sends: bool) -> Vec<Waiter> {
        if self.waiters.is_empty() {
            return Vec::new();
        }
        let (taken, left) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|waiter| waiter.sends == sends);
        self.waiters = left;
        taken
    }
}

impl Body {
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    pub fn push(&mut self, py: Python<'_>, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if self.is_empty() {
            // Not tracked by the collector: making it runs no Python code.
            self.first = Some(PyBytes::new(py, data).unbind());
        } else {
            self.rest.extend_from_slice(data);
        }
    }

    pub fn take<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        if let Some(first) = self.first.take() {
            return Some(first.into_bound(py));
        }
        if self.rest.is_empty() {
            return None;
        }
        Some(PyBytes::new(py, &std::mem::take(&mut self.rest)))
    }
}

/// The application's runs, each in its place.
#[derive(Default)]
pub struct Tasks {
    places: Vec<Option<Running>>,
    free: VecDeque<usize>,
}

/// A run of the application.
pub struct Running {
    exchange: ExchangeId,
    /// The turn in which its request came.
    since: Millis,
    /// Its task, which a loop by itself knows only weakly, and its scope, for who asks what is under
    /// way. Empty until the run's first wait: most have none.
    kept: Option<(Option<Py<PyAny>>, Py<PyDict>)>,
}

impl Tasks {
    /// A place for a run that begins.
    pub fn reserve(&mut self, exchange: ExchangeId, since: Millis) -> usize {
        let place = self.free.pop_back().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(Running {
            exchange,
            since,
            kept: None,
        });
        place
    }

    /// Keeps a run's task, where it has one, and its scope or environ.
    pub fn keep(&mut self, place: usize, task: Option<Py<PyAny>>, scope: Py<PyDict>) {
        if let Some(running) = &mut self.places[place] {
            running.kept = Some((task, scope));
        }
    }

    /// Where the run for an exchange stands, and its scope or environ.
    pub fn find(&self, exchange: ExchangeId) -> Option<(usize, Option<&Py<PyDict>>)> {
        let place = self.places.iter().position(|run| {
            run.as_ref()
                .is_some_and(|running| running.exchange == exchange)
        })?;
        let kept = self.places[place].as_ref()?.kept.as_ref();
        Some((place, kept.map(|(_, scope)| scope)))
    }

    /// Ends the run's time here, unless that was done; the caller drops what it held without the lock.
    pub fn release(&mut self, place: usize, exchange: ExchangeId) -> Option<Running> {
        let run = self.places.get_mut(place)?;
        let ended = run.take_if(|run| run.exchange == exchange)?;
        self.free.push_back(place);
        Some(ended)
    }

    pub fn running(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub fn all(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        let kept = self
            .places
            .iter()
            .flatten()
            .filter_map(|run| run.kept.as_ref()?.0.as_ref());
        kept.map(|task| task.clone_ref(py)).collect()
    }

    /// Each run: its exchange, its beginning and its scope.
    pub fn runs(&self, py: Python<'_>) -> Vec<(ExchangeId, Millis, Option<Py<PyDict>>)> {
        let scope = |run: &Running| run.kept.as_ref().map(|(_, scope)| scope.clone_ref(py));
        let runs = self.places.iter().flatten();
        runs.map(|run| (run.exchange, run.since, scope(run)))
            .collect()
    }
}

/// A number that differs between threads which are alive at the same time.
pub fn thread_mark() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}
