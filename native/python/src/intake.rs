//! Requests for WSGI applications until their bodies are there.

use std::sync::Arc;

use ferricorn_engine::Work;
use pyo3::prelude::*;

use crate::environ::set_length;
use crate::exchange::Handle;
use crate::link::Link;
use crate::pool::Pool;
use crate::slot::{Collecting, Wanted};
use crate::spool::{Io, Spool};
use crate::task::{End, finish};
use crate::wsgi::Job;

/// `logging.ERROR`.
const ERROR: i32 = 40;

/// Keeps bodies until they are whole, and hands the requests over to the threads.
pub struct Intake {
    pub io: Io,
    pub pool: Arc<Pool>,
    /// Bytes of a body that are kept in memory.
    pub memory: usize,
}

impl Intake {
    /// Begins with a request, whose body is there as far as it has come.
    ///
    /// # Errors
    /// If Python is out of memory, or the body cannot be kept.
    pub fn begin(&self, py: Python<'_>, handle: &Handle, wanted: Wanted) -> PyResult<()> {
        let environ = wanted.environ.clone_ref(py);
        let mut state = handle.link.lock();
        state.runs.keep(wanted.place, None, environ);
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
            let input = self.io.memory(py, first)?;
            return self.hand_over(py, handle.clone(), wanted, &input, length as u64);
        }
        let mut spool = Spool::default();
        if let Some(first) = first {
            spool.push(first.as_bytes(), self.memory)?;
        }
        if let Some(exchange) = handle.link.lock().current(handle.id) {
            exchange.collecting = Some(Box::new(Collecting { wanted, spool }));
        }
        Ok(())
    }

    /// Takes the next piece of a body that is collected; with the last one, the application may run.
    /// Whether it was one.
    pub fn take(&self, py: Python<'_>, link: &Arc<Link>, work: &Work, arena: &[u8]) -> bool {
        let &Work::Body {
            exchange: id,
            data,
            end,
        } = work
        else {
            return false;
        };
        let piece = data.of(arena);
        let mut state = link.lock();
        let taken = state
            .current(id)
            .and_then(|exchange| exchange.collecting.take());
        let Some(collecting) = taken else {
            return false;
        };
        state.reactor.consumed(id, piece.len());
        drop(state);
        let handle = Handle {
            link: Arc::clone(link),
            id,
            socket: false,
        };
        let place = collecting.wanted.place;
        if let Err(error) = self.push(py, &handle, collecting, piece, end) {
            let folder = std::env::temp_dir();
            let text = format!(
                "The body of a request could not be kept, in memory or in a file in {}.",
                folder.display()
            );
            link.report(py, ERROR, &text, Some(&error));
            finish(py, &handle, Some(place), End::Failed);
        }
        true
    }

    fn push(
        &self,
        py: Python<'_>,
        handle: &Handle,
        mut collecting: Box<Collecting>,
        piece: &[u8],
        end: bool,
    ) -> PyResult<()> {
        collecting.spool.push(piece, self.memory)?;
        if end {
            let Collecting { wanted, spool } = *collecting;
            let length = spool.length();
            let input = spool.into_file(py, &self.io)?;
            return self.hand_over(py, handle.clone(), wanted, &input, length);
        }
        if let Some(exchange) = handle.link.lock().current(handle.id) {
            exchange.collecting = Some(collecting);
        }
        Ok(())
    }

    /// The body has come: the application may run.
    fn hand_over(
        &self,
        py: Python<'_>,
        handle: Handle,
        wanted: Wanted,
        input: &Bound<'_, PyAny>,
        length: u64,
    ) -> PyResult<()> {
        let names = &handle.link.names;
        let environ = wanted.environ.bind(py);
        set_length(names, environ, length)?;
        environ.set_item(&names.input, input)?;
        self.pool.push(Job { handle, wanted });
        Ok(())
    }
}
