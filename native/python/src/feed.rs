//! A connection under `asyncio.Protocol`: the second driver.
//!
//! For event loops that cannot watch a descriptor, and for transports that only they can make. The
//! protocol passes bytes on to the same engine; what comes out goes to the transport.

use std::sync::OnceLock;

use ferricorn_engine::SessionId;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::turn::Server;

#[pyclass(frozen, weakref, module = "ferricorn._native")]
pub struct Protocol {
    server: Py<Server>,
    session: OnceLock<SessionId>,
}

impl Protocol {
    pub fn new(server: Py<Server>) -> Self {
        Self {
            server,
            session: OnceLock::new(),
        }
    }

    fn with(&self, py: Python<'_>, act: impl FnOnce(&Bound<'_, Server>, SessionId)) {
        if let Some(session) = self.session.get() {
            act(self.server.bind(py), *session);
        }
    }
}

#[pymethods]
impl Protocol {
    fn connection_made(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let session = Server::host_opened(self.server.bind(transport.py()), transport)?;
        let _ = self.session.set(session);
        Ok(())
    }

    fn data_received(&self, data: &Bound<'_, PyBytes>) {
        self.with(data.py(), |server, session| {
            Server::host_data(server, session, data);
        });
    }

    /// The transport stays open: a request that came whole is still answered.
    fn eof_received(&self, py: Python<'_>) -> bool {
        self.with(py, Server::host_eof);
        true
    }

    fn connection_lost(&self, error: &Bound<'_, PyAny>) {
        self.with(error.py(), Server::host_lost);
    }

    fn pause_writing(&self, py: Python<'_>) {
        self.with(py, |server, session| {
            Server::host_writable(server, session, false);
        });
    }

    fn resume_writing(&self, py: Python<'_>) {
        self.with(py, |server, session| {
            Server::host_writable(server, session, true);
        });
    }
}
