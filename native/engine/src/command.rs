//! What an application says to its exchange.
//!
//! Commands only touch queues and mark the session dirty; the next flush does the work. The
//! exception is a response that outruns its buffer: it is written at once, since that is what makes
//! room. Every command takes the exchange's id, and one that is stale is answered [`Flow::Gone`]:
//! a late `send` can never write into the next response.

use std::fs::File;

use ferricorn_proto::{
    BodyFraming, Fault, HeadWriter, InfoWriter, Misuse, TrailerWriter, encode, limits,
};

use crate::reactor::{Flow, Reactor};
use crate::session::Session;
use crate::transport::{Piece, Sent};
use crate::work::{ExchangeId, SessionId};

/// Output that a connection whose peer keeps up may gather before it is written. Few and large
/// writes make a fast stream.
const WRITE_AT: u64 = 256 * 1024;

/// One body message's bytes.
#[derive(Debug)]
pub enum Data<'a, P> {
    /// Copied: cheaper than a reference for small ones.
    Copy(&'a [u8]),
    /// Sent from where it lies.
    Payload(P),
    /// Sent by the kernel.
    File {
        file: File,
        offset: u64,
        length: u64,
    },
}

impl<P: AsRef<[u8]>> Data<'_, P> {
    fn len(&self) -> u64 {
        match self {
            Self::Copy(bytes) => bytes.len() as u64,
            Self::Payload(payload) => payload.as_ref().len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}

/// Whether output waits for its turn, or for the peer: a flush will tell when it has drained.
pub(crate) fn is_behind<P: AsRef<[u8]>>(session: &Session<P>) -> bool {
    // Host connections always hear at the next flush whether they may go on. What outran its buffer
    // and was not written is more than a connection may send in one turn.
    session.blocked || session.transport.is_host() || session.output.len() >= WRITE_AT
}

impl<P: AsRef<[u8]>> Reactor<P> {
    fn exchange(&mut self, exchange: ExchangeId) -> Option<&mut Session<P>> {
        self.table
            .get(exchange.session)
            .filter(|session| session.live && session.number == exchange.number)
    }

    /// Begins the response. `None`: nobody is there to hear it.
    ///
    /// # Errors
    /// If the application may not send this now.
    pub fn respond(
        &mut self,
        exchange: ExchangeId,
        status: u16,
    ) -> Result<Option<HeadWriter<'_>>, Misuse> {
        let stopping = self.stopping;
        let Some(session) = self.table.get(exchange.session) else {
            return Ok(None);
        };
        if !session.live || session.number != exchange.number {
            return Ok(None);
        }
        if !session.in_dirty {
            session.in_dirty = true;
            self.dirty.push(exchange.session);
        }
        Self::lend_buffer(&mut self.spare, session);
        if stopping {
            session.http.close_after();
        }
        session
            .http
            .respond(status, session.output.buffer(), self.clock.preset())
            .map(Some)
    }

    /// Says that the response ends with trailers.
    pub fn expect_trailers(&mut self, exchange: ExchangeId) {
        if let Some(session) = self.exchange(exchange) {
            session.http.expect_trailers();
        }
    }

    /// Begins an interim response (1xx). `None`: nobody is there to hear it.
    ///
    /// # Errors
    /// If the application may not send this now.
    pub fn inform(
        &mut self,
        exchange: ExchangeId,
        status: u16,
    ) -> Result<Option<InfoWriter<'_>>, Misuse> {
        self.mark_dirty(exchange.session);
        match self.exchange(exchange) {
            Some(session) => session
                .http
                .informational(status, session.output.buffer())
                .map(Some),
            None => Ok(None),
        }
    }

    /// Queues body bytes. With `more` false the response is complete, unless trailers follow.
    ///
    /// # Errors
    /// If the application may not send this now, or the length contradicts its `content-length`.
    pub fn body(
        &mut self,
        exchange: ExchangeId,
        data: Data<'_, P>,
        more: bool,
    ) -> Result<Flow, Misuse> {
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
        let length = data.len();
        let framing = session.http.body(length, more)?;
        if length > 0 && framing != BodyFraming::Discard {
            if framing == BodyFraming::Chunked {
                encode::chunk_size(session.output.buffer(), length);
            }
            match data {
                Data::Copy(bytes) => session.output.buffer().extend_from_slice(bytes),
                Data::Payload(payload) => session.output.push(Piece::Bytes { payload, sent: 0 }),
                Data::File {
                    file,
                    offset,
                    length,
                } => {
                    session.output.push(Piece::File {
                        file,
                        offset,
                        remaining: length,
                    });
                }
            }
            if framing == BodyFraming::Chunked {
                session.output.buffer().extend_from_slice(encode::CHUNK_END);
            }
        }
        let complete = session.http.response_complete();
        if complete {
            if framing == BodyFraming::Chunked {
                session
                    .output
                    .buffer()
                    .extend_from_slice(encode::LAST_CHUNK);
            }
            session.live = false;
            return Ok(Flow::Ready);
        }
        self.outrun(exchange.session);
        let Some(session) = self.table.get(exchange.session) else {
            return Ok(Flow::Gone);
        };
        let full = session.output.len() > limits::WRITE_HIGH_WATER as u64;
        if full && is_behind(session) {
            session.awaited = true;
            return Ok(Flow::Blocked);
        }
        Ok(Flow::Ready)
    }

    /// Writes output that has outrun its buffer.
    pub(crate) fn outrun(&mut self, id: SessionId) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        let before = session.output.len();
        if before < WRITE_AT || session.blocked || session.transport.is_host() {
            return;
        }
        // The next flush meets an error again and ends the session.
        let sent = session
            .transport
            .drain(&mut session.output, &mut self.spent);
        session.blocked = matches!(sent, Ok(Sent::Blocked));
        self.stats.bytes_out += before - session.output.len();
    }

    /// Whether a sender that was told to wait still has to.
    pub fn is_full(&mut self, exchange: ExchangeId) -> bool {
        self.exchange(exchange)
            .is_some_and(|session| session.awaited)
    }

    /// Begins the trailers, which end the response. `None`: nobody is there to hear them.
    ///
    /// # Errors
    /// If the response did not announce trailers or is not there yet.
    pub fn trailers(&mut self, exchange: ExchangeId) -> Result<Option<TrailerWriter<'_>>, Misuse> {
        self.mark_dirty(exchange.session);
        match self.exchange(exchange) {
            Some(session) => session.http.trailers(session.output.buffer()).map(Some),
            None => Ok(None),
        }
    }

    /// To be called when trailers were written: the exchange is over.
    pub fn end(&mut self, exchange: ExchangeId) {
        if let Some(session) = self.exchange(exchange)
            && session.http.response_complete()
        {
            session.live = false;
        }
    }

    /// Ends a response that has begun with what there is of it. False if it promised more, and so
    /// cannot be complete.
    pub fn complete(&mut self, exchange: ExchangeId) -> bool {
        // Of the body and the trailers, what is over already refuses to be ended.
        let _ = self.body(exchange, Data::Copy(&[]), false);
        if let Ok(Some(trailers)) = self.trailers(exchange) {
            let _ = trailers.finish();
        }
        self.end(exchange);
        self.exchange(exchange).is_none()
    }

    /// The application asks for the body: a client that waits for 100 (Continue) gets it.
    pub fn ask(&mut self, exchange: ExchangeId) {
        let Some(session) = self.exchange(exchange) else {
            return;
        };
        if session.http.wants_continue() {
            session.http.send_continue(session.output.buffer());
            self.mark_dirty(exchange.session);
        }
    }

    /// The application took `count` body bytes: as much may be read again.
    pub fn consumed(&mut self, exchange: ExchangeId, count: usize) {
        let Some(session) = self
            .table
            .get(exchange.session)
            .filter(|session| session.number == exchange.number)
        else {
            return;
        };
        let full = session.unread >= limits::BODY_HIGH_WATER;
        session.unread = session.unread.saturating_sub(count);
        if full && session.unread < limits::BODY_HIGH_WATER {
            // From now on it is the peer's time, which the application's does not count towards.
            self.clock.tick();
            self.mark_ready(exchange.session);
            self.settle(exchange.session);
        }
    }

    /// The application failed: 500 if nothing was sent, else the connection is cut, so that the
    /// client cannot take what it got for the whole. Gives whether the client hears the 500.
    pub fn fail(&mut self, exchange: ExchangeId) -> bool {
        let Some(session) = self.table.get(exchange.session) else {
            return false;
        };
        if !session.live || session.number != exchange.number {
            return false;
        }
        let told = session
            .http
            .fail(session.output.buffer(), self.clock.preset());
        session.live = false;
        self.mark_dirty(exchange.session);
        told
    }

    /// Answers a request without the application.
    pub fn turn_away(&mut self, exchange: ExchangeId, fault: Fault) {
        let Some(session) = self.table.get(exchange.session) else {
            return;
        };
        if session.live && session.number == exchange.number {
            session.live = false;
            session
                .http
                .refuse(fault, session.output.buffer(), self.clock.preset());
            self.stats.refused(fault);
            self.mark_dirty(exchange.session);
        }
    }
}
