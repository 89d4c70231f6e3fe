//! The bytes of one connection: read them, write a send queue to them.
//!
//! A transport is a socket of ours, or `Host`: a connection that the floor above drives (an asyncio
//! transport). A host connection is fed by [`crate::Reactor::feed`], and its output leaves as
//! [`crate::Work::Output`]; to the session there is no difference.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::unix::fs::FileExt;

use ferricorn_proto::{Chunk, SendQueue};
use mio::net::{TcpStream, UnixStream};

use crate::poller::Poller;

/// Slices given to one `writev`. More would cost more to lay out than a second call, which only a
/// response of many pieces needs.
const SLICES: usize = 16;
/// Bytes that one connection may send at once, so that one download does not hold the turn.
const PORTION: usize = 1024 * 1024;

pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Host,
}

/// A part of a response that is sent from where it lies.
#[derive(Debug)]
pub enum Piece<P> {
    Bytes {
        payload: P,
        sent: usize,
    },
    File {
        file: File,
        offset: u64,
        remaining: u64,
    },
}

impl<P: AsRef<[u8]>> Chunk for Piece<P> {
    fn remaining(&self) -> u64 {
        match self {
            Self::Bytes { payload, sent } => (payload.as_ref().len() - sent) as u64,
            Self::File { remaining, .. } => *remaining,
        }
    }

    fn as_slice(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes { payload, sent } => Some(&payload.as_ref()[*sent..]),
            Self::File { .. } => None,
        }
    }

    fn advance(&mut self, n: u64) {
        match self {
            Self::Bytes { sent, .. } => *sent += usize::try_from(n).unwrap_or(usize::MAX),
            Self::File {
                offset, remaining, ..
            } => {
                *offset += n;
                *remaining = remaining.saturating_sub(n);
            }
        }
    }
}

/// What became of a queue.
pub(crate) enum Sent {
    /// All of it was written.
    All,
    /// A portion was written, and the peer takes more.
    Portion,
    /// The peer's window is full; the poller will tell.
    Blocked,
}

impl Transport {
    pub(crate) fn register(&mut self, poller: &Poller, token: usize) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => poller.add_stream(socket, token),
            Self::Unix(socket) => poller.add_stream(socket, token),
            Self::Host => Ok(()),
        }
    }

    pub(crate) fn deregister(&mut self, poller: &Poller) {
        match self {
            Self::Tcp(socket) => poller.remove(socket),
            Self::Unix(socket) => poller.remove(socket),
            Self::Host => {}
        }
    }

    pub(crate) fn is_host(&self) -> bool {
        matches!(self, Self::Host)
    }

    /// Reads once.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Self::Tcp(socket) => socket.read(buffer),
                Self::Unix(socket) => socket.read(buffer),
                Self::Host => Err(ErrorKind::WouldBlock.into()),
            };
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Says that nothing more will be sent, and leaves the other direction open.
    pub(crate) fn shut_write(&mut self) {
        // A peer that is gone already needs no farewell.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(std::net::Shutdown::Write),
            Self::Unix(socket) => socket.shutdown(std::net::Shutdown::Write),
            Self::Host => Ok(()),
        };
    }

    /// Writes as much of `queue` as the peer takes; finished pieces go to `spent`.
    pub(crate) fn drain<P: AsRef<[u8]>>(
        &mut self,
        queue: &mut SendQueue<Piece<P>>,
        spent: &mut Vec<Piece<P>>,
    ) -> io::Result<Sent> {
        let mut room = PORTION;
        while !queue.is_empty() {
            if room == 0 {
                return Ok(Sent::Portion);
            }
            let written = match queue.front_chunk() {
                Some(Piece::File {
                    file,
                    offset,
                    remaining,
                }) => {
                    let portion =
                        usize::try_from((*remaining).min(room as u64)).unwrap_or(usize::MAX);
                    let sent = self.send_file(file, *offset, portion);
                    // A file that became shorter than the response promised cannot be completed.
                    if matches!(sent, Ok(0)) {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    sent.map(|sent| (sent, sent))
                }
                _ => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let count = queue.slices(&mut slices);
                    let offered = slices[..count]
                        .iter()
                        .map(|slice| slice.len())
                        .sum::<usize>();
                    self.send(&slices[..count]).map(|sent| (sent, offered))
                }
            };
            match written {
                Ok((0, _)) => return Err(ErrorKind::WriteZero.into()),
                Ok((sent, offered)) => {
                    queue.consume(sent, spent);
                    room = room.saturating_sub(sent);
                    // A short write means that the socket is full, and saves the call that says so.
                    if sent < offered {
                        return Ok(Sent::Blocked);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Sent::Blocked),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Sent::All)
    }

    fn send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Tcp(socket), [one]) => socket.write(one),
            (Self::Tcp(socket), many) => socket.write_vectored(many),
            (Self::Unix(socket), many) => socket.write_vectored(many),
            (Self::Host, _) => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn send_file(&mut self, file: &File, offset: u64, portion: usize) -> io::Result<usize> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            let mut offset = offset;
            let sent = match self {
                Self::Tcp(socket) => rustix::fs::sendfile(socket, file, Some(&mut offset), portion),
                Self::Unix(socket) => {
                    rustix::fs::sendfile(socket, file, Some(&mut offset), portion)
                }
                Self::Host => return Err(ErrorKind::WouldBlock.into()),
            };
            match sent {
                // Pipes, sockets and some file systems cannot be mapped: copy them.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
                other => return other.map_err(io::Error::from),
            }
        }
        let mut copy = vec![0; portion.min(64 * 1024)];
        let read = file.read_at(&mut copy, offset)?;
        if read == 0 {
            return Ok(0);
        }
        self.send(&[IoSlice::new(&copy[..read])])
    }
}

/// Moves what `queue` holds, at most about `limit` bytes, into one buffer for a host connection.
pub(crate) fn collect<P: AsRef<[u8]>>(
    queue: &mut SendQueue<Piece<P>>,
    spent: &mut Vec<Piece<P>>,
    limit: usize,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !queue.is_empty() && bytes.len() < limit {
        let moved = match queue.front_chunk() {
            Some(Piece::File {
                file,
                offset,
                remaining,
            }) => {
                let start = bytes.len();
                let portion = usize::try_from((*remaining).min(64 * 1024)).unwrap_or(usize::MAX);
                bytes.resize(start + portion, 0);
                let read = file.read_at(&mut bytes[start..], *offset)?;
                if read == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                bytes.truncate(start + read);
                read
            }
            _ => {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let count = queue.slices(&mut slices);
                let start = bytes.len();
                for slice in &slices[..count] {
                    bytes.extend_from_slice(slice);
                }
                bytes.len() - start
            }
        };
        queue.consume(moved, spent);
    }
    Ok(bytes)
}
