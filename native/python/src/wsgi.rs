//! One call of a WSGI application (PEP 3333), in the thread that runs it.

use std::ffi::CStr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use pyo3::exceptions::{PyConnectionResetError, PySystemExit, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyList, PyString, PyTuple};

use crate::exchange::Handle;
use crate::ffi::{Arguments, Call, CallableType, NewContext};
use crate::message::{Message, Octets, latin_1};
use crate::response::{Head, Response};
use crate::slot::Wanted;
use crate::task::{End, finish};

/// `logging.ERROR`.
const ERROR: i32 = 40;

/// A request whose body has come.
pub struct Job {
    pub handle: Handle,
    pub wanted: Wanted,
}

impl Job {
    /// Runs the application, and sees its response to the end. If `fresh`, in a context of its own.
    pub fn run(self, py: Python<'_>, offers: &Arc<Offers>, fresh: bool) {
        let Self { handle, wanted } = self;
        let place = wanted.place;
        // Nobody may wait for it any more.
        let end = if handle.is_gone() {
            End::Cancelled
        } else {
            let context = fresh.then(|| NewContext::enter(py)).transpose();
            match context.and_then(|_context| call(py, &handle, &wanted, offers)) {
                Ok(()) => End::Returned,
                Err(error)
                    if handle.is_gone() && error.is_instance_of::<PyConnectionResetError>(py) =>
                {
                    End::Cancelled
                }
                Err(error) => {
                    let text = "Exception in WSGI application\n";
                    handle.link.report(py, ERROR, text, Some(&error));
                    End::Failed
                }
            }
        };
        finish(py, &handle, Some(place), end);
    }
}

/// Calls the application and passes on what it gives. Whatever happens, what it gave is closed.
fn call(py: Python<'_>, handle: &Handle, wanted: &Wanted, offers: &Arc<Offers>) -> PyResult<()> {
    let names = &handle.link.names;
    let environ = wanted.environ.bind(py);
    let response = Arc::new(Response::new(handle.clone(), wanted.head));
    let disconnected = ClientDisconnected(handle.clone());
    let disconnected = offers.client_disconnected.instance(py, disconnected)?;
    environ.set_item(&names.client_disconnected, disconnected)?;
    let hints = offers
        .early_hints
        .instance(py, EarlyHints(handle.clone()))?;
    environ.set_item(&names.early_hints, hints)?;
    let start_response = StartResponse {
        response: Arc::clone(&response),
        offers: Arc::clone(offers),
    };
    let start_response = offers.start_response.instance(py, start_response)?;
    let application = wanted.application.bind(py);
    let given = application.call1((environ, start_response));
    if std::process::id() != offers.process {
        return leave_fork(py, given.err());
    }
    let given = given?;
    // The client need not wait for what the application does at the end.
    let passed = pass_on(&given, &response).and_then(|()| response.end(py));
    // A list has nothing to close.
    let closed = if given.is_exact_instance_of::<PyList>() {
        Ok(())
    } else {
        match given.getattr_opt("close") {
            Ok(Some(close)) => {
                handle.link.hurry();
                close.call0().map(drop)
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        }
    };
    match (passed, closed) {
        (Err(error), Err(other)) => {
            other.write_unraisable(py, Some(&given));
            Err(error)
        }
        (passed, closed) => passed.and(closed),
    }
}

/// Ends a process that the application has forked, and that comes back: it must not serve. Its status is
/// that of the `SystemExit`, if it came by one.
fn leave_fork(py: Python<'_>, error: Option<PyErr>) -> PyResult<()> {
    let code = error
        .filter(|error| error.is_instance_of::<PySystemExit>(py))
        .and_then(|error| error.value(py).getattr("code").ok())
        .and_then(|code| code.extract::<i32>().ok());
    py.import("os")?
        .call_method1("_exit", (code.unwrap_or(0),))
        .map(drop)
}

fn pass_on(given: &Bound<'_, PyAny>, response: &Response) -> PyResult<()> {
    let py = given.py();
    // Of what lies there whole, the length is known.
    if let Ok(list) = given.cast_exact::<PyList>() {
        if list.len() == 1
            && let Ok(part) = list.get_item(0)?.cast_into::<PyBytes>()
        {
            return only(part, response);
        }
        response.expect(list.iter().map(|part| length(&part)).sum::<Option<u64>>());
    } else if let Ok(tuple) = given.cast_exact::<PyTuple>() {
        response.expect(tuple.iter().map(|part| length(&part)).sum::<Option<u64>>());
    } else if given.is_exact_instance_of::<PyBytes>() {
        // Iterated, it would be a list of numbers.
        return Err(PyTypeError::new_err(
            "a WSGI application returns an iterable of bytes, not bytes",
        ));
    } else if let Ok(wrapper) = given.cast_exact::<FileWrapper>()
        && response.file(wrapper.get().file.bind(py))?
    {
        return Ok(());
    }
    for part in given.try_iter()? {
        let part = part?.cast_into::<PyBytes>().map_err(|error| {
            let kind = error.into_inner().get_type();
            PyTypeError::new_err(format!("a WSGI application gives bytes, not {kind}"))
        })?;
        if !part.as_bytes().is_empty() && !response.push(py, part, true)? {
            break;
        }
    }
    Ok(())
}

/// Most responses are made of one part.
fn only(part: Bound<'_, PyBytes>, response: &Response) -> PyResult<()> {
    if part.as_bytes().is_empty() {
        return Ok(());
    }
    response.expect(Some(part.as_bytes().len() as u64));
    response.push(part.py(), part, false).map(drop)
}

fn length(part: &Bound<'_, PyAny>) -> Option<u64> {
    part.cast::<PyBytes>()
        .ok()
        .map(|part| part.as_bytes().len() as u64)
}

/// Makes what an application may call.
pub struct Offers {
    start_response: CallableType<StartResponse>,
    write: CallableType<Write>,
    early_hints: CallableType<EarlyHints>,
    client_disconnected: CallableType<ClientDisconnected>,
    /// The process that serves: an application may make others.
    process: u32,
}

impl Offers {
    /// # Errors
    /// If Python is out of memory.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            start_response: CallableType::new(py)?,
            write: CallableType::new(py)?,
            early_hints: CallableType::new(py)?,
            client_disconnected: CallableType::new(py)?,
            process: std::process::id(),
        })
    }
}

/// `start_response(status, headers, exc_info=None)`.
struct StartResponse {
    response: Arc<Response>,
    offers: Arc<Offers>,
}

impl Call for StartResponse {
    const NAME: &'static CStr = c"ferricorn._native.StartResponse";
    const ARGUMENTS: RangeInclusive<usize> = 2..=3;

    fn call<'py>(&self, py: Python<'py>, arguments: Arguments<'_, 'py>) -> PyResult<Py<PyAny>> {
        let error = arguments.get(2).filter(|error| !error.is_none());
        if let Some(error) = &error
            && self.response.has_begun()
        {
            return Err(PyErr::from_value(error.get_item(1)?));
        }
        let status = arguments.required(0)?.cast_into::<PyString>()?;
        let head = head(&status, &arguments.required(1)?)?;
        self.response.start(head, error.is_some())?;
        let write = Write(Arc::clone(&self.response));
        Ok(self.offers.write.instance(py, write)?.unbind())
    }
}

fn head(status: &Bound<'_, PyString>, headers: &Bound<'_, PyAny>) -> PyResult<Head> {
    let wrong = || PyValueError::new_err(format!("{status:?} is no status: \"200 OK\" is one"));
    let (code, reason) = status.to_str()?.split_at_checked(3).ok_or_else(wrong)?;
    let code = code.parse().ok().filter(|code| (200..600).contains(code));
    let code = code.ok_or_else(wrong)?;
    if !(reason.is_empty() || reason.starts_with(' ')) {
        return Err(wrong());
    }
    Ok(Head {
        status: code,
        reason: latin_1(reason.trim_start()).ok_or_else(wrong)?,
        octets: Octets::read(headers)?,
    })
}

/// What `start_response` returns: `write(body)`.
struct Write(Arc<Response>);

impl Call for Write {
    const NAME: &'static CStr = c"ferricorn._native.Write";
    const ARGUMENTS: RangeInclusive<usize> = 1..=1;

    fn call<'py>(&self, py: Python<'py>, arguments: Arguments<'_, 'py>) -> PyResult<Py<PyAny>> {
        let body = arguments.required(0)?.cast_into::<PyBytes>()?;
        if body.as_bytes().is_empty() {
            self.0.begin(py)?;
        } else if !self.0.push(py, body, true)? {
            // Whoever writes for ever has to hear of it.
            return Err(PyConnectionResetError::new_err("The client has left."));
        }
        Ok(py.None())
    }
}

/// `wsgi.early_hints(headers)`: sends 103 (Early Hints).
struct EarlyHints(Handle);

impl Call for EarlyHints {
    const NAME: &'static CStr = c"ferricorn._native.EarlyHints";
    const ARGUMENTS: RangeInclusive<usize> = 1..=1;

    fn call<'py>(&self, py: Python<'py>, arguments: Arguments<'_, 'py>) -> PyResult<Py<PyAny>> {
        let octets = Octets::read(&arguments.required(0)?)?;
        let mut links = Vec::new();
        octets.each(|name, value| {
            if name.eq_ignore_ascii_case(b"link") {
                links.push(PyBytes::new(py, value));
                Ok(())
            } else {
                Err(PyValueError::new_err("early hints are `Link` headers"))
            }
        })?;
        self.0.act(py, Message::EarlyHint { links })?;
        Ok(py.None())
    }
}

/// `ferricorn.client_disconnected()`.
struct ClientDisconnected(Handle);

impl Call for ClientDisconnected {
    const NAME: &'static CStr = c"ferricorn._native.ClientDisconnected";
    const ARGUMENTS: RangeInclusive<usize> = 0..=0;

    fn call<'py>(&self, py: Python<'py>, _: Arguments<'_, 'py>) -> PyResult<Py<PyAny>> {
        let left = PyBool::new(py, self.0.has_left());
        Ok(left.to_owned().into_any().unbind())
    }
}

/// `wsgi.file_wrapper`.
#[pyclass(frozen, module = "ferricorn._native")]
pub struct FileWrapper {
    file: Py<PyAny>,
    block_size: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (file, block_size = 65536))]
    fn new(file: Py<PyAny>, block_size: usize) -> Self {
        Self { file, block_size }
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let block = self
            .file
            .bind(py)
            .call_method1("read", (self.block_size,))?;
        Ok(block.is_truthy()?.then_some(block))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.file.bind(py).getattr_opt("close")? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}
