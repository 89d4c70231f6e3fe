//! HTTP/1.1, the server's side of one connection.
//!
//! [`Http1`] ties the rooms together: it owns no bytes and allocates nothing, so a connection that
//! is idle costs what the struct has in it. Input is parsed where the caller holds it, output goes
//! into the buffer that the caller passes.

mod authority;
mod decode;
pub mod encode;
mod framing;
mod head;
mod octets;
mod state;
mod writer;

use self::decode::Decoder;
pub(crate) use self::encode::{field_line, status_line};
pub(crate) use self::framing::list;
use self::head::{Head, Scan};
pub(crate) use self::octets::{is_token, is_token_octet, trim};
use self::state::{Input, Receive, Send, State};
use self::writer::Answer;
pub use self::writer::{HeadWriter, InfoWriter, Preset, TrailerWriter};
use crate::error::{Fault, Misuse, Verb};
use crate::event::{BodyLength, Eof, Event, Field, RequestHead, Step, Version};
use crate::limits::Limits;

/// The body of the response where the application failed.
pub const FAILURE: &str = "Internal Server Error";

/// How the bytes of one `body` call are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// Not at all.
    Discard,
    Raw,
    /// As one chunk, if there are any; once the response is complete the last chunk follows.
    Chunked,
}

/// What is known of the present exchange and of the end of the connection.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts; what excludes each other is in State"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    /// The client speaks HTTP/1.0.
    old: bool,
    /// The method is HEAD.
    head: bool,
    /// The client lets the connection be kept, and once the response head is written, so do we.
    keep_alive: bool,
    /// The server wants the connection to end with this exchange.
    close_after: bool,
    /// The client waits for 100 (Continue).
    continue_due: bool,
    /// The client keeps trailer fields.
    trailers_wanted: bool,
    /// The response ends with trailers.
    trailers_due: bool,
}

/// One HTTP/1.1 connection, seen from the server.
///
/// # Order of calls
///
/// For each exchange:
///
/// 1. [`handle_bytes`](Self::handle_bytes) with everything unconsumed that has arrived, again and
///    again, until a step consumes nothing and has no event, or the input is used up. It gives one
///    `Request`, then `Body` events up to the one with `end` (none if the request has no body).
/// 2. At any time after `Request`: [`wants_continue`](Self::wants_continue) and
///    [`send_continue`](Self::send_continue) when the application first reads,
///    [`informational`](Self::informational) any number of times, then
///    [`respond`](Self::respond) with its fields and `finish`, [`body`](Self::body) up to `more`
///    false, and [`trailers`](Self::trailers) if they were announced by
///    [`expect_trailers`](Self::expect_trailers). Or [`refuse`](Self::refuse) or
///    [`fail`](Self::fail).
/// 3. When [`exchange_complete`](Self::exchange_complete) and [`keep_alive`](Self::keep_alive):
///    [`next_exchange`](Self::next_exchange), then step 1 with what is left. While
///    [`response_complete`](Self::response_complete) and not `exchange_complete`, bytes that arrive
///    go to `handle_bytes` all the same: the rest of the request is read and thrown away.
/// 4. When [`is_closing`](Self::is_closing): send what is queued and close.
///
/// [`handle_eof`](Self::handle_eof) tells the end of input. After a [`Fault`], `refuse` answers it.
#[derive(Debug)]
pub struct Http1 {
    state: State,
    flags: Flags,
    /// How the response body is written; valid after the response head.
    framing: BodyFraming,
    /// Empty lines before the request.
    empty_lines: u8,
    scan: Scan,
    decoder: Decoder,
    /// Bytes that the response body still has to have, where its length is fixed.
    response_left: Option<u64>,
    /// Bytes of the request that may still be thrown away after the response.
    drain_left: u64,
}

impl Default for Http1 {
    fn default() -> Self {
        Self::new()
    }
}

/// Receiving.
impl Http1 {
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::new(),
            flags: Flags {
                old: false,
                head: false,
                keep_alive: true,
                close_after: false,
                continue_due: false,
                trailers_wanted: false,
                trailers_due: false,
            },
            framing: BodyFraming::Discard,
            empty_lines: 0,
            scan: Scan::new(),
            decoder: Decoder::new(BodyLength::None),
            response_left: None,
            drain_left: 0,
        }
    }

    /// Parses what has arrived: at most one event for each call. `input` begins at the first byte
    /// that is not consumed. Nothing of an incomplete head is consumed (empty lines before it are);
    /// the caller passes the same bytes and more next time. Names are put into lower case and
    /// chunked data is moved together in place. The fields of a request are appended to `fields`.
    ///
    /// # Errors
    /// If the peer erred. Every later call consumes all input and gives nothing: what follows a
    /// fault is never parsed.
    pub fn handle_bytes(
        &mut self,
        input: &mut [u8],
        fields: &mut Vec<Field>,
        limits: &Limits,
    ) -> Result<Step, Fault> {
        if self.is_closing() {
            return Ok(Step {
                consumed: input.len(),
                event: None,
            });
        }
        // Places in the input are 32 bits wide.
        let input = match input.split_at_mut_checked(u32::MAX as usize) {
            Some((input, _)) => input,
            None => input,
        };
        let step = match self.state.receive {
            Receive::Head => self.head(input, fields, limits),
            Receive::Body => self.request_body(input, limits),
            // Pipelined requests wait (RFC 9112 section 9.3.2 asks for responses in order).
            Receive::Done | Receive::Closed => Ok(Step {
                consumed: 0,
                event: None,
            }),
        };
        if step.is_err() {
            self.change(Input::Stop);
        }
        step
    }

    fn head(
        &mut self,
        input: &mut [u8],
        fields: &mut Vec<Field>,
        limits: &Limits,
    ) -> Result<Step, Fault> {
        let skipped = if input.first().is_some_and(|&octet| is_token_octet(octet)) {
            0
        } else {
            self.skip_empty_lines(input, limits)?
        };
        if input[skipped..] == *b"\r" {
            // Half an empty line.
            return Ok(Step {
                consumed: skipped,
                event: None,
            });
        }
        let first = fields.len();
        let Some(Head {
            mut request,
            len,
            unmet,
        }) = self.scan.advance(&mut input[skipped..], fields, limits)?
        else {
            return Ok(Step {
                consumed: skipped,
                event: None,
            });
        };
        self.scan = Scan::new();
        self.empty_lines = 0;
        self.decoder = Decoder::new(request.body);
        self.drain_left = limits.drain_bytes;
        self.flags = Flags {
            old: request.version == Version::Http10,
            head: request.method.of(&input[skipped..]) == b"HEAD",
            keep_alive: request.keep_alive,
            close_after: self.flags.close_after,
            continue_due: request.expect_continue,
            trailers_wanted: request.trailers,
            trailers_due: false,
        };
        self.change(Input::Request {
            body: request.body != BodyLength::None,
        });
        if unmet {
            fields.truncate(first);
            return Ok(Step {
                consumed: skipped + len,
                event: Some(Event::Refuse(Fault::UnmetExpectation)),
            });
        }
        if skipped > 0 {
            shift(&mut request, &mut fields[first..], skipped);
        }
        Ok(Step {
            consumed: skipped + len,
            event: Some(Event::Request(request)),
        })
    }

    /// RFC 9112 section 2.2: at least one empty line before a request line is ignored.
    fn skip_empty_lines(&mut self, input: &[u8], limits: &Limits) -> Result<usize, Fault> {
        let mut at = 0;
        loop {
            match input[at..] {
                [b'\r', b'\n', ..] if self.empty_lines < limits.empty_lines => {
                    self.empty_lines += 1;
                    at += 2;
                }
                [b'\r', b'\n', ..] => return Err(Fault::EmptyLines),
                [b'\r', _, ..] => return Err(Fault::BareCr),
                [b'\n', ..] => return Err(Fault::BareLf),
                _ => return Ok(at),
            }
        }
    }

    fn request_body(&mut self, input: &mut [u8], limits: &Limits) -> Result<Step, Fault> {
        let decoded = self.decoder.decode(input, limits)?;
        // RFC 9110 section 10.1.1: no 100 for a client that sends without it.
        self.flags.continue_due &= decoded.data.is_empty();
        if decoded.end {
            self.change(Input::RequestEnd);
        }
        let event = if self.response_complete() {
            self.drain_left = self.drain_left.saturating_sub(decoded.consumed as u64);
            self.stop_draining();
            None
        } else if decoded.end || !decoded.data.is_empty() {
            Some(Event::Body {
                data: decoded.data,
                end: decoded.end,
            })
        } else {
            None
        };
        Ok(Step {
            consumed: decoded.consumed,
            event,
        })
    }

    /// Gives up on the rest of a request that is longer than what is worth throwing away.
    fn stop_draining(&mut self) {
        if self.state.receive == Receive::Body
            && (self.drain_left == 0 || self.decoder.at_least() > self.drain_left)
        {
            self.change(Input::Stop);
        }
    }

    /// The peer will send nothing more. `buffered`: unconsumed input is left. After
    /// [`Eof::AfterRequest`] with nothing buffered, the response head will say `connection: close`;
    /// otherwise call this again when the exchange is over.
    pub fn handle_eof(&mut self, buffered: bool) -> Eof {
        match self.state.receive {
            Receive::Head => {
                self.change(Input::Stop);
                if buffered { Eof::MidHead } else { Eof::Idle }
            }
            Receive::Body => {
                self.change(Input::Stop);
                Eof::MidBody
            }
            Receive::Done => {
                self.flags.close_after |= !buffered;
                Eof::AfterRequest
            }
            Receive::Closed if self.state.send == Send::Idle => Eof::Idle,
            Receive::Closed => Eof::MidBody,
        }
    }
}

/// Responding. An error leaves `out` and the state as they were.
impl Http1 {
    /// Begins the response. `preset` lines come first.
    ///
    /// # Errors
    /// If it is not time for one, or `status` is not from 200 to 599.
    pub fn respond<'a>(
        &'a mut self,
        status: u16,
        out: &'a mut Vec<u8>,
        preset: &'a Preset,
    ) -> Result<HeadWriter<'a>, Misuse> {
        if self.state.send != Send::Head {
            return Err(self.misuse(Verb::Start));
        }
        if !(200..600).contains(&status) {
            return Err(Misuse::InvalidStatus(status));
        }
        Ok(HeadWriter::new(self, out, preset, status))
    }

    /// The next response head will say `connection: close`.
    pub fn close_after(&mut self) {
        self.flags.close_after = true;
    }

    /// Announces `len` bytes of the response body, the last ones if `more` is false, and says how
    /// they are to be written.
    ///
    /// # Errors
    /// If it is not time for them, or the length contradicts `content-length`. In the latter case
    /// the response cannot be completed: [`fail`](Self::fail) cuts it.
    pub fn body(&mut self, len: u64, more: bool) -> Result<BodyFraming, Misuse> {
        if self.state.send != Send::Body {
            return Err(self.misuse(Verb::Body));
        }
        if let Some(left) = self.response_left {
            let left = left.checked_sub(len).ok_or(Misuse::ContentTooLong)?;
            if left > 0 && !more {
                return Err(Misuse::ContentTooShort);
            }
            self.response_left = Some(left);
        }
        if more {
            self.change(Input::Part);
        } else {
            self.change(Input::End {
                trailers: self.flags.trailers_due,
            });
            self.ended();
        }
        Ok(self.framing)
    }

    /// The response will end only with [`trailers`](Self::trailers). To be called before the last
    /// part of the body. The fields are sent where the body is chunked and the client said
    /// `te: trailers` (RFC 9110 section 6.5.1), and dropped otherwise.
    pub fn expect_trailers(&mut self) {
        self.flags.trailers_due |= matches!(self.state.send, Send::Head | Send::Body);
    }

    /// Begins the trailers, which end the response; the last chunk is written with them.
    ///
    /// # Errors
    /// If it is not time for them.
    pub fn trailers<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Result<TrailerWriter<'a>, Misuse> {
        if self.state.send != Send::Trailers {
            return Err(self.misuse(Verb::Trailers));
        }
        Ok(TrailerWriter::new(self, out))
    }

    /// Begins an interim response. An HTTP/1.0 client gets none (RFC 9110 section 15.2).
    ///
    /// # Errors
    /// If the response was started, or `status` is not from 102 to 199: 100 is sent when it is due,
    /// and 101 would change the protocol.
    pub fn informational<'a>(
        &'a mut self,
        status: u16,
        out: &'a mut Vec<u8>,
    ) -> Result<InfoWriter<'a>, Misuse> {
        if self.state.send != Send::Head {
            return Err(self.misuse(Verb::Informational));
        }
        if !(102..200).contains(&status) {
            return Err(Misuse::InvalidStatus(status));
        }
        Ok(InfoWriter::new(self, out, status))
    }

    /// The client waits for 100 (Continue), and it would still be right to send it.
    #[must_use]
    pub fn wants_continue(&self) -> bool {
        self.flags.continue_due
            && self.state.send == Send::Head
            && self.state.receive == Receive::Body
    }

    /// Writes 100 (Continue) if it is due.
    pub fn send_continue(&mut self, out: &mut Vec<u8>) {
        if self.wants_continue() {
            self.flags.continue_due = false;
            self.change(Input::Inform);
            encode::status_line(out, 100);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Answers in place of the application and ends the connection. After a response head it writes
    /// nothing: the response stays as far as it is.
    pub fn refuse(&mut self, fault: Fault, out: &mut Vec<u8>, preset: &Preset) {
        debug_assert!(!fault.is_silent());
        let due = matches!(self.state.send, Send::Idle | Send::Head);
        // Without a body, an expectation that is not met leaves the connection as sound as before.
        // With one, nobody knows whether the client will send it.
        let keep = fault == Fault::UnmetExpectation
            && self.state
                == State {
                    receive: Receive::Done,
                    send: Send::Head,
                }
            && self.flags.keep_alive
            && !self.flags.close_after;
        if due {
            let answer = Answer {
                status: fault.status(),
                text: fault.reason(),
                head_only: self.flags.head,
                keep,
            };
            answer.write(out, preset);
        }
        if keep {
            self.change(Input::Respond);
            self.change(Input::End { trailers: false });
        } else {
            self.change(Input::Refuse);
        }
    }

    /// The application failed. Without a response head the client gets 500 and this is true; in the
    /// middle of a response the connection is to be cut, so that the part is not taken for the
    /// whole. A complete response stays what it is.
    pub fn fail(&mut self, out: &mut Vec<u8>, preset: &Preset) -> bool {
        match self.state.send {
            Send::Head => {
                Answer {
                    status: 500,
                    text: FAILURE,
                    head_only: self.flags.head,
                    keep: false,
                }
                .write(out, preset);
                self.change(Input::Fail);
                true
            }
            Send::Body | Send::Trailers => {
                self.change(Input::Fail);
                false
            }
            Send::Idle | Send::Done | Send::Cut => false,
        }
    }

    /// Makes ready for the next request, if the exchange is complete and the connection is kept.
    pub fn next_exchange(&mut self) {
        if self.exchange_complete() && self.keep_alive() {
            self.change(Input::Next);
            // A refusal before the next request is known has a body.
            self.flags.head = false;
        }
    }

    /// The response is over, unless trailers follow.
    fn ended(&mut self) {
        if self.response_complete() {
            self.stop_draining();
        }
    }

    fn misuse(&self, verb: Verb) -> Misuse {
        match self.state.send {
            Send::Head => Misuse::StartExpected(verb),
            Send::Body => Misuse::BodyExpected(verb),
            Send::Trailers => Misuse::TrailersExpected(verb),
            Send::Idle | Send::Done | Send::Cut => Misuse::Complete(verb),
        }
    }

    /// Every caller has made sure that the input is legal.
    fn change(&mut self, input: Input) {
        let legal = self.state.apply(input);
        debug_assert!(legal.is_ok(), "{input:?} in {:?}", self.state);
    }
}

/// Where the connection stands.
impl Http1 {
    /// Every byte of the request has been parsed.
    #[must_use]
    pub fn request_complete(&self) -> bool {
        self.state.receive == Receive::Done
    }

    /// The final response head has been written.
    #[must_use]
    pub fn response_started(&self) -> bool {
        !matches!(self.state.send, Send::Idle | Send::Head)
    }

    /// Every byte of the response has been announced.
    #[must_use]
    pub fn response_complete(&self) -> bool {
        self.state.send == Send::Done
    }

    /// Both ends are complete.
    #[must_use]
    pub fn exchange_complete(&self) -> bool {
        self.request_complete() && self.response_complete()
    }

    /// Between exchanges, or in a request head.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state == State::new()
    }

    /// Whether another exchange may follow; valid once the response head is finished.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.flags.keep_alive && self.state.receive != Receive::Closed
    }

    /// Nothing more will be read or parsed: send what is queued, then close.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.state.receive == Receive::Closed
            || (self.response_complete() && !self.flags.keep_alive)
    }
}

fn shift(request: &mut RequestHead, fields: &mut [Field], by: usize) {
    // An empty line has two bytes and few are allowed.
    let by = u32::try_from(by).unwrap_or(0);
    for span in [&mut request.method, &mut request.path, &mut request.query] {
        *span = span.shift(by);
    }
    for field in fields {
        *field = Field {
            name: field.name.shift(by),
            value: field.value.shift(by),
        };
    }
}
