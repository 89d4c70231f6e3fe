//! What gather and flush hand to the floor above.
//!
//! A [`Batch`] owns the bytes of the requests in it: the arena is the buffer that sockets are read
//! into, and a request that arrives whole is parsed and handed up where it lies. The batch is
//! separate from the reactor, so it can be served while no borrow of the reactor is held.

use std::net::SocketAddr;
use std::path::PathBuf;

use ferricorn_proto::ws::{Data, Kind};
use ferricorn_proto::{Fault, Field, RequestHead, Span};

/// A connection: a slot of the session table and the generation that lived in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    pub slot: u32,
    pub generation: u32,
}

/// One request and its response on a connection. A stale id is answered like a client that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExchangeId {
    pub session: SessionId,
    pub number: u32,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Inet(SocketAddr),
    /// A Unix socket, with its path where it has one.
    Unix(Option<PathBuf>),
    /// Unknown: the floor above brought the connection and knows more.
    Host,
}

#[derive(Debug)]
pub enum Work {
    /// The first request of a connection follows.
    Opened {
        session: SessionId,
        peer: Address,
        local: Address,
    },
    /// A request head; its spans count from `base` in the arena, its fields lie in the batch.
    Request {
        exchange: ExchangeId,
        base: u32,
        head: RequestHead,
    },
    /// Body bytes, as a span of the arena.
    Body {
        exchange: ExchangeId,
        data: Span,
        end: bool,
    },
    /// A whole message of a WebSocket; a [`Data::Here`] is a span of the arena.
    Message {
        exchange: ExchangeId,
        kind: Kind,
        data: Data,
    },
    /// A WebSocket is over: the peer closed it, erred or fell silent, or this server ends.
    SocketClosed {
        exchange: ExchangeId,
        code: u16,
        reason: String,
    },
    /// The client left, or was cut off, while the exchange was not over.
    Disconnected { exchange: ExchangeId },
    /// The response's buffer has drained: senders may go on.
    Writable { exchange: ExchangeId },
    /// The peer was refused.
    Refused {
        session: SessionId,
        fault: Fault,
        peer: Address,
    },
    /// A connection that the floor above drives: write these bytes to it.
    Output { session: SessionId, bytes: Vec<u8> },
    /// A connection that the floor above drives: whether it should go on reading.
    Reading { session: SessionId, wanted: bool },
    /// A connection that the floor above drives: nothing more will be written, reading goes on.
    Finished { session: SessionId },
    /// The connection is gone, its id will not come again. `Opened` may not have been told. `cut`:
    /// not all that was to be sent is.
    Closed { session: SessionId, cut: bool },
}

impl Work {
    /// The connection that it is about.
    #[must_use]
    pub fn session(&self) -> SessionId {
        match self {
            Self::Opened { session, .. }
            | Self::Refused { session, .. }
            | Self::Output { session, .. }
            | Self::Reading { session, .. }
            | Self::Finished { session }
            | Self::Closed { session, .. } => *session,
            Self::Request { exchange, .. }
            | Self::Body { exchange, .. }
            | Self::Message { exchange, .. }
            | Self::SocketClosed { exchange, .. }
            | Self::Disconnected { exchange }
            | Self::Writable { exchange } => exchange.session,
        }
    }
}

/// Bytes a turn may read before the application gets its share: four full reads.
const ARENA: usize = 4 * READ;
/// Bytes asked of one socket at once. Loopback and fast networks fill it; more would only push
/// other connections' requests out of the cache.
pub(crate) const READ: usize = 80 * 1024;

pub struct Batch {
    pub work: Vec<Work>,
    pub(crate) fields: Vec<Field>,
    pub(crate) arena: Vec<u8>,
    pub(crate) used: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            work: Vec::with_capacity(256),
            fields: Vec::with_capacity(1024),
            arena: vec![0; ARENA],
            used: 0,
        }
    }
}

impl Batch {
    /// Whether there is room for another full read.
    pub(crate) fn has_room(&self) -> bool {
        self.arena.len() >= self.used + READ
    }

    /// Copies `bytes` into the arena, which grows for the rare connection that has a leftover when
    /// the arena is full, and gives their place.
    pub(crate) fn store(arena: &mut Vec<u8>, used: &mut usize, bytes: &[u8]) -> u32 {
        let base = *used;
        let end = base + bytes.len();
        if arena.len() < end {
            arena.resize(end, 0);
        }
        arena[base..end].copy_from_slice(bytes);
        *used = end;
        u32::try_from(base).unwrap_or(u32::MAX)
    }

    /// The bytes that spans of this batch refer to.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.arena[..self.used]
    }

    /// The header fields of the requests in this batch.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.work.clear();
        self.fields.clear();
        self.used = 0;
        self.arena.resize(ARENA, 0);
    }
}
