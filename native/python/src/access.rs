//! The access log: a line for each response.
//!
//! A line goes to Python's logging. Where the user's configuration of that would only format it as
//! usual and write it to a stream, the line is made here instead, and a thread writes all lines of a
//! turn at once: a terminal or a pipe that nobody reads never stops the event loop. What waits for it
//! is bounded, and what finds no room is counted and told.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple};

use crate::ffi;
use crate::names::Names;

/// Bytes that wait to be written: some ten thousand lines.
const ROOM: usize = 1 << 20;
/// A line is seldom longer.
const USUAL: usize = 256;
/// How long the end of a server waits for its last lines.
const PATIENCE: Duration = Duration::from_secs(1);
/// Until a stream that takes nothing now is tried again.
const PAUSE: Duration = Duration::from_millis(10);

pub struct AccessLog {
    /// `(scope, status)`: has Python's logging write a line.
    call: Py<PyAny>,
    direct: Option<Direct>,
}

/// The parts of a line, and where it goes.
struct Direct {
    parts: Parts,
    /// Whether Python's logging would still do no more.
    still: Py<PyAny>,
    /// It would, and that was asked since the last flush.
    holds: AtomicBool,
    lines: Arc<Lines>,
}

#[derive(FromPyObject)]
pub struct Parts {
    /// The stream.
    #[pyo3(attribute("fd"))]
    fd: RawFd,
    /// What begins each line.
    #[pyo3(attribute("prefix"))]
    prefix: Vec<u8>,
    /// What stands around the request line.
    #[pyo3(attribute("request"))]
    request: (Vec<u8>, Vec<u8>),
    /// How each status from 100 on is shown.
    #[pyo3(attribute("statuses"))]
    statuses: Vec<Vec<u8>>,
}

impl AccessLog {
    /// # Errors
    /// If the stream is closed, or no thread can be started.
    pub fn new(call: Py<PyAny>, direct: Option<Bound<'_, PyAny>>) -> PyResult<Self> {
        let direct = match direct {
            None => None,
            Some(direct) => {
                let parts: Parts = direct.extract()?;
                Some(Direct {
                    lines: Lines::to(File::from(ffi::duplicate(parts.fd)?))?,
                    still: direct.getattr("still")?.unbind(),
                    holds: AtomicBool::new(false),
                    parts,
                })
            }
        };
        Ok(Self { call, direct })
    }

    /// Writes the line of a response that begins.
    pub fn write(&self, py: Python<'_>, names: &Names, scope: &Bound<'_, PyDict>, status: u16) {
        let written = self
            .direct
            .as_ref()
            .is_some_and(|direct| direct.write(py, names, scope, status));
        if !written && let Err(error) = self.call.bind(py).call1((scope, status)) {
            error.write_unraisable(py, None);
        }
    }

    /// Has the lines of this turn written.
    pub fn flush(&self) {
        if let Some(direct) = &self.direct
            && direct.holds.swap(false, Ordering::Relaxed)
        {
            direct.lines.news.notify_one();
        }
    }

    /// Waits until everything is written, but not for ever.
    pub fn close(&self, py: Python<'_>) {
        if let Some(direct) = &self.direct {
            py.detach(|| direct.lines.close());
        }
    }
}

impl Direct {
    /// Whether the line could be made and written here.
    fn write(&self, py: Python<'_>, names: &Names, scope: &Bound<'_, PyDict>, status: u16) -> bool {
        if !self.holds.load(Ordering::Relaxed) {
            let still = self
                .still
                .bind(py)
                .call0()
                .and_then(|still| still.is_truthy());
            if !matches!(still, Ok(true)) {
                return false;
            }
            self.holds.store(true, Ordering::Relaxed);
        }
        let Some(status) = self
            .parts
            .statuses
            .get(usize::from(status).wrapping_sub(100))
        else {
            return false;
        };
        let mut line = Vec::with_capacity(USUAL);
        if self.parts.line(names, scope, status, &mut line).is_none() {
            return false;
        }
        let mut pending = self.lines.pending();
        if pending.bytes.len() < ROOM {
            pending.bytes.extend_from_slice(&line);
        } else {
            pending.lost += 1;
        }
        true
    }
}

impl Parts {
    /// Appends the line; `None` if the scope holds what a server would not have put there.
    fn line(
        &self,
        names: &Names,
        scope: &Bound<'_, PyDict>,
        status: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let item = |name: &Py<PyString>| scope.get_item(name).ok().flatten();
        out.extend_from_slice(&self.prefix);
        let client = item(&names.client)?;
        if !client.is_none() {
            let client = client.cast_exact::<PyTuple>().ok()?;
            let host = client.get_item(0).ok()?;
            out.extend_from_slice(printable(&host)?);
            let port = client.get_item(1).ok()?;
            let port = port.cast_exact::<PyInt>().ok()?.extract::<u16>().ok()?;
            write!(out, ":{port}").ok()?;
        }
        out.extend_from_slice(b" - \"");
        out.extend_from_slice(&self.request.0);
        out.extend_from_slice(printable(&item(&names.method)?)?);
        out.push(b' ');
        let path = item(&names.path)?;
        quote(path.cast_exact::<PyString>().ok()?.to_str().ok()?, out);
        let query = item(&names.query_string)?;
        let query = query.cast_exact::<PyBytes>().ok()?;
        if !query.as_bytes().is_empty() {
            out.push(b'?');
            let query = query.as_bytes();
            if !query.iter().all(|byte| (0x20..0x7f).contains(byte)) {
                return None;
            }
            out.extend_from_slice(query);
        }
        out.extend_from_slice(b" HTTP/");
        out.extend_from_slice(printable(&item(&names.http_version)?)?);
        out.extend_from_slice(&self.request.1);
        out.extend_from_slice(b"\" ");
        out.extend_from_slice(status);
        out.push(b'\n');
        Some(())
    }
}

/// The text of a string of printable ASCII.
fn printable<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a [u8]> {
    let text = value.cast_exact::<PyString>().ok()?.to_str().ok()?;
    let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    plain.then_some(text.as_bytes())
}

/// Percent-encodes what is no unreserved character (RFC 3986 section 2.3) and no slash.
fn quote(path: &str, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            out.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
        }
    }
}

/// Lines on their way from the event loop to the thread that writes them.
struct Lines {
    pending: Mutex<Pending>,
    news: Condvar,
    /// The writer has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    lost: u64,
    closed: bool,
    ended: bool,
}

impl Lines {
    fn to(stream: File) -> std::io::Result<Arc<Self>> {
        let lines = Arc::new(Self {
            pending: Mutex::default(),
            news: Condvar::new(),
            ended: Condvar::new(),
        });
        let writer = Arc::clone(&lines);
        std::thread::Builder::new()
            .name("access log".to_owned())
            .spawn(move || writer.run(stream))?;
        Ok(lines)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut stream: File) {
        let mut bytes = Vec::new();
        loop {
            let pending = self.pending();
            let mut pending = self
                .news
                .wait_while(pending, |pending| {
                    pending.bytes.is_empty() && !pending.closed
                })
                .unwrap_or_else(PoisonError::into_inner);
            if pending.bytes.is_empty() {
                pending.ended = true;
                self.ended.notify_all();
                return;
            }
            bytes.clear();
            std::mem::swap(&mut bytes, &mut pending.bytes);
            let lost = std::mem::take(&mut pending.lost);
            drop(pending);
            if lost > 0 {
                // To a vector, which takes everything.
                let _ = writeln!(
                    bytes,
                    "({lost} lines of the access log were lost: it was not read)"
                );
            }
            write_all(&mut stream, &bytes);
        }
    }

    fn close(&self) {
        let mut pending = self.pending();
        pending.closed = true;
        self.news.notify_one();
        // A stream that nobody reads takes its lines with it.
        let _ = self
            .ended
            .wait_timeout_while(pending, PATIENCE, |pending| !pending.ended);
    }
}

/// Writes everything, or gives up on a stream that is broken. One that does not block is tried again.
fn write_all(stream: &mut File, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
