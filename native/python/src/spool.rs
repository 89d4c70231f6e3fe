//! A request's body that is collected before a thread runs the application.
//!
//! A client may take hours for it, and then holds no thread. What is more than a limit goes to a
//! temporary file without a name, so that memory is bounded and nothing is left behind.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::IntoRawFd;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[derive(Default)]
pub struct Spool {
    bytes: Vec<u8>,
    file: Option<File>,
    length: u64,
}

impl Spool {
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes the next piece. At most `limit` bytes are kept in memory.
    ///
    /// # Errors
    /// If the temporary file cannot be made, or written.
    pub fn push(&mut self, piece: &[u8], limit: usize) -> io::Result<()> {
        self.length += piece.len() as u64;
        if let Some(file) = &mut self.file {
            return file.write_all(piece);
        }
        if self.bytes.len() + piece.len() <= limit {
            self.bytes.extend_from_slice(piece);
            return Ok(());
        }
        let mut file = tempfile::tempfile()?;
        file.write_all(&self.bytes)?;
        file.write_all(piece)?;
        self.bytes = Vec::new();
        self.file = Some(file);
        Ok(())
    }

    /// The body as a binary file of Python's.
    ///
    /// # Errors
    /// If Python cannot make one.
    pub fn into_file<'py>(self, py: Python<'py>, io: &Io) -> PyResult<Bound<'py, PyAny>> {
        let Some(mut file) = self.file else {
            return io.memory.bind(py).call1((PyBytes::new(py, &self.bytes),));
        };
        file.rewind()?;
        io.open.bind(py).call1((file.into_raw_fd(), "rb"))
    }
}

/// Python's own files.
pub struct Io {
    memory: Py<PyAny>,
    open: Py<PyAny>,
}

impl Io {
    /// # Errors
    /// If Python lacks them.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let io = py.import("io")?;
        Ok(Self {
            memory: io.getattr("BytesIO")?.unbind(),
            open: io.getattr("open")?.unbind(),
        })
    }

    /// The file of a body that has come whole.
    ///
    /// # Errors
    /// If Python is out of memory.
    pub fn memory<'py>(
        &self,
        py: Python<'py>,
        body: Option<Bound<'py, PyBytes>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match body {
            Some(body) => self.memory.bind(py).call1((body,)),
            None => self.memory.bind(py).call0(),
        }
    }
}
