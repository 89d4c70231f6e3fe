//! What an exchange leaves for its line in the access log, where that is written at its end.
//!
//! Made with the scope, carried by the exchange, and no longer changed once that is over. Knows
//! nothing of how a line looks.

use std::time::Instant;

use ferricorn_engine::Flow;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What nginx calls a request whose client has left before the response began.
const CLIENT_LEFT: u16 = 499;

pub struct Record {
    /// As the application had it, with the client that trusted proxies name.
    pub scope: Py<PyDict>,
    /// The scope's client before that.
    pub peer: Py<PyAny>,
    /// When the request's head was complete.
    pub start: Instant,
    pub request_id: Option<Vec<u8>>,
    /// Bytes of the response's body, without its framing, that were queued.
    pub bytes: u64,
    /// Those of the application's response headers that the line shows.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    status: Option<u16>,
    /// The request is HEAD.
    head: bool,
    /// The response's body is not sent.
    bodiless: bool,
}

impl Record {
    pub fn new(
        scope: Py<PyDict>,
        peer: Py<PyAny>,
        start: Instant,
        head: bool,
        request_id: Option<Vec<u8>>,
    ) -> Self {
        Self {
            scope,
            peer,
            start,
            request_id,
            bytes: 0,
            headers: Vec::new(),
            status: None,
            head,
            bodiless: head,
        }
    }

    /// The application's response begins.
    pub fn respond(&mut self, status: u16) {
        self.status = Some(status);
        // RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5.
        self.bodiless = self.head || matches!(status, 204 | 304);
    }

    /// The application sends a part of its body.
    pub fn sent(&mut self, length: u64, flow: Flow) {
        if flow != Flow::Gone && !self.bodiless {
            self.bytes += length;
        }
    }

    /// The server answers in the application's place, unless that has begun to.
    pub fn answer(&mut self, status: u16, text: &str) {
        if self.status.is_none() {
            self.respond(status);
            self.sent(text.len() as u64, Flow::Ready);
        }
    }

    /// The status of the response, or of a client that did not wait for one.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(CLIENT_LEFT)
    }
}
