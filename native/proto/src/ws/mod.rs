//! WebSocket, the server's side of one connection: RFC 6455 with RFC 7692.
//!
//! A [`Handshake`] judges the request and writes the answer; a [`WebSocket`] reads and writes what
//! follows. As with HTTP, input is parsed where the caller holds it and output goes into the buffer
//! that the caller passes. A message that is one frame and arrives whole is handed up where it lies.
//! Only one that is fragmented, compressed or incomplete is gathered, and between messages nothing
//! is allocated.

mod close;
mod deflate;
mod frame;
mod handshake;
mod mask;
mod message;
mod offer;
mod state;
mod utf8;

use self::close::{Failure, NO_CODE, is_code};
pub use self::deflate::Codec;
use self::deflate::Contexts;
pub use self::frame::Kind;
use self::frame::{Head, Malformed, Opcode};
pub use self::handshake::{AcceptWriter, Handshake, subprotocols};
use self::mask::unmask;
use self::message::Partial;
pub use self::offer::{Deflate, DeflateSettings};
use self::state::{Input, Receive, Send, State};
use self::utf8::Invalid;
use crate::error::Misuse;
use crate::event::Span;
use crate::limits::{WS_PONGS, WsLimits};

/// Where the bytes of a message are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In the input, unmasked.
    Here(Span),
    /// Put together, or inflated.
    Made(Vec<u8>),
}

/// What the input came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message. A text is valid UTF-8.
    Message { kind: Kind, data: Data },
    /// The answer to our latest ping.
    Pong,
    /// The peer's close frame, 1005 where it gave no code. Ours is written.
    Close { code: u16, reason: String },
    /// The peer erred. The close frame that says so is written.
    Failed { code: u16, reason: &'static str },
}

/// One step of the parser. Spans count from the start of the input that was passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    pub event: Option<Event>,
}

/// One WebSocket, seen from the server.
///
/// # Order of calls
///
/// 1. [`handle_bytes`](Self::handle_bytes) with everything unconsumed that has arrived, again and
///    again, until a step consumes nothing and has no event, or the input is used up.
/// 2. At any time [`send`](Self::send) or [`send_head`](Self::send_head), [`ping`](Self::ping), and
///    once [`close`](Self::close), after which no message is sent or handed up. When output has
///    been sent: [`write_due`](Self::write_due).
/// 3. When [`is_closing`](Self::is_closing): send what is queued, then close the transport
///    (section 7.1.1 has the server close it first).
#[derive(Debug)]
pub struct WebSocket {
    state: State,
    /// Our latest ping was not answered.
    pinged: bool,
    /// What is in our latest ping.
    pings: u32,
    deflate: Option<Deflate>,
    /// Bytes that the present data frame still has to have.
    left: u64,
    message: Option<Box<Partial>>,
    contexts: Option<Box<Contexts>>,
    /// The payload of a pong that is held back.
    pong: Option<Box<[u8]>>,
}

/// Receiving.
impl WebSocket {
    #[must_use]
    pub const fn new(deflate: Option<Deflate>) -> Self {
        Self {
            state: State::new(),
            pinged: false,
            pings: 0,
            deflate,
            left: 0,
            message: None,
            contexts: None,
            pong: None,
        }
    }

    /// Parses what has arrived: at most one event for each call. `input` begins at the first byte
    /// that is not consumed. Payloads are unmasked in place. A frame of control is consumed only as
    /// a whole, so that an incomplete one is passed again with more; of a message every byte is
    /// taken as it comes. What is to be answered at once is appended to `out`: pings, a close frame,
    /// an error of the peer.
    pub fn handle_bytes(
        &mut self,
        input: &mut [u8],
        codec: &mut Codec,
        limits: &WsLimits,
        out: &mut Vec<u8>,
    ) -> Step {
        let all = input.len();
        if self.is_closing() {
            return Step {
                consumed: all,
                event: None,
            };
        }
        // Places in the input are 32 bits wide.
        let input = match input.split_at_mut_checked(u32::MAX as usize) {
            Some((input, _)) => input,
            None => input,
        };
        match self.step(input, codec, limits, out) {
            Ok((consumed, event)) => Step { consumed, event },
            Err(Failure { code, reason }) => {
                if self.is_open() {
                    close::write(out, code, reason);
                }
                self.end(Input::Stop);
                Step {
                    consumed: all,
                    event: Some(Event::Failed { code, reason }),
                }
            }
        }
    }

    fn step(
        &mut self,
        input: &mut [u8],
        codec: &mut Codec,
        limits: &WsLimits,
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<Event>), Failure> {
        if self.left > 0 {
            return self.payload(input, 0, codec, limits);
        }
        let Some(head) = Head::parse(input, self.deflate.is_some())? else {
            return Ok((0, None));
        };
        match head.opcode {
            Opcode::Data(kind) => self.first(kind, &head, input, codec, limits),
            Opcode::Continuation => self.next(&head, input, codec, limits),
            control => self.control(control, &head, input, out),
        }
    }

    /// Section 5.4: a message begins where none is incomplete.
    fn first(
        &mut self,
        kind: Kind,
        head: &Head,
        input: &mut [u8],
        codec: &mut Codec,
        limits: &WsLimits,
    ) -> Result<(usize, Option<Event>), Failure> {
        self.state
            .apply(Input::First { fin: head.fin })
            .map_err(|_| Malformed("a message inside another"))?;
        if self.is_open() {
            if head.fin && !head.compressed && head.payload <= limits.message as u64 {
                let end = usize::try_from(head.payload).ok().map(|len| head.len + len);
                if let Some(payload) = end.and_then(|end| input.get_mut(head.len..end)) {
                    let ascii = unmask(payload, &mut { head.mask });
                    if kind == Kind::Text && !ascii && simdutf8::basic::from_utf8(payload).is_err()
                    {
                        return Err(Invalid.into());
                    }
                    let end = head.len + payload.len();
                    let data = Data::Here(Span::new(head.len, end));
                    return Ok((end, Some(Event::Message { kind, data })));
                }
            }
            let inflater = self
                .deflate
                .filter(|_| head.compressed)
                .map(|deflate| codec.inflater(&deflate, &mut self.contexts));
            let message = Partial::new(kind, head, inflater);
            if head.payload > message.room(limits) {
                return Err(Failure::TOO_LARGE);
            }
            self.message = Some(Box::new(message));
        }
        self.left = head.payload;
        self.payload(input, head.len, codec, limits)
    }

    fn next(
        &mut self,
        head: &Head,
        input: &mut [u8],
        codec: &mut Codec,
        limits: &WsLimits,
    ) -> Result<(usize, Option<Event>), Failure> {
        self.state
            .apply(Input::Next { fin: head.fin })
            .map_err(|_| Malformed("a continuation of nothing"))?;
        if let Some(message) = &mut self.message {
            message.next(head, limits)?;
            if head.payload > message.room(limits) {
                return Err(Failure::TOO_LARGE);
            }
        }
        self.left = head.payload;
        self.payload(input, head.len, codec, limits)
    }

    /// Takes what is there of the present frame's payload, from `start` on.
    fn payload(
        &mut self,
        input: &mut [u8],
        start: usize,
        codec: &mut Codec,
        limits: &WsLimits,
    ) -> Result<(usize, Option<Event>), Failure> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let end = start.saturating_add(left).min(input.len());
        self.left -= (end - start) as u64;
        // Without one, it is a message that came after our close frame: nobody wants it.
        if let Some(message) = &mut self.message {
            message.push(&mut input[start..end], self.left, limits)?;
        }
        let complete = self
            .message
            .take_if(|message| message.is_complete(self.left));
        let Some(message) = complete else {
            return Ok((end, None));
        };
        if let (Some(inflater), Some(deflate)) = (message.inflater, &self.deflate) {
            codec.give_back(deflate, &mut self.contexts, inflater);
        }
        let (kind, data) = (message.kind, Data::Made(message.bytes));
        Ok((end, Some(Event::Message { kind, data })))
    }

    /// Section 5.5. Control frames stand between the frames of a message as well.
    fn control(
        &mut self,
        opcode: Opcode,
        head: &Head,
        input: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<Event>), Failure> {
        let end = head.len + usize::try_from(head.payload).unwrap_or(frame::CONTROL);
        let Some(payload) = input.get_mut(head.len..end) else {
            return Ok((0, None));
        };
        unmask(payload, &mut { head.mask });
        let event = match opcode {
            Opcode::Ping => {
                self.answer(payload, out);
                None
            }
            Opcode::Pong => {
                let ours = self.pinged && *payload == self.pings.to_be_bytes();
                self.pinged &= !ours;
                ours.then_some(Event::Pong)
            }
            _ => Some(self.peer_close(payload, out)?),
        };
        Ok((end, event))
    }

    /// Section 5.5.3: pings that find much output waiting may be answered by a pong to the latest.
    fn answer(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if !self.is_open() {
            return;
        }
        if out.len() < WS_PONGS {
            self.pong = None;
            frame::write(out, Opcode::Pong, payload);
        } else {
            self.pong = Some(Box::from(payload));
        }
    }

    /// Section 5.5.1: the answer repeats the code.
    fn peer_close(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<Event, Failure> {
        let (code, reason) = close::read(payload)?;
        if self.is_open() {
            close::write(out, code, reason);
        }
        self.end(Input::PeerClose);
        Ok(Event::Close {
            code,
            reason: reason.to_owned(),
        })
    }

    /// Nothing more is read: what was kept for it goes.
    fn end(&mut self, input: Input) {
        self.change(input);
        self.message = None;
        self.contexts = None;
        self.pong = None;
        self.pinged = false;
    }
}

/// Sending. An error leaves `out` and the state as they were.
impl WebSocket {
    /// Writes a message, compressed where that was negotiated, is worth a try and makes it smaller.
    /// That a text is UTF-8 is the caller's to know.
    ///
    /// # Errors
    /// If the WebSocket is not open.
    pub fn send(
        &mut self,
        kind: Kind,
        data: &[u8],
        codec: &mut Codec,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        self.state
            .apply(Input::Send)
            .map_err(|_| Misuse::NotWebSocket)?;
        let start = out.len();
        if let Some(deflate) = self.deflate.filter(|deflate| deflate.fits(data.len()))
            && codec.compress(&deflate, &mut self.contexts, data, out)
        {
            let payload = (out.len() - start) as u64;
            let (head, len) = frame::head(Opcode::Data(kind), true, payload);
            out.splice(start..start, head[..len].iter().copied());
        } else {
            frame::write(out, Opcode::Data(kind), data);
        }
        Ok(())
    }

    /// Whether [`send`](Self::send) would try to compress a message of that length.
    #[must_use]
    pub fn compresses(&self, len: usize) -> bool {
        self.deflate.is_some_and(|deflate| deflate.fits(len))
    }

    /// Writes the head of a message that is sent as it is; its `len` bytes are the caller's to queue.
    ///
    /// # Errors
    /// If the WebSocket is not open.
    pub fn send_head(&mut self, kind: Kind, len: u64, out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.state
            .apply(Input::Send)
            .map_err(|_| Misuse::NotWebSocket)?;
        frame::write_head(out, Opcode::Data(kind), len);
        Ok(())
    }

    /// Writes our close frame; with 1005, one without a code. A reason that is too long is cut.
    ///
    /// # Errors
    /// If the WebSocket is not open, or the code is not one to send.
    pub fn close(&mut self, code: u16, reason: &str, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if code != NO_CODE && !is_code(code) {
            return Err(Misuse::InvalidCloseCode(code));
        }
        self.state
            .apply(Input::Close)
            .map_err(|_| Misuse::NotWebSocket)?;
        close::write(out, code, reason);
        self.message = None;
        self.contexts = None;
        self.pong = None;
        Ok(())
    }

    /// Writes a ping whose pong will be told from others, if the WebSocket is open.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        if self.is_open() {
            self.pings = self.pings.wrapping_add(1);
            self.pinged = true;
            frame::write(out, Opcode::Ping, &self.pings.to_be_bytes());
        }
    }

    /// Writes the pong that was held back, if there is one.
    pub fn write_due(&mut self, out: &mut Vec<u8>) {
        if let Some(payload) = self.pong.take() {
            frame::write(out, Opcode::Pong, &payload);
        }
    }

    /// Every caller has made sure that the input is legal.
    fn change(&mut self, input: Input) {
        let legal = self.state.apply(input);
        debug_assert!(legal.is_ok(), "{input:?} in {:?}", self.state);
    }
}

/// Where the WebSocket stands.
impl WebSocket {
    /// Messages may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.send == Send::Open
    }

    /// Nothing more is parsed: send what is queued, then close the transport.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        matches!(self.state.receive, Receive::Closed | Receive::Failed)
    }

    /// Our close frame is written, and the peer's is waited for.
    #[must_use]
    pub fn close_sent(&self) -> bool {
        !self.is_open() && !self.is_closing()
    }

    /// The peer has sent its close frame.
    #[must_use]
    pub fn close_received(&self) -> bool {
        self.state.receive == Receive::Closed
    }

    /// Our latest ping was not answered.
    #[must_use]
    pub fn awaits_pong(&self) -> bool {
        self.pinged
    }

    /// A message of the peer's has begun and is incomplete.
    #[must_use]
    pub fn in_message(&self) -> bool {
        self.state.receive == Receive::Message || self.left > 0
    }

    /// Bytes of an incomplete message that are kept.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.message
            .as_ref()
            .map_or(0, |message| message.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<WebSocket>() <= 64);
    }
}
