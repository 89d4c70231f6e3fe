//! Files to send: regular ones only. They have a size, and never make who reads them wait.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a file and gives its size.
///
/// # Errors
/// If it cannot be opened, or is a directory, a pipe, a device.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    // Opening a pipe would wait for somebody who writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let size = size(&file)?;
    Ok((file, size))
}

/// The size of a file.
///
/// # Errors
/// If it has none: it is a directory, a pipe, a device, a socket.
pub fn size(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok(metadata.len())
    } else {
        let text = "only a regular file can be sent";
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}
