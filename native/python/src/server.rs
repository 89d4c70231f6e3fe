//! `ferricorn._native.Server` as Python sees it: made from settings, driven by turns, counted.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use ferricorn_engine::{Board, Options, Peers, Reactor, WebSocketOptions};
use ferricorn_proto::ws::DeflateSettings;
use ferricorn_proto::{Limits, Millis, WsLimits};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::access::AccessLog;
use crate::crew::Crew;
use crate::environ::Environs;
use crate::feed::Protocol;
use crate::ffi;
use crate::format::Layout;
use crate::http::Callables;
use crate::inflight::{Row, rows};
use crate::intake::Intake;
use crate::link::{EventLoop, Link, SocketHooks};
use crate::names::Names;
use crate::pool::{Pool, ThreadIdent};
use crate::refusals::RefusalLog;
use crate::scope::{Outline, Scopes};
use crate::serve::Service;
use crate::site::Site;
use crate::spool::Io;
use crate::task::{self, Tasks};
use crate::threads;
use crate::turn::{Gather, Server};
use crate::wait::Wake;
use crate::wsgi::{FileWrapper, Offers};

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (
        sites, r#loop, *, error_log, websocket = None, root_path = "",
        server_header = Some(b"ferricorn".to_vec()), date_header = true, headers = Vec::new(),
        access_log = None, access_stream = None, access_format = None, limit_concurrency = None, timeout_keep_alive = 5.0,
        timeout_request_head = 30.0, timeout_request_body = 30.0, timeout_write = 30.0,
        proxy_peers = None, poll = true, drain = None, board = None, wsgi = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keywords of a constructor")]
    fn new(
        py: Python<'_>,
        sites: Vec<Mounted<'_>>,
        r#loop: Bound<'_, PyAny>,
        error_log: Py<PyAny>,
        websocket: Option<Sockets>,
        root_path: &str,
        server_header: Option<Vec<u8>>,
        date_header: bool,
        headers: Vec<(Vec<u8>, Vec<u8>)>,
        access_log: Option<Py<PyAny>>,
        access_stream: Option<Bound<'_, PyAny>>,
        access_format: Option<Layout>,
        limit_concurrency: Option<usize>,
        timeout_keep_alive: f64,
        timeout_request_head: f64,
        timeout_request_body: f64,
        timeout_write: f64,
        proxy_peers: Option<Vec<String>>,
        poll: bool,
        drain: Option<&Bound<'_, PyAny>>,
        board: Option<(PyBuffer<u8>, usize)>,
        wsgi: Option<Staff>,
    ) -> PyResult<Self> {
        let options = Options {
            keep_alive: millis("timeout_keep_alive", timeout_keep_alive)?,
            request_head: millis("timeout_request_head", timeout_request_head)?,
            request_body: millis("timeout_request_body", timeout_request_body)?,
            write: millis("timeout_write", timeout_write)?,
            server: server_header,
            date: date_header,
            headers,
            proxy: proxy_peers.map(|entries| peers(&entries)).transpose()?,
            limits: Limits::default(),
            websocket: websocket.as_ref().map(Sockets::options).transpose()?,
        };
        let names = Names::new(py);
        let mut reactor = Reactor::new(options, poll)?;
        let (intake, crew) = match wsgi {
            Some(staff) => {
                let (intake, crew) = staff.make(py, &reactor)?;
                (Some(intake), Some(crew))
            }
            None => (None, None),
        };
        let sites = sites
            .into_iter()
            .map(|site| site.make(py, &names, root_path, drain))
            .collect::<PyResult<Vec<_>>>()?;
        if sites.last().is_none_or(|site| !site.path.is_empty()) {
            return Err(PyValueError::new_err(
                "the last site takes what no other does",
            ));
        }
        if intake.is_none() && sites.iter().any(|site| site.environs.is_some()) {
            return Err(PyValueError::new_err("a WSGI application needs threads"));
        }
        let service = Service {
            sites,
            callables: Callables::new(py)?,
            tasks: Tasks::new(py, &r#loop)?,
            limit_concurrency,
            refusals: RefusalLog::default(),
            intake,
        };
        let event_loop = EventLoop::new(r#loop)?;
        if let Some((buffer, place)) = board {
            let words = ffi::SharedWords::new(buffer)?;
            let board = Board::new(Box::new(words), place)
                .ok_or_else(|| PyValueError::new_err("the board has no such place"))?;
            reactor.share(board);
        }
        let link = Link::new(
            reactor,
            names,
            event_loop,
            access_log
                .map(|call| AccessLog::new(call, access_stream, access_format))
                .transpose()?,
            error_log,
            websocket.map(|given| SocketHooks {
                log: given.log,
                disconnected: given.disconnected,
            }),
            crew.as_ref().and_then(|crew| crew.pool.bell()),
        );
        // Threads look at what was queued when they have run a request: nobody need ask.
        link.lock().scheduled = crew.as_ref().is_some_and(|crew| crew.pool.leads());
        Ok(Self::over(Arc::new(link), service, crew))
    }

    /// Accepts connections on a bound and listening stream socket, whose descriptor is duplicated.
    fn listen(slf: &Bound<'_, Self>, fd: RawFd) -> PyResult<()> {
        Self::prepare(slf)?;
        slf.get().link.lock().reactor.listen(ffi::duplicate(fd)?)?;
        Ok(())
    }

    /// The one descriptor that the event loop is to watch for reading.
    fn fileno(&self) -> PyResult<RawFd> {
        self.link
            .lock()
            .reactor
            .fd()
            .ok_or_else(|| PyRuntimeError::new_err("this server has no poller"))
    }

    /// Serves what is ready.
    fn turn(slf: &Bound<'_, Self>) {
        slf.get().link.settle_here();
        Self::advance(slf, Gather::Poll);
    }

    /// What is left of a turn when its tasks have run.
    fn _continue(slf: &Bound<'_, Self>) {
        slf.get().link.lock().scheduled = false;
        Self::advance(slf, Gather::Ready);
    }

    /// A deadline is due.
    fn _tick(slf: &Bound<'_, Self>) {
        Self::due(slf);
    }

    /// Has the threads begin to see to the sockets.
    fn begin(slf: &Bound<'_, Self>) -> PyResult<()> {
        match &slf.get().crew {
            Some(crew) if crew.pool.leads() => crew.start(slf),
            _ => Err(PyRuntimeError::new_err(
                "this server has no threads that do",
            )),
        }
    }

    /// Runs requests until the end.
    fn _work(slf: &Bound<'_, Self>) -> PyResult<()> {
        let threading = slf.py().import("threading")?;
        let thread = threading.call_method0("get_ident")?.extract()?;
        if let Some(crew) = &slf.get().crew {
            threads::work(slf, crew, thread);
        }
        Ok(())
    }

    /// Watches those who run requests until the end.
    fn _keep(slf: &Bound<'_, Self>) {
        if let Some(crew) = &slf.get().crew {
            threads::keep(slf, crew);
        }
    }

    /// Has the threads end when they have run what they run. How many are left, and how many of these
    /// are in the application.
    fn dismiss(&self) -> (usize, usize) {
        self.crew.as_ref().map_or((0, 0), |crew| crew.pool.end())
    }

    /// Gives up the requests that a WSGI application has run for too long. Gives for each its thread,
    /// its seconds and its environ; and how many threads are stuck, with those of earlier calls.
    fn give_up(slf: &Bound<'_, Self>) -> (Vec<Late>, usize) {
        let py = slf.py();
        let link = &slf.get().link;
        let Some(crew) = &slf.get().crew else {
            return (Vec::new(), 0);
        };
        let (stuck, all) = crew.pool.stuck();
        let late = stuck.iter().map(|run| {
            let (thread, seconds) = (run.thread, run.age.as_secs_f64());
            (thread, seconds, task::give_up(py, link, run.exchange))
        });
        let late = late.collect::<Vec<_>>();
        if !late.is_empty() {
            Self::schedule(slf);
        }
        (late, all)
    }

    /// A protocol object for one connection that the event loop accepted.
    fn protocol(slf: &Bound<'_, Self>) -> PyResult<Py<Protocol>> {
        Self::prepare(slf)?;
        Py::new(slf.py(), Protocol::new(slf.clone().unbind()))
    }

    /// From now on each response closes its connection.
    fn announce_stop(&self) {
        self.link.lock().reactor.announce_stop();
    }

    /// Accepts what waits to be accepted and nothing after it; announces the end.
    fn leave(slf: &Bound<'_, Self>) {
        Self::ask_leave(slf);
    }

    /// Ends gracefully: no more connections, none that is idle, no further request on the others.
    fn stop(slf: &Bound<'_, Self>) {
        Self::ask_stop(slf);
    }

    /// Cuts every connection, cancels every task and closes the poller.
    fn abort(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let this = slf.get();
        // Another thread may be in a turn.
        let others = this.crew.as_ref().is_some_and(|crew| crew.pool.leads());
        while !Self::with_engine(slf, Wake::Soon, Reactor::abort) && others {
            py.detach(|| std::thread::sleep(Duration::from_millis(1)));
        }
        let mut state = this.link.lock();
        state.aborted = true;
        let tasks = state.runs.tasks(py);
        drop(state);
        for task in tasks {
            if let Err(error) = task.bind(py).call_method0(&this.link.names.cancel) {
                error.write_unraisable(py, None);
            }
        }
        this.disarm(py);
        // It refers to this server, which nobody would ever free.
        this.link.event_loop.set_continuation(None);
    }

    /// Writes the last lines of the access log; to be called when no task runs any more.
    fn close_log(&self, py: Python<'_>) {
        if let Some(access_log) = &self.link.access_log {
            access_log.close(py);
        }
    }

    /// Closes so many WebSockets with 1012, for the server will end.
    fn close_sockets(slf: &Bound<'_, Self>, count: usize) {
        Self::ask_closings(slf, count);
    }

    /// WebSockets that are open.
    #[getter]
    fn sockets(&self) -> usize {
        self.link.lock().reactor.sockets()
    }

    /// Connections that are open.
    #[getter]
    fn connections(&self) -> usize {
        self.link.lock().reactor.connections()
    }

    /// Exchanges whose application still runs.
    #[getter]
    fn tasks(&self) -> usize {
        self.link.lock().runs.count()
    }

    /// Requests since the start.
    #[getter]
    fn requests(&self) -> u64 {
        self.link.lock().reactor.stats().requests
    }

    /// What is under way.
    fn inflight(&self, py: Python<'_>) -> PyResult<Vec<Row>> {
        rows(py, &self.link)
    }

    /// Totals since the start; refusals by reason.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.link.lock();
        let stats = state.reactor.stats().clone();
        let left_out = state.left_out;
        drop(state);
        let counters = PyDict::new(py);
        counters.set_item("accepted", stats.accepted)?;
        counters.set_item("accept_pauses", stats.accept_pauses)?;
        counters.set_item("panics", stats.panics)?;
        counters.set_item("requests", stats.requests)?;
        counters.set_item("bytes_in", stats.bytes_in)?;
        counters.set_item("bytes_out", stats.bytes_out)?;
        counters.set_item("headers_left_out", left_out)?;
        for (fault, count) in stats.refusals() {
            counters.set_item(format!("refused_{}", fault.code()), count)?;
        }
        Ok(counters)
    }
}

/// A thread, seconds, and the environ of a request that takes too long.
type Late = (ThreadIdent, f64, Option<Py<PyDict>>);

/// An application, from an object with an attribute for each of what there is to know of it.
#[derive(FromPyObject)]
struct Mounted<'py> {
    path: String,
    application: Py<PyAny>,
    forwarded: Py<PyAny>,
    state: Bound<'py, PyDict>,
    asgi_version: String,
    environ: Option<Bound<'py, PyDict>>,
    report: Option<Py<PyAny>>,
}

impl Mounted<'_> {
    fn make(
        self,
        py: Python<'_>,
        names: &Names,
        root_path: &str,
        drain: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Site> {
        let path = self.path.clone().into_bytes();
        let outline = Outline {
            state: self.state,
            root_path: root_path.to_owned(),
            mount: self.path,
            asgi_version: self.asgi_version,
            drain: drain.cloned(),
        };
        if let Some(environ) = &self.environ {
            environ.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
            environ.set_item("ferricorn.drain", drain)?;
        }
        Ok(Site {
            application: self.application,
            forwarded: self.forwarded,
            scopes: Scopes::new(py, names, outline)?,
            environs: self
                .environ
                .map(|template| Environs::new(py, template, path.len())),
            report: self.report,
            path,
        })
    }
}

/// What the threads of WSGI applications need, from an object with an attribute for each.
#[derive(FromPyObject)]
struct Staff {
    spawn: Py<PyAny>,
    fresh: bool,
    threads: usize,
    queue: usize,
    memory: usize,
    timeout: Option<f64>,
    /// They run Python at the same time.
    parallel: bool,
    /// They see to the sockets, and not the loop.
    leads: bool,
}

impl Staff {
    fn make(self, py: Python<'_>, reactor: &Reactor<ffi::Payload>) -> PyResult<(Intake, Crew)> {
        let poller = match (self.leads, reactor.fd()) {
            (false, _) => None,
            (true, Some(poller)) => Some(ffi::duplicate(poller)?),
            (true, None) => {
                return Err(PyValueError::new_err(
                    "to lead needs a server with a poller",
                ));
            }
        };
        let timeout = self.timeout.map(Duration::try_from_secs_f64).transpose();
        let timeout = timeout.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let pool = Arc::new(Pool::new(
            poller,
            self.threads,
            self.queue,
            timeout,
            self.parallel,
        )?);
        let intake = Intake {
            io: Io::new(py)?,
            pool: Arc::clone(&pool),
            memory: self.memory,
        };
        let crew = Crew {
            pool,
            spawn: self.spawn,
            offers: Arc::new(Offers::new(py)?),
            fresh: self.fresh,
        };
        Ok((intake, crew))
    }
}

fn peers(entries: &[String]) -> PyResult<Peers> {
    let wrong = || PyValueError::new_err("proxy_peers must be networks, 'unix' or '*'");
    Peers::parse(entries).ok_or_else(wrong)
}

/// How WebSockets are served, from an object with an attribute for each setting.
#[derive(FromPyObject)]
struct Sockets {
    max_size: usize,
    max_queue: u16,
    ping_interval: f64,
    ping_timeout: f64,
    close_timeout: f64,
    max_connections: Option<usize>,
    send_high_water: u64,
    per_message_deflate: bool,
    deflate_window_bits: u8,
    deflate_takeover: bool,
    deflate_min_size: usize,
    log: Py<PyAny>,
    disconnected: Py<PyAny>,
}

impl Sockets {
    fn options(&self) -> PyResult<WebSocketOptions> {
        Ok(WebSocketOptions {
            limits: WsLimits {
                message: self.max_size,
                ..WsLimits::default()
            },
            queue: self.max_queue.max(1),
            deflate: self.per_message_deflate.then(|| DeflateSettings {
                window_bits: self.deflate_window_bits,
                takeover: self.deflate_takeover,
                min_size: self.deflate_min_size,
                ..DeflateSettings::default()
            }),
            ping_interval: millis("ws_ping_interval", self.ping_interval)?,
            ping_timeout: millis("ws_ping_timeout", self.ping_timeout)?,
            close_timeout: millis("ws_close_timeout", self.close_timeout)?,
            connections: self.max_connections,
            high_water: self.send_high_water,
        })
    }
}

/// The longest time that is waited for, in seconds: some thirty years.
const LONGEST: f64 = 1e9;

/// Seconds as milliseconds; a lifetime stands for what is longer.
fn millis(name: &str, seconds: f64) -> PyResult<Millis> {
    if !(0.0..).contains(&seconds) {
        return Err(PyValueError::new_err(format!(
            "{name} must be a number of seconds from 0 (off) on"
        )));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above"
    )]
    Ok((seconds.min(LONGEST) * 1000.0).ceil() as Millis)
}
