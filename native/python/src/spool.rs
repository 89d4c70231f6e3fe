//! A request's body that is collected before a thread runs the application.
//!
//! A client may take hours for it, and then holds no thread. What is more than a limit goes to a
//! temporary file without a name, so that memory is bounded and nothing is left behind.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::IntoRawFd;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Pieces in memory are joined up to so many bytes: each is copied once more, into Python's memory.
const PIECE: usize = 256 * 1024;

#[derive(Default)]
pub struct Spool {
    /// What is in memory.
    pieces: Vec<Vec<u8>>,
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
        if self.length <= limit as u64 {
            match self.pieces.last_mut() {
                Some(last) if last.len() + piece.len() <= PIECE => last.extend_from_slice(piece),
                _ => self.pieces.push(piece.to_vec()),
            }
            return Ok(());
        }
        let mut file = tempfile::tempfile()?;
        for earlier in std::mem::take(&mut self.pieces) {
            file.write_all(&earlier)?;
        }
        file.write_all(piece)?;
        self.file = Some(file);
        Ok(())
    }

    /// The body as a binary file of Python's.
    ///
    /// # Errors
    /// If Python cannot make one.
    pub fn into_file<'py>(self, py: Python<'py>, io: &Io) -> PyResult<Bound<'py, PyAny>> {
        let Some(mut file) = self.file else {
            let mut pieces = self
                .pieces
                .into_iter()
                .map(|piece| PyBytes::new(py, &piece));
            if pieces.len() < 2 {
                return io.memory(py, pieces.next());
            }
            let memory = io.memory(py, None)?;
            let write = memory.getattr("write")?;
            for piece in pieces {
                write.call1((piece,))?;
            }
            memory.call_method1("seek", (0,))?;
            return Ok(memory);
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
