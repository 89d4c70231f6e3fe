//! How the threads of WSGI applications come to be: as the application's requests need them.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::pool::Pool;
use crate::wsgi::Offers;

/// The threads of a server. They call its methods `_work` and `_keep`.
pub struct Crew {
    pub pool: Arc<Pool>,
    /// `(function)`: has a new thread call it.
    pub spawn: Py<PyAny>,
    pub offers: Arc<Offers>,
    /// Each request has a context of its own.
    pub fresh: bool,
}

impl Crew {
    /// Starts the keeper, and a thread that sees to the sockets.
    ///
    /// # Errors
    /// If there can be none.
    pub fn start(&self, server: &Bound<'_, PyAny>) -> PyResult<()> {
        self.pool.kept();
        let spawned = self.spawn(server, "_keep");
        spawned.inspect_err(|_| self.pool.left(false))?;
        self.relieve(server);
        Ok(())
    }

    /// Calls threads for the requests that a turn of the loop has brought.
    pub fn muster(&self, server: &Bound<'_, PyAny>) {
        for _ in 0..self.pool.muster() {
            self.spawn_worker(server);
        }
    }

    /// Has another thread go on, if there is one that does not run the application.
    pub fn relieve(&self, server: &Bound<'_, PyAny>) {
        if self.pool.relieve() {
            self.spawn_worker(server);
        }
    }

    /// Starts one that is counted already.
    pub fn spawn_worker(&self, server: &Bound<'_, PyAny>) {
        if let Err(error) = self.spawn(server, "_work") {
            self.pool.left(true);
            error.write_unraisable(server.py(), None);
        }
    }

    fn spawn(&self, server: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
        let method = server.getattr(method)?;
        self.spawn.bind(server.py()).call1((method,)).map(drop)
    }
}
