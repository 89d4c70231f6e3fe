//! Plain settings of one reactor, made once by the floor above.
//!
//! The engine neither reads the environment nor knows defaults of the command line: every number
//! arrives here. Times are milliseconds; 0 switches a deadline off.

use ferricorn_proto::ws::DeflateSettings;
use ferricorn_proto::{Limits, Millis, WsLimits};

use crate::peers::Peers;

#[derive(Clone, Debug)]
pub struct Options {
    /// An idle connection that has answered at least one request is closed after this time.
    pub keep_alive: Millis,
    /// A request head must be complete this long after its first byte, and a new connection's this
    /// long after it was accepted, however its bytes trickle in.
    pub request_head: Millis,
    /// A request body must make progress at least this often while the application waits for it.
    pub request_body: Millis,
    /// A peer must take some of the response at least this often.
    pub write: Millis,
    /// The `server` header's value; `None` leaves the header out.
    pub server: Option<Vec<u8>>,
    /// Whether responses carry a `date` header.
    pub date: bool,
    /// Further headers for every response, in order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Each connection begins with a PROXY header, and these are who may send one; `None`: none does.
    pub proxy: Option<Peers>,
    /// Bounds of the protocol.
    pub limits: Limits,
    /// How WebSockets are served; `None` answers requests for one as plain HTTP.
    pub websocket: Option<WebSocketOptions>,
}

#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// Bounds of the protocol.
    pub limits: WsLimits,
    /// Messages handed up that the application has not taken, at which reading stops.
    pub queue: u16,
    /// What is offered to clients that ask for compression.
    pub deflate: Option<DeflateSettings>,
    /// An open connection is pinged this often.
    pub ping_interval: Millis,
    /// A ping must be answered within this time.
    pub ping_timeout: Millis,
    /// The peer must answer our close frame within this time.
    pub close_timeout: Millis,
    /// Connections that may be open; a request for one more is answered 503.
    pub connections: Option<usize>,
    /// Bytes waiting for the socket at which senders have to wait.
    pub high_water: u64,
}
