//! One application of a server, and how it is called with a request.
//!
//! A server has one, or several that are mounted at paths. A path is compared by whole segments, with
//! its percent-encoding undone, and the longest that fits wins.

use std::borrow::Cow;
use std::time::Instant;

use ferricorn_engine::ExchangeId;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::environ::Environs;
use crate::exchange::Handle;
use crate::format::{REQUEST_ID, RequestId, is_request_id};
use crate::http::Callables;
use crate::link::Link;
use crate::record::Record;
use crate::scope::{self, Arrived, Ends, Scopes, percent_decoded};

pub struct Site {
    /// What the paths of its requests begin with; empty where it takes what no other does.
    pub path: Vec<u8>,
    pub application: Py<PyAny>,
    /// What is called in its place for a request that proxies may have forwarded.
    pub forwarded: Py<PyAny>,
    pub scopes: Scopes,
    /// What is there if it speaks WSGI.
    pub environs: Option<Environs>,
    /// `(scope)`: has it say what trusted proxies report, for WSGI.
    pub report: Option<Py<PyAny>>,
}

impl Site {
    fn holds(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.path.as_slice())
            .is_some_and(|rest| self.path.is_empty() || matches!(rest, [] | [b'/', ..]))
    }

    /// Calls the application, which gives its coroutine; with it goes the scope.
    ///
    /// # Errors
    /// What the application raises.
    pub fn call<'py>(
        &mut self,
        py: Python<'py>,
        callables: &Callables,
        handle: &Handle,
        ends: &Ends,
        request: Arrived<'_>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
        let scope = self.scope(py, handle, ends, request)?;
        let (receive, send) = callables.pair(py, handle)?;
        let application = if request.is_forwarded() {
            &self.forwarded
        } else {
            &self.application
        };
        let coroutine = application.bind(py).call1((&scope, receive, send))?;
        Ok((coroutine, scope))
    }

    /// The environ of a request for a WSGI application, but for its body.
    ///
    /// # Errors
    /// If Python is out of memory.
    pub fn environ<'py>(
        &mut self,
        py: Python<'py>,
        handle: &Handle,
        ends: &Ends,
        request: Arrived<'_>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let forwarded = self.report.is_some() && request.is_forwarded();
        // Proxies and the log speak of scopes.
        let scope = if forwarded || handle.link.access_log.is_some() {
            Some(self.scope(py, handle, ends, request)?)
        } else {
            None
        };
        let Some(environs) = &mut self.environs else {
            return Ok(None);
        };
        let environ = environs.make(py, ends, request)?;
        if let (true, Some(report), Some(scope)) = (forwarded, &self.report, scope) {
            report.bind(py).call1((&scope,))?;
            environs.believe(&handle.link.names, &environ, &scope)?;
        }
        if let Some(id) = request_id(&handle.link, handle.id) {
            environs.identify(&environ, &id)?;
        }
        Ok(Some(environ))
    }

    /// The scope of a request, which the log has to have as well.
    fn scope<'py>(
        &mut self,
        py: Python<'py>,
        handle: &Handle,
        ends: &Ends,
        request: Arrived<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let names = &handle.link.names;
        let format = handle.link.format();
        let start = format.map(|_| Instant::now());
        let Arrived { fields, input, .. } = request;
        let id = format.and_then(|format| format.request_id(fields, input));
        let scope = match &id {
            Some(RequestId {
                value,
                given: false,
            }) => {
                // The application is to see no other.
                let mut others = fields.to_vec();
                others.retain(|field| !is_request_id(field, input));
                let request = Arrived {
                    fields: &others,
                    ..request
                };
                let scope = self.scopes.make(py, names, ends, request)?;
                scope::add_header(names, &scope, REQUEST_ID, value)?;
                scope
            }
            _ => self.scopes.make(py, names, ends, request)?,
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
}

/// The one of several sites that a request is for. Longer paths come first, and the last takes all.
pub fn find(sites: &[Site], target: &[u8]) -> usize {
    if sites.len() == 1 {
        return 0;
    }
    let path = if target.contains(&b'%') {
        Cow::Owned(percent_decoded(target))
    } else {
        Cow::Borrowed(target)
    };
    sites
        .iter()
        .position(|site| site.holds(&path))
        .unwrap_or(sites.len() - 1)
}

/// The id of a request, where the access log shows it.
fn request_id(link: &Link, id: ExchangeId) -> Option<Vec<u8>> {
    link.format()?;
    let mut state = link.lock();
    let record = state.current(id)?.record.as_ref()?;
    record.request_id.clone()
}
