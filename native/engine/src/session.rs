//! One connection: transport, protocol state, what was read but not parsed, what waits to be sent.
//!
//! A session decides nothing about other sessions and does no input or output by itself; it knows
//! what it wants (bytes, room in the peer's window, to be closed) and the reactor acts on it. While
//! it is idle it owns no buffer.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ferricorn_proto::proxy::{self, Told};
use ferricorn_proto::ws::{self, Codec, Handshake, WebSocket};
use ferricorn_proto::{
    Event, Fault, Field, Http1, Limits, Millis, RecvBuf, RequestHead, SendQueue, Span, Timer,
    Timers, Upgrade, limits,
};

use crate::options::{Options, WebSocketOptions};
use crate::transport::{Piece, Transport};
use crate::work::{Address, ExchangeId, SessionId, Work};

pub(crate) struct Session<P: AsRef<[u8]>> {
    pub(crate) id: SessionId,
    pub(crate) transport: Transport,
    pub(crate) http: Http1,
    pub(crate) speech: Speech,
    pub(crate) input: RecvBuf,
    pub(crate) output: SendQueue<Piece<P>>,
    pub(crate) timers: Timers,
    /// The instant under which the session stands in the heap of deadlines.
    pub(crate) queued: Option<Millis>,
    /// When it was accepted.
    pub(crate) opened: Millis,
    /// Both ends, until the first request tells them upwards.
    pub(crate) addresses: Option<Box<(Address, Address)>>,
    /// The number of the latest exchange; 0 before the first request.
    pub(crate) number: u32,
    /// Bytes of bodies or messages handed up that the application has not asked for yet.
    pub(crate) unread: usize,
    /// A PROXY header comes before the first request.
    pub(crate) proxy_due: bool,
    /// Messages that may be handed up before the application takes one.
    pub(crate) room: u16,
    /// The floor above knows this session.
    pub(crate) told: bool,
    /// The latest exchange goes on: its client is still to hear or its application to be told.
    pub(crate) live: bool,
    /// The application was told that the latest exchange's client has left.
    pub(crate) left: bool,
    /// Readiness was reported and not used up.
    pub(crate) readable: bool,
    /// The peer has sent its last byte, or will after what is still unread.
    pub(crate) read_closed: bool,
    /// End of input was seen.
    pub(crate) eof: bool,
    /// The peer is gone: it will take nothing more either.
    pub(crate) broken: bool,
    /// The peer's window is full.
    pub(crate) blocked: bool,
    /// A sender waits until the output has drained.
    pub(crate) awaited: bool,
    /// Stands in the list of sessions to read.
    pub(crate) in_ready: bool,
    /// Stands in the list of sessions to flush.
    pub(crate) in_dirty: bool,
    /// Only reads to see the peer's end; whatever arrives is thrown away.
    pub(crate) lingering: bool,
    /// A host connection was told to stop reading.
    pub(crate) paused: bool,
    /// A host connection's deadline has passed once, and was postponed.
    pub(crate) overdue: bool,
}

/// What a connection speaks.
pub(crate) enum Speech {
    Http,
    /// The request that is being answered asks for a WebSocket.
    Asked(Box<Handshake>),
    Socket(Box<WebSocket>),
}

/// Where what parsing finds goes.
pub(crate) struct Sink<'a> {
    pub(crate) fields: &'a mut Vec<Field>,
    pub(crate) work: &'a mut Vec<Work>,
    pub(crate) limits: &'a Limits,
    pub(crate) websocket: Option<&'a WebSocketOptions>,
    pub(crate) codec: &'a mut Codec,
    /// WebSockets that are open.
    pub(crate) sockets: usize,
    pub(crate) requests: &'a mut u64,
}

/// What parsing the input came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Everything that can be handed up now has been.
    Done,
    /// The peer erred, or asks for what nobody gives: refuse it.
    Refused(Fault),
}

impl<P: AsRef<[u8]>> Session<P> {
    pub(crate) fn new(
        id: SessionId,
        transport: Transport,
        addresses: (Address, Address),
        opened: Millis,
    ) -> Self {
        // A host connection is fed: there is nothing to read it by.
        let readable = !transport.is_host();
        Self {
            id,
            transport,
            http: Http1::new(),
            speech: Speech::Http,
            input: RecvBuf::new(),
            output: SendQueue::new(),
            timers: Timers::new(),
            queued: None,
            opened,
            addresses: Some(Box::new(addresses)),
            number: 0,
            unread: 0,
            proxy_due: false,
            room: 0,
            told: false,
            live: false,
            left: false,
            readable,
            read_closed: false,
            eof: false,
            broken: false,
            blocked: false,
            awaited: false,
            in_ready: false,
            in_dirty: false,
            lingering: false,
            paused: false,
            overdue: false,
        }
    }

    pub(crate) fn exchange(&self) -> ExchangeId {
        ExchangeId {
            session: self.id,
            number: self.number,
        }
    }

    /// Both messages are complete: the next request may be parsed.
    pub(crate) fn next_exchange(&mut self) {
        self.live = false;
        self.unread = 0;
        self.http.next_exchange();
    }

    /// Tells the application of the latest exchange that its client has left.
    pub(crate) fn tell_left(&mut self, work: &mut Vec<Work>) {
        if self.live && !self.left {
            self.left = true;
            work.push(Work::Disconnected {
                exchange: self.exchange(),
            });
        }
    }

    /// Whether more input is of use now. While a response is made, a complete request waits for it,
    /// and a body waits for the application above the high-water mark.
    pub(crate) fn wants_input(&self) -> bool {
        let wants = match &self.speech {
            Speech::Socket(socket) => !socket.is_closing() && self.room > 0,
            _ => !self.http.is_closing() && (self.http.is_idle() || !self.http.request_complete()),
        };
        self.lingering || (wants && !self.eof && self.unread < limits::BODY_HIGH_WATER)
    }

    /// Of what a peer that is gone has left, nothing is of use any more.
    pub(crate) fn is_read(&self) -> bool {
        match &self.speech {
            // A Unix socket says so as soon as its peer has closed: messages may have to wait for
            // their application.
            Speech::Socket(_) if matches!(self.transport, Transport::Unix(_)) => {
                !self.wants_input() && self.has_room()
            }
            Speech::Socket(_) => !self.wants_input(),
            _ => (self.http.request_complete() || self.http.is_closing()) && !self.lingering,
        }
    }

    /// The application of a WebSocket has taken enough of its messages to be handed more.
    pub(crate) fn has_room(&self) -> bool {
        self.room > 0 && self.unread < limits::BODY_HIGH_WATER
    }

    /// Nothing more will be read or parsed: send what is queued, then close.
    pub(crate) fn is_closing(&self) -> bool {
        match &self.speech {
            Speech::Socket(socket) => socket.is_closing(),
            _ => self.http.is_closing(),
        }
    }

    /// The peer has nothing more to say, as far as its messages tell.
    pub(crate) fn is_heard_out(&self) -> bool {
        match &self.speech {
            Speech::Socket(socket) => socket.close_received(),
            _ => self.http.is_idle() || self.http.request_complete(),
        }
    }

    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.speech, Speech::Socket(_))
    }

    /// Parses `input` as far as it can be handed up and gives the number of bytes used. `place`
    /// puts a consumed part, given by its offset and bytes, into the arena and says where.
    pub(crate) fn parse(
        &mut self,
        input: &mut [u8],
        sink: &mut Sink<'_>,
        mut place: impl FnMut(usize, &[u8]) -> u32,
    ) -> (usize, Parsed) {
        if self.is_socket() {
            return (self.parse_messages(input, sink, place), Parsed::Done);
        }
        let mut used = 0;
        if self.proxy_due {
            match proxy::parse(input) {
                Ok(Some(header)) => {
                    self.introduce(header.told, input);
                    used = header.consumed;
                }
                Ok(None) => return (0, Parsed::Done),
                Err(fault) => return (0, Parsed::Refused(fault)),
            }
        }
        while used < input.len() {
            let step = match self
                .http
                .handle_bytes(&mut input[used..], sink.fields, sink.limits)
            {
                Ok(step) => step,
                Err(fault) => return (used, Parsed::Refused(fault)),
            };
            let start = used;
            used += step.consumed;
            match step.event {
                Some(Event::Request(mut head)) => {
                    if head.upgrade == Upgrade::WebSocket {
                        match self.asked(&mut head, &input[start..used], sink) {
                            Ok(speech) => self.speech = speech,
                            Err(fault) => return (used, Parsed::Refused(fault)),
                        }
                    }
                    if let Some(addresses) = self.addresses.take() {
                        let (peer, local) = *addresses;
                        self.told = true;
                        sink.work.push(Work::Opened {
                            session: self.id,
                            peer,
                            local,
                        });
                    }
                    *sink.requests += 1;
                    self.number = self.number.wrapping_add(1);
                    self.live = true;
                    self.left = false;
                    let base = place(start, &input[start..used]);
                    sink.work.push(Work::Request {
                        exchange: self.exchange(),
                        base,
                        head,
                    });
                }
                Some(Event::Body { data, end }) => {
                    let base = place(start, &input[start..used]);
                    self.unread += data.len();
                    let data = Span {
                        start: data.start + base,
                        end: data.end + base,
                    };
                    sink.work.push(Work::Body {
                        exchange: self.exchange(),
                        data,
                        end,
                    });
                }
                Some(Event::Refuse(fault)) => return (used, Parsed::Refused(fault)),
                None if step.consumed == 0 => return (used, Parsed::Done),
                None => {}
            }
        }
        (used, Parsed::Done)
    }

    /// Takes the ends that a PROXY header in `input` tells for those of the connection.
    fn introduce(&mut self, told: Told, input: &[u8]) {
        self.proxy_due = false;
        let both = match told {
            Told::Nothing => return,
            Told::Inet {
                source,
                destination,
            } => (Address::Inet(source), Address::Inet(destination)),
            Told::Unix {
                source,
                destination,
            } => (named(source.of(input)), named(destination.of(input))),
        };
        self.addresses = Some(Box::new(both));
    }

    /// Looks at a request for a WebSocket. Where none are served, it is a request like any other.
    fn asked(
        &mut self,
        head: &mut RequestHead,
        input: &[u8],
        sink: &Sink<'_>,
    ) -> Result<Speech, Fault> {
        let Some(options) = sink.websocket else {
            head.upgrade = Upgrade::Other;
            return Ok(Speech::Http);
        };
        let fields = &sink.fields[head.fields.start as usize..head.fields.end as usize];
        let handshake = Handshake::examine(fields, input, options.deflate.as_ref())?;
        if options.connections.is_some_and(|most| sink.sockets >= most) {
            return Err(Fault::Overloaded);
        }
        // What follows the request belongs to the WebSocket, and to nobody if there will be none.
        self.http.close_after();
        Ok(Speech::Asked(Box::new(handshake)))
    }

    fn parse_messages(
        &mut self,
        input: &mut [u8],
        sink: &mut Sink<'_>,
        mut place: impl FnMut(usize, &[u8]) -> u32,
    ) -> usize {
        let mut used = 0;
        let mut ended = None;
        let exchange = self.exchange();
        let (Speech::Socket(socket), Some(options)) = (&mut self.speech, sink.websocket) else {
            return used;
        };
        while used < input.len() && self.room > 0 && self.unread < limits::BODY_HIGH_WATER {
            let out = self.output.buffer();
            let step = socket.handle_bytes(&mut input[used..], sink.codec, &options.limits, out);
            let start = used;
            used += step.consumed;
            match step.event {
                Some(ws::Event::Message { kind, data }) => {
                    let data = match data {
                        ws::Data::Here(span) => {
                            self.unread += span.len();
                            ws::Data::Here(span.shift(place(start, &input[start..used])))
                        }
                        ws::Data::Made(bytes) => {
                            self.unread += bytes.len();
                            ws::Data::Made(bytes)
                        }
                    };
                    self.room -= 1;
                    sink.work.push(Work::Message {
                        exchange,
                        kind,
                        data,
                    });
                }
                Some(ws::Event::Close { code, reason }) => {
                    ended = Some((code, reason));
                }
                Some(ws::Event::Failed { code, reason }) => {
                    ended = Some((code, reason.to_owned()));
                }
                None if step.consumed == 0 => break,
                Some(ws::Event::Pong) | None => {}
            }
        }
        if let Some((code, reason)) = ended {
            self.tell_closed(code, reason, sink.work);
        }
        used
    }

    /// Tells the application that its WebSocket is over, unless it has ended it or knows.
    pub(crate) fn tell_closed(&mut self, code: u16, reason: String, work: &mut Vec<Work>) {
        if std::mem::take(&mut self.live) && !std::mem::replace(&mut self.left, true) {
            work.push(Work::SocketClosed {
                exchange: self.exchange(),
                code,
                reason,
            });
        }
    }

    /// Sets the deadlines that follow from where the session stands.
    pub(crate) fn set_receive_timers(&mut self, now: Millis, options: &Options) {
        if let (Speech::Socket(socket), Some(options)) = (&self.speech, &options.websocket) {
            let pinged = socket.awaits_pong();
            let quiet = socket.is_open() && !pinged;
            let ends = socket.close_sent();
            // The pong is behind what the application leaves unread.
            let listens = self.wants_input();
            self.keep(Timer::PING, now, options.ping_interval, quiet);
            self.keep(
                Timer::PONG,
                now,
                options.ping_timeout,
                pinged && listens && !ends,
            );
            self.keep(Timer::CLOSE, now, options.close_timeout, ends);
            return;
        }
        let after = |delay: Millis| (delay > 0).then(|| now + delay);
        let idle = self.http.is_idle();
        let between = idle && self.number > 0 && self.input.is_empty();
        // Who has not got the whole of the last response is not idle: sending has its own deadline.
        let unused = between && self.output.is_empty() && !self.blocked;
        // Absolute: bytes that trickle in do not move the head's deadline.
        if !idle || between {
            self.timers.stop(Timer::Head);
        } else if let (false, Some(at)) =
            (self.timers.is_set(Timer::Head), after(options.request_head))
        {
            self.timers.set(Timer::Head, at);
        }
        self.put(
            Timer::KeepAlive,
            after(options.keep_alive).filter(|_| unused),
        );
        // Time that the application takes is not the peer's.
        let waits = !idle
            && !self.http.request_complete()
            && !self.http.wants_continue()
            && self.unread < limits::BODY_HIGH_WATER;
        self.put(Timer::Body, after(options.request_body).filter(|_| waits));
    }

    /// Has a deadline run from now on, unless it runs already, for as long as there is cause.
    fn keep(&mut self, timer: Timer, now: Millis, delay: Millis, cause: bool) {
        if !cause || delay == 0 {
            self.timers.stop(timer);
        } else if !self.timers.is_set(timer) {
            self.timers.set(timer, now + delay);
        }
    }

    fn put(&mut self, timer: Timer, at: Option<Millis>) {
        match at {
            Some(at) => self.timers.set(timer, at),
            None => self.timers.stop(timer),
        }
    }
}

/// A Unix socket, by a name that it may lack.
fn named(octets: &[u8]) -> Address {
    let path = (!octets.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(octets)));
    Address::Unix(path)
}
