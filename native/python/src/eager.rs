//! Eager tasks before Python 3.12, where asyncio has them itself (`eager_start`).
//!
//! A new `asyncio.Task` does two things in its constructor that an eager one does later or never: it
//! asks its loop, by the attribute `call_soon`, to run its first step, and it enters itself, by the
//! attribute `add`, into the set that `asyncio.all_tasks` reads. For the moment of the construction
//! both attributes are stand-ins of ours. Then the first step is run, in the task's own context, and
//! a task that waits after it is registered as asyncio wants it of tasks (`_register_task`). From
//! then on nothing about it is special; during its first step it is `current_task` and does all that
//! tasks do, but `all_tasks` does not list it.

use std::ffi::CStr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::ffi::{Arguments, Call, CallableType};
use crate::link::thread_mark;

pub struct Eager {
    call_soon: StandIn,
    asked: Arc<Asked>,
    add: StandIn,
    register: Py<PyAny>,
    event_loop: Py<PyAny>,
    run: Py<PyString>,
}

/// The callbacks and contexts that were asked for; the new task's own comes last. Others are there
/// only if making the task had the collector run a finalizer which uses the loop.
#[derive(Default)]
struct Asked(Mutex<Vec<(Py<PyAny>, Py<PyAny>)>>);

impl Asked {
    fn entries(&self) -> MutexGuard<'_, Vec<(Py<PyAny>, Py<PyAny>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands in for a loop's `call_soon(callback, *, context)`.
struct CallSoon(Arc<Asked>);

/// Stands in for the `add(task)` of the set of all tasks, which the loops of all threads share.
struct Add {
    home: usize,
    tasks: Py<PyAny>,
    method: Py<PyAny>,
}

impl Call for CallSoon {
    const NAME: &'static CStr = c"ferricorn._native.CallSoon";
    const ARGUMENTS: RangeInclusive<usize> = 2..=2;

    fn call<'py>(&self, py: Python<'py>, arguments: Arguments<'_, 'py>) -> PyResult<Py<PyAny>> {
        let asked = (
            arguments.required(0)?.unbind(),
            arguments.required(1)?.unbind(),
        );
        self.0.entries().push(asked);
        Ok(py.None())
    }
}

impl Call for Add {
    const NAME: &'static CStr = c"ferricorn._native.Add";
    const ARGUMENTS: RangeInclusive<usize> = 1..=1;

    fn call<'py>(&self, py: Python<'py>, arguments: Arguments<'_, 'py>) -> PyResult<Py<PyAny>> {
        if thread_mark() == self.home {
            Ok(py.None())
        } else {
            self.method.call1(py, (&self.tasks, arguments.required(0)?))
        }
    }
}

/// An attribute of one object, which hides that of its class while it is there.
struct StandIn {
    attributes: Py<PyDict>,
    name: Py<PyString>,
    value: Py<PyAny>,
}

impl StandIn {
    fn new(object: &Bound<'_, PyAny>, name: &str, value: Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let attributes = object.getattr("__dict__")?.cast_into::<PyDict>()?;
        let name = PyString::intern(py, name).unbind();
        Ok(Self {
            attributes: attributes.unbind(),
            name,
            value: value.unbind(),
        })
    }

    fn put(&self, py: Python<'_>) -> PyResult<()> {
        self.attributes.bind(py).set_item(&self.name, &self.value)
    }

    fn remove(&self, py: Python<'_>) -> PyResult<()> {
        match self.attributes.bind(py).del_item(&self.name) {
            // A server of another thread, which does the same with the set of all tasks, was here.
            Err(error) if error.is_instance_of::<PyKeyError>(py) => Ok(()),
            other => other,
        }
    }
}

impl Eager {
    /// # Errors
    /// If the loop or asyncio's set takes no attributes: tasks are then started by the loop.
    pub fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        let tasks = py.import("asyncio.tasks")?;
        let asked = Arc::<Asked>::default();
        let call_soon = CallableType::new(py)?.instance(py, CallSoon(Arc::clone(&asked)))?;
        let all = tasks.getattr("_all_tasks")?;
        let add = Add {
            home: thread_mark(),
            tasks: all.clone().unbind(),
            method: all.get_type().getattr("add")?.unbind(),
        };
        let add = CallableType::new(py)?.instance(py, add)?;
        Ok(Self {
            call_soon: StandIn::new(event_loop, "call_soon", call_soon)?,
            asked,
            add: StandIn::new(&all, "add", add)?,
            register: tasks.getattr("_register_task")?.unbind(),
            event_loop: event_loop.clone().unbind(),
            run: PyString::intern(py, "run").unbind(),
        })
    }

    /// Has `make` make a task, and runs it to its first wait; `ended` tells whether that was its end.
    ///
    /// # Errors
    /// What `make` raises, or what the task raises to end the process.
    pub fn start<'py>(
        &self,
        py: Python<'py>,
        make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
        ended: impl FnOnce() -> bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.call_soon.put(py)?;
        self.add.put(py)?;
        let task = make();
        self.add.remove(py)?;
        self.call_soon.remove(py)?;
        let task = task?;
        let step = self.asked.entries().pop();
        loop {
            let Some((callback, context)) = self.asked.entries().pop() else {
                break;
            };
            let keywords = PyDict::new(py);
            keywords.set_item("context", context)?;
            self.event_loop
                .bind(py)
                .call_method("call_soon", (callback,), Some(&keywords))?;
        }
        if let Some((step, context)) = step {
            context.bind(py).call_method1(&self.run, (step,))?;
        }
        if !ended() {
            self.register.bind(py).call1((&task,))?;
        }
        Ok(task)
    }
}
