//! The access log: one line for each response, by Python's logging or past it.
//!
//! As uvicorn writes it, a line comes when the response begins. With a format of the user's, or in
//! JSON, it comes when the exchange is over, and always looks as it is made here. Where the logging that
//! is configured would only write lines to a stream, they go there directly; else Python gets them.

use std::fs::File;
use std::io::Write;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple};

use crate::ffi;
use crate::format::{self, Format, Layout};
use crate::lines::Lines;
use crate::names::Names;
use crate::record::Record;
use crate::text;

/// A line is seldom longer.
const USUAL: usize = 256;

pub struct AccessLog {
    /// `(scope, status, line)`: has Python's logging write a line, as uvicorn does if `line` is None.
    call: Py<PyAny>,
    direct: Option<Direct>,
    /// None: as uvicorn.
    pub format: Option<Format>,
}

/// Where lines go without Python, and the parts of one as uvicorn writes it.
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
    pub fn new(
        call: Py<PyAny>,
        direct: Option<Bound<'_, PyAny>>,
        layout: Option<Layout>,
    ) -> PyResult<Self> {
        let format = layout.map(Format::new).transpose()?;
        let direct = match direct {
            None => None,
            Some(direct) => {
                let parts: Parts = direct.extract()?;
                let lost = format.as_ref().map_or(format::lost_text as _, Format::lost);
                Some(Direct {
                    lines: Lines::to(File::from(ffi::duplicate(parts.fd)?), lost)?,
                    still: direct.getattr("still")?.unbind(),
                    holds: AtomicBool::new(false),
                    parts,
                })
            }
        };
        Ok(Self {
            call,
            direct,
            format,
        })
    }

    /// Writes the line of a response that begins.
    pub fn begun(&self, py: Python<'_>, names: &Names, scope: &Bound<'_, PyDict>, status: u16) {
        let written = self
            .direct
            .as_ref()
            .is_some_and(|direct| direct.write(py, names, scope, status));
        if !written && let Err(error) = self.call.bind(py).call1((scope, status)) {
            error.write_unraisable(py, None);
        }
    }

    /// Writes the line of an exchange that is over.
    pub fn over(&self, py: Python<'_>, names: &Names, record: &Record) {
        let Some(format) = &self.format else { return };
        let mut line = Vec::with_capacity(USUAL);
        format.line(py, names, record, &mut line);
        if let Some(direct) = self.direct.as_ref().filter(|direct| direct.holds(py)) {
            line.push(b'\n');
            direct.lines.append(&line);
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let arguments = (&record.scope, record.status(), line);
        if let Err(error) = self.call.bind(py).call1(arguments) {
            error.write_unraisable(py, None);
        }
    }

    /// Has the lines of this turn written.
    pub fn flush(&self) {
        if let Some(direct) = &self.direct
            && direct.holds.swap(false, Ordering::Relaxed)
        {
            direct.lines.flush();
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
    /// Whether a line is to go to the stream.
    fn holds(&self, py: Python<'_>) -> bool {
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
        true
    }

    /// Whether the line could be made and written here.
    fn write(&self, py: Python<'_>, names: &Names, scope: &Bound<'_, PyDict>, status: u16) -> bool {
        if !self.holds(py) {
            return false;
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
        self.lines.append(&line);
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
        text::quote(path.cast_exact::<PyString>().ok()?.to_str().ok()?, out);
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
