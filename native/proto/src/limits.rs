//! Every bound on size, count and time, with its default and its reason.
//!
//! [`Limits`] is what one listener asks of its peers and may be configured; the constants are what
//! the floors above use for their buffers and deadlines. Nothing here is enforced here.

use crate::time::Millis;

/// What a peer may send, checked while bytes arrive and never after they were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request line without its CRLF. RFC 9112 section 3 asks for at least 8000; twice
    /// that carries the longest targets that browsers and proxies produce.
    pub request_line: usize,
    /// Bytes of the whole head, from the request line to the empty line, both included. Room for
    /// the largest cookies in use (8 to 16 KiB) several times over.
    pub head_bytes: usize,
    /// Field lines in a head. Browsers behind proxies send about 40.
    pub fields: usize,
    /// Bytes of a method. The longest registered one has 17.
    pub method: usize,
    /// Empty lines before a request line. RFC 9112 section 2.2 wants one ignored; two forgive a
    /// client that ends a body with one of its own, and more is a flood.
    pub empty_lines: u8,
    /// Bytes of chunk extensions in one body, all chunks together: no peer has a use for them, and
    /// uncounted they are traffic that no body limit sees.
    pub chunk_ext_bytes: u32,
    /// Bytes of a trailer section. Trailers are read and dropped: a checksum and a signature fit.
    pub trailer_bytes: u32,
    /// Field lines in a trailer section.
    pub trailer_fields: u32,
    /// Unread request body that is read and thrown away after the response, so that the connection
    /// can be kept: what the socket's buffers hold anyway. A longer rest costs more than a new
    /// connection.
    pub drain_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 16_384,
            head_bytes: 65_536,
            fields: 100,
            method: 32,
            empty_lines: 2,
            chunk_ext_bytes: 16_384,
            trailer_bytes: 16_384,
            trailer_fields: 100,
            drain_bytes: 65_536,
        }
    }
}

/// Bytes of a PROXY line with its CRLF: the longest one that the protocol allows (section 2.1).
pub const PROXY_LINE: usize = 107;

/// Bytes after the fixed part of a binary PROXY header. The addresses take at most 216; the rest is
/// room for extensions, of which a client's certificate is the largest in use.
pub const PROXY_BLOCK: usize = 4096;

/// What the peer of a WebSocket may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WsLimits {
    /// Bytes of a message, as they were before they were compressed; uvicorn's default.
    pub message: usize,
    /// Frames of one message. A message of the greatest length fits in pieces of 128 bytes; smaller
    /// ones are a waste of everybody's time, and empty ones a flood that no other bound sees.
    pub fragments: u32,
}

impl Default for WsLimits {
    fn default() -> Self {
        Self {
            message: 16 * 1024 * 1024,
            fragments: 131_072,
        }
    }
}

/// Room that is made for bytes that are announced and have not come, or that may come of compressed
/// ones: one full read. Otherwise a buffer grows with what is in it.
pub const WS_AHEAD: usize = 65_536;

/// Waiting output at which pings are no longer answered one by one: more than the pongs to all
/// pings of an honest client, and little for one that does not read.
pub const WS_PONGS: usize = 16_384;

/// Idle streams for inflating that are kept. One serves all messages that arrive whole; more are in
/// use only where compressed messages arrive in pieces.
pub const WS_INFLATERS: usize = 4;

/// Request body bytes handed up but not asked for at which reading stops: one full read more than
/// the application works on, so that the socket stays busy and memory stays flat.
pub const BODY_HIGH_WATER: usize = 65_536;

/// Response bytes waiting for the socket at which senders have to wait: what asyncio's transports
/// use, so applications meet the pace they know.
pub const WRITE_HIGH_WATER: usize = 65_536;

/// Waiting response bytes at which senders go on: a quarter of the high mark, as in asyncio.
pub const WRITE_LOW_WATER: usize = 16_384;

/// Size from which a body piece is queued as it is rather than copied: below it, copying is cheaper
/// than another slice for `writev` and a reference to count.
pub const ZERO_COPY_MIN: usize = 16_384;

/// Idle time between requests; uvicorn's default.
pub const KEEP_ALIVE: Millis = 5_000;

/// Time for a whole head, absolute, the wait for its first byte on a new connection included:
/// bytes that trickle in do not extend it. Thirty seconds serve the slowest honest link.
pub const REQUEST_HEAD: Millis = 30_000;

/// Time without a byte of a request body that the application waits for.
pub const REQUEST_BODY: Millis = 30_000;

/// Time without progress in sending to a peer that does not read.
pub const WRITE: Millis = 30_000;

/// Time to wait for the peer's end after the last response byte, so that a reset does not destroy
/// what the peer has not read yet (RFC 9112 section 9.6).
pub const LINGER: Millis = 2_000;
