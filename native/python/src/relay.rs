//! What a request that runs already has to hear: bodies and messages, room, ends.

use std::sync::Arc;

use ferricorn_engine::{Address, ExchangeId, SessionId, Work};
use ferricorn_proto::Fault;
use ferricorn_proto::ws::{Data, Kind};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::exchange::Handle;
use crate::ffi;
use crate::link::Link;
use crate::response::pass_spilled;
use crate::scope::Ends;
use crate::slot::{self, Collecting, Incoming, Phase};
use crate::wait::Wake;
use crate::websocket;

/// `logging.INFO`.
const INFO: i32 = 20;

/// Passes on what a request that runs already has to hear.
pub fn pass_on(py: Python<'_>, link: &Arc<Link>, work: Work, arena: &[u8], how: Wake) {
    match work {
        Work::Opened {
            session,
            peer,
            local,
        } => open(py, link, session, &peer, &local),
        Work::Body {
            exchange,
            data,
            end,
        } => body(py, link, exchange, data.of(arena), end, how),
        Work::Message {
            exchange,
            kind,
            data,
        } => message(py, link, exchange, kind, &data, arena, how),
        Work::SocketClosed {
            exchange,
            code,
            reason,
        } => disconnect(py, link, exchange, Some((code, reason)), how),
        Work::Disconnected { exchange } => disconnect(py, link, exchange, None, how),
        Work::Writable { exchange } => writable(py, link, exchange, how),
        Work::Output { session, bytes } => {
            let bytes = PyBytes::new(py, &bytes);
            with_transport(py, link, session, |to| to.call_method1("write", (bytes,)));
        }
        Work::Reading { session, wanted } => {
            let method = if wanted {
                "resume_reading"
            } else {
                "pause_reading"
            };
            with_transport(py, link, session, |transport| {
                transport.call_method0(method)
            });
        }
        Work::Finished { session } => {
            with_transport(py, link, session, |transport| {
                if transport.call_method0("can_write_eof")?.is_truthy()? {
                    transport.call_method0("write_eof")?;
                }
                transport.call_method0("resume_reading")
            });
        }
        Work::Closed { session, cut } => close(py, link, session, cut, how),
        Work::Request { .. } | Work::Refused { .. } => {}
    }
}

fn open(py: Python<'_>, link: &Link, session: SessionId, peer: &Address, local: &Address) {
    // A host connection has told its ends already.
    if *peer == Address::Host {
        return;
    }
    match Ends::new(py, peer, local) {
        Ok(ends) => {
            let mut state = link.lock();
            let (slot, left) = state.claim(session);
            slot.ends = Some(ends);
            drop(state);
            drop(left);
        }
        Err(error) => error.write_unraisable(py, None),
    }
}

/// The client of a request that runs was answered by the engine.
pub fn answered(link: &Link, session: SessionId, fault: Fault) {
    if link.format().is_none() {
        return;
    }
    let mut state = link.lock();
    let (slot, left) = state.claim(session);
    if let Some(record) = &mut slot.exchange.record {
        record.answer(fault.status(), fault.reason());
    }
    drop(state);
    drop(left);
}

fn body(py: Python<'_>, link: &Link, id: ExchangeId, data: &[u8], end: bool, how: Wake) {
    let mut state = link.lock();
    let Some(exchange) = state.current(id) else {
        return;
    };
    exchange.body.push(py, data);
    exchange.body.over |= end;
    let waiting = exchange.take_waiters(false);
    drop(state);
    slot::wake(py, waiting, how);
}

fn message(
    py: Python<'_>,
    link: &Link,
    id: ExchangeId,
    kind: Kind,
    data: &Data,
    arena: &[u8],
    how: Wake,
) {
    let contents = match data {
        Data::Here(span) => span.of(arena),
        Data::Made(bytes) => bytes,
    };
    let text = kind == Kind::Text;
    let made = if text {
        ffi::decode(py, contents).map(Bound::into_any)
    } else {
        Ok(PyBytes::new(py, contents).into_any())
    };
    let made = match made {
        Ok(made) => made,
        Err(error) => return error.write_unraisable(py, None),
    };
    let mut state = link.lock();
    let Some(exchange) = state.current(id) else {
        return;
    };
    let Some(socket) = &mut exchange.socket else {
        return;
    };
    socket.inbox.push_back(Incoming {
        data: made.unbind(),
        text,
        length: contents.len(),
    });
    // A message is for one receiver.
    let waiting = exchange.take_receiver();
    drop(state);
    link.wake_receiver(py, id, waiting, how);
}

/// The client is gone. `told` is what ended a WebSocket.
fn disconnect(py: Python<'_>, link: &Link, id: ExchangeId, told: Option<(u16, String)>, how: Wake) {
    let mut state = link.lock();
    let Some(exchange) = state.current(id) else {
        return;
    };
    exchange.gone = true;
    if let Some(socket) = &mut exchange.socket {
        websocket::closed(socket, told);
    }
    let waiting = std::mem::take(&mut exchange.waiters);
    let collecting = exchange.collecting.take();
    drop(state);
    slot::wake(py, waiting, how);
    abandon(link, id, collecting);
}

/// A body that never came whole: no application has heard of it.
fn abandon(link: &Link, id: ExchangeId, collecting: Option<Box<Collecting>>) {
    if let Some(collecting) = collecting {
        let run = link.lock().runs.release(collecting.wanted.place, id);
        drop((run, collecting));
    }
}

fn writable(py: Python<'_>, link: &Arc<Link>, id: ExchangeId, how: Wake) {
    let mut state = link.lock();
    let Some(exchange) = state.current(id) else {
        return;
    };
    let waiting = exchange.take_waiters(true);
    let spill = exchange.spill.clone();
    drop(state);
    slot::wake(py, waiting, how);
    if let Some(spill) = spill {
        let handle = Handle {
            link: Arc::clone(link),
            id,
            socket: false,
        };
        if let Err(error) = pass_spilled(py, &handle, &spill, true) {
            error.write_unraisable(py, None);
        }
    }
}

fn close(py: Python<'_>, link: &Link, session: SessionId, cut: bool, how: Wake) {
    let mut state = link.lock();
    let (slot, left) = state.claim(session);
    let mut ended = std::mem::take(slot);
    // No session has the next generation yet: ids of this one find nobody.
    slot.generation = session.generation.wrapping_add(1);
    let number = ended.exchange.number;
    let id = ExchangeId { session, number };
    if let Some(record) = ended.exchange.record.take() {
        state.departed.insert(id, record);
    }
    let socket = ended.exchange.socket.take();
    let opened = socket.as_ref().is_some_and(|socket| socket.opened);
    if let Some(mut socket) = socket
        && ended.exchange.phase != Phase::Complete
    {
        websocket::closed(&mut socket, None);
        state.parted.insert(id, socket);
    }
    drop(state);
    drop(left);
    abandon(link, id, ended.exchange.collecting.take());
    if opened {
        link.report(py, INFO, "connection closed", None);
    }
    slot::wake(py, ended.exchange.waiters, how);
    // Closing would wait until a peer that does not read has read what was cut.
    let end = if cut { "abort" } else { "close" };
    if let Some(transport) = ended.transport
        && let Err(error) = transport.bind(py).call_method0(end)
    {
        error.write_unraisable(py, None);
    }
}

fn with_transport<'py>(
    py: Python<'py>,
    link: &Link,
    session: SessionId,
    act: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) {
    let mut state = link.lock();
    let (slot, left) = state.claim(session);
    let transport = slot
        .transport
        .as_ref()
        .map(|transport| transport.clone_ref(py));
    drop(state);
    drop(left);
    if let Some(transport) = transport
        && let Err(error) = act(transport.bind(py))
    {
        error.write_unraisable(py, None);
    }
}
