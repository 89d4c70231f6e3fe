//! A batch of work, served: scopes are built, applications called, waiting ones woken.
//!
//! Nothing is locked while an application's code may run: each piece of work takes the lock for the
//! moment in which it touches the exchange.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use ferricorn_engine::{Batch, ExchangeId, SessionId, Work};
use ferricorn_proto::{Fault, Field, RequestHead, Span, Upgrade};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::exchange::Handle;
use crate::format::{REQUEST_ID, RequestId, is_request_id};
use crate::http::Callables;
use crate::intake::{Arrived, Wsgi};
use crate::link::{Link, Phase, Socket};
use crate::record::Record;
use crate::refusals::{self, RefusalLog};
use crate::relay;
use crate::scope::{self, Ends, Scopes};
use crate::task::{self, Run, Tasks};
use crate::wait::Wake;

/// `logging.ERROR`.
const ERROR: i32 = 40;
/// `logging.WARNING`.
const WARNING: i32 = 30;

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
                    relay::answered(link, session, fault);
                    self.refusals.fault(
                        py,
                        link,
                        fault,
                        &refusals::origin(py, link, session, &peer),
                    );
                }
                other => match (&self.wsgi, other) {
                    (
                        Some(wsgi),
                        Work::Body {
                            exchange,
                            data,
                            end,
                        },
                    ) => wsgi.collect(py, link, exchange, data.of(batch.bytes()), end),
                    (_, other) => relay::pass_on(py, link, other, batch.bytes(), how),
                },
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

    /// Begins with a request for a WSGI application.
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
        let (lines, input) = request.lines(fields, arena);
        let report = self.wsgi.as_ref().and_then(|wsgi| wsgi.report.as_ref());
        let report = report
            .filter(|_| is_forwarded(lines, input))
            .map(|report| report.clone_ref(py));
        // Proxies and the log speak of scopes.
        let scope = if report.is_some() || handle.link.access_log.is_some() {
            Some(self.scope(py, handle, ends, request, fields, arena)?)
        } else {
            None
        };
        let reported = match (&scope, report) {
            (Some(scope), Some(report)) => {
                report.bind(py).call1((scope,))?;
                Some(scope)
            }
            _ => None,
        };
        let arrived = Arrived {
            head: &request.head,
            fields: lines,
            input,
            reported,
        };
        let Some(wsgi) = &mut self.wsgi else {
            return Ok(());
        };
        let begun = wsgi.begin(py, handle, ends, place, &arrived);
        let left_out = std::mem::take(&mut wsgi.environs.left_out);
        if left_out > 0 {
            self.refusals.left_out(py, &handle.link, left_out, ends);
        }
        begun
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
        let (lines, input) = request.lines(fields, arena);
        let (receive, send) = self.callables.pair(py, handle)?;
        let application = if is_forwarded(lines, input) {
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
        let (fields, input) = request.lines(fields, arena);
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

struct Request<'a> {
    exchange: ExchangeId,
    base: u32,
    head: RequestHead,
    body: &'a [(Span, bool)],
    factory: bool,
}

impl Request<'_> {
    /// Its header lines, and what their spans count in.
    fn lines<'b>(&self, fields: &'b [Field], arena: &'b [u8]) -> (&'b [Field], &'b [u8]) {
        let range = self.head.fields.start as usize..self.head.fields.end as usize;
        (&fields[range], &arena[self.base as usize..])
    }

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

/// Whether a header is one that a proxy adds. Names are in lower case.
fn is_forwarded(fields: &[Field], input: &[u8]) -> bool {
    fields.iter().any(|field| {
        let name = field.name.of(input);
        name.starts_with(b"x-forwarded-") || name == b"forwarded"
    })
}
