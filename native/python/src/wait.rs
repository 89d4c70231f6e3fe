//! What a task waits on until its exchange has something for it: a future of our own.
//!
//! It has what a task asks of the futures that it awaits (the protocol of `_asyncio_future_blocking`),
//! and one thing more: within a turn it can resume its task at once, while what it waited for is in the
//! cache, instead of by a place on the loop's list. Callbacks run in the context that they were added
//! with, as the loop would have run them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::ffi;

#[pyclass(frozen, module = "ferricorn._native")]
pub struct Wait {
    event_loop: Py<PyAny>,
    /// The loop's method.
    call_soon: Py<PyAny>,
    /// A future of the loop's that is done: what a task is called with in place of this.
    done: Py<PyAny>,
    /// The task that awaits this has not seen it yet.
    blocking: AtomicBool,
    state: Mutex<State>,
}

struct State {
    outcome: Outcome,
    callback: Option<Callback>,
    /// More than one callback is what a debugger or a test adds.
    others: Vec<Callback>,
}

struct Callback {
    function: Py<PyAny>,
    context: Option<Py<PyAny>>,
}

enum Outcome {
    Pending,
    Done,
    Cancelled(Option<Py<PyAny>>),
}

/// How those who wait go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// At once: no task is running.
    Now,
    /// In the loop's next turn.
    Soon,
}

impl Wait {
    /// One that a task is to yield.
    pub fn new(event_loop: Py<PyAny>, call_soon: Py<PyAny>, done: Py<PyAny>) -> Self {
        Self {
            event_loop,
            call_soon,
            done,
            blocking: AtomicBool::new(true),
            state: Mutex::new(State {
                outcome: Outcome::Pending,
                callback: None,
                others: Vec::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the wait, and says whether somebody waited: of one that was cancelled, nobody does.
    pub fn wake(slf: &Bound<'_, Self>, how: Wake) -> bool {
        Self::end(slf, Outcome::Done, how)
    }

    fn end(slf: &Bound<'_, Self>, outcome: Outcome, how: Wake) -> bool {
        let (py, this) = (slf.py(), slf.get());
        let mut state = this.state();
        if !matches!(state.outcome, Outcome::Pending) {
            return false;
        }
        let done = matches!(outcome, Outcome::Done);
        state.outcome = outcome;
        let first = state.callback.take();
        let others = std::mem::take(&mut state.others);
        drop(state);
        for callback in first.into_iter().chain(others) {
            let wait = if done && callback.resumes_task(py) {
                this.done.bind(py)
            } else {
                slf.as_any()
            };
            let called = match how {
                Wake::Now => callback.call(py, wait),
                Wake::Soon => callback.schedule(py, &this.call_soon, wait),
            };
            if let Err(error) = called {
                error.write_unraisable(py, Some(slf.as_any()));
            }
        }
        true
    }
}

impl Callback {
    /// Whether it is a method of a task's in C: what it goes on by. A task asks what it is called with
    /// for a result, and sees that of asyncio's own futures without a call.
    fn resumes_task(&self, py: Python<'_>) -> bool {
        static TASK: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        ffi::method_of(self.function.bind(py)).is_some_and(|object| {
            TASK.import(py, "asyncio", "Task")
                .is_ok_and(|task| object.is_exact_instance(task))
        })
    }

    fn call(&self, py: Python<'_>, wait: &Bound<'_, PyAny>) -> PyResult<()> {
        let function = self.function.bind(py);
        match &self.context {
            Some(context) => ffi::call_in_context(context.bind(py), function, wait),
            None => function.call1((wait,)).map(drop),
        }
    }

    fn schedule(
        &self,
        py: Python<'_>,
        call_soon: &Py<PyAny>,
        wait: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let keywords = pyo3::types::PyDict::new(py);
        if let Some(context) = &self.context {
            keywords.set_item("context", context)?;
        }
        call_soon
            .bind(py)
            .call((&self.function, wait), Some(&keywords))
            .map(drop)
    }
}

#[pymethods]
impl Wait {
    #[getter(_asyncio_future_blocking)]
    fn blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Ordering::Relaxed);
    }

    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    #[pyo3(signature = (function, *, context = None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        function: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let callback = Callback { function, context };
        let mut state = slf.get().state();
        if !matches!(state.outcome, Outcome::Pending) {
            drop(state);
            return callback.schedule(slf.py(), &slf.get().call_soon, slf.as_any());
        }
        if state.callback.is_none() {
            state.callback = Some(callback);
        } else {
            state.others.push(callback);
        }
        Ok(())
    }

    fn remove_done_callback(&self, function: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = function.py();
        let mut state = self.state();
        let all: Vec<Callback> = state.callback.take().into_iter().collect();
        let all: Vec<Callback> = all
            .into_iter()
            .chain(std::mem::take(&mut state.others))
            .collect();
        drop(state);
        let before = all.len();
        let mut kept = Vec::with_capacity(before);
        for callback in all {
            if !callback.function.bind(py).eq(function)? {
                kept.push(callback);
            }
        }
        let removed = before - kept.len();
        let mut state = self.state();
        state.others = kept;
        Ok(removed)
    }

    fn done(&self) -> bool {
        !matches!(self.state().outcome, Outcome::Pending)
    }

    fn cancelled(&self) -> bool {
        matches!(self.state().outcome, Outcome::Cancelled(_))
    }

    /// The task's own: who waits is resumed with the cancellation in the loop's next turn.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> bool {
        Self::end(slf, Outcome::Cancelled(msg), Wake::Soon)
    }

    fn result(&self, py: Python<'_>) -> PyResult<()> {
        let message = match &self.state().outcome {
            Outcome::Done => return Ok(()),
            Outcome::Pending => {
                return Err(PyRuntimeError::new_err("the wait is not over"));
            }
            Outcome::Cancelled(message) => message.as_ref().map(|text| text.clone_ref(py)),
        };
        let kind = py.import("asyncio")?.getattr("CancelledError")?;
        Err(PyErr::from_value(match message {
            Some(message) => kind.call1((message,))?,
            None => kind.call0()?,
        }))
    }

    fn exception(&self, py: Python<'_>) -> PyResult<()> {
        self.result(py)
    }
}
