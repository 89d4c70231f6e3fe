//! The response of a WSGI application, on its way to the engine.
//!
//! It goes to the engine as fast as the application makes it: what the client does not take at once
//! waits in memory, and beyond a limit in a temporary file. A thread is for the application alone, and
//! never waits for a client.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferricorn_engine::file;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyBytes;

use crate::exchange::{Handle, Sent};
use crate::ffi;
use crate::message::{FilePart, Headers, Message, Octets};
use crate::names::empty;
use crate::spill::Spill;

/// What a response may have waiting in a temporary file until its thread waits after all.
const SPILL: u64 = 1 << 30;
/// Until a thread that waits for such a client looks again.
const PAUSE: Duration = Duration::from_millis(20);

/// The response to one request, however the application goes about it.
pub struct Response {
    handle: Handle,
    /// The request is HEAD.
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
    /// Where portions go that the client does not take, one after the other.
    spill: Option<Arc<Mutex<Spill>>>,
}

/// What `start_response` was called with.
pub struct Head {
    pub status: u16,
    pub reason: Vec<u8>,
    pub octets: Octets,
}

impl Response {
    pub fn new(handle: Handle, head: bool) -> Self {
        Self {
            handle,
            head,
            state: Mutex::default(),
        }
    }

    /// Takes status and headers. `again`: they may take the place of others, if those were not sent.
    ///
    /// # Errors
    /// If they may not come now.
    pub fn start(&self, head: Head, again: bool) -> PyResult<()> {
        let mut state = self.state();
        if !again && (state.begun || state.head.is_some()) {
            return Err(PyRuntimeError::new_err(
                "start_response was called twice, without exc_info.",
            ));
        }
        state.head = Some(head);
        Ok(())
    }

    /// Whether the head was sent.
    pub fn has_begun(&self) -> bool {
        self.state().begun
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn expect(&self, length: Option<u64>) {
        self.state().expected = length;
    }

    /// Sends the head, unless that was done.
    ///
    /// # Errors
    /// If there is none.
    pub fn begin(&self, py: Python<'_>) -> PyResult<()> {
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

    /// Sends a part of the body; with `more` false the response is complete. False: nobody is there to
    /// take more.
    ///
    /// # Errors
    /// If it may not come now, or cannot be kept.
    pub fn push(&self, py: Python<'_>, body: Bound<'_, PyBytes>, more: bool) -> PyResult<bool> {
        self.begin(py)?;
        if let Some(spill) = self.spill(py) {
            locked(py, &spill).push(body.as_bytes())?;
            while locked(py, &spill).waiting() > SPILL && !self.handle.may_send() {
                py.detach(|| std::thread::sleep(PAUSE));
            }
            if !more || self.handle.may_send() {
                pass_spilled(py, &self.handle, &spill, more)?;
            }
            return Ok(!self.handle.is_gone());
        }
        match self.handle.act(py, Message::Body { body, more })? {
            Sent::Gone => return Ok(false),
            Sent::Full if more => self.set_spill(Some(Arc::new(Mutex::new(Spill::new()?)))),
            Sent::Full | Sent::Done => {}
        }
        Ok(true)
    }

    /// Whoever hears that the client has room takes from there.
    fn set_spill(&self, spill: Option<Arc<Mutex<Spill>>>) {
        self.state().spill.clone_from(&spill);
        if let Some(exchange) = self.handle.link.lock().current(self.handle.id) {
            exchange.spill = spill;
        }
    }

    /// Where what comes has to go, behind what is there already. A client that keeps up again needs none.
    fn spill(&self, py: Python<'_>) -> Option<Arc<Mutex<Spill>>> {
        let spill = self.state().spill.clone()?;
        if locked(py, &spill).waiting() > 0 || !self.handle.may_send() {
            return Some(spill);
        }
        self.set_spill(None);
        None
    }

    /// Sends a file as the kernel can, if it is one on a disk.
    ///
    /// # Errors
    /// If it may not come now, or the file cannot be read.
    pub fn file(&self, file: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = file.py();
        if !reads_what_lies_there(file)? {
            return Ok(false);
        }
        let Ok(descriptor) = file
            .call_method0("fileno")
            .and_then(|descriptor| descriptor.extract::<i32>())
        else {
            return Ok(false);
        };
        let mut opened = File::from(ffi::duplicate(descriptor)?);
        let Ok(size) = file::size(&opened) else {
            return Ok(false);
        };
        // Python's buffer may be ahead of the descriptor.
        let offset = match file.call_method0("tell") {
            Ok(place) => place.extract::<u64>()?,
            Err(_) => opened.stream_position()?,
        };
        opened.seek(SeekFrom::Start(offset))?;
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
            file: opened,
            offset,
            length,
        });
        self.handle
            .act(py, Message::File { part, more: true })
            .map(|_| true)
    }

    /// Ends the response, unless that was done.
    ///
    /// # Errors
    /// If there is none.
    pub fn end(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        if !state.begun && state.expected.is_none() {
            state.expected = Some(0);
        }
        if self.head && state.expected == Some(0) {
            // Of a response that would have content, its length is not known.
            state.expected = None;
        }
        let spill = state.spill.clone();
        drop(state);
        self.begin(py)?;
        if self.handle.is_over() {
            return Ok(());
        }
        if let Some(spill) = spill {
            return pass_spilled(py, &self.handle, &spill, false);
        }
        let message = Message::Body {
            body: empty(py),
            more: false,
        };
        self.handle.act(py, message).map(drop)
    }
}

/// Has the engine send what has gathered in the file. With `more` false the response is complete.
///
/// # Errors
/// If it may not come now, or there are no more descriptors.
pub fn pass_spilled(
    py: Python<'_>,
    handle: &Handle,
    spill: &Mutex<Spill>,
    more: bool,
) -> PyResult<()> {
    // Held until it is queued: somebody else may have what follows.
    let mut spill = locked(py, spill);
    let message = match spill.take()? {
        None if more => return Ok(()),
        None => Message::Body {
            body: empty(py),
            more,
        },
        part => Message::File { part, more },
    };
    handle.act(py, message).map(drop)
}

/// Whoever has it may wait for the interpreter.
fn locked<'a>(py: Python<'_>, spill: &'a Mutex<Spill>) -> MutexGuard<'a, Spill> {
    spill
        .lock_py_attached(py)
        .unwrap_or_else(PoisonError::into_inner)
}

/// Whether a file gives what its descriptor refers to. Those of compressed files have the descriptor of
/// what they decompress.
fn reads_what_lies_there(file: &Bound<'_, PyAny>) -> PyResult<bool> {
    let io = file.py().import("io")?;
    if !file.is_instance(&io.getattr("BufferedIOBase")?)? {
        return Ok(true);
    }
    match file.getattr_opt("raw")? {
        Some(raw) => raw.is_instance(&io.getattr("FileIO")?),
        None => Ok(false),
    }
}
