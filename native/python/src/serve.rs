//! A batch of work, served: scopes are built, applications called, waiting ones woken.
//!
//! Nothing is locked while an application's code may run: each piece of work takes the lock for the
//! moment in which it touches the exchange.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ferricorn_engine::{Batch, ExchangeId, SessionId, Work};
use ferricorn_proto::{Fault, Field, RequestHead, Span, Upgrade};
use pyo3::prelude::*;

use crate::exchange::Handle;
use crate::http::Callables;
use crate::intake::Intake;
use crate::link::Link;
use crate::refusals::{self, RefusalLog};
use crate::relay;
use crate::scope::{Arrived, Ends};
use crate::site::{self, Site};
use crate::slot::{Phase, Socket, Wanted};
use crate::task::{self, Run, Tasks};
use crate::wait::Wake;

/// `logging.ERROR`.
const ERROR: i32 = 40;
/// `logging.WARNING`.
const WARNING: i32 = 30;

/// What serving needs besides the link.
pub struct Service {
    /// The applications; see [`site::find`].
    pub sites: Vec<Site>,
    pub callables: Callables,
    pub tasks: Tasks,
    pub limit_concurrency: Option<usize>,
    pub refusals: RefusalLog,
    /// Where requests for applications go that speak WSGI.
    pub intake: Option<Intake>,
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
                other => {
                    let intake = self.intake.as_ref();
                    if !intake.is_some_and(|intake| intake.take(py, link, &other, batch.bytes())) {
                        relay::pass_on(py, link, other, batch.bytes(), how);
                    }
                }
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
        if let Err(error) = self.start(py, link, request, fields, arena) {
            let socket = link.lock().socket(request.exchange).is_some();
            let handle = request.handle(link, socket);
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
        let index = site::find(&self.sites, request.target(arena));
        let speaks_wsgi = self.sites[index].environs.is_some();
        let socket = request.is_socket() && !speaks_wsgi;
        if request.head.upgrade == Upgrade::Other || (request.is_socket() && !socket) {
            self.refusals.note(py, link, "Unsupported upgrade request.");
        }
        let Some((ends, place)) = self.admit(py, link, request, arena, speaks_wsgi) else {
            return Ok(());
        };
        let handle = request.handle(link, socket);
        let arrived = request.arrived(fields, arena);
        let started = if speaks_wsgi {
            self.collect(py, &handle, &ends, place, index, arrived)
        } else {
            let called = self.sites[index].call(py, &self.callables, &handle, &ends, arrived);
            match called {
                Ok((coroutine, scope)) => {
                    let run = Bound::new(py, Run::new(coroutine.unbind(), handle, place))?;
                    return self.tasks.start(py, link, &run, &scope, request.factory);
                }
                Err(error) => Err(error),
            }
        };
        if started.is_err() {
            let run = link.lock().runs.release(place, request.exchange);
            drop(run);
        }
        started
    }

    /// Begins with a request for a WSGI application: its environ, and its body as far as it has come.
    fn collect(
        &mut self,
        py: Python<'_>,
        handle: &Handle,
        ends: &Ends,
        place: usize,
        index: usize,
        request: Arrived<'_>,
    ) -> PyResult<()> {
        let site = &mut self.sites[index];
        let environ = site.environ(py, handle, ends, request)?;
        let (Some(environ), Some(intake)) = (environ, &self.intake) else {
            return Ok(());
        };
        let left_out = site
            .environs
            .as_mut()
            .map_or(0, |environs| std::mem::take(&mut environs.left_out));
        if left_out > 0 {
            self.refusals.left_out(py, &handle.link, left_out, ends);
        }
        let wanted = Wanted {
            application: self.sites[index].application.clone_ref(py),
            environ: environ.unbind(),
            place,
            head: request.head.method.of(request.input) == b"HEAD",
        };
        intake.begin(py, handle, wanted)
    }

    /// Enters a request into its connection's slot and gives the connection's ends and a place for
    /// its task; `None` if the server is too busy for it.
    fn admit(
        &self,
        py: Python<'_>,
        link: &Link,
        request: &Request<'_>,
        arena: &[u8],
        speaks_wsgi: bool,
    ) -> Option<(Ends, usize)> {
        let id = request.exchange;
        let mut state = link.lock();
        let busy = self.limit_concurrency.is_some_and(|limit| {
            state.reactor.connections() >= limit || state.runs.count() >= limit
        }) || (speaks_wsgi
            && self
                .intake
                .as_ref()
                .is_some_and(|intake| !intake.pool.has_room()));
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
        let socket = request.is_socket() && !speaks_wsgi;
        slot.exchange.socket = socket.then(Box::<Socket>::default);
        if busy {
            slot.exchange.phase = Phase::Complete;
        }
        let ends = slot
            .ends
            .as_ref()
            .filter(|_| !busy)
            .map(|ends| ends.clone_ref(py));
        let now = state.reactor.now();
        let admitted = ends.map(|ends| (ends, state.runs.reserve(id, now)));
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
    fn arrived<'b>(&'b self, fields: &'b [Field], arena: &'b [u8]) -> Arrived<'b> {
        let range = self.head.fields.start as usize..self.head.fields.end as usize;
        Arrived {
            head: &self.head,
            fields: &fields[range],
            input: &arena[self.base as usize..],
        }
    }

    /// Its path, as it was sent.
    fn target<'b>(&self, arena: &'b [u8]) -> &'b [u8] {
        self.head.path.of(&arena[self.base as usize..])
    }

    fn is_socket(&self) -> bool {
        self.head.upgrade == Upgrade::WebSocket
    }

    fn handle(&self, link: &Arc<Link>, socket: bool) -> Handle {
        Handle {
            link: Arc::clone(link),
            id: self.exchange,
            socket,
        }
    }
}
