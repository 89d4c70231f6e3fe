//! One WebSocket: what `receive` gives and what `send` does, without saying who waits how.
//!
//! It begins as a request. The application opens it (`websocket.accept`), turns it away
//! (`websocket.close`: 403) or answers it as plain HTTP (`websocket.http.response.start`), which goes the
//! way of every response. Messages are handed out in the order in which they came; then comes the end.

use ferricorn_engine::{Data, Flow};
use ferricorn_proto::ws::Kind;
use ferricorn_proto::{Fault, limits};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::exchange::{Handle, Sent, misuse};
use crate::ffi::Payload;
use crate::link::{Found, State};
use crate::message::{Headers, Message};
use crate::names::empty;
use crate::said::Said;
use crate::slot::{self, Incoming, Phase, Socket, Stage};
use crate::wait::Wake;

/// `logging.INFO`.
const INFO: i32 = 20;
/// An end without a close frame (RFC 6455 section 7.4.1): of an open connection as uvicorn tells it, and
/// of one that never opened.
const NO_STATUS: u16 = 1005;
const ABNORMAL: u16 = 1006;
/// For so many messages an idle connection keeps room.
const KEPT: usize = 4;
/// What the application's return and its failure say to the client.
const NORMAL: u16 = 1000;
const INTERNAL_ERROR: u16 = 1011;

enum Heard {
    Connect,
    Message(Incoming),
    End(u16, Option<String>),
}

/// The next message of an exchange of either kind, or `None` if it has to wait.
///
/// # Errors
/// If Python is out of memory, or the loop is closed.
pub fn receive_any<'py>(handle: &Handle, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
    if handle.socket {
        receive(handle, py)
    } else {
        handle.receive(py)
    }
}

/// Acts on a message of an application of either kind.
///
/// # Errors
/// If it may not be sent, or not now.
pub fn send_any(handle: &Handle, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Sent> {
    if handle.socket {
        send(handle, py, message)
    } else {
        handle.send(py, message)
    }
}

/// The next message for the application, or `None` if it has to wait.
///
/// # Errors
/// If Python is out of memory, or the loop is closed.
fn receive<'py>(handle: &Handle, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let link = &handle.link;
    let mut state = link.lock();
    let heard = match state.socket(handle.id) {
        None => Some(Heard::End(ABNORMAL, None)),
        Some(socket) => socket.next(),
    };
    if let Some(Heard::Message(incoming)) = &heard {
        state.reactor.message_taken(handle.id, incoming.length);
    }
    let wanted = !state.scheduled && (state.reactor.has_dirty() || state.reactor.has_ready());
    drop(state);
    if wanted {
        link.schedule(py)?;
    }
    let Some(heard) = heard else {
        return Ok(None);
    };
    let names = &link.names;
    let message = PyDict::new(py);
    match heard {
        Heard::Connect => message.set_item(&names.type_, &names.websocket_connect)?,
        Heard::Message(incoming) => {
            message.set_item(&names.type_, &names.websocket_receive)?;
            let key = if incoming.text {
                &names.text
            } else {
                &names.bytes
            };
            message.set_item(key, incoming.data)?;
        }
        Heard::End(code, reason) => {
            message.set_item(&names.type_, &names.websocket_disconnect)?;
            message.set_item(&names.code, code)?;
            if let Some(reason) = reason {
                message.set_item(&names.reason, reason)?;
            }
        }
    }
    Ok(Some(message))
}

impl Socket {
    fn next(&mut self) -> Option<Heard> {
        if !std::mem::replace(&mut self.connect_told, true) {
            return Some(Heard::Connect);
        }
        if let Some(incoming) = self.inbox.pop_front() {
            if self.inbox.is_empty() {
                self.inbox.shrink_to(KEPT);
            }
            return Some(Heard::Message(incoming));
        }
        let (code, reason) = self.ended.as_ref()?;
        Some(Heard::End(*code, reason.clone()))
    }
}

/// Acts on a message of the application.
///
/// # Errors
/// If it may not be sent, or not now, or nobody is there any more.
fn send(handle: &Handle, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Sent> {
    let link = &handle.link;
    // Outlives the lock: whatever the application sent may run its code when it is dropped.
    let said = Said::read(message, &link.names)?;
    let mut state = link.lock();
    let Some((stage, gone)) = state.stage(handle) else {
        return Err(disconnected(handle, py));
    };
    let mut waiting = Vec::new();
    let sent = match (stage, &said) {
        (Stage::Over, _) => {
            return Err(PyRuntimeError::new_err(format!(
                "Unexpected ASGI message '{}', after sending 'websocket.close'.",
                said.name()
            )));
        }
        _ if gone => return Err(disconnected(handle, py)),
        (Stage::Open, Said::Text(text)) => {
            let contents = text.to_str()?;
            let data = if contents.len() < limits::ZERO_COPY_MIN {
                Data::Copy(contents.as_bytes())
            } else {
                Data::Payload(Payload::of_text(text)?)
            };
            state.reactor.send_message(handle.id, Kind::Text, data)
        }
        (Stage::Open, Said::Bytes(bytes)) => {
            let contents = bytes.as_bytes();
            let data = if contents.len() < limits::ZERO_COPY_MIN {
                Data::Copy(contents)
            } else {
                Data::Payload(Payload::new(bytes))
            };
            state.reactor.send_message(handle.id, Kind::Binary, data)
        }
        (Stage::Open, Said::Close { code, reason }) => {
            let closed = state.reactor.close_socket(handle.id, *code, reason);
            if closed.is_ok()
                && let Some(socket) = state.socket(handle.id)
            {
                socket.over(*code, Some(reason.clone()));
                // Its other tasks are to hear that there is nothing to wait for.
                if let Some(exchange) = state.current(handle.id) {
                    waiting = std::mem::take(&mut exchange.waiters);
                }
            }
            closed
        }
        (
            Stage::Connecting,
            Said::Accept {
                subprotocol,
                headers,
            },
        ) => {
            if state.reactor.is_crowded() {
                drop(state);
                return crowd_out(handle, py);
            }
            let opened = open(handle, &mut state, subprotocol.as_ref(), headers)?;
            let scope = state
                .socket(handle.id)
                .and_then(|socket| socket.scope.take());
            drop(state);
            if !opened {
                return Err(disconnected(handle, py));
            }
            log(handle, py, scope, None);
            link.report(py, INFO, "connection open", None);
            return scheduled(handle, py);
        }
        (Stage::Connecting, Said::Close { .. }) => {
            drop(state);
            return deny(handle, py);
        }
        (Stage::Connecting | Stage::Denying, Said::Answer(_)) => {
            drop(state);
            return answer(handle, py, said);
        }
        (stage, said) => return Err(out_of_order(stage, said)),
    };
    let flow = sent.map_err(misuse)?;
    let wanted = !state.scheduled && state.reactor.has_dirty();
    // An application that never waits would keep everything until it does.
    let spent = state.reactor.take_spent();
    drop(state);
    drop(spent);
    slot::wake(py, waiting, Wake::Soon);
    if wanted {
        link.schedule(py)?;
    }
    match flow {
        Flow::Gone => Err(disconnected(handle, py)),
        Flow::Ready => Ok(Sent::Done),
        Flow::Blocked => Ok(Sent::Full),
    }
}

fn scheduled(handle: &Handle, py: Python<'_>) -> PyResult<Sent> {
    let state = handle.link.lock();
    let wanted = !state.scheduled && (state.reactor.has_dirty() || state.reactor.has_ready());
    drop(state);
    if wanted {
        handle.link.schedule(py)?;
    }
    Ok(Sent::Done)
}

fn out_of_order(stage: Stage, said: &Said<'_>) -> PyErr {
    let name = said.name();
    PyRuntimeError::new_err(match stage {
        Stage::Connecting => format!(
            "Expected ASGI message 'websocket.accept', 'websocket.close' or \
             'websocket.http.response.start' but got '{name}'."
        ),
        Stage::Denying => {
            format!("Expected ASGI message 'websocket.http.response.body' but got '{name}'.")
        }
        _ => format!(
            "Expected ASGI message 'websocket.send' or 'websocket.close', but got '{name}'."
        ),
    })
}

fn disconnected(handle: &Handle, py: Python<'_>) -> PyErr {
    let Some(hooks) = &handle.link.sockets else {
        return PyOSError::new_err(());
    };
    match hooks.disconnected.bind(py).call0() {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// Writes the 101, and says whether anybody is there to hear it.
fn open(
    handle: &Handle,
    state: &mut State,
    subprotocol: Option<&Bound<'_, PyString>>,
    headers: &Headers<'_>,
) -> PyResult<bool> {
    let Some(mut head) = state.reactor.open_socket(handle.id).map_err(misuse)? else {
        return Ok(false);
    };
    headers
        .each(|name, value| head.field(name, value))
        .map_err(misuse)?;
    if let Some(subprotocol) = subprotocol {
        head.subprotocol(subprotocol.to_str()?.as_bytes())
            .map_err(misuse)?;
    }
    head.finish();
    state.reactor.socket_opened(handle.id);
    if let Some(socket) = state.socket(handle.id) {
        socket.stage = Stage::Open;
        socket.opened = true;
    }
    Ok(true)
}

/// Turns a client away whose application would accept it, though others were accepted meanwhile and
/// no more may be open.
fn crowd_out(handle: &Handle, py: Python<'_>) -> PyResult<Sent> {
    let mut state = handle.link.lock();
    state.reactor.turn_away(handle.id, Fault::Overloaded);
    if let Some(exchange) = state.current(handle.id) {
        exchange.gone = true;
    }
    let scope = state.socket(handle.id).and_then(|socket| {
        closed(socket, None);
        socket.scope.take()
    });
    drop(state);
    log(handle, py, scope, Some(Fault::Overloaded.status()));
    scheduled(handle, py)?;
    Err(disconnected(handle, py))
}

/// Turns the client away.
fn deny(handle: &Handle, py: Python<'_>) -> PyResult<Sent> {
    begin_answer(handle, py, 403);
    let start = Message::Start {
        status: 403,
        reason: Vec::new(),
        headers: Headers::empty_content(py)?,
        trailers: false,
    };
    handle.act(py, start)?;
    let end = Message::Body {
        body: empty(py),
        more: false,
    };
    let sent = handle.act(py, end);
    finish_answer(handle);
    sent
}

/// Passes a part of an answer in plain HTTP on.
fn answer(handle: &Handle, py: Python<'_>, said: Said<'_>) -> PyResult<Sent> {
    let Said::Answer(message) = said else {
        return Ok(Sent::Done);
    };
    let status = match &message {
        Message::Start { status, .. } => Some(*status),
        _ => None,
    };
    let sent = handle.act(py, message)?;
    if let Some(status) = status {
        begin_answer(handle, py, status);
    }
    let mut state = handle.link.lock();
    let complete = state
        .current(handle.id)
        .is_none_or(|exchange| exchange.phase == Phase::Complete);
    drop(state);
    if complete {
        finish_answer(handle);
    }
    Ok(sent)
}

fn begin_answer(handle: &Handle, py: Python<'_>, status: u16) {
    let mut state = handle.link.lock();
    let scope = state.socket(handle.id).and_then(|socket| {
        socket.stage = Stage::Denying;
        socket.scope.take()
    });
    drop(state);
    log(handle, py, scope, Some(status));
}

fn finish_answer(handle: &Handle) {
    if let Some(socket) = handle.link.lock().socket(handle.id) {
        socket.over(ABNORMAL, None);
    }
}

fn log(handle: &Handle, py: Python<'_>, scope: Option<Py<PyDict>>, status: Option<u16>) {
    if let (Some(scope), Some(hooks)) = (scope, &handle.link.sockets)
        && let Err(error) = hooks.log.bind(py).call1((scope, status))
    {
        error.write_unraisable(py, None);
    }
}

impl Socket {
    /// The application has said its last word.
    fn over(&mut self, code: u16, reason: Option<String>) {
        self.stage = Stage::Over;
        self.ended.get_or_insert((code, reason));
    }
}

impl State {
    /// The WebSocket of an exchange, if its application runs.
    pub fn socket(&mut self, id: ferricorn_engine::ExchangeId) -> Option<&mut Socket> {
        if matches!(self.find(id), Found::Current(_)) {
            return self.current(id)?.socket.as_deref_mut();
        }
        self.parted.get_mut(&id).map(Box::as_mut)
    }

    /// How far it has come, and whether its client is gone.
    fn stage(&mut self, handle: &Handle) -> Option<(Stage, bool)> {
        let gone = self.current(handle.id).is_none_or(|exchange| exchange.gone);
        self.socket(handle.id).map(|socket| (socket.stage, gone))
    }
}

/// The client, or the server, has ended it.
pub fn closed(socket: &mut Socket, told: Option<(u16, String)>) {
    let unopened = matches!(socket.stage, Stage::Connecting | Stage::Denying);
    let end = match told {
        Some((code, reason)) => (code, Some(reason)),
        None if unopened => (ABNORMAL, None),
        None => (NO_STATUS, None),
    };
    socket.ended.get_or_insert(end);
}

/// The application's call is over: so is its WebSocket. Says what is to be reported.
pub fn finish(handle: &Handle, py: Python<'_>, returned: bool) -> Option<&'static str> {
    let link = &handle.link;
    let mut state = link.lock();
    let (stage, gone) = state.stage(handle)?;
    let mut report = None;
    let mut status = None;
    match stage {
        Stage::Open => {
            let code = if returned { NORMAL } else { INTERNAL_ERROR };
            // Nobody is left who could be told that it was too late.
            let _ = state.reactor.close_socket(handle.id, code, "");
        }
        Stage::Connecting | Stage::Denying => {
            if state.reactor.fail(handle.id) {
                status = Some(500);
            }
            if returned && !gone {
                report = Some("ASGI callable returned without completing handshake.");
            }
        }
        Stage::Over => {}
    }
    let scope = state.socket(handle.id).and_then(|socket| {
        socket.over(ABNORMAL, None);
        socket.scope.take()
    });
    let waiting = state
        .current(handle.id)
        .map(|exchange| {
            exchange.phase = Phase::Complete;
            std::mem::take(&mut exchange.waiters)
        })
        .unwrap_or_default();
    let parted = state.parted.remove(&handle.id);
    let wanted = !state.scheduled && state.reactor.has_dirty();
    drop(state);
    drop(parted);
    if status.is_some() {
        log(handle, py, scope, status);
    }
    slot::wake(py, waiting, Wake::Soon);
    if wanted && let Err(error) = link.schedule(py) {
        error.write_unraisable(py, None);
    }
    report
}
