//! The callables `receive` and `send` of an HTTP exchange.

use std::ffi::CStr;
use std::ops::RangeInclusive;

use pyo3::prelude::*;

use crate::awaitable::{Done, Operation};
use crate::exchange::{Handle, Sent};
use crate::ffi::{Arguments, Call, CallableType};
use crate::websocket;

pub struct Receive(Handle);

pub struct Send {
    handle: Handle,
    done: Py<Done>,
}

impl Call for Receive {
    const NAME: &'static CStr = c"ferricorn._native.Receive";
    const ARGUMENTS: RangeInclusive<usize> = 0..=0;

    fn call<'py>(&self, py: Python<'py>, _arguments: Arguments<'_, 'py>) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, Operation::receive(self.0.clone()))?.into_any())
    }
}

impl Call for Send {
    const NAME: &'static CStr = c"ferricorn._native.Send";
    const ARGUMENTS: RangeInclusive<usize> = 1..=1;

    fn call<'py>(&self, py: Python<'py>, arguments: Arguments<'_, 'py>) -> PyResult<Py<PyAny>> {
        let message = &arguments.required(0)?;
        let waiting = if !self.handle.link.is_home() {
            Operation::send_later(self.handle.clone(), message.clone().unbind())
        } else if websocket::send_any(&self.handle, py, message)? == Sent::Full {
            Operation::sent(self.handle.clone())
        } else {
            return Ok(self.done.clone_ref(py).into_any());
        };
        Ok(Py::new(py, waiting)?.into_any())
    }
}

/// Makes the callables of exchanges.
pub struct Callables {
    receive: CallableType<Receive>,
    send: CallableType<Send>,
    done: Py<Done>,
}

impl Callables {
    /// # Errors
    /// If Python is out of memory.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let callables = Self {
            receive: CallableType::new(py)?,
            send: CallableType::new(py)?,
            done: Py::new(py, Done)?,
        };
        callables.mark(py)?;
        Ok(callables)
    }

    /// Marks both types for those who ask whether a callable gives coroutines: `inspect` from 3.12
    /// on, `asyncio` before (asgiref does both).
    fn mark(&self, py: Python<'_>) -> PyResult<()> {
        let inspect = py.import("inspect")?;
        let coroutines = py.import("asyncio.coroutines")?;
        for object in [self.receive.object(), self.send.object()] {
            if let Ok(mark) = inspect.getattr("markcoroutinefunction") {
                mark.call1((object,))?;
            }
            if let Ok(mark) = coroutines.getattr("_is_coroutine") {
                object.bind(py).setattr("_is_coroutine", mark)?;
            }
        }
        let coroutine = py.import("collections.abc")?.getattr("Coroutine")?;
        coroutine.call_method1("register", (py.get_type::<Done>(),))?;
        coroutine.call_method1("register", (py.get_type::<Operation>(),))?;
        Ok(())
    }

    /// `receive` and `send` of one exchange.
    ///
    /// # Errors
    /// If Python is out of memory.
    pub fn pair<'py>(
        &self,
        py: Python<'py>,
        handle: &Handle,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let receive = self.receive.instance(py, Receive(handle.clone()))?;
        let send = self.send.instance(
            py,
            Send {
                handle: handle.clone(),
                done: self.done.clone_ref(py),
            },
        )?;
        Ok((receive, send))
    }
}
