//! What is under way, for a log: each run of the application, each connection that waits for its peer.
//!
//! Asked for at the end of a server and when it hangs. A row says since when, and one of few plain
//! words what for; how it is shown is the business of the floor above.

use std::cell::RefCell;
use std::ptr;
use std::sync::Arc;

use ferricorn_engine::{Address, ExchangeId, Standing, Wait};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::exchange::Handle;
use crate::link::{Found, Link};
use crate::scope::host_and_port;
use crate::slot::{Exchange, Phase, Stage};

/// Age in seconds, what is going on, the scope of a run, the client of a connection without one.
pub type Row = (f64, &'static str, Option<Py<PyDict>>, Option<Py<PyAny>>);

thread_local! {
    /// The run that makes its first step on this thread. It has no task yet, and may be what hangs.
    static STARTING: RefCell<Option<Starting>> = const { RefCell::new(None) };
}

struct Starting {
    /// Tells one server from another.
    link: *const Link,
    exchange: ExchangeId,
    scope: Py<PyDict>,
}

/// Has `act` make the first step of a run; who asks meanwhile on this thread learns of its scope.
pub fn first_step<T>(handle: &Handle, scope: &Bound<'_, PyDict>, act: impl FnOnce() -> T) -> T {
    let starting = Starting {
        link: Arc::as_ptr(&handle.link),
        exchange: handle.id,
        scope: scope.clone().unbind(),
    };
    let before = STARTING.replace(Some(starting));
    let result = act();
    let done = STARTING.replace(before);
    drop(done);
    result
}

fn starting(py: Python<'_>, link: &Link, exchange: ExchangeId) -> Option<Py<PyDict>> {
    STARTING.with_borrow(|starting| {
        let starting = starting.as_ref()?;
        let same = ptr::eq(starting.link, link) && starting.exchange == exchange;
        same.then(|| starting.scope.clone_ref(py))
    })
}

/// The rows, in no order.
///
/// # Errors
/// If Python is out of memory.
pub fn rows(py: Python<'_>, link: &Link) -> PyResult<Vec<Row>> {
    let mut state = link.lock();
    let waiting: Vec<_> = state
        .reactor
        .standing()
        .into_iter()
        .map(|standing| {
            let slot = state.slots.get(standing.session.slot as usize);
            let client = slot
                .filter(|slot| slot.generation == standing.session.generation)
                .and_then(|slot| slot.ends.as_ref())
                .map(|ends| ends.client.clone_ref(py));
            (standing, client)
        })
        .collect();
    let now = state.reactor.now();
    let runs = state.runs.all(py);
    let mut rows = Vec::with_capacity(runs.len() + waiting.len());
    for (exchange, since, scope) in runs {
        let doing = match state.find(exchange) {
            Found::Current(exchange) => doing(exchange),
            Found::Past => AFTER,
            Found::Gone => "connection closed, application still running",
        };
        let scope = scope.or_else(|| starting(py, link, exchange));
        rows.push((seconds(now.saturating_sub(since)), doing, scope, None));
    }
    drop(state);
    for (
        Standing {
            age, peer, wait, ..
        },
        client,
    ) in waiting
    {
        let client = match (client, peer) {
            (None, Some(Address::Inet(peer))) => Some(host_and_port(py, &peer)?),
            (client, _) => client,
        };
        rows.push((seconds(age), waits(wait), None, client));
    }
    Ok(rows)
}

const AFTER: &str = "response complete, application still running";

fn doing(exchange: &Exchange) -> &'static str {
    let waits = |sends| exchange.waiters.iter().any(|waiter| waiter.sends == sends);
    if let Some(socket) = &exchange.socket
        && !exchange.gone
    {
        return match socket.stage {
            Stage::Connecting => "WebSocket waits for the application",
            Stage::Open if waits(true) => "waits for the client to read",
            Stage::Open => "WebSocket open",
            Stage::Denying => "response streaming",
            Stage::Over => "WebSocket closed, application still running",
        };
    }
    match exchange.phase {
        Phase::Complete => AFTER,
        _ if exchange.gone => "client gone, application still running",
        Phase::Start if waits(false) && !exchange.body.over => "waits for the request body",
        Phase::Start => "waits for the application",
        Phase::Body | Phase::Trailers if waits(true) => "waits for the client to read",
        Phase::Body | Phase::Trailers => "response streaming",
    }
}

fn waits(wait: Wait) -> &'static str {
    match wait {
        Wait::Head => "request head incomplete",
        Wait::Body => "response complete, request body is not",
        Wait::Reader => "waits for the client to read",
        Wait::End => "waits for the client to close",
    }
}

#[expect(clippy::cast_precision_loss, reason = "an age, for people")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
