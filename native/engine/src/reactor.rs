//! The reactor: all sessions of one event loop, and what ends them.
//!
//! Its verbs live in four more rooms: `gather` (from the sockets upwards), `command` (what an
//! application says to its exchange), `websocket` (what it says to its WebSocket) and `flush` (from the
//! queues to the sockets). They meet in
//! two lists: `ready`, sessions whose input may be parsed, and `dirty`, sessions whose output or
//! state changed. Work that the floor above must hear of goes to the batch that it passes in.
//!
//! Order of calls in a turn: [`Reactor::gather`], serve the batch, [`Reactor::flush`], serve what
//! that found. Commands may come at any time between.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ferricorn_proto::ws::Codec;
use ferricorn_proto::{Fault, Millis, Timer, limits};

use crate::board::Board;
use crate::clock::Clock;
use crate::deadlines::Deadlines;
use crate::listener::Listener;
use crate::options::Options;
use crate::poller::Poller;
use crate::session::Session;
use crate::stats::Stats;
use crate::table::Table;
use crate::transport::{Piece, Transport};
use crate::work::{Address, Batch, SessionId, Work};

/// Milliseconds for a loop to bring what has arrived for its connections, before they are late.
const SECOND_LOOK: Millis = 20;
/// Deadlines of ended sessions that may stand in the heap, besides one for each that lives.
const SWEEP: usize = 256;
/// The close code of a server that ends (the registry of RFC 6455 section 11.7).
pub(crate) const SERVICE_RESTART: u16 = 1012;
/// Tokens from here on are listeners, below are sessions.
pub(crate) const FIRST_LISTENER: usize = usize::MAX - 1024;
/// Output buffers kept for the next responses; more than a turn uses at once is of no use.
const SPARE_BUFFERS: usize = 128;
/// A larger buffer is not kept: one large response must not cost memory for ever.
const SPARE_CAPACITY: usize = 64 * 1024;

pub struct Reactor<P: AsRef<[u8]>> {
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    pub(crate) poller: Option<Poller>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) table: Table<P>,
    pub(crate) ready: VecDeque<SessionId>,
    pub(crate) dirty: Vec<SessionId>,
    pub(crate) dirty_spare: Vec<SessionId>,
    /// Sessions that have sent a portion and go on in the next turn.
    pub(crate) portions: Vec<SessionId>,
    pub(crate) deadlines: Deadlines,
    pub(crate) stats: Stats,
    pub(crate) spare: Vec<Vec<u8>>,
    pub(crate) spent: Vec<Piece<P>>,
    /// What WebSockets share to compress and inflate with.
    pub(crate) codec: Codec,
    /// WebSockets that are open.
    pub(crate) sockets: usize,
    /// Accepting failed for want of resources; try again at this instant or when a session ends.
    pub(crate) accept_again: Option<Millis>,
    /// What other workers on the same listeners have; `None` where there are none.
    pub(crate) board: Option<Board>,
    /// Each response closes its connection.
    pub(crate) stopping: bool,
    /// So does having nothing to do.
    pub(crate) closing: bool,
}

/// What became of a sender's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The exchange is over or its client gone; the bytes were dropped.
    Gone,
    /// Queued; more is welcome.
    Ready,
    /// Queued; wait for [`Work::Writable`] before sending more.
    Blocked,
}

impl<P: AsRef<[u8]>> Reactor<P> {
    /// A reactor with a poller of its own, or, if `poll` is false, one that only serves
    /// connections which the floor above drives.
    ///
    /// # Errors
    /// If the system refuses a poller.
    pub fn new(options: Options, poll: bool) -> io::Result<Self> {
        Ok(Self {
            clock: Clock::new(&options),
            options,
            poller: if poll { Some(Poller::new()?) } else { None },
            listeners: Vec::new(),
            table: Table::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            dirty_spare: Vec::new(),
            portions: Vec::new(),
            deadlines: Deadlines::default(),
            stats: Stats::new(),
            spare: Vec::new(),
            spent: Vec::new(),
            codec: Codec::new(),
            sockets: 0,
            accept_again: None,
            board: None,
            stopping: false,
            closing: false,
        })
    }

    /// The descriptor that is readable whenever a socket of this reactor is ready.
    pub fn fd(&self) -> Option<RawFd> {
        self.poller.as_ref().map(Poller::fd)
    }

    /// Accepts on a bound and listening stream socket from now on.
    ///
    /// # Errors
    /// If it is no such socket, or this reactor has no poller.
    pub fn listen(&mut self, fd: OwnedFd) -> io::Result<()> {
        let Some(poller) = &self.poller else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut listener = Listener::adopt(fd)?;
        listener.register(poller, FIRST_LISTENER + self.listeners.len())?;
        self.listeners.push(listener);
        if let Some(board) = &self.board {
            board.post(self.table.len());
        }
        Ok(())
    }

    /// Shares the listeners with the workers of this board from now on.
    pub fn share(&mut self, board: Board) {
        self.board = Some(board);
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// The time of this turn, in milliseconds since the reactor was made.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// When the next turn is due even if no socket is ready, in milliseconds from this turn.
    pub fn next_deadline(&self) -> Option<Millis> {
        let earliest = [self.deadlines.next(), self.accept_again]
            .into_iter()
            .flatten()
            .min()?;
        Some(earliest.saturating_sub(self.clock.now()))
    }

    /// When to look again at a connection that was left to other workers, in milliseconds from this
    /// turn.
    pub fn next_look(&self) -> Option<Millis> {
        let again = self.board.as_ref()?.again()?;
        Some(again.saturating_sub(self.clock.now()))
    }

    /// Whether something waits for the next turn that no socket will report again.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
            || !self.portions.is_empty()
            || (self.accept_again.is_none()
                && self.next_look().is_none()
                && self.listeners.iter().any(|one| one.ready))
    }

    /// Whether output or finished exchanges wait for a flush.
    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Payloads that were sent; the caller drops them where it may.
    pub fn take_spent(&mut self) -> Vec<Piece<P>> {
        std::mem::take(&mut self.spent)
    }

    /// From now on each response closes its connection. One that is idle stays open: the client's
    /// next request may be on its way, and would be lost.
    pub fn announce_stop(&mut self) {
        self.stopping = true;
    }

    /// Whether the stop was announced.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether the graceful end has begun.
    pub fn is_ending(&self) -> bool {
        self.closing
    }

    /// Accepts what waits to be accepted, and nothing after it; announces the stop.
    pub fn leave(&mut self, batch: &mut Batch) {
        self.announce_stop();
        self.withdraw();
        self.accept_all(batch);
        let mut listeners = std::mem::take(&mut self.listeners);
        if let Some(poller) = &self.poller {
            for listener in &mut listeners {
                listener.deregister(poller);
            }
        }
        self.accept_again = None;
    }

    /// Begins a graceful end: nothing is accepted any more, idle connections are closed, the others
    /// close with their response.
    pub fn stop(&mut self, batch: &mut Batch) {
        self.closing = true;
        self.leave(batch);
        for id in self.table.ids() {
            // A request that has arrived but was not read yet is still served.
            self.readable(id);
            self.read(id, batch);
            if let Some(session) = self.table.get(id) {
                session.http.close_after();
                self.mark_dirty(id);
            }
            self.end_socket(id, SERVICE_RESTART, "", batch);
        }
    }

    fn withdraw(&mut self) {
        if let Some(board) = self.board.take() {
            board.withdraw();
        }
    }

    /// Cuts every connection.
    pub fn abort(&mut self, batch: &mut Batch) {
        self.withdraw();
        for id in self.table.ids() {
            self.drop_session(id, &mut batch.work);
        }
        if let Some(poller) = self.poller.take() {
            self.listeners
                .iter_mut()
                .for_each(|listener| listener.deregister(&poller));
        }
        self.listeners.clear();
    }

    pub(crate) fn open(
        &mut self,
        transport: Transport,
        peer: Address,
        local: Address,
    ) -> SessionId {
        self.stats.accepted += 1;
        let now = self.clock.now();
        let id = self
            .table
            .insert(|id| Session::new(id, transport, (peer, local), now));
        if let (Some(_), Some(session)) = (&self.options.proxy, self.table.get(id)) {
            session.proxy_due = true;
        }
        if let Some(board) = &mut self.board {
            board.accepted(self.table.len());
        }
        id
    }

    /// Whether a peer may open a connection: where each begins with a PROXY header, only those who
    /// may send one.
    pub(crate) fn admits(&self, peer: &Address) -> bool {
        let peers = self.options.proxy.as_ref();
        peers.is_none_or(|peers| peers.admit(peer))
    }

    /// Closes the connection of a peer that speaks no HTTP, without a word.
    pub(crate) fn turn_off(
        &mut self,
        id: SessionId,
        fault: Fault,
        peer: Address,
        work: &mut Vec<Work>,
    ) {
        self.stats.refused(fault);
        work.push(Work::Refused {
            session: id,
            fault,
            peer,
        });
        self.drop_session(id, work);
    }

    /// Notes that a session's socket may have input.
    pub(crate) fn readable(&mut self, id: SessionId) {
        if let Some(session) = self.table.get(id) {
            session.readable = !session.transport.is_host();
        }
    }

    pub(crate) fn mark_ready(&mut self, id: SessionId) {
        if let Some(session) = self.table.get(id)
            && !session.in_ready
        {
            session.in_ready = true;
            self.ready.push_back(id);
        }
    }

    pub(crate) fn mark_dirty(&mut self, id: SessionId) {
        if let Some(session) = self.table.get(id)
            && !session.in_dirty
        {
            session.in_dirty = true;
            self.dirty.push(id);
        }
    }

    /// Answers a peer that erred; its bytes are parsed no more.
    pub(crate) fn refuse(&mut self, id: SessionId, fault: Fault, work: &mut Vec<Work>) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        let peer = session
            .addresses
            .as_ref()
            .map_or(Address::Host, |both| both.0.clone());
        if fault.is_silent() {
            return self.turn_off(id, fault, peer, work);
        }
        self.stats.refused(fault);
        session
            .http
            .refuse(fault, session.output.buffer(), self.clock.preset());
        session.tell_left(work);
        session.live = false;
        work.push(Work::Refused {
            session: id,
            fault,
            peer,
        });
        self.mark_dirty(id);
    }

    /// Closes a session whose output was sent. A peer that may still be sending is first given
    /// time to read the answer: closing with unread input would reset the connection (RFC 9112
    /// section 9.6).
    pub(crate) fn close(&mut self, id: SessionId, work: &mut Vec<Work>) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        let silent = session.input.is_empty() && !session.readable;
        let quiet = session.eof || (session.is_heard_out() && silent);
        if quiet {
            self.drop_session(id, work);
        } else if !session.lingering {
            session.lingering = true;
            if session.transport.is_host() {
                work.push(Work::Finished { session: id });
            }
            session.transport.shut_write();
            session.timers.stop(Timer::Head);
            session.timers.stop(Timer::Body);
            session.timers.stop(Timer::KeepAlive);
            session
                .timers
                .set(Timer::Linger, self.clock.now() + limits::LINGER);
            session.readable = !session.transport.is_host();
            self.arm(id);
            self.mark_ready(id);
        }
    }

    /// Ends a session at once, whatever it was doing.
    pub(crate) fn drop_session(&mut self, id: SessionId, work: &mut Vec<Work>) {
        let Some(mut session) = self.table.remove(id) else {
            return;
        };
        if let Some(board) = &mut self.board {
            board.closed(self.table.len(), self.clock.now());
        }
        let cut = session.blocked || !session.output.is_empty();
        session.output.clear(&mut self.spent);
        session.tell_left(work);
        self.sockets -= usize::from(session.is_socket());
        if session.told || session.transport.is_host() {
            work.push(Work::Closed { session: id, cut });
        }
        if let Some(poller) = &self.poller {
            session.transport.deregister(poller);
        }
        // A descriptor is free again: those who wait for one may be accepted.
        if self.accept_again.is_some() {
            self.accept_again = Some(self.clock.now());
        }
    }

    /// Puts a session's earliest deadline into the heap, unless an earlier entry will find it.
    pub(crate) fn arm(&mut self, id: SessionId) {
        if let Some(session) = self.table.get(id)
            && let Some(next) = session.timers.next()
            && session.queued.is_none_or(|queued| next < queued)
        {
            session.queued = Some(next);
            self.deadlines.push(next, id);
            let table = &mut self.table;
            if self.deadlines.len() > SWEEP + 2 * table.len() {
                let counts = |at, id| table.get(id).is_some_and(|s| s.queued == Some(at));
                self.deadlines.sweep(counts);
            }
        }
    }

    /// Acts on every deadline that has passed. What finds no room to be looked at stays due.
    pub(crate) fn expire(&mut self, batch: &mut Batch) {
        let now = self.clock.now();
        while batch.has_room()
            && let Some((at, id)) = self.deadlines.pop_due(now)
        {
            self.guarded(id, batch, |reactor, batch| reactor.fall_due(id, at, batch));
        }
    }

    fn fall_due(&mut self, id: SessionId, at: Millis, batch: &mut Batch) {
        let now = self.clock.now();
        let Some(session) = self.table.get(id) else {
            return;
        };
        if session.queued != Some(at) {
            return;
        }
        session.queued = None;
        if session.timers.next().is_some_and(|at| at <= now) {
            self.look_again(id, batch);
        } else {
            session.overdue = false;
        }
        let Some(session) = self.table.get(id) else {
            return;
        };
        let heard = !session.input.is_empty();
        let late = if session.proxy_due {
            Fault::ProxyTimeout
        } else {
            Fault::HeadTimeout
        };
        let answered = session.http.response_started();
        let socket = session.is_socket();
        match session.timers.expired(now) {
            None => {}
            Some(Timer::PING) if socket => self.ping(id),
            Some(Timer::PONG) if socket => self.fall_silent(id, batch),
            // A WebSocket that does not close in time hears no HTTP.
            Some(Timer::Head) if heard && !socket => self.refuse(id, late, &mut batch.work),
            Some(Timer::Body) if !answered => {
                self.refuse(id, Fault::BodyTimeout, &mut batch.work);
            }
            Some(_) => self.drop_session(id, &mut batch.work),
        }
        self.arm(id);
    }

    /// Looks at a peer that seems to be late: if the loop was busy elsewhere, the fault is ours.
    fn look_again(&mut self, id: SessionId, batch: &mut Batch) {
        let Some(session) = self.table.get(id) else {
            return;
        };
        if session.transport.is_host() {
            if !std::mem::replace(&mut session.overdue, true) {
                session.timers.postpone(self.clock.now() + SECOND_LOOK);
            }
            return;
        }
        session.readable = true;
        let blocked = std::mem::take(&mut session.blocked);
        self.read(id, batch);
        if blocked {
            self.write(id, batch);
        }
    }

    /// Does something for one session; a panic ends that session and no other.
    pub(crate) fn guarded(
        &mut self,
        id: SessionId,
        batch: &mut Batch,
        act: impl FnOnce(&mut Self, &mut Batch),
    ) {
        if catch_unwind(AssertUnwindSafe(|| act(self, batch))).is_err() {
            self.stats.panics += 1;
            self.drop_session(id, &mut batch.work);
        }
    }

    /// Cuts one connection.
    pub fn cut(&mut self, id: SessionId, batch: &mut Batch) {
        self.drop_session(id, &mut batch.work);
    }

    /// Lends the session an output buffer that has been used before.
    pub(crate) fn lend_buffer(spare: &mut Vec<Vec<u8>>, session: &mut Session<P>) {
        if session.output.is_empty()
            && let Some(buffer) = spare.pop()
        {
            session.output.give_buffer(buffer);
        }
    }

    /// Takes the buffer back from a session that has sent everything.
    pub(crate) fn reclaim_buffer(spare: &mut Vec<Vec<u8>>, session: &mut Session<P>) {
        let buffer = session.output.take_buffer();
        if spare.len() < SPARE_BUFFERS && (1..=SPARE_CAPACITY).contains(&buffer.capacity()) {
            spare.push(buffer);
        }
    }
}
