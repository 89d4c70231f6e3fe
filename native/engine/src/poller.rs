//! Readiness of sockets: mio, which is epoll on Linux and kqueue on macOS.
//!
//! The poller's own descriptor is pollable, and that is the one descriptor the event loop watches.
//! Sockets are registered once, edge-triggered, for both directions; there is no system call for a
//! request. It must be made after a fork: an epoll instance is shared by parent and child.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::event::Source;
use mio::{Events, Interest, Poll, Token};

/// Sockets reported by one wait; the rest keeps the poller's descriptor readable. Not more: what a turn
/// makes for its requests should be gone from the cache and from the collector's count before the next
/// turn (measured: 128 cost a fifth more user time with 64 connections).
const EVENTS: usize = 32;

pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    ready: Vec<Readiness>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) token: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer will send no more.
    pub(crate) read_closed: bool,
    /// Nothing can be sent any more either.
    pub(crate) broken: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            ready: Vec::with_capacity(EVENTS),
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    pub(crate) fn add_stream(&self, source: &mut impl Source, token: usize) -> io::Result<()> {
        self.poll.registry().register(
            source,
            Token(token),
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    pub(crate) fn add_listener(&self, source: &mut impl Source, token: usize) -> io::Result<()> {
        self.poll
            .registry()
            .register(source, Token(token), Interest::READABLE)
    }

    pub(crate) fn remove(&self, source: &mut impl Source) {
        // Fails only if the source was never added, which is as good.
        let _ = self.poll.registry().deregister(source);
    }

    /// What is ready now; does not wait. Give the list back with [`Poller::give_back`].
    pub(crate) fn ready(&mut self) -> Vec<Readiness> {
        let mut ready = std::mem::take(&mut self.ready);
        // An interrupted or failed wait reports nothing now and the rest at the next turn.
        if self
            .poll
            .poll(&mut self.events, Some(Duration::ZERO))
            .is_ok()
        {
            ready.extend(self.events.iter().map(|event| Readiness {
                token: event.token().0,
                readable: event.is_readable(),
                writable: event.is_writable(),
                read_closed: event.is_read_closed(),
                broken: event.is_error() || event.is_write_closed(),
            }));
        }
        ready
    }

    pub(crate) fn give_back(&mut self, mut ready: Vec<Readiness>) {
        ready.clear();
        self.ready = ready;
    }
}
