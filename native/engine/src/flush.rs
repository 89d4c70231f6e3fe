//! From the queues to the sockets: one write for each dirty connection.
//!
//! Before it writes, a connection whose exchange is over looks for the next request in what it has
//! read already: the responses of one turn leave in one write. A connection with nothing left to
//! send gives its buffer back and, if it is at its end, is closed.

use ferricorn_proto::{Timer, limits};

use crate::reactor::{Reactor, SERVICE_RESTART};
use crate::session::Speech;
use crate::transport::{Sent, collect};
use crate::work::{Batch, SessionId, Work};

/// Responses of pipelined requests are held back up to this many bytes, then written.
const HELD: u64 = 64 * 1024;
/// Bytes handed to a host connection at once. The deadline for progress is for a portion as a whole,
/// so that it must not be large.
const HOST_PORTION: usize = 64 * 1024;

impl<P: AsRef<[u8]>> Reactor<P> {
    /// Writes what is queued and moves finished exchanges on.
    pub fn flush(&mut self, batch: &mut Batch) {
        // Applications may have worked for long since the turn began.
        self.clock.tick();
        let spare = std::mem::take(&mut self.dirty_spare);
        let mut dirty = std::mem::replace(&mut self.dirty, spare);
        for id in dirty.drain(..) {
            self.guarded(id, batch, |reactor, batch| reactor.flush_session(id, batch));
        }
        self.dirty_spare = dirty;
    }

    fn flush_session(&mut self, id: SessionId, batch: &mut Batch) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        session.in_dirty = false;
        if self.closing {
            // One that its application has accepted since the end began.
            self.end_socket(id, SERVICE_RESTART, "", batch);
        }
        let Some(session) = self.table.get(id) else {
            return;
        };
        if session.output.len() >= HELD {
            self.write(id, batch);
        }
        let Some(session) = self.table.get(id) else {
            return;
        };
        // A client that does not read its answers gets no further request served.
        let next = session.http.exchange_complete() && session.http.keep_alive();
        if next && session.output.len() < HELD {
            session.next_exchange();
            if !session.input.is_empty() {
                self.parse_buffered(id, batch);
                let Some(session) = self.table.get(id) else {
                    return;
                };
                if session.live && session.output.len() < HELD {
                    self.read_on(id);
                    self.tell_reading(id, batch);
                    self.mark_dirty(id);
                    return;
                }
            }
            self.tell_reading(id, batch);
        }
        self.read_on(id);
        self.write(id, batch);
        self.settle(id);
    }

    /// Has a session read what came while it wanted nothing: that was reported once.
    fn read_on(&mut self, id: SessionId) {
        if let Some(session) = self.table.get(id) {
            if session.http.response_complete() && !session.http.request_complete() {
                // The application will not ask for the rest of the body: it is thrown away.
                session.unread = 0;
            }
            if session.readable && session.wants_input() {
                self.mark_ready(id);
            }
        }
    }

    pub(crate) fn write(&mut self, id: SessionId, batch: &mut Batch) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        let before = session.output.len();
        if !session.blocked && before > 0 {
            if session.transport.is_host() {
                return self.hand_over(id, batch);
            }
            let sent = session
                .transport
                .drain(&mut session.output, &mut self.spent);
            match sent {
                Ok(Sent::All) => {}
                Ok(Sent::Portion) => self.portions.push(id),
                Ok(Sent::Blocked) => session.blocked = true,
                Err(_) => return self.drop_session(id, &mut batch.work),
            }
        }
        let left = session.output.len();
        self.stats.bytes_out += before - left;
        if left <= limits::WRITE_LOW_WATER as u64 {
            if let Speech::Socket(socket) = &mut session.speech {
                // Before more messages: where the sender is never done, the output never ends.
                socket.write_due(session.output.buffer());
            }
            if std::mem::take(&mut session.awaited) && session.live {
                batch.work.push(Work::Writable {
                    exchange: session.exchange(),
                });
            }
        }
        // A host's transport that is not writable still holds what it was given.
        if left > 0 || session.blocked {
            // Only progress moves the deadline of a peer that does not read.
            if self.options.write > 0 && (left < before || !session.timers.is_set(Timer::Write)) {
                session
                    .timers
                    .set(Timer::Write, self.clock.now() + self.options.write);
            }
            return;
        }
        session.timers.stop(Timer::Write);
        if !session.output.is_empty() {
            return self.mark_dirty(id);
        }
        Self::reclaim_buffer(&mut self.spare, session);
        let http = &session.http;
        let last = session.eof && session.input.is_empty();
        let over =
            session.is_closing() || (http.response_complete() && (!http.keep_alive() || last));
        // Between exchanges nothing is owed to anybody.
        let idle = http.is_idle() && session.input.is_empty() && !session.readable;
        let ended = http.is_idle() && session.eof;
        if over || ended || (idle && self.closing) {
            self.close(id, &mut batch.work);
        }
    }

    /// Hands a portion of the output to a host connection's transport. Whether the peer took it is
    /// told by [`Reactor::set_writable`] before the next flush looks again.
    fn hand_over(&mut self, id: SessionId, batch: &mut Batch) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        let before = session.output.len();
        match collect(&mut session.output, &mut self.spent, HOST_PORTION) {
            Ok(bytes) => batch.work.push(Work::Output { session: id, bytes }),
            Err(_) => return self.drop_session(id, &mut batch.work),
        }
        self.stats.bytes_out += before - session.output.len();
        self.mark_dirty(id);
    }
}
