//! The Python module `ferricorn._native`.
//!
//! The binding floor: the only Rust that knows Python. It calls the event loop and the application
//! and never imports the package above it. Rooms, each using only those before it: `ffi`, `names`,
//! `wait`, `memo`, `scope`, `environ`, `spool`, `message`, `spill`, `text`, `record`, `format`, `lines`, `access`, `bell`, `slot`, `runs`, `link`, `exchange`, `inflight`, `said`, `websocket`, `awaitable`, `http`, `eager`, `task`, `response`, `wsgi`, `pool`, `crew`, `intake`, `site`, `refusals`, `relay`, `serve`, `turn`, `threads`, `feed`, `server`.

mod access;
mod awaitable;
mod bell;
mod crew;
mod eager;
mod environ;
mod exchange;
mod feed;
mod ffi;
mod format;
mod http;
mod inflight;
mod intake;
mod lines;
mod link;
mod memo;
mod message;
mod names;
mod pool;
mod record;
mod refusals;
mod relay;
mod response;
mod runs;
mod said;
mod scope;
mod serve;
mod server;
mod site;
mod slot;
mod spill;
mod spool;
mod task;
mod text;
mod threads;
mod turn;
mod wait;
mod websocket;
mod wsgi;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use crate::turn::Server;
    #[pymodule_export]
    use crate::wsgi::FileWrapper;

    #[pymodule_init]
    fn init(py: pyo3::Python<'_>) {
        crate::ffi::resume_directly::<crate::awaitable::Operation>(py);
    }
}
