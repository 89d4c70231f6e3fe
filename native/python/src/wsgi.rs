//! One call of a WSGI application (PEP 3333), in the thread that runs it.
//!
//! The body is there already, and the response goes to the engine as fast as the application makes it:
//! what the client does not take at once waits in memory, and beyond a limit in a temporary file. A
//! thread is for the application alone, and never waits for a client.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferricorn_engine::file;
use pyo3::exceptions::{PyConnectionResetError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::exchange::{Handle, Sent};
use crate::ffi::{self, NewContext};
use crate::link::{Phase, Wanted};
use crate::message::{FilePart, Headers, Message, Octets, latin_1};
use crate::names::empty;
use crate::task::{End, finish};

/// `logging.ERROR`.
const ERROR: i32 = 40;
/// What a response may have waiting in a temporary file until its thread waits after all.
const SPILL: u64 = 1 << 30;
/// Until a thread that waits for such a client looks again.
const PAUSE: Duration = Duration::from_millis(20);

/// A request whose body has come.
pub struct Job {
    pub handle: Handle,
    pub wanted: Wanted,
}

impl Job {
    /// Runs the application, and sees its response to the end. If `fresh`, in a context of its own.
    pub fn run(self, py: Python<'_>, fresh: bool) {
        let Self { handle, wanted } = self;
        let Wanted {
            application,
            environ,
            place,
            head,
        } = wanted;
        let context = fresh.then(|| NewContext::enter(py)).transpose();
        let begun =
            context.and_then(|context| Ok((context, Response::new(py, handle.clone(), head)?)));
        let end = match begun {
            // Nobody waits for it.
            Ok((_, response)) if response.get().is_gone() => End::Cancelled,
            Ok((_context, response)) => {
                let called = call(application.bind(py), environ.bind(py), &response);
                let ended = called.and_then(|()| response.get().end(py));
                match ended {
                    Ok(()) => End::Returned,
                    Err(error)
                        if response.get().is_gone()
                            && error.is_instance_of::<PyConnectionResetError>(py) =>
                    {
                        End::Cancelled
                    }
                    Err(error) => {
                        let text = "Exception in WSGI application\n";
                        handle.link.report(py, ERROR, text, Some(&error));
                        End::Failed
                    }
                }
            }
            Err(error) => {
                error.write_unraisable(py, None);
                End::Failed
            }
        };
        finish(py, &handle, Some(place), end);
    }
}

/// Calls the application and passes on what it gives. Whatever happens, what it gave is closed.
fn call(
    application: &Bound<'_, PyAny>,
    environ: &Bound<'_, PyDict>,
    response: &Bound<'_, Response>,
) -> PyResult<()> {
    let py = application.py();
    let names = &response.get().handle.link.names;
    environ.set_item(
        &names.client_disconnected,
        response.getattr("client_disconnected")?,
    )?;
    environ.set_item(&names.early_hints, response.getattr("early_hints")?)?;
    let given = application.call1((environ, response))?;
    let passed = pass_on(&given, response.get());
    // A list has nothing to close.
    let closed = if given.is_exact_instance_of::<PyList>() {
        Ok(())
    } else {
        match given.getattr_opt("close") {
            Ok(Some(close)) => close.call0().map(drop),
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

fn pass_on(given: &Bound<'_, PyAny>, response: &Response) -> PyResult<()> {
    let py = given.py();
    // Of what lies there whole, the length is known.
    if let Ok(list) = given.cast_exact::<PyList>() {
        response.expect(list.iter().map(|part| length(&part)).sum::<Option<u64>>());
    } else if let Ok(tuple) = given.cast_exact::<PyTuple>() {
        response.expect(tuple.iter().map(|part| length(&part)).sum::<Option<u64>>());
    } else if given.is_exact_instance_of::<PyBytes>() {
        // Iterated, it would be a list of numbers.
        return Err(PyTypeError::new_err(
            "a WSGI application returns an iterable of bytes, not bytes",
        ));
    } else if let Ok(wrapper) = given.cast_exact::<FileWrapper>()
        && response.file(py, wrapper.get())?
    {
        return Ok(());
    }
    for part in given.try_iter()? {
        let part = part?.cast_into::<PyBytes>().map_err(|error| {
            let kind = error.into_inner().get_type();
            PyTypeError::new_err(format!("a WSGI application gives bytes, not {kind}"))
        })?;
        if !part.as_bytes().is_empty() && !response.push(py, part)? {
            break;
        }
    }
    Ok(())
}

fn length(part: &Bound<'_, PyAny>) -> Option<u64> {
    part.cast::<PyBytes>()
        .ok()
        .map(|part| part.as_bytes().len() as u64)
}

/// The application's `start_response`, and the response that it begins.
#[pyclass(frozen, module = "ferricorn._native")]
pub struct Response {
    handle: Handle,
    head: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// The head was sent.
    begun: bool,
    /// How long the body will be, where it is known before the head is sent.
    expected: Option<u64>,
    spill: Option<Spill>,
}

/// What `start_response` was called with.
struct Head {
    status: u16,
    reason: Vec<u8>,
    octets: Octets,
}

/// What the client did not take, in a file.
struct Spill {
    file: File,
    /// What of it is the engine's to send.
    passed: u64,
    length: u64,
}

impl Response {
    fn new(py: Python<'_>, handle: Handle, head: bool) -> PyResult<Bound<'_, Self>> {
        let state = Mutex::new(State::default());
        let response = Self {
            handle,
            head,
            state,
        };
        Bound::new(py, response)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, length: Option<u64>) {
        self.state().expected = length;
    }

    /// Sends the head, unless that was done.
    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        if state.begun {
            return Ok(());
        }
        let Some(Head {
            status,
            reason,
            mut octets,
        }) = state.head.take()
        else {
            return Err(PyRuntimeError::new_err(
                "The application did not call start_response.",
            ));
        };
        state.begun = true;
        if let Some(length) = state.expected
            && !octets.has(b"content-length")
            && !matches!(status, 204 | 304)
        {
            octets.push(b"content-length", length.to_string().as_bytes());
        }
        drop(state);
        let start = Message::Start {
            status,
            reason,
            headers: Headers::of(octets),
            trailers: false,
        };
        self.handle.act(py, start).map(drop)
    }

    /// Sends a part of the body. False: nobody is there to take more.
    fn push(&self, py: Python<'_>, body: Bound<'_, PyBytes>) -> PyResult<bool> {
        self.begin(py)?;
        if self.state().spill.is_none() {
            let message = Message::Body { body, more: true };
            if self.handle.act(py, message)? == Sent::Full {
                let file = tempfile::tempfile()?;
                self.state().spill = Some(Spill {
                    file,
                    passed: 0,
                    length: 0,
                });
            }
            return Ok(!self.is_gone());
        }
        self.spill(py, body.as_bytes())
    }

    fn spill(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<bool> {
        let mut state = self.state();
        let waiting = match &mut state.spill {
            Some(spill) => {
                spill.file.write_all(bytes)?;
                spill.length += bytes.len() as u64;
                spill.length - spill.passed
            }
            None => 0,
        };
        drop(state);
        while waiting > SPILL && !self.handle.may_send() && !self.is_gone() {
            py.detach(|| std::thread::sleep(PAUSE));
        }
        if self.handle.may_send() {
            self.pass(py, true)?;
        }
        Ok(!self.is_gone())
    }

    /// Has the engine send what is in the file.
    fn pass(&self, py: Python<'_>, more: bool) -> PyResult<()> {
        let mut state = self.state();
        let Some(spill) = &mut state.spill else {
            return Ok(());
        };
        let part = FilePart {
            file: spill.file.try_clone()?,
            offset: spill.passed,
            length: spill.length - spill.passed,
        };
        spill.passed = spill.length;
        drop(state);
        let part = Some(part);
        self.handle.act(py, Message::File { part, more }).map(drop)
    }

    /// Sends a file as the kernel can, if it is one on a disk.
    fn file(&self, py: Python<'_>, wrapper: &FileWrapper) -> PyResult<bool> {
        let Ok(descriptor) = wrapper
            .file
            .bind(py)
            .call_method0("fileno")
            .and_then(|descriptor| descriptor.extract::<i32>())
        else {
            return Ok(false);
        };
        let mut file = File::from(ffi::duplicate(descriptor)?);
        let Ok(size) = file::size(&file) else {
            return Ok(false);
        };
        // Python's buffer may be ahead of the descriptor.
        let offset = match wrapper.file.bind(py).call_method0("tell") {
            Ok(place) => place.extract::<u64>()?,
            Err(_) => file.stream_position()?,
        };
        file.seek(SeekFrom::Start(offset))?;
        let promised = self
            .state()
            .head
            .as_ref()
            .and_then(|head| head.octets.length());
        let rest = size.saturating_sub(offset);
        let length = promised.map_or(rest, |promised| promised.min(rest));
        self.expect(Some(length));
        self.begin(py)?;
        let part = Some(FilePart {
            file,
            offset,
            length,
        });
        self.handle
            .act(py, Message::File { part, more: true })
            .map(|_| true)
    }

    /// Ends the response.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        if !state.begun && state.expected.is_none() {
            state.expected = Some(0);
        }
        if self.head && state.expected == Some(0) {
            // Of a response that would have content, its length is not known.
            state.expected = None;
        }
        let spilled = state
            .spill
            .as_ref()
            .is_some_and(|spill| spill.length > spill.passed);
        drop(state);
        self.begin(py)?;
        if self.is_over() {
            return Ok(());
        }
        if spilled {
            return self.pass(py, false);
        }
        let message = Message::Body {
            body: empty(py),
            more: false,
        };
        self.handle.act(py, message).map(drop)
    }

    fn is_gone(&self) -> bool {
        let mut state = self.handle.link.lock();
        state
            .current(self.handle.id)
            .is_none_or(|exchange| exchange.gone)
    }

    fn is_over(&self) -> bool {
        let mut state = self.handle.link.lock();
        state
            .current(self.handle.id)
            .is_none_or(|exchange| exchange.phase == Phase::Complete)
    }
}

#[pymethods]
impl Response {
    /// `start_response` of PEP 3333.
    #[pyo3(signature = (status, headers, exc_info = None))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyString>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        let mut state = this.state();
        let (begun, given) = (state.begun, state.head.is_some());
        match exc_info {
            Some(info) if begun => {
                drop(state);
                let error = info.get_item(1)?;
                return Err(PyErr::from_value(error));
            }
            None if begun || given => {
                return Err(PyRuntimeError::new_err(
                    "start_response was called twice, without exc_info.",
                ));
            }
            _ => {}
        }
        let wrong = || PyValueError::new_err(format!("{status:?} is no status: \"200 OK\" is one"));
        let (code, reason) = status.to_str()?.split_at_checked(3).ok_or_else(wrong)?;
        let code = code.parse().ok().filter(|code| (200..600).contains(code));
        let code = code.ok_or_else(wrong)?;
        let reason = latin_1(reason.trim_start()).ok_or_else(wrong)?;
        if !matches!(status.to_str()?.as_bytes().get(3), None | Some(b' ')) {
            return Err(wrong());
        }
        let octets = Octets::read(headers)?;
        state.head = Some(Head {
            status: code,
            reason,
            octets,
        });
        drop(state);
        slf.getattr("write")
    }

    /// What `start_response` returns.
    fn write(&self, py: Python<'_>, body: Bound<'_, PyBytes>) -> PyResult<()> {
        if body.as_bytes().is_empty() {
            return self.begin(py);
        }
        if self.push(py, body)? {
            return Ok(());
        }
        // Whoever writes for ever has to hear of it.
        Err(PyConnectionResetError::new_err("The client has left."))
    }

    /// Sends 103 (Early Hints) with these headers.
    fn early_hints(&self, py: Python<'_>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let octets = Octets::read(headers)?;
        let mut links = Vec::new();
        let collect = |name: &[u8], value: &[u8]| {
            if name.eq_ignore_ascii_case(b"link") {
                links.push(PyBytes::new(py, value));
                Ok(())
            } else {
                Err(PyValueError::new_err("early hints are `Link` headers"))
            }
        };
        octets.each(collect)?;
        self.handle.act(py, Message::EarlyHint { links }).map(drop)
    }

    /// Whether the client has left.
    fn client_disconnected(&self) -> bool {
        self.is_gone()
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
