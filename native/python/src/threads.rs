//! What the threads of a WSGI application do: see to the sockets, run requests, take turns.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::pool::{Crew, Next, Pool, Relief};
use crate::turn::{Gather, Server};

/// Responses that are ready are sent at least so often.
const FLUSH: Duration = Duration::from_micros(200);

/// Starts the first threads.
///
/// # Errors
/// If there can be none.
pub fn start(server: &Bound<'_, Server>, pool: &Pool, crew: &Crew) -> PyResult<()> {
    pool.kept();
    spawn(server, crew, "_keep").inspect_err(|_| pool.left(false))?;
    relieve(server, pool, crew);
    Ok(())
}

fn spawn(server: &Bound<'_, Server>, crew: &Crew, method: &str) -> PyResult<()> {
    let method = server.getattr(method)?;
    crew.spawn.bind(server.py()).call1((method,)).map(drop)
}

/// Has another thread go on. False: all run the application.
fn relieve(server: &Bound<'_, Server>, pool: &Pool, crew: &Crew) -> bool {
    match pool.relieve() {
        Relief::Woken => true,
        Relief::None => false,
        Relief::New => match spawn(server, crew, "_work") {
            Ok(()) => true,
            Err(error) => {
                pool.left(true);
                error.write_unraisable(server.py(), None);
                false
            }
        },
    }
}

/// What one thread does until the end.
pub fn work(server: &Bound<'_, Server>, pool: &Pool, crew: &Crew) {
    let py = server.py();
    let application = crew.application.bind(py);
    let mut flushed = Instant::now();
    let mut ran = false;
    loop {
        let next = pool.next(ran);
        ran = matches!(next, Next::Run { .. });
        match next {
            Next::Run { job, relieve: told } => {
                if told {
                    relieve(server, pool, crew);
                }
                let begun = Instant::now();
                job.run(py, application);
                let ended = Instant::now();
                pool.ran(ended - begun);
                if ended - flushed > FLUSH {
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
                if Server::advance_here(server, Gather::Ready) == Some(0) {
                    pool.ring();
                }
                py.detach(|| pool.rest());
            }
            Next::End => break,
        }
    }
    Server::advance_here(server, Gather::Ready);
    pool.left(true);
}

/// Reads the sockets, after waiting for them if there is nothing.
fn lead(server: &Bound<'_, Server>, pool: &Pool) {
    let after = Server::advance_here(server, Gather::Poll);
    server.py().detach(|| pool.wait(after));
    Server::advance_here(server, Gather::Poll);
}

/// What the keeper does until the end.
pub fn keep(server: &Bound<'_, Server>, pool: &Pool, crew: &Crew) {
    while server.py().detach(|| pool.watch()) {
        // Where all run the application, somebody has to see to the sockets.
        if !relieve(server, pool, crew) && pool.try_lead() {
            lead(server, pool);
            pool.led(true);
        }
    }
    pool.left(false);
}
