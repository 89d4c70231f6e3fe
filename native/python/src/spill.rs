//! What a client does not take of a response, in a temporary file without a name.
//!
//! The application's thread puts portions in, and whoever hears that the client has room takes out what
//! has gathered, for the engine to send. Knows nothing of either.

use std::fs::File;
use std::io::{self, Write};

use crate::message::FilePart;

pub struct Spill {
    file: File,
    /// What of it was taken out.
    taken: u64,
    length: u64,
}

impl Spill {
    /// # Errors
    /// If the file cannot be made.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            taken: 0,
            length: 0,
        })
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Bytes that nobody has taken out.
    pub fn waiting(&self) -> u64 {
        self.length - self.taken
    }

    /// Takes out what has gathered, if anything.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn take(&mut self) -> io::Result<Option<FilePart>> {
        if self.waiting() == 0 {
            return Ok(None);
        }
        let part = FilePart {
            file: self.file.try_clone()?,
            offset: self.taken,
            length: self.waiting(),
        };
        self.taken = self.length;
        Ok(Some(part))
    }
}
