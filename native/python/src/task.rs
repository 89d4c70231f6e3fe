//! An application's call as a task of the event loop.
//!
//! The task is a real `asyncio.Task`. The coroutine that it runs is a [`Run`], which passes
//! everything on to the application's coroutine and so sees it end, without a frame, a callback or
//! a turn of the loop for it.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use ferricorn_engine::ExchangeId;
use ferricorn_proto::{FAILURE, Fault};

use crate::eager::Eager;
use crate::exchange::Handle;
use crate::ffi::{self, Step};
use crate::inflight::first_step;
use crate::link::Link;
use crate::slot::{self, Phase};
use crate::wait::Wake;
use crate::websocket;

/// `logging.ERROR`.
const ERROR: i32 = 40;

#[pyclass(frozen, module = "ferricorn._native")]
pub struct Run {
    coroutine: Py<PyAny>,
    handle: Handle,
    /// Where the task stands in the list of those that run, until it ends.
    place: Mutex<Option<usize>>,
}

impl Run {
    pub fn new(coroutine: Py<PyAny>, handle: Handle, place: usize) -> Self {
        Self {
            coroutine,
            handle,
            place: Mutex::new(Some(place)),
        }
    }

    fn step(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        match ffi::resume(self.coroutine.bind(py), value) {
            Ok(Step::Yielded(awaited)) => Ok(Some(awaited)),
            Ok(Step::Returned(result)) => {
                self.returned(py, result.bind(py));
                Ok(None)
            }
            Err(error) => self.raised(py, error).map(|()| None),
        }
    }

    fn returned(&self, py: Python<'_>, result: &Bound<'_, PyAny>) {
        if !result.is_none() {
            let text = format!("ASGI callable should return None, but returned '{result}'.");
            self.handle.link.report(py, ERROR, &text, None);
        }
        let end = if result.is_none() {
            End::Returned
        } else {
            End::Failed
        };
        finish(py, &self.handle, self.leave(), end);
    }

    fn raised(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        failed(py, &self.handle, self.leave(), error)
    }

    fn has_ended(&self) -> bool {
        self.place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    /// Keeps the task and its scope, unless it has ended already.
    fn keep(&self, task: Bound<'_, PyAny>, scope: &Bound<'_, PyDict>) {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = *place {
            let (task, scope) = (task.unbind(), scope.clone().unbind());
            self.handle.link.lock().runs.keep(place, Some(task), scope);
        }
    }

    /// Gives everything up, unless it has ended already.
    fn abandon(&self) {
        if let Some(place) = self.leave() {
            let mut state = self.handle.link.lock();
            let task = state.runs.release(place, self.handle.id);
            let record = state.take_record(self.handle.id);
            let parted = state.parted.remove(&self.handle.id);
            drop(state);
            drop((task, record, parted));
        }
    }

    /// The task's place, which it is about to give up.
    fn leave(&self) -> Option<usize> {
        self.place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// The application raised: log it, and answer for it. Nothing that it raises ends more than its
/// request, and only a cancelled task ends as one.
///
/// # Errors
/// The cancellation.
pub fn failed(py: Python<'_>, handle: &Handle, place: Option<usize>, error: PyErr) -> PyResult<()> {
    let cancelled = py
        .import("asyncio")
        .and_then(|asyncio| asyncio.getattr("CancelledError"))
        .is_ok_and(|kind| error.is_instance(py, &kind));
    // An application that lets a cancellation through which was not meant for it has failed; a stream
    // of events that ends with its server may well cancel itself.
    let meant = cancelled && {
        let mut state = handle.link.lock();
        state.aborted || state.may_end_early(handle.id)
    };
    // An application of a WebSocket need not catch what says that its client has left.
    let hooks = handle.link.sockets.as_ref().filter(|_| handle.socket);
    let told = hooks.is_some_and(|hooks| error.is_instance(py, hooks.disconnected.bind(py)));
    if !(told || meant) {
        handle
            .link
            .report(py, ERROR, "Exception in ASGI application\n", Some(&error));
    }
    let end = if meant { End::Cancelled } else { End::Failed };
    finish(py, handle, place, end);
    if cancelled { Err(error) } else { Ok(()) }
}

/// How an application's call ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Returned,
    /// It was to be cancelled.
    Cancelled,
    /// And that was logged.
    Failed,
    /// It has not ended, but nobody waits for it any more; and that is logged.
    TimedOut,
}

/// The application's call is over; so must its response be.
pub fn finish(py: Python<'_>, handle: &Handle, place: Option<usize>, end: End) {
    let link = &handle.link;
    let mut state = link.lock();
    let task = place.and_then(|place| state.runs.release(place, handle.id));
    if handle.socket {
        drop(state);
        drop(task);
        if let Some(report) = websocket::finish(handle, py, end == End::Returned) {
            link.report(py, ERROR, report, None);
        }
        return;
    }
    // A stream of events that ends with its server has ended: there is no other last message.
    let ended = matches!(end, End::Returned | End::Cancelled)
        && state.may_end_early(handle.id)
        && state.reactor.complete(handle.id);
    let unfinished = state
        .current(handle.id)
        .filter(|exchange| exchange.phase != Phase::Complete);
    let Some(exchange) = unfinished else {
        // The client may have left long before.
        let record = state.take_record(handle.id);
        drop(state);
        drop(task);
        if record.is_some() {
            link.log(py, record);
            link.flush_log();
        }
        return;
    };
    let phase = std::mem::replace(&mut exchange.phase, Phase::Complete);
    let gone = exchange.gone;
    exchange.gone |= end == End::TimedOut;
    let scope = exchange.scope.take();
    let mut record = exchange.record.take();
    let waiting = std::mem::take(&mut exchange.waiters);
    let late = end == End::TimedOut && phase == Phase::Start;
    let told = if late {
        state
            .reactor
            .turn_away(handle.id, Fault::ApplicationTimeout);
        true
    } else {
        !ended && state.reactor.fail(handle.id)
    };
    let wanted = !state.scheduled;
    drop(state);
    drop(task);
    if end == End::Returned && !gone && !ended {
        let what = if phase == Phase::Start {
            "starting"
        } else {
            "completing"
        };
        link.report(
            py,
            ERROR,
            &format!("ASGI callable returned without {what} response."),
            None,
        );
    }
    let (status, text) = if late {
        let fault = Fault::ApplicationTimeout;
        (fault.status(), fault.reason())
    } else {
        (500, FAILURE)
    };
    if let (true, Some(scope), Some(access_log)) = (told, scope, &link.access_log) {
        access_log.begun(py, &link.names, scope.bind(py), status);
    }
    if let Some(record) = record.as_mut().filter(|_| told) {
        record.answer(status, text);
    }
    link.log(py, record);
    slot::wake(py, waiting, Wake::Soon);
    if wanted && let Err(error) = link.schedule(py) {
        error.write_unraisable(py, None);
    }
}

/// Gives up a request that a WSGI application has run for too long: its client is told, and nobody
/// waits for it any more. Gives its environ.
pub fn give_up(py: Python<'_>, link: &Arc<Link>, id: ExchangeId) -> Option<Py<PyDict>> {
    let (place, environ) = {
        let state = link.lock();
        let (place, environ) = state.runs.find(id)?;
        (place, environ.map(|environ| environ.clone_ref(py)))
    };
    let handle = Handle {
        link: Arc::clone(link),
        id,
        socket: false,
    };
    finish(py, &handle, Some(place), End::TimedOut);
    environ
}

/// One that was never started to its end gives its place up with its life.
impl Drop for Run {
    fn drop(&mut self) {
        self.abandon();
    }
}

#[pymethods]
impl Run {
    #[pyo3(name = "__await__")]
    fn awaited(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(name = "__iter__")]
    fn iterate(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(name = "__next__")]
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.step(py, &py.None().into_bound(py))
    }

    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.step(py, value)?
            .ok_or_else(|| PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (*exception))]
    fn throw(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let thrown = self
            .coroutine
            .bind(py)
            .call_method1(&self.handle.link.names.throw, exception.clone());
        match thrown {
            Ok(awaited) => Ok(awaited.unbind()),
            Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
                let result = error.value(py).getattr("value")?;
                self.returned(py, &result);
                Err(PyStopIteration::new_err(()))
            }
            Err(error) => {
                self.raised(py, error)?;
                Err(PyStopIteration::new_err(()))
            }
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.abandon();
        self.coroutine
            .bind(py)
            .call_method0(&self.handle.link.names.close)
            .map(drop)
    }

    /// Whatever else is asked of a coroutine (frame, code, name) is the application's.
    fn __getattr__<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.coroutine
            .bind(py)
            .getattr(name.cast::<pyo3::types::PyString>()?)
    }
}

/// Makes tasks.
///
/// A task is started eagerly: it runs to its first wait while the turn that brought its request
/// still holds everything in the cache, and costs no place on the loop's list. A loop with a task
/// factory of the application's is always asked for its task, which may start later.
pub struct Tasks {
    kind: Py<PyAny>,
    arguments: Py<PyDict>,
    factory: Option<Py<PyAny>>,
    event_loop_type: Py<PyType>,
    eager: Option<Eager>,
}

impl Tasks {
    /// # Errors
    /// If asyncio is not as expected.
    pub fn new(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let arguments = PyDict::new(py);
        arguments.set_item("loop", event_loop)?;
        let mut eager = None;
        if py.version_info() >= (3, 12) {
            arguments.set_item("eager_start", true)?;
        } else {
            // Before 3.12 a task without a name formats one at once, whether or not it is read.
            arguments.set_item("name", "ferricorn-request")?;
            eager = Eager::new(event_loop).ok();
        }
        py.import("collections.abc")?
            .getattr("Coroutine")?
            .call_method1("register", (py.get_type::<Run>(),))?;
        Ok(Self {
            kind: py.import("asyncio")?.getattr("Task")?.unbind(),
            arguments: arguments.unbind(),
            event_loop_type: event_loop.get_type().unbind(),
            factory: event_loop
                .getattr("get_task_factory")
                .ok()
                .map(Bound::unbind),
            eager,
        })
    }

    /// Whether the loop must be asked for its tasks: an application gave it a factory, or made it
    /// run within itself (as `nest_asyncio` does), where no task may run inside of a turn.
    ///
    /// # Errors
    /// If the loop fails to say.
    pub fn have_factory(&self, py: Python<'_>) -> PyResult<bool> {
        if self.event_loop_type.bind(py).hasattr("_nest_patched")? {
            return Ok(true);
        }
        self.factory.as_ref().map_or(Ok(false), |factory| {
            Ok(!factory.bind(py).call0()?.is_none())
        })
    }

    /// Starts a task that runs `run`, the application's call with `scope`.
    ///
    /// # Errors
    /// If the loop is closed, or the application raised what is not for applications to handle.
    pub fn start(
        &self,
        py: Python<'_>,
        link: &Link,
        run: &Bound<'_, Run>,
        scope: &Bound<'_, PyDict>,
        factory: bool,
    ) -> PyResult<()> {
        if factory {
            let create = &link.names.create_task;
            let task = link
                .event_loop
                .object
                .bind(py)
                .call_method1(create, (run,))?;
            run.get().keep(task, scope);
            return Ok(());
        }
        let make = || {
            self.kind
                .bind(py)
                .call((run,), Some(self.arguments.bind(py)))
        };
        let task = first_step(&run.get().handle, scope, || match &self.eager {
            Some(eager) => eager.start(py, make, || run.get().has_ended()),
            None => make(),
        })?;
        run.get().keep(task, scope);
        Ok(())
    }
}
