//! The reactor over real sockets, without Python: each test plays the floor above and the clients.

mod accepting;
mod deadlines;
mod files;
mod harness;
mod host;
mod leaving;
mod panics;
mod pipelining;
mod pressure;
mod proxying;
mod refusing;
mod requests;
mod stale;
mod standing;
mod stopping;
mod websockets;
