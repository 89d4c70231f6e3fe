//! The protocol floor: bytes to events, commands to bytes.
//!
//! `ferricorn-proto` speaks HTTP/1.1 and WebSocket as a server and does nothing else: no socket, no clock, no
//! thread, no callback. The floor above feeds received bytes to [`Http1::handle_bytes`], hands its
//! events on, and calls the verbs of the application (`respond`, `body`, ...), which append to the
//! output buffer it passes. Everything returns; nothing calls up.
//!
//! Rooms, each using only those before it: [`time`], [`limits`], [`error`], [`recv_buf`],
//! [`send_queue`], [`event`], [`proxy`], then [`h1`], [`ws`].

#![forbid(unsafe_code)]

pub mod error;
pub mod event;
pub mod h1;
pub mod limits;
pub mod proxy;
pub mod recv_buf;
pub mod send_queue;
pub mod time;
pub mod ws;

pub use error::{Fault, Misuse, Verb};
pub use event::{BodyLength, Eof, Event, Field, RequestHead, Span, Step, Upgrade, Version};
pub use h1::encode;
pub use h1::{BodyFraming, FAILURE, HeadWriter, Http1, InfoWriter, Preset, TrailerWriter};
pub use limits::{Limits, WsLimits};
pub use recv_buf::RecvBuf;
pub use send_queue::{Chunk, SendQueue};
pub use time::{Millis, Timer, Timers};
