//! A batch of work, served: scopes are built, applications called, waiting ones woken.
//!
//! Nothing is locked while an application's code may run: each piece of work takes the lock for the
//! moment in which it touches the exchange.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use ferricorn_engine::{Address, Batch, ExchangeId, SessionId, Work};
use ferricorn_proto::ws::{Data, Kind};
use ferricorn_proto::{Fault, Field, RequestHead, Span, Upgrade};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::environ::Environs;
use crate::exchange::Handle;
use crate::ffi;
use crate::format::{REQUEST_ID, RequestId, is_request_id};
use crate::http::Callables;
use crate::link::{self, Collecting, Incoming, Link, Phase, Socket};
use crate::pool::Pool;
use crate::record::Record;
use crate::scope::{self, Ends, Scopes};
use crate::spool::{Io, Spool};
use crate::task::{self, End, Run, Tasks, finish};
use crate::wait::Wake;
use crate::websocket;
use crate::wsgi::Job;

/// `logging.INFO`.
const INFO: i32 = 20;
/// `logging.ERROR`.
const ERROR: i32 = 40;
/// `logging.WARNING`.
const WARNING: i32 = 30;
/// Refusals that are logged in one second; the rest is counted.
const LOGGED_REFUSALS: u32 = 20;

/// What serving needs besides the link.
pub struct Service {
    pub application: Py<PyAny>,
    /// What is called in its place for a request that proxies may have forwarded.
    pub forwarded: Py<PyAny>,
    pub scopes: Scopes,
    pub callables: Callables,
    pub tasks: Tasks,
    pub limit_concurrency: Option<usize>,
    pub refusals: RefusalLog,
    /// Where requests go if the application speaks WSGI.
    pub wsgi: Option<Wsgi>,
}

/// What requests for a WSGI application need.
pub struct Wsgi {
    pub environs: Environs,
    pub io: Io,
    pub pool: Arc<Pool>,
    /// Bytes of a body that are kept in memory.
    pub memory: usize,
    /// `(scope)`: has it say what trusted proxies report.
    pub report: Option<Py<PyAny>>,
}

impl Service {
    /// Serves a batch and empties it. Gives the connections that a panic of ours has to end.
    pub fn serve(
        &mut self,
        py: Python<'_>,
        link: &Arc<Link>,
        batch: &mut Batch,
        how: Wake,
    ) -> Vec<SessionId> {
        // Whether the loop has a task factory is asked once for a batch.
        let factory = self.tasks.have_factory(py).unwrap_or(true);
        let how = if factory { Wake::Soon } else { how };
        let mut broken = Vec::new();
        let mut work = std::mem::take(&mut batch.work);
        let mut items = work.drain(..).peekable();
        while let Some(item) = items.next() {
            let session = item.session();
            let mut body = Vec::new();
            if let Work::Request { exchange, .. } = item {
                // A body that came with the head is there before the application looks.
                while let Some(&Work::Body {
                    exchange: same,
                    data,
                    end,
                }) = items.peek()
                    && same == exchange
                {
                    body.push((data, end));
                    items.next();
                }
            }
            let served = catch_unwind(AssertUnwindSafe(|| match item {
                Work::Request {
                    exchange,
                    base,
                    head,
                } => {
                    let request = Request {
                        exchange,
                        base,
                        head,
                        body: &body,
                        factory,
                    };
                    self.request(py, link, &request, batch.fields(), batch.bytes());
                }
                Work::Refused {
                    session,
                    fault,
                    peer,
                } => {
                    answered(link, session, fault);
                    self.refusals
                        .fault(py, link, fault, &origin(py, link, session, &peer));
                }
                Work::Body {
                    exchange,
                    data,
                    end,
                } if self.wsgi.is_some() => {
                    self.collect(py, link, exchange, data.of(batch.bytes()), end);
                }
                other => pass_on(py, link, other, batch.bytes(), how),
            }));
            if served.is_err() {
                link.report(py, ERROR, "Internal error; the connection was cut.", None);
                broken.push(session);
            }
        }
        drop(items);
        batch.work = work;
        batch.clear();
        broken
    }

    fn request(
        &mut self,
        py: Python<'_>,
        link: &Arc<Link>,
        request: &Request<'_>,
        fields: &[Field],
        arena: &[u8],
    ) {
        if request.head.upgrade == Upgrade::Other {
            self.refusals.note(py, link, "Unsupported upgrade request.");
        }
        if let Err(error) = self.start(py, link, request, fields, arena) {
            let handle = request.handle(link);
            // There is no task yet that could end as cancelled.
            let _ = task::failed(py, &handle, None, error);
        }
    }

    fn start(
        &mut self,
        py: Python<'_>,
        link: &Arc<Link>,
        request: &Request<'_>,
        fields: &[Field],
        arena: &[u8],
    ) -> PyResult<()> {
        let Some((ends, place)) = self.admit(py, link, request, arena) else {
            return Ok(());
        };
        let handle = request.handle(link);
        if self.wsgi.is_some() {
            let begun = self.begin(py, &handle, &ends, place, request, fields, arena);
            if begun.is_err() {
                let run = link.lock().tasks.release(place);
                drop(run);
            }
            return begun;
        }
        match self.call(py, &handle, &ends, request, fields, arena) {
            Ok((coroutine, scope)) => {
                let run = Bound::new(py, Run::new(coroutine.unbind(), handle, place))?;
                self.tasks.start(py, link, &run, &scope, request.factory)
            }
            Err(error) => {
                let run = link.lock().tasks.release(place);
                drop(run);
                Err(error)
            }
        }
    }

    /// Begins with a request for a WSGI application: its environ, and its body as far as it has come.
    #[expect(clippy::too_many_arguments, reason = "a request and where it belongs")]
    fn begin(
        &mut self,
        py: Python<'_>,
        handle: &Handle,
        ends: &Ends,
        place: usize,
        request: &Request<'_>,
        fields: &[Field],
        arena: &[u8],
    ) -> PyResult<()> {
        let link = &handle.link;
        let input = &arena[request.base as usize..];
        let lines = &fields[request.head.fields.start as usize..request.head.fields.end as usize];
        let report = self.wsgi.as_ref().and_then(|wsgi| wsgi.report.as_ref());
        let forwarded = lines
            .iter()
            .any(|field| is_forwarding(field.name.of(input)));
        let report = report
            .filter(|_| forwarded)
            .map(|report| report.clone_ref(py));
        // Proxies and the log speak of scopes.
        let scope = if report.is_some() || link.access_log.is_some() {
            Some(self.scope(py, handle, ends, request, fields, arena)?)
        } else {
            None
        };
        if let (Some(scope), Some(report)) = (&scope, &report) {
            report.bind(py).call1((scope,))?;
        }
        let Some(wsgi) = &mut self.wsgi else {
            return Ok(());
        };
        let environ = wsgi.environs.make(py, ends, &request.head, lines, input)?;
        if let (Some(scope), Some(_)) = (&scope, report) {
            wsgi.environs.believe(&link.names, &environ, scope)?;
        }
        let head = request.head.method.of(input) == b"HEAD";
        let mut state = link.lock();
        state.tasks.keep(place, None, environ.clone().unbind());
        let Some(exchange) = state.current(handle.id) else {
            return Ok(());
        };
        let over = exchange.body.over;
        let first = exchange.body.take(py);
        if !over {
            state.reactor.ask(handle.id);
        }
        let length = first.as_ref().map_or(0, |first| first.as_bytes().len());
        state.reactor.consumed(handle.id, length);
        drop(state);
        if over {
            wsgi.environs.set_length(&environ, length as u64)?;
            environ.set_item(&link.names.input, wsgi.io.memory(py, first)?)?;
            wsgi.pool.push(Job {
                handle: handle.clone(),
                place,
                environ: environ.unbind(),
                head,
            });
            return Ok(());
        }
        let mut spool = Spool::default();
        if let Some(first) = first {
            spool.push(first.as_bytes(), wsgi.memory)?;
        }
        let collecting = Box::new(Collecting {
            environ: environ.unbind(),
            spool,
            place,
            head,
        });
        if let Some(exchange) = link.lock().current(handle.id) {
            exchange.collecting = Some(collecting);
        }
        Ok(())
    }

    /// Takes the next piece of a body; with the last one, the application may run.
    fn collect(
        &mut self,
        py: Python<'_>,
        link: &Arc<Link>,
        id: ExchangeId,
        piece: &[u8],
        end: bool,
    ) {
        let mut state = link.lock();
        let taken = state
            .current(id)
            .and_then(|exchange| exchange.collecting.take());
        // Of a request that was answered already, nobody wants it.
        state.reactor.consumed(id, piece.len());
        drop(state);
        let (Some(mut collecting), Some(wsgi)) = (taken, &self.wsgi) else {
            return;
        };
        let handle = Handle {
            link: Arc::clone(link),
            id,
            socket: false,
        };
        let place = collecting.place;
        let pushed = collecting.spool.push(piece, wsgi.memory);
        let done = match pushed {
            Err(error) => Err(error.into()),
            Ok(()) if end => wsgi.ready(py, handle.clone(), *collecting),
            Ok(()) => {
                if let Some(exchange) = link.lock().current(id) {
                    exchange.collecting = Some(collecting);
                }
                Ok(())
            }
        };
        if let Err(error) = done {
            let text = "The body of a request could not be kept.";
            link.report(py, ERROR, text, Some(&error));
            finish(py, &handle, Some(place), End::Failed);
        }
    }

    /// Calls the application, which gives its coroutine; with it goes the scope.
    fn call<'py>(
        &mut self,
        py: Python<'py>,
        handle: &Handle,
        ends: &Ends,
        request: &Request<'_>,
        fields: &[Field],
        arena: &[u8],
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
        let scope = self.scope(py, handle, ends, request, fields, arena)?;
        let input = &arena[request.base as usize..];
        let fields = &fields[request.head.fields.start as usize..request.head.fields.end as usize];
        let (receive, send) = self.callables.pair(py, handle)?;
        let forwarded = fields
            .iter()
            .any(|field| is_forwarding(field.name.of(input)));
        let application = if forwarded {
            &self.forwarded
        } else {
            &self.application
        };
        let coroutine = application.bind(py).call1((&scope, receive, send))?;
        Ok((coroutine, scope))
    }

    /// The scope of a request, which the log has to have as well.
    fn scope<'py>(
        &mut self,
        py: Python<'py>,
        handle: &Handle,
        ends: &Ends,
        request: &Request<'_>,
        fields: &[Field],
        arena: &[u8],
    ) -> PyResult<Bound<'py, PyDict>> {
        let names = &handle.link.names;
        let format = handle.link.format();
        let start = format.map(|_| Instant::now());
        let input = &arena[request.base as usize..];
        let fields = &fields[request.head.fields.start as usize..request.head.fields.end as usize];
        let id = format.and_then(|format| format.request_id(fields, input));
        let scope = match &id {
            Some(RequestId {
                value,
                given: false,
            }) => {
                // The application is to see no other.
                let mut others = fields.to_vec();
                others.retain(|field| !is_request_id(field, input));
                let scopes = &mut self.scopes;
                let scope = scopes.make(py, names, ends, &request.head, &others, input)?;
                scope::add_header(names, &scope, REQUEST_ID, value)?;
                scope
            }
            _ => self
                .scopes
                .make(py, names, ends, &request.head, fields, input)?,
        };
        if handle.socket {
            if let Some(socket) = handle.link.lock().socket(handle.id) {
                socket.scope = Some(scope.clone().unbind());
            }
        } else if handle.link.access_log.is_some()
            && let Some(exchange) = handle.link.lock().current(handle.id)
        {
            let scope = scope.clone().unbind();
            match start {
                None => exchange.scope = Some(scope),
                Some(start) => {
                    let head = request.head.method.of(input) == b"HEAD";
                    let peer = ends.client.clone_ref(py);
                    let id = id.map(|id| id.value);
                    exchange.record = Some(Box::new(Record::new(scope, peer, start, head, id)));
                }
            }
        }
        Ok(scope)
    }

    /// Enters a request into its connection's slot and gives the connection's ends and a place for
    /// its task; `None` if the server is too busy for it.
    fn admit(
        &self,
        py: Python<'_>,
        link: &Link,
        request: &Request<'_>,
        arena: &[u8],
    ) -> Option<(Ends, usize)> {
        let id = request.exchange;
        let mut state = link.lock();
        let busy = self.limit_concurrency.is_some_and(|limit| {
            state.reactor.connections() >= limit || state.tasks.running() >= limit
        }) || self.wsgi.as_ref().is_some_and(|wsgi| !wsgi.pool.has_room());
        if busy {
            state.reactor.turn_away(id, Fault::Overloaded);
        }
        let (slot, left) = state.claim(id.session);
        let past = std::mem::take(&mut slot.exchange);
        slot.exchange.number = id.number;
        slot.exchange.body.over = request.head.body == ferricorn_proto::BodyLength::None;
        for &(data, end) in request.body {
            slot.exchange.body.push(py, data.of(arena));
            slot.exchange.body.over |= end;
        }
        slot.exchange.socket = request.is_socket().then(Box::<Socket>::default);
        if busy {
            slot.exchange.phase = Phase::Complete;
        }
        let ends = slot
            .ends
            .as_ref()
            .filter(|_| !busy)
            .map(|ends| ends.clone_ref(py));
        let now = state.reactor.now();
        let admitted = ends.map(|ends| (ends, state.tasks.reserve(id, now)));
        drop(state);
        drop((left, past));
        if busy {
            link.report(py, WARNING, "Exceeded concurrency limit.", None);
        }
        admitted
    }
}

impl Wsgi {
    /// The body has come: the application may run.
    fn ready(&self, py: Python<'_>, handle: Handle, collected: Collecting) -> PyResult<()> {
        let Collecting {
            environ,
            spool,
            place,
            head,
        } = collected;
        let length = spool.length();
        self.environs.set_length(environ.bind(py), length)?;
        let file = spool.into_file(py, &self.io)?;
        environ.bind(py).set_item(&handle.link.names.input, file)?;
        self.pool.push(Job {
            handle,
            place,
            environ,
            head,
        });
        Ok(())
    }
}

struct Request<'a> {
    exchange: ExchangeId,
    base: u32,
    head: RequestHead,
    body: &'a [(Span, bool)],
    factory: bool,
}

impl Request<'_> {
    fn is_socket(&self) -> bool {
        self.head.upgrade == Upgrade::WebSocket
    }

    fn handle(&self, link: &Arc<Link>) -> Handle {
        Handle {
            link: Arc::clone(link),
            id: self.exchange,
            socket: self.is_socket(),
        }
    }
}

/// Whether a header, whose name is in lower case, is one that a proxy adds.
fn is_forwarding(name: &[u8]) -> bool {
    name.starts_with(b"x-forwarded-") || name == b"forwarded"
}

/// Passes on what a request that runs already has to hear.
fn pass_on(py: Python<'_>, link: &Link, work: Work, arena: &[u8], how: Wake) {
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
fn answered(link: &Link, session: SessionId, fault: Fault) {
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
    link::wake(py, waiting, how);
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
    link::wake(py, waiting, how);
    abandon(link, collecting);
}

/// A body that never came whole: no application has heard of it.
fn abandon(link: &Link, collecting: Option<Box<Collecting>>) {
    if let Some(collecting) = collecting {
        let run = link.lock().tasks.release(collecting.place);
        drop((run, collecting));
    }
}

fn writable(py: Python<'_>, link: &Link, id: ExchangeId, how: Wake) {
    let mut state = link.lock();
    let Some(exchange) = state.current(id) else {
        return;
    };
    let waiting = exchange.take_waiters(true);
    drop(state);
    link::wake(py, waiting, how);
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
    abandon(link, ended.exchange.collecting.take());
    if opened {
        link.report(py, INFO, "connection closed", None);
    }
    link::wake(py, ended.exchange.waiters, how);
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
    let (slot, _) = state.claim(session);
    let transport = slot
        .transport
        .as_ref()
        .map(|transport| transport.clone_ref(py));
    drop(state);
    if let Some(transport) = transport
        && let Err(error) = act(transport.bind(py))
    {
        error.write_unraisable(py, None);
    }
}

/// Where a connection comes from, for the log: ` (from HOST:PORT)`, or nothing for a Unix socket.
fn origin(py: Python<'_>, link: &Link, session: SessionId, peer: &Address) -> String {
    if let Address::Inet(address) = peer {
        return format!(" (from {address})");
    }
    // Its first request has told who it is.
    let mut state = link.lock();
    let client = state
        .claim(session)
        .0
        .ends
        .as_ref()
        .map(|ends| ends.client.clone_ref(py));
    drop(state);
    let ends = client.and_then(|client| client.extract::<(String, u16)>(py).ok());
    ends.map_or_else(String::new, |(host, port)| format!(" (from {host}:{port})"))
}

/// One line for each refusal, and no flood of them.
#[derive(Default)]
pub struct RefusalLog {
    second: u64,
    logged: u32,
    held_back: u64,
}

impl RefusalLog {
    fn fault(&mut self, py: Python<'_>, link: &Link, fault: Fault, from: &str) {
        let text = match fault.status() {
            0 => format!("Connection refused. {}{from}", fault.reason()),
            408 => format!("Request timed out: {}{from}", fault.reason()),
            _ => format!("Invalid HTTP request received. {}{from}", fault.reason()),
        };
        self.note(py, link, &text);
    }

    fn note(&mut self, py: Python<'_>, link: &Link, text: &str) {
        let second = link.lock().reactor.now() / 1000;
        if second != self.second {
            self.second = second;
            self.logged = 0;
            if std::mem::take(&mut self.held_back) > 0 {
                link.report(
                    py,
                    WARNING,
                    "Further invalid HTTP requests were received and not logged.",
                    None,
                );
            }
        }
        self.logged += 1;
        if self.logged > LOGGED_REFUSALS {
            self.held_back += 1;
            return;
        }
        link.report(py, WARNING, text, None);
    }
}
