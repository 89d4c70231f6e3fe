//! The vocabulary between bytes and the floors above: what a request says, as places in the input.
//!
//! Nothing is copied out: a [`Span`] is a pair of offsets into the slice that was parsed, and the
//! floor above decides what becomes of the bytes.

use std::ops::Range;

use crate::error::Fault;

/// A place in the input, from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Offsets fit: [`Http1::handle_bytes`](crate::Http1::handle_bytes) looks at no more than 4 GiB.
    #[expect(clippy::cast_possible_truncation, reason = "offsets fit")]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && u32::try_from(end).is_ok());
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The bytes of this place, or nothing where `input` is not what the span was made for.
    #[must_use]
    pub fn of(self, input: &[u8]) -> &[u8] {
        input
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    #[must_use]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The same bytes, seen from a slice that begins `by` bytes earlier.
    #[must_use]
    pub fn shift(self, by: u32) -> Self {
        Self {
            start: self.start + by,
            end: self.end + by,
        }
    }
}

/// A field line. The name was put into lower case where it lies; the value has no surrounding
/// whitespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Field {
    pub name: Span,
    pub value: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// How the request body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none; also where the length is given as 0.
    None,
    Fixed(u64),
    Chunked,
}

/// The protocol that the client would rather speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    None,
    /// The HTTP conditions of RFC 6455 section 4.2.1 hold; the handshake proper is not checked.
    WebSocket,
    /// Anything else, `h2c` included: served as HTTP/1.1 (RFC 9110 section 7.8 lets a server ignore it).
    Other,
}

/// A complete request head.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read by another part of the floor above"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    pub method: Span,
    /// The path as it was sent, before `?`; `*` for `OPTIONS *`. An absolute target gives the path
    /// of its URI, and `/` where that has none.
    pub path: Span,
    /// What follows `?`, as it was sent.
    pub query: Span,
    pub version: Version,
    pub body: BodyLength,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    pub upgrade: Upgrade,
    /// The client lets the connection be kept.
    pub keep_alive: bool,
    /// The client said `te: trailers`: it keeps trailer fields of the response.
    pub trailers: bool,
    /// A `forwarded` or `x-forwarded-*` field is present.
    pub forwarded: bool,
    /// The field lines, as a range of the vector that was given to the parser. With an absolute
    /// target, the value of `host` is the authority of the target (RFC 9112 section 3.2.2).
    pub fields: Range<u32>,
}

/// What the input came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Request(RequestHead),
    /// The next bytes of the request body; `end` with the last, which may be empty.
    Body {
        data: Span,
        end: bool,
    },
    /// A request that is understood and not met, while the connection stays sound: answer it with
    /// `refuse`, then go on as after any response. It is never given to the application.
    Refuse(Fault),
}

/// One step of the parser. Spans count from the start of the input that was passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    pub event: Option<Event>,
}

/// What the end of input means where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eof {
    /// Between exchanges, with nothing begun: close.
    Idle,
    /// A head was begun: nobody is there to be told; close.
    MidHead,
    /// The request is truncated: the application must see a disconnect, never a complete body.
    MidBody,
    /// The request is complete and the client has nothing more to say: answer, then close.
    AfterRequest,
}
