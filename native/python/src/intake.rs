//! Requests for a WSGI application as they come: the environ, and the body until it is there.

use std::sync::Arc;

use ferricorn_engine::ExchangeId;
use ferricorn_proto::{Field, RequestHead};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::environ::Environs;
use crate::exchange::Handle;
use crate::link::{Collecting, Link};
use crate::pool::Pool;
use crate::scope::Ends;
use crate::spool::{Io, Spool};
use crate::task::{End, finish};
use crate::wsgi::Job;

/// `logging.ERROR`.
const ERROR: i32 = 40;

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

/// A request's head, where it was read.
pub struct Arrived<'a, 'py> {
    pub head: &'a RequestHead,
    pub fields: &'a [Field],
    /// What the spans count in.
    pub input: &'a [u8],
    /// The scope, if it says what trusted proxies report.
    pub reported: Option<&'a Bound<'py, PyDict>>,
}

impl Wsgi {
    /// Begins with a request for a WSGI application: its environ, and its body as far as it has come.
    ///
    /// # Errors
    /// If Python is out of memory, or the body cannot be kept.
    pub fn begin(
        &mut self,
        py: Python<'_>,
        handle: &Handle,
        ends: &Ends,
        place: usize,
        request: &Arrived<'_, '_>,
    ) -> PyResult<()> {
        let link = &handle.link;
        let &Arrived {
            head,
            fields,
            input,
            reported,
        } = request;
        let environ = self.environs.make(py, ends, head, fields, input)?;
        if let Some(scope) = reported {
            self.environs.believe(&link.names, &environ, scope)?;
        }
        if let Some(id) = request_id(link, handle.id) {
            self.environs.identify(&environ, &id)?;
        }
        let head = head.method.of(input) == b"HEAD";
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
            self.environs.set_length(&environ, length as u64)?;
            environ.set_item(&link.names.input, self.io.memory(py, first)?)?;
            self.pool.push(Job {
                handle: handle.clone(),
                place,
                environ: environ.unbind(),
                head,
            });
            return Ok(());
        }
        let mut spool = Spool::default();
        if let Some(first) = first {
            spool.push(first.as_bytes(), self.memory)?;
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
    pub fn collect(
        &self,
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
        let Some(mut collecting) = taken else {
            return;
        };
        let handle = Handle {
            link: Arc::clone(link),
            id,
            socket: false,
        };
        let place = collecting.place;
        let pushed = collecting.spool.push(piece, self.memory);
        let done = match pushed {
            Err(error) => Err(error.into()),
            Ok(()) if end => self.ready(py, handle.clone(), *collecting),
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

/// The id of a request, where the access log shows it.
fn request_id(link: &Link, id: ExchangeId) -> Option<Vec<u8>> {
    link.format()?;
    let mut state = link.lock();
    let record = state.current(id)?.record.as_ref()?;
    record.request_id.clone()
}
