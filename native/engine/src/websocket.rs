//! What an application says to its WebSocket, and what time says.
//!
//! As with the exchanges of HTTP (`command`), verbs only touch queues and mark the session dirty, and
//! one that is stale is answered [`Flow::Gone`]. A request for a WebSocket is refused by answering it
//! like any other request.

use ferricorn_proto::ws::{AcceptWriter, Kind, WebSocket};
use ferricorn_proto::{Misuse, limits};

use crate::command::{Data, is_behind};
use crate::reactor::{Flow, Reactor, SERVICE_RESTART};
use crate::session::{Session, Speech};
use crate::transport::Piece;
use crate::work::{Batch, ExchangeId, SessionId};

/// The close code of a peer that does not answer pings, as uvicorn has it.
const UNEXPECTED: u16 = 1011;

impl<P: AsRef<[u8]>> Reactor<P> {
    /// Begins the answer that opens the WebSocket; [`socket_opened`](Self::socket_opened) is to follow. `None`:
    /// nobody is there to hear it.
    ///
    /// # Errors
    /// If the exchange does not ask for a WebSocket, or was answered.
    pub fn open_socket(
        &mut self,
        exchange: ExchangeId,
    ) -> Result<Option<AcceptWriter<'_>>, Misuse> {
        self.mark_dirty(exchange.session);
        let Some(session) = self.table.get(exchange.session) else {
            return Ok(None);
        };
        if !session.live || session.number != exchange.number {
            return Ok(None);
        }
        match &session.speech {
            Speech::Asked(handshake) if !session.http.response_started() => {
                let out = session.output.buffer();
                Ok(Some(handshake.respond(out, self.clock.preset())))
            }
            _ => Err(Misuse::NotWebSocket),
        }
    }

    /// The answer is written: what comes now are messages.
    pub fn socket_opened(&mut self, exchange: ExchangeId) {
        let Some(options) = &self.options.websocket else {
            return;
        };
        let Some(session) = self.table.get(exchange.session) else {
            return;
        };
        if let Speech::Asked(handshake) = &session.speech {
            session.speech = Speech::Socket(Box::new(WebSocket::new(handshake.deflate)));
            session.room = options.queue;
            self.sockets += 1;
            self.clock.tick();
            self.mark_ready(exchange.session);
            self.settle(exchange.session);
        }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// If the WebSocket is not open.
    pub fn send_message(
        &mut self,
        exchange: ExchangeId,
        kind: Kind,
        data: Data<'_, P>,
    ) -> Result<Flow, Misuse> {
        let high_water = self.high_water();
        let Some(session) = self.table.get(exchange.session) else {
            return Ok(Flow::Gone);
        };
        if !session.live || session.number != exchange.number {
            return Ok(Flow::Gone);
        }
        if !session.in_dirty {
            session.in_dirty = true;
            self.dirty.push(exchange.session);
        }
        Self::lend_buffer(&mut self.spare, session);
        let Speech::Socket(socket) = &mut session.speech else {
            return Err(Misuse::NotWebSocket);
        };
        let out = session.output.buffer();
        match data {
            Data::Payload(payload) if !socket.compresses(payload.as_ref().len()) => {
                socket.send_head(kind, payload.as_ref().len() as u64, out)?;
                session.output.push(Piece::Bytes { payload, sent: 0 });
            }
            Data::Payload(payload) => socket.send(kind, payload.as_ref(), &mut self.codec, out)?,
            Data::Copy(bytes) => socket.send(kind, bytes, &mut self.codec, out)?,
            Data::File { .. } => return Err(Misuse::NotWebSocket),
        }
        self.outrun(exchange.session);
        let Some(session) = self.table.get(exchange.session) else {
            return Ok(Flow::Gone);
        };
        if session.output.len() > high_water && is_behind(session) {
            session.awaited = true;
            return Ok(Flow::Blocked);
        }
        Ok(Flow::Ready)
    }

    /// As many WebSockets are open as may be.
    pub fn is_crowded(&self) -> bool {
        let options = self.options.websocket.as_ref();
        let most = options.and_then(|options| options.connections);
        most.is_some_and(|most| self.sockets >= most)
    }

    fn high_water(&self) -> u64 {
        let options = self.options.websocket.as_ref();
        options.map_or(limits::WRITE_HIGH_WATER as u64, |options| {
            options.high_water
        })
    }

    /// Begins the closing handshake. The application hears of its WebSocket no more.
    ///
    /// # Errors
    /// If the WebSocket is not open, or the code is not one to send.
    pub fn close_socket(
        &mut self,
        exchange: ExchangeId,
        code: u16,
        reason: &str,
    ) -> Result<Flow, Misuse> {
        let Some(session) = self.live_session(exchange) else {
            return Ok(Flow::Gone);
        };
        let Speech::Socket(socket) = &mut session.speech else {
            return Err(Misuse::NotWebSocket);
        };
        socket.close(code, reason, session.output.buffer())?;
        session.live = false;
        session.left = true;
        self.await_close(exchange.session);
        Ok(Flow::Ready)
    }

    fn live_session(&mut self, exchange: ExchangeId) -> Option<&mut Session<P>> {
        self.table
            .get(exchange.session)
            .filter(|session| session.live && session.number == exchange.number)
    }

    /// Our close frame is queued: the peer's is waited for, and what comes before it is dropped.
    fn await_close(&mut self, id: SessionId) {
        if let Some(session) = self.table.get(id) {
            session.unread = 0;
            session.room = u16::MAX;
        }
        self.clock.tick();
        self.mark_ready(id);
        self.mark_dirty(id);
        self.settle(id);
    }

    /// The application took a message of `count` bytes: as much may be read again.
    pub fn message_taken(&mut self, exchange: ExchangeId, count: usize) {
        let Some(session) = self.live_session(exchange) else {
            return;
        };
        let full = session.room == 0 || session.unread >= limits::BODY_HIGH_WATER;
        session.room = session.room.saturating_add(1);
        session.unread = session.unread.saturating_sub(count);
        if full && session.unread < limits::BODY_HIGH_WATER {
            self.clock.tick();
            self.settle(exchange.session);
            self.mark_ready(exchange.session);
        }
    }

    /// Closes a WebSocket in the server's name, and tells its application.
    pub(crate) fn end_socket(&mut self, id: SessionId, code: u16, reason: &str, batch: &mut Batch) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        let Speech::Socket(socket) = &mut session.speech else {
            return;
        };
        if socket.close(code, reason, session.output.buffer()).is_ok() {
            session.tell_closed(code, reason.to_owned(), &mut batch.work);
            self.await_close(id);
        }
    }

    /// WebSockets that are open.
    pub fn sockets(&self) -> usize {
        self.sockets
    }

    /// Closes so many of them, because the server will end: one after the other their clients come
    /// back to another.
    pub fn close_sockets(&mut self, count: usize, batch: &mut Batch) {
        let mut ids = self.table.ids();
        let is_open = |reactor: &mut Self, id| {
            let session = reactor.table.get(id);
            session.is_some_and(|session| session.is_socket() && session.live)
        };
        ids.retain(|&id| is_open(self, id));
        for id in ids.into_iter().take(count) {
            self.end_socket(id, SERVICE_RESTART, "", batch);
        }
    }

    /// A ping is due.
    pub(crate) fn ping(&mut self, id: SessionId) {
        if let Some(session) = self.table.get(id)
            && let Speech::Socket(socket) = &mut session.speech
        {
            socket.ping(session.output.buffer());
            self.mark_dirty(id);
            self.settle(id);
        }
    }

    /// The peer has not answered a ping: it is told, should it be there after all, and cut.
    pub(crate) fn fall_silent(&mut self, id: SessionId, batch: &mut Batch) {
        self.end_socket(id, UNEXPECTED, "keepalive ping timeout", batch);
        self.write(id, batch);
        self.drop_session(id, &mut batch.work);
    }
}
