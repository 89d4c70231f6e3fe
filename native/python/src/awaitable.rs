//! What `receive()` and `send()` return.
//!
//! Both are coroutines to whoever looks (`asyncio.iscoroutine`, `create_task`, `wait_for`, a thread's
//! `run_coroutine_threadsafe`): they are registered as `collections.abc.Coroutine` and have `send`,
//! `throw` and `close`. [`Done`] is finished before it is awaited, and one object serves all. An
//! [`Operation`] looks at its exchange each time it is resumed; between two looks it yields a
//! [`Wait`], as a coroutine would that awaited a future.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::exchange::{Handle, Sent};
use crate::ffi::{Resume, Step};
use crate::wait::Wait;
use crate::websocket;

/// The awaitable that has nothing to wait for and no result.
#[pyclass(frozen, module = "ferricorn._native")]
pub struct Done;

#[expect(clippy::unused_self, reason = "the protocol of coroutines has methods")]
#[pymethods]
impl Done {
    #[pyo3(name = "__await__")]
    fn awaited(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(name = "__iter__")]
    fn iterate(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(name = "__next__")]
    fn step(&self) -> Option<Py<PyAny>> {
        None
    }

    #[pyo3(signature = (_value))]
    fn send(&self, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (*exception))]
    fn throw(&self, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        Err(thrown(exception))
    }

    fn close(&self) {}
}

/// An operation that may have to wait. Nobody can change its type, in whose slot stands what resumes it.
#[pyclass(frozen, immutable_type, module = "ferricorn._native")]
pub struct Operation {
    handle: Handle,
    progress: Mutex<Progress>,
}

enum State {
    Receive,
    /// A message that is sent when the operation is first resumed: `send` was called on another
    /// thread than the loop's.
    Send(Py<PyAny>),
    /// The message was sent; its sender waits for room.
    Sent,
    Ended,
}

/// An operation's state, and what it waits for.
struct Progress {
    state: State,
    wait: Option<Py<Wait>>,
}

impl Operation {
    fn new(handle: Handle, state: State) -> Self {
        Self {
            handle,
            progress: Mutex::new(Progress { state, wait: None }),
        }
    }

    pub fn receive(handle: Handle) -> Self {
        Self::new(handle, State::Receive)
    }

    pub fn send_later(handle: Handle, message: Py<PyAny>) -> Self {
        Self::new(handle, State::Send(message))
    }

    pub fn sent(handle: Handle) -> Self {
        Self::new(handle, State::Sent)
    }

    fn swap(&self, state: State, wait: Option<Py<Wait>>) -> Progress {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *progress, Progress { state, wait })
    }

    /// Ends the operation before its time.
    fn abandon(&self, py: Python<'_>) {
        if let Some(wait) = self.swap(State::Ended, None).wait {
            self.handle.forget(py, &wait);
        }
    }

    fn wait(&self, py: Python<'_>, state: State) -> PyResult<Step> {
        let wait = self.handle.waiter(py, matches!(state, State::Sent))?;
        self.swap(state, Some(wait.clone_ref(py)));
        Ok(Step::Yielded(wait.into_any()))
    }
}

impl Resume for Operation {
    fn resume(slf: &Bound<'_, Self>) -> PyResult<Step> {
        let (py, this) = (slf.py(), slf.get());
        let Progress { state, wait } = this.swap(State::Ended, None);
        if let Some(wait) = wait {
            wait.drop_ref(py);
        }
        match state {
            State::Receive => match websocket::receive_any(&this.handle, py)? {
                Some(message) => Ok(Step::Returned(message.unbind().into_any())),
                None => this.wait(py, State::Receive),
            },
            State::Send(message) => {
                match websocket::send_any(&this.handle, py, &message.into_bound(py))? {
                    Sent::Done | Sent::Gone => Ok(Step::Returned(py.None())),
                    Sent::Full => this.wait(py, State::Sent),
                }
            }
            State::Sent if this.handle.may_send() => Ok(Step::Returned(py.None())),
            State::Sent => this.wait(py, State::Sent),
            State::Ended => Ok(Step::Returned(py.None())),
        }
    }
}

#[pymethods]
impl Operation {
    #[pyo3(name = "__await__")]
    fn awaited(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(name = "__iter__")]
    fn iterate(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// For those who call it by its name: whoever awaits comes to [`Resume::resume`] by the slot.
    #[pyo3(name = "__next__")]
    fn step(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        match Self::resume(slf)? {
            Step::Yielded(wait) => Ok(Some(wait)),
            Step::Returned(result) if result.is_none(slf.py()) => Ok(None),
            Step::Returned(result) => Err(PyStopIteration::new_err((result,))),
        }
    }

    #[pyo3(signature = (_value))]
    fn send(slf: &Bound<'_, Self>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        Self::step(slf)?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (*exception))]
    fn throw(&self, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.abandon(exception.py());
        Err(thrown(exception))
    }

    fn close(&self, py: Python<'_>) {
        self.abandon(py);
    }
}

/// The exception of a call of `throw`, in its one-argument and its older three-argument form.
fn thrown(arguments: &Bound<'_, PyTuple>) -> PyErr {
    let Ok(first) = arguments.get_item(0) else {
        return pyo3::exceptions::PyTypeError::new_err("throw() needs an exception");
    };
    let value = arguments.get_item(1).ok().filter(|value| !value.is_none());
    match value {
        Some(value) if value.is_instance_of::<pyo3::exceptions::PyBaseException>() => {
            PyErr::from_value(value)
        }
        Some(value) => first
            .call1((value,))
            .map_or_else(|error| error, PyErr::from_value),
        None => match first.cast::<pyo3::types::PyType>() {
            Ok(kind) => kind.call0().map_or_else(|error| error, PyErr::from_value),
            Err(_) => PyErr::from_value(first),
        },
    }
}
