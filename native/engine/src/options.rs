//! Plain settings of one reactor, made once by the floor above.
//!
//! The engine neither reads the environment nor knows defaults of the command line: every number
//! arrives here. Times are milliseconds; 0 switches a deadline off.

use ferricorn_proto::Limits;
use ferricorn_proto::Millis;

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
}
