//! One HTTP exchange: what `receive` gives and what `send` does, without saying who waits how.

use std::sync::Arc;

use ferricorn_engine::{Data, ExchangeId, Flow};
use ferricorn_proto::{Misuse, limits};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::ffi::Payload;
use crate::link::{Found, Link, State};
use crate::message::{FilePart, Headers, Message};
use crate::names::empty;
use crate::record::Record;
use crate::slot::{self, Exchange, Phase, Waiter};
use crate::wait::{Wait, Wake};

/// An exchange and the way to it; what `receive` and `send` hold.
#[derive(Clone)]
pub struct Handle {
    pub link: Arc<Link>,
    pub id: ExchangeId,
    /// It speaks in messages: see `websocket`.
    pub socket: bool,
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Done,
    /// Queued, and the sender is to wait until the output has drained.
    Full,
    /// Dropped: nobody is there to take it.
    Gone,
}

/// What a message leaves to be done without the lock.
#[derive(Default)]
struct After {
    wake: Vec<Waiter>,
    /// The response began with this scope and status.
    begun: Option<(Py<PyDict>, u16)>,
    /// The exchange is over.
    record: Option<Box<Record>>,
}

enum Taken<'py> {
    Body {
        body: Bound<'py, PyBytes>,
        more: bool,
    },
    Disconnect,
}

impl Handle {
    /// The next message for the application, or `None` if it has to wait.
    ///
    /// # Errors
    /// If Python is out of memory, or the loop is closed.
    pub fn receive<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let mut state = self.link.lock();
        let ending = state.reactor.is_ending();
        let taken = match state.current(self.id) {
            None => Some(Taken::Disconnect),
            Some(exchange) => {
                let taken = take(py, exchange, ending);
                if !std::mem::replace(&mut exchange.asked, true) {
                    state.reactor.ask(self.id);
                }
                taken
            }
        };
        if let Some(Taken::Body { body, .. }) = &taken {
            state.reactor.consumed(self.id, body.as_bytes().len());
        }
        let wanted = !state.scheduled && (state.reactor.has_dirty() || state.reactor.has_ready());
        drop(state);
        if wanted {
            self.link.schedule(py)?;
        }
        let Some(taken) = taken else {
            return Ok(None);
        };
        let names = &self.link.names;
        let message = PyDict::new(py);
        match taken {
            Taken::Disconnect => message.set_item(&names.type_, &names.http_disconnect)?,
            Taken::Body { body, more } => {
                message.set_item(&names.type_, &names.http_request)?;
                message.set_item(&names.body, body)?;
                message.set_item(&names.more_body, more)?;
            }
        }
        Ok(Some(message))
    }

    /// Acts on a message of the application.
    ///
    /// # Errors
    /// If it may not be sent, or not now; nothing of it was then.
    pub fn send(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Sent> {
        self.act(py, Message::read(message, &self.link.names)?)
    }

    /// Acts on a message that was read. It is dropped without the lock: whatever the application sent
    /// may run its code then.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn act(&self, py: Python<'_>, mut message: Message<'_>) -> PyResult<Sent> {
        let mut state = self.link.lock();
        let phase = match state.find(self.id) {
            // What an application sends to a client that has left is dropped.
            Found::Gone => return Ok(Sent::Gone),
            // Nor does anybody wait for one that has taken too long.
            Found::Current(exchange) if exchange.is_given_up() => return Ok(Sent::Gone),
            Found::Past => Phase::Complete,
            Found::Current(exchange) => exchange.phase,
        };
        check_order(phase, &message)?;
        let partial = matches!(
            &message,
            Message::Body { more: true, .. }
                | Message::File { more: true, .. }
                | Message::EarlyHint { .. }
        );
        let mut after = After::default();
        let mut sent = Sent::Done;
        match &mut message {
            Message::Start {
                status,
                reason,
                headers,
                trailers,
            } => {
                let (status, trailers) = (*status, *trailers);
                let mut heard = false;
                let ending = state.reactor.is_ending();
                let mut events = false;
                if let Some(mut head) = state.reactor.respond(self.id, status).map_err(misuse)? {
                    if !reason.is_empty() {
                        head.reason(reason).map_err(misuse)?;
                    }
                    headers
                        .each(|name, value| {
                            events |= says_events(name, value);
                            head.field(name, value)
                        })
                        .map_err(misuse)?;
                    head.finish().map_err(misuse)?;
                    heard = true;
                }
                // A head that was refused must leave nothing behind for the one that follows.
                if trailers {
                    state.reactor.expect_trailers(self.id);
                }
                if let Some(exchange) = state.current(self.id) {
                    exchange.phase = if trailers {
                        Phase::Trailers
                    } else {
                        Phase::Body
                    };
                    after.begun = exchange.scope.take().map(|scope| (scope, status));
                    exchange.events = events;
                    if events && ending {
                        after.wake = exchange.take_waiters(false);
                    }
                    if let Some(record) = exchange.record.as_mut().filter(|_| heard) {
                        record.respond(status);
                        self.keep_headers(record, headers);
                    }
                }
            }
            Message::Body { body, more } => {
                let bytes = body.as_bytes();
                let data = if bytes.len() < limits::ZERO_COPY_MIN {
                    Data::Copy(bytes)
                } else {
                    Data::Payload(Payload::new(body))
                };
                let length = bytes.len() as u64;
                let flow = state.reactor.body(self.id, data, *more).map_err(misuse)?;
                sent = progress(state.current(self.id), length, flow, *more, &mut after);
            }
            Message::File { part, more } => {
                if let Some(FilePart {
                    file,
                    offset,
                    length,
                }) = part.take()
                {
                    let data = Data::File {
                        file,
                        offset,
                        length,
                    };
                    let flow = state.reactor.body(self.id, data, *more).map_err(misuse)?;
                    sent = progress(state.current(self.id), length, flow, *more, &mut after);
                }
            }
            Message::EarlyHint { links } => {
                if let Some(mut hint) = state.reactor.inform(self.id, 103).map_err(misuse)? {
                    for link in links {
                        hint.field(b"link", link.as_bytes()).map_err(misuse)?;
                    }
                    hint.finish().map_err(misuse)?;
                }
            }
            Message::Trailers { headers, more } => {
                self.trailers(&mut state, headers, *more, &mut after)?;
            }
            Message::Debug => {}
        }
        let queued = state.reactor.has_dirty();
        let wanted = queued && !state.scheduled;
        // An application that never waits would keep everything until it does.
        let spent = state.reactor.take_spent();
        drop(state);
        drop(spent);
        if wanted {
            self.link.schedule(py)?;
        } else if queued && partial {
            self.link.hurry();
        }
        if let (Some((scope, status)), Some(access_log)) = (after.begun, &self.link.access_log) {
            access_log.begun(py, &self.link.names, scope.bind(py), status);
        }
        self.link.log(py, after.record);
        if !after.wake.is_empty() {
            slot::wake(py, after.wake, Wake::Soon);
        }
        Ok(sent)
    }

    /// Keeps those headers of a response that the access log shows.
    fn keep_headers(&self, record: &mut Record, headers: &Headers<'_>) {
        let format = self.link.format();
        let Some(format) = format.filter(|format| !format.headers.is_empty()) else {
            return;
        };
        let keep = |name: &[u8], value: &[u8]| {
            if format.shows(name) {
                record.headers.push((name.to_vec(), value.to_vec()));
            }
            Ok::<_, std::convert::Infallible>(())
        };
        let Ok(()) = headers.each(keep);
    }

    fn trailers(
        &self,
        state: &mut State,
        headers: &Headers<'_>,
        more: bool,
        after: &mut After,
    ) -> PyResult<()> {
        let Some(exchange) = state.current(self.id) else {
            return Ok(());
        };
        let collect = |name: &[u8], value: &[u8]| {
            exchange.trailers.push((name.to_vec(), value.to_vec()));
            Ok::<_, Misuse>(())
        };
        headers.each(collect).map_err(misuse)?;
        if more {
            return Ok(());
        }
        let fields = std::mem::take(&mut exchange.trailers);
        if let Some(mut trailers) = state.reactor.trailers(self.id).map_err(misuse)? {
            for (name, value) in &fields {
                trailers.field(name, value).map_err(misuse)?;
            }
            trailers.finish().map_err(misuse)?;
        }
        state.reactor.end(self.id);
        if let Some(exchange) = state.current(self.id) {
            exchange.phase = Phase::Complete;
        }
        progress(state.current(self.id), 0, Flow::Ready, false, after);
        Ok(())
    }

    /// Registers a wait, to be ended when there may be something new.
    ///
    /// # Errors
    /// If Python is out of memory.
    pub fn waiter(&self, py: Python<'_>, sending: bool) -> PyResult<Py<Wait>> {
        let event_loop = &self.link.event_loop;
        let wait = Wait::new(
            event_loop.object.clone_ref(py),
            event_loop.call_soon.clone_ref(py),
            event_loop.done(py)?.clone_ref(py),
        );
        let wait = Py::new(py, wait)?;
        let mut state = self.link.lock();
        if let Some(exchange) = state.current(self.id) {
            exchange.waiters.push(Waiter {
                wait: wait.clone_ref(py),
                sends: sending,
            });
        }
        Ok(wait)
    }

    /// Forgets somebody who waits no more.
    pub fn forget(&self, py: Python<'_>, wait: &Py<Wait>) {
        let mut state = self.link.lock();
        let found = state.current(self.id).and_then(|exchange| {
            let waits = |waiter: &Waiter| waiter.wait.is(wait);
            let index = exchange.waiters.iter().position(waits)?;
            Some(exchange.waiters.swap_remove(index))
        });
        drop(state);
        if found.is_none() && self.socket {
            // It was woken, and did not take the message that it was woken for.
            let next = self.link.take_receiver(self.id);
            self.link.wake_receiver(py, self.id, next, Wake::Soon);
        }
    }

    /// Whether nobody is there any more to take a response.
    pub fn is_gone(&self) -> bool {
        let mut state = self.link.lock();
        state
            .current(self.id)
            .is_none_or(|exchange| exchange.is_given_up())
    }

    /// Whether the client has left, or will at least say no more.
    pub fn has_left(&self) -> bool {
        let mut state = self.link.lock();
        state.current(self.id).is_none_or(|exchange| exchange.gone)
    }

    /// Whether the response is complete, or nobody is there to take it.
    pub fn is_over(&self) -> bool {
        let mut state = self.link.lock();
        state
            .current(self.id)
            .is_none_or(|exchange| exchange.phase == Phase::Complete)
    }

    /// Whether a sender that had to wait may go on.
    pub fn may_send(&self) -> bool {
        let mut state = self.link.lock();
        match state.current(self.id) {
            Some(_) => !state.reactor.is_full(self.id),
            None => true,
        }
    }
}

/// Takes what the application is to get next, if there is anything.
fn take<'py>(py: Python<'py>, exchange: &mut Exchange, ending: bool) -> Option<Taken<'py>> {
    if exchange.phase == Phase::Complete {
        return Some(Taken::Disconnect);
    }
    if let Some(body) = exchange.body.take(py) {
        let more = !(exchange.body.over && exchange.body.is_empty());
        exchange.body.end_told = !more;
        return Some(Taken::Body { body, more });
    }
    if exchange.body.over && !exchange.body.end_told {
        exchange.body.end_told = true;
        return Some(Taken::Body {
            body: empty(py),
            more: false,
        });
    }
    let left = exchange.gone || (exchange.events && ending);
    left.then_some(Taken::Disconnect)
}

/// Whether a header line is the content type of server-sent events.
fn says_events(name: &[u8], value: &[u8]) -> bool {
    const TYPE: &[u8] = b"text/event-stream";
    name.len() == 12
        && name.eq_ignore_ascii_case(b"content-type")
        && value
            .get(..TYPE.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
        && value
            .get(TYPE.len())
            .is_none_or(|next| b"; \t".contains(next))
}

/// Notes how far the response has come.
fn progress(
    exchange: Option<&mut Exchange>,
    length: u64,
    flow: Flow,
    more: bool,
    after: &mut After,
) -> Sent {
    let Some(exchange) = exchange else {
        return Sent::Done;
    };
    if let Some(record) = &mut exchange.record {
        record.sent(length, flow);
    }
    if !more && exchange.phase == Phase::Body {
        exchange.phase = Phase::Complete;
    }
    if exchange.phase == Phase::Complete {
        // An idle connection keeps no file.
        exchange.spill = None;
        // Those who wait for the client to leave, or for room, hear that the exchange is over.
        after.wake.append(&mut exchange.waiters);
        after.record = exchange.record.take();
    }
    if flow == Flow::Blocked {
        Sent::Full
    } else {
        Sent::Done
    }
}

fn check_order(phase: Phase, message: &Message<'_>) -> PyResult<()> {
    let name = message.name();
    let wrong = match (phase, message) {
        (_, Message::Debug)
        | (Phase::Start, Message::Start { .. } | Message::EarlyHint { .. })
        | (Phase::Body | Phase::Trailers, Message::Body { .. } | Message::File { .. })
        | (Phase::Trailers, Message::Trailers { .. }) => return Ok(()),
        (Phase::Start, _) => {
            format!("Expected ASGI message 'http.response.start', but got '{name}'.")
        }
        (Phase::Body | Phase::Trailers, _) => {
            format!("Expected ASGI message 'http.response.body', but got '{name}'.")
        }
        (Phase::Complete, _) => {
            format!("Unexpected ASGI message '{name}' sent, after response already completed.")
        }
    };
    Err(PyRuntimeError::new_err(wrong))
}

pub fn misuse(error: Misuse) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}
