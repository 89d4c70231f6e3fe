//! What is known of a connection's exchange: its response's phase, what its application has not taken,
//! who waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::record::Record;
use crate::scope::Ends;
use crate::spill::Spill;
use crate::spool::Spool;
use crate::wait::{Wait, Wake};

/// A connection, as far as exchanges need it. Indexed by the session's slot.
#[derive(Default)]
pub struct Slot {
    pub generation: u32,
    pub ends: Option<Ends>,
    pub exchange: Exchange,
    /// The asyncio transport of a connection that the loop drives.
    pub transport: Option<Py<PyAny>>,
}

/// One request and its response.
#[derive(Default)]
pub struct Exchange {
    pub number: u32,
    pub phase: Phase,
    /// The scope, kept for an access log as uvicorn's until the response starts.
    pub scope: Option<Py<PyDict>>,
    /// Kept for an access log with a format until the exchange is over.
    pub record: Option<Box<Record>>,
    pub body: Body,
    /// The application has called `receive`.
    pub asked: bool,
    /// The client has left.
    pub gone: bool,
    /// The response is a stream of events, whose client comes back by itself: it is told of the
    /// server's end as if its client had left.
    pub events: bool,
    /// `receive` and `send` calls that wait.
    pub waiters: Vec<Waiter>,
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// What is there if the request asks for a WebSocket.
    pub socket: Option<Box<Socket>>,
    /// What a WSGI application's client did not take.
    pub spill: Option<Arc<Mutex<Spill>>>,
    /// What is there while the body for a WSGI application comes.
    pub collecting: Option<Box<Collecting>>,
}

/// What a request wants of which WSGI application.
pub struct Wanted {
    pub application: Py<PyAny>,
    pub environ: Py<PyDict>,
    /// Where it stands in the list of runs.
    pub place: usize,
    /// The request is HEAD.
    pub head: bool,
}

/// A request for a WSGI application whose body is not complete.
pub struct Collecting {
    pub wanted: Wanted,
    pub spool: Spool,
}

/// Somebody who waits for an exchange to change.
pub struct Waiter {
    pub wait: Py<Wait>,
    /// Waits for room to send; else for something to receive.
    pub sends: bool,
}

/// Lets those who wait look again.
pub fn wake(py: Python<'_>, waiters: impl IntoIterator<Item = Waiter>, how: Wake) {
    for waiter in waiters {
        Wait::wake(waiter.wait.bind(py), how);
    }
}

/// A WebSocket, as far as its application is concerned.
#[derive(Default)]
pub struct Socket {
    pub stage: Stage,
    /// It was open once.
    pub opened: bool,
    /// The application has been told that somebody connects.
    pub connect_told: bool,
    /// Messages that it has not taken.
    pub inbox: VecDeque<Incoming>,
    /// What it hears when there are no more: code and reason.
    pub ended: Option<(u16, Option<String>)>,
    /// The scope, kept until the request is answered, for the log.
    pub scope: Option<Py<PyDict>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The request is not answered.
    #[default]
    Connecting,
    Open,
    /// It is answered as plain HTTP, and the answer goes on.
    Denying,
    /// The application has said its last word.
    Over,
}

/// A message as the application gets it.
pub struct Incoming {
    /// `str` or `bytes`.
    pub data: Py<PyAny>,
    pub text: bool,
    /// Bytes that it had on its way.
    pub length: usize,
}

/// What the response expects next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Start,
    Body,
    Trailers,
    Complete,
}

/// Request body bytes that the application has not taken.
#[derive(Default)]
pub struct Body {
    /// What came first, as the application gets it; then `rest`, which keeps a body that trickles
    /// in from costing an object for each byte.
    first: Option<Py<PyBytes>>,
    rest: Vec<u8>,
    /// The last byte has arrived.
    pub over: bool,
    /// The application has been told so.
    pub end_told: bool,
}

impl Exchange {
    /// Its client has left after the response, or the application took too long for one.
    pub fn is_given_up(&self) -> bool {
        self.gone && self.phase == Phase::Complete
    }

    /// Takes one of those who wait to receive.
    pub fn take_receiver(&mut self) -> Option<Waiter> {
        let index = self.waiters.iter().position(|waiter| !waiter.sends)?;
        Some(self.waiters.swap_remove(index))
    }

    /// Takes those who wait to receive, or those who wait to send.
    pub fn take_waiters(&mut self, sends: bool) -> Vec<Waiter> {
        if self.waiters.is_empty() {
            return Vec::new();
        }
        let (taken, left) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|waiter| waiter.sends == sends);
        self.waiters = left;
        taken
    }
}

impl Body {
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    pub fn push(&mut self, py: Python<'_>, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if self.is_empty() {
            // Not tracked by the collector: making it runs no Python code.
            self.first = Some(PyBytes::new(py, data).unbind());
        } else {
            self.rest.extend_from_slice(data);
        }
    }

    pub fn take<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        if let Some(first) = self.first.take() {
            return Some(first.into_bound(py));
        }
        if self.rest.is_empty() {
            return None;
        }
        Some(PyBytes::new(py, &std::mem::take(&mut self.rest)))
    }
}
