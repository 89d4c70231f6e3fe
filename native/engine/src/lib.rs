//! The engine floor: sockets, sessions, deadlines.
//!
//! `ferricorn-engine` owns every file descriptor and every clock of the server and knows nothing of
//! Python. It never calls up: [`Reactor::gather`] and [`Reactor::flush`] fill a [`Batch`] of
//! [`Work`] that the floor above serves, and the verbs of an exchange (`respond`, `body`, ...) are
//! plain methods which touch only queues. All input and output happens inside gather and flush
//! (and inside `body`, when a response outruns its buffer), so both may run without the
//! interpreter.
//!
//! Rooms, each using only those before it: [`work`], [`peers`], [`options`], [`file`], `clock`, `deadlines`,
//! [`board`], `poller`, `transport`, `listener`, [`stats`], `session`, `table`, [`reactor`], and its verbs
//! [`command`], `gather`, `flush`, `websocket`, [`standing`].

#![forbid(unsafe_code)]

pub mod board;
mod clock;
pub mod command;
mod deadlines;
pub mod file;
mod flush;
mod gather;
mod listener;
pub mod options;
pub mod peers;
mod poller;
pub mod reactor;
mod session;
pub mod standing;
pub mod stats;
mod table;
mod transport;
mod websocket;
pub mod work;

pub use board::Board;
pub use command::Data;
pub use options::{Options, WebSocketOptions};
pub use peers::Peers;
pub use reactor::{Flow, Reactor};
pub use standing::{Standing, Wait};
pub use stats::Stats;
pub use transport::Piece;
pub use work::{Address, Batch, ExchangeId, SessionId, Work};
