//! From the sockets upwards: accept, read, parse, hand up.
//!
//! A request that arrives whole is parsed in the arena where it was read; only what is incomplete
//! is copied, into the connection's own buffer. Each call has a budget: the sockets of one wait,
//! one read for each, and the arena. What is left stays in `ready`, and the caller comes again.

use std::io::ErrorKind;
use std::mem;

use ferricorn_proto::{Eof, Fault, RecvBuf, Timer};

use crate::poller::Readiness;
use crate::reactor::{FIRST_LISTENER, Reactor};
use crate::session::{Parsed, Sink};
use crate::transport::Transport;
use crate::work::{Address, Batch, READ, SessionId, Work};

/// Connections accepted in one turn; the others wait for the next.
const ACCEPTS: usize = 64;
/// How long to wait when the process has no descriptor for another connection.
const ACCEPT_PAUSE: u64 = 100;

impl<P: AsRef<[u8]>> Reactor<P> {
    /// Collects what has arrived. `poll` asks the sockets; without it only what is known to be
    /// ready is looked at.
    pub fn gather(&mut self, batch: &mut Batch, poll: bool) {
        self.clock.tick();
        self.expire(batch);
        if self.accept_again.is_some_and(|at| at <= self.clock.now()) {
            self.accept_again = None;
        }
        for id in std::mem::take(&mut self.portions) {
            self.mark_dirty(id);
        }
        // Sessions that had to wait come before those that report now.
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            if let Some(session) = self.table.get(id) {
                session.in_ready = false;
            }
            self.guarded(id, batch, |reactor, batch| reactor.read(id, batch));
        }
        if poll && let Some(ready) = self.poller.as_mut().map(crate::poller::Poller::ready) {
            for &readiness in &ready {
                self.on_ready(readiness, batch);
            }
            if let Some(poller) = &mut self.poller {
                poller.give_back(ready);
            }
        }
        if self.accept_again.is_none() {
            for index in 0..self.listeners.len() {
                self.accept(index, batch);
            }
            if let Some(board) = &mut self.board
                && !self.listeners.iter().any(|listener| listener.ready)
            {
                board.settled();
            }
        }
    }

    fn on_ready(&mut self, readiness: Readiness, batch: &mut Batch) {
        if readiness.token >= FIRST_LISTENER {
            if let Some(listener) = self.listeners.get_mut(readiness.token - FIRST_LISTENER) {
                listener.ready = true;
            }
            return;
        }
        let id = session_id(readiness.token);
        let Some(session) = self.table.get(id) else {
            return;
        };
        session.readable |= readiness.readable;
        if readiness.read_closed && !session.read_closed {
            session.read_closed = true;
            // The request is complete, so nobody reads: this is when the client's leaving is seen.
            if session.http.request_complete() && !session.is_socket() {
                session.tell_left(&mut batch.work);
            }
        }
        if readiness.broken {
            session.broken = true;
            session.readable = true;
            session.read_closed = true;
        }
        if readiness.writable && session.blocked {
            session.blocked = false;
            self.mark_dirty(id);
        }
        if readiness.readable || readiness.broken {
            self.guarded(id, batch, |reactor, batch| reactor.read(id, batch));
        }
    }

    /// Accepts everything that waits, at a graceful end.
    pub(crate) fn accept_all(&mut self, batch: &mut Batch) {
        for index in 0..self.listeners.len() {
            self.listeners[index].ready = true;
            while self.listeners[index].ready && self.accept_again.is_none() {
                self.accept(index, batch);
            }
        }
    }

    fn accept(&mut self, index: usize, batch: &mut Batch) {
        for _ in 0..ACCEPTS {
            let listener = &mut self.listeners[index];
            if !listener.ready {
                return;
            }
            if let Some(board) = &mut self.board
                && let now = self.clock.now()
                && !board.admits(self.table.len(), now)
            {
                if board.again().is_some_and(|again| again > now) {
                    return;
                }
                listener.ready = listener.waits();
                if !listener.ready || board.give_way(self.table.len(), now) {
                    return;
                }
            }
            match listener.accept() {
                Ok((transport, peer, local)) => self.welcome(transport, peer, local, batch),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => listener.ready = false,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    // Out of descriptors or memory. The connection stays in the backlog.
                    _ => {
                        self.stats.accept_pauses += 1;
                        self.accept_again = Some(self.clock.now() + ACCEPT_PAUSE);
                        return;
                    }
                },
            }
        }
    }

    fn welcome(&mut self, transport: Transport, peer: Address, local: Address, batch: &mut Batch) {
        let stranger = (!self.admits(&peer)).then(|| peer.clone());
        let id = self.open(transport, peer, local);
        if let Some(peer) = stranger {
            return self.turn_off(id, Fault::ProxyPeer, peer, &mut batch.work);
        }
        if let (Some(poller), Some(session)) = (&self.poller, self.table.get(id))
            && session.transport.register(poller, token(id)).is_err()
        {
            self.drop_session(id, &mut batch.work);
            return;
        }
        // Most clients' first request is there already.
        self.guarded(id, batch, |reactor, batch| reactor.read(id, batch));
        self.settle(id);
    }

    /// A connection that the floor above drives with [`Reactor::feed`].
    pub fn open_host(&mut self) -> SessionId {
        let id = self.open(Transport::Host, Address::Host, Address::Host);
        self.clock.tick();
        self.settle(id);
        id
    }

    /// Whether [`Reactor::admit_host`] is to be told of each host connection's peer.
    pub fn judges_peers(&self) -> bool {
        self.options.proxy.is_some()
    }

    /// Tells who has opened a host connection, before its first bytes. It ends here if they may not,
    /// or are gone so soon that nobody knows who they were.
    pub fn admit_host(&mut self, id: SessionId, peer: &Address, batch: &mut Batch) {
        if self.admits(peer) {
            return;
        }
        if *peer == Address::Host {
            self.drop_session(id, &mut batch.work);
        } else {
            self.turn_off(id, Fault::ProxyPeer, peer.clone(), &mut batch.work);
        }
    }

    /// Bytes of a host connection.
    pub fn feed(&mut self, id: SessionId, bytes: &[u8], batch: &mut Batch) {
        self.clock.tick();
        let Some(session) = self.table.get(id) else {
            return;
        };
        self.stats.bytes_in += bytes.len() as u64;
        if session.lingering {
            return;
        }
        if session.input.is_empty() && session.wants_input() {
            let start = Batch::store(&mut batch.arena, &mut batch.used, bytes) as usize;
            batch.used = start;
            self.parse_arena(id, bytes.len(), batch);
        } else {
            session.input.append(bytes);
            self.parse_buffered(id, batch);
        }
        self.tell_reading(id, batch);
    }

    /// The end of a host connection's input.
    pub fn feed_eof(&mut self, id: SessionId, batch: &mut Batch) {
        self.on_eof(id, batch);
    }

    /// A host connection is gone.
    pub fn lost(&mut self, id: SessionId, batch: &mut Batch) {
        self.drop_session(id, &mut batch.work);
    }

    /// Whether a host connection takes output at present.
    pub fn set_writable(&mut self, id: SessionId, writable: bool) {
        if let Some(session) = self.table.get(id) {
            session.blocked = !writable;
            if writable {
                // All that it was given was taken: whatever comes next has its own time.
                session.timers.stop(Timer::Write);
            }
            self.mark_dirty(id);
        }
    }

    /// Parses what a session holds, then reads once if it wants more.
    pub(crate) fn read(&mut self, id: SessionId, batch: &mut Batch) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        if !session.input.is_empty() && !session.lingering {
            self.parse_buffered(id, batch);
        }
        let Some(session) = self.table.get(id) else {
            return;
        };
        if session.eof && session.is_socket() && session.has_room() && !session.is_closing() {
            // The last message before the end of input has found room.
            self.drop_session(id, &mut batch.work);
            return;
        }
        if session.transport.is_host() {
            self.tell_reading(id, batch);
            return;
        }
        if session.broken && session.is_read() {
            self.drop_session(id, &mut batch.work);
            return;
        }
        if !session.readable || !session.wants_input() {
            return;
        }
        if !batch.has_room() {
            self.mark_ready(id);
            return;
        }
        let window = &mut batch.arena[batch.used..batch.used + READ];
        match session.transport.fill(window) {
            Ok(0) => self.on_eof(id, batch),
            Ok(count) => {
                // A short read means that the socket is drained; its end, if it was announced, is
                // still to be read.
                session.readable = count == READ || session.read_closed;
                let again = session.readable;
                self.stats.bytes_in += count as u64;
                if !session.lingering {
                    if session.input.is_empty() {
                        self.parse_arena(id, count, batch);
                    } else {
                        session
                            .input
                            .append(&batch.arena[batch.used..batch.used + count]);
                        self.parse_buffered(id, batch);
                    }
                }
                if again {
                    self.mark_ready(id);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                session.readable = false;
                if self.closing {
                    // Now it is known to be idle.
                    self.mark_dirty(id);
                }
            }
            Err(_) => self.drop_session(id, &mut batch.work),
        }
    }

    /// Parses `count` bytes that were read to the arena's end, in place.
    fn parse_arena(&mut self, id: SessionId, count: usize, batch: &mut Batch) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        let Batch {
            work,
            fields,
            arena,
            used,
        } = batch;
        let start = *used;
        let input = &mut arena[start..start + count];
        let place = |offset: usize, _: &[u8]| u32::try_from(start + offset).unwrap_or(u32::MAX);
        let requests = &mut self.stats.requests;
        let mut sink = Sink {
            fields,
            work,
            limits: &self.options.limits,
            websocket: self.options.websocket.as_ref(),
            codec: &mut self.codec,
            sockets: self.sockets,
            requests,
        };
        let before = sink.work.len();
        let (taken, parsed) = session.parse(input, &mut sink, place);
        // What came to no work, such as a part of a message, need not be kept.
        let kept = sink.work.len() > before;
        session.input.append(&input[taken..]);
        *used = if kept { start + taken } else { start };
        self.after_parse(id, parsed, batch);
    }

    /// Parses what an earlier read left over.
    pub(crate) fn parse_buffered(&mut self, id: SessionId, batch: &mut Batch) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        let Batch {
            work,
            fields,
            arena,
            used,
        } = batch;
        let mut input = mem::replace(&mut session.input, RecvBuf::new());
        let place = |_: usize, bytes: &[u8]| Batch::store(arena, used, bytes);
        let requests = &mut self.stats.requests;
        let mut sink = Sink {
            fields,
            work,
            limits: &self.options.limits,
            websocket: self.options.websocket.as_ref(),
            codec: &mut self.codec,
            sockets: self.sockets,
            requests,
        };
        let (taken, parsed) = session.parse(input.as_mut_slice(), &mut sink, place);
        input.consume(taken);
        session.input = input;
        self.after_parse(id, parsed, batch);
    }

    fn after_parse(&mut self, id: SessionId, parsed: Parsed, batch: &mut Batch) {
        if let Parsed::Refused(fault) = parsed {
            self.refuse(id, fault, &mut batch.work);
        }
        self.settle(id);
        let Some(session) = self.table.get(id) else {
            return;
        };
        if session.is_socket() {
            // What was answered at once: pongs, a close frame.
            if !session.output.is_empty() || session.is_closing() {
                self.mark_dirty(id);
            }
            return;
        }
        // A client that has left already was not seen leaving this exchange.
        if (session.eof || session.read_closed) && session.http.request_complete() {
            session.tell_left(&mut batch.work);
        }
        if session.http.is_closing() {
            // What follows an error is never parsed (RFC 9112 section 11.2).
            session.input = RecvBuf::new();
        }
        // The unread rest of a request was thrown away, or too much of it: the exchange can end.
        if session.http.exchange_complete() || session.http.is_closing() {
            self.mark_dirty(id);
        }
    }

    /// Brings a session's deadlines up to date.
    pub(crate) fn settle(&mut self, id: SessionId) {
        if let Some(session) = self.table.get(id) {
            if !session.lingering {
                session.set_receive_timers(self.clock.now(), &self.options);
            }
            self.arm(id);
        }
    }

    /// Tells who drives a host connection whether to go on reading.
    pub(crate) fn tell_reading(&mut self, id: SessionId, batch: &mut Batch) {
        if let Some(session) = self.table.get(id)
            && session.transport.is_host()
        {
            // A host connection hears of its client's end only by reading: a request that waits for
            // the answer to the one before does not stop it, a pile of them does.
            let waits = session.http.request_complete() && session.input.len() < READ;
            let wanted = session.wants_input() || waits;
            if wanted == session.paused {
                session.paused = !wanted;
                batch.work.push(Work::Reading {
                    session: id,
                    wanted,
                });
            }
        }
    }

    fn on_eof(&mut self, id: SessionId, batch: &mut Batch) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        session.eof = true;
        session.readable = false;
        if session.lingering {
            self.drop_session(id, &mut batch.work);
            return;
        }
        if session.is_socket() {
            if session.is_closing() {
                // It has said so: what it is still to get is sent.
                self.mark_dirty(id);
            } else if session.has_room() || session.input.is_empty() {
                // Without a close frame that is a connection that broke (RFC 6455 section 7.1.5).
                self.drop_session(id, &mut batch.work);
            }
            // Or there are messages which its application has not made room for yet.
            return;
        }
        let eof = session.http.handle_eof(!session.input.is_empty());
        if matches!(eof, Eof::MidBody | Eof::AfterRequest) {
            session.tell_left(&mut batch.work);
        }
        // A request that was cut short is not answered, however soon its application hears of it.
        session.live &= eof != Eof::MidBody;
        self.mark_dirty(id);
    }
}

pub(crate) fn token(id: SessionId) -> usize {
    // 64-bit targets: the generation rides in the upper half, so that a late event of a closed
    // socket is not taken for its successor's.
    ((id.generation as usize) << 32) | id.slot as usize
}

fn session_id(token: usize) -> SessionId {
    let slot = u32::try_from(token & 0xffff_ffff).unwrap_or(u32::MAX);
    SessionId {
        slot,
        generation: u32::try_from(token >> 32).unwrap_or(u32::MAX),
    }
}
