//! What the threads of WSGI applications do: see to the sockets, run requests, take turns.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::crew::Crew;
use crate::pool::{Duty, Next, Pool, ThreadIdent};
use crate::turn::{Gather, Server};

/// Responses that are ready are sent at least so often. Few at a time would be dear: each time wakes the
/// clients' processor (measured: 200 us cost Flask a tenth of its time).
const FLUSH: Duration = Duration::from_millis(1);

/// What one thread does until the end.
pub fn work(server: &Bound<'_, Server>, crew: &Crew, thread: ThreadIdent) {
    let py = server.py();
    let pool = &crew.pool;
    let mut flushed = Instant::now();
    let mut ran = false;
    loop {
        let next = pool.next(thread, ran);
        ran = matches!(next, Next::Run { .. });
        match next {
            Next::Run { job, relieve } => {
                if relieve {
                    crew.relieve(server);
                }
                let begun = pool.is_parallel().then(Instant::now);
                job.run(py, &crew.offers, crew.fresh);
                if let Some(begun) = begun {
                    pool.ran(begun.elapsed());
                }
                if pool.leads() && flushed.elapsed() > FLUSH {
                    Server::advance_here(server, Gather::Ready);
                    flushed = Instant::now();
                }
            }
            Next::Lead => {
                lead(server, pool);
                pool.led(false);
                flushed = Instant::now();
            }
            Next::Rest => {
                // Who waits for the sockets does not know of what was said here.
                if pool.leads() && Server::advance_here(server, Gather::Ready) == Some(0) {
                    pool.ring();
                }
                py.detach(|| pool.rest());
            }
            Next::End => break,
        }
    }
    if pool.leads() {
        Server::advance_here(server, Gather::Ready);
    }
    pool.left(true);
}

/// What the keeper does until the end.
pub fn keep(server: &Bound<'_, Server>, crew: &Crew) {
    let pool = &crew.pool;
    let link = &server.get().link;
    let wanted = || {
        let state = link.lock();
        state.reactor.has_dirty() || state.reactor.has_ready()
    };
    loop {
        match server.py().detach(|| pool.watch(wanted)) {
            Duty::Spawn => crew.spawn_worker(server),
            Duty::Lead => {
                lead(server, pool);
                pool.led(true);
            }
            Duty::End => break,
        }
    }
    pool.left(false);
}

/// Reads the sockets, after waiting for them if there is nothing.
fn lead(server: &Bound<'_, Server>, pool: &Pool) {
    pool.attend();
    let after = Server::advance_here(server, Gather::Poll);
    if server.py().detach(|| pool.wait(after)) {
        Server::advance_here(server, Gather::Poll);
    }
}
