//! What is logged of peers that were refused, in whole or in part.

use ferricorn_engine::{Address, SessionId};
use ferricorn_proto::{Fault, Millis};
use pyo3::prelude::*;

use crate::link::Link;
use crate::scope::Ends;

/// `logging.WARNING`.
const WARNING: i32 = 30;
/// Refusals that are logged in one second; the rest is counted.
const LOGGED: u32 = 20;
/// Between two lines about header lines that were left out: a client may send them with each request.
const SELDOM: Millis = 60_000;

/// Where a connection comes from, for the log: ` (from HOST:PORT)`, or nothing for a Unix socket.
pub fn origin(py: Python<'_>, link: &Link, session: SessionId, peer: &Address) -> String {
    if let Address::Inet(address) = peer {
        return format!(" (from {address})");
    }
    // Its first request has told who it is.
    let mut state = link.lock();
    let (slot, left) = state.claim(session);
    let ends = slot.ends.as_ref().map(|ends| ends.clone_ref(py));
    drop(state);
    drop(left);
    ends.map_or_else(String::new, |ends| known_origin(py, &ends))
}

/// The same for a connection that has told who it is.
fn known_origin(py: Python<'_>, ends: &Ends) -> String {
    match ends.client.extract::<(String, u16)>(py) {
        Ok((host, port)) => format!(" (from {host}:{port})"),
        Err(_) => String::new(),
    }
}

/// One line for each refusal, and no flood of them.
#[derive(Default)]
pub struct RefusalLog {
    second: u64,
    logged: u32,
    held_back: u64,
    /// When a line about such header lines was last logged.
    spoken: Option<Millis>,
    /// Those that were left out since.
    left_out: u64,
}

impl RefusalLog {
    pub fn fault(&mut self, py: Python<'_>, link: &Link, fault: Fault, from: &str) {
        let text = match fault.status() {
            0 => format!("Connection refused. {}{from}", fault.reason()),
            408 => format!("Request timed out: {}{from}", fault.reason()),
            _ => format!("Invalid HTTP request received. {}{from}", fault.reason()),
        };
        self.note(py, link, &text);
    }

    pub fn note(&mut self, py: Python<'_>, link: &Link, text: &str) {
        let second = link.lock().reactor.now() / 1000;
        if second != self.second {
            self.second = second;
            self.logged = 0;
            if std::mem::take(&mut self.held_back) > 0 {
                link.report(
                    py,
                    WARNING,
                    "Further invalid HTTP requests were received and not logged.",
                    None,
                );
            }
        }
        self.logged += 1;
        if self.logged > LOGGED {
            self.held_back += 1;
            return;
        }
        link.report(py, WARNING, text, None);
    }

    /// So many header lines of a request were left out for the underscores in their names.
    pub fn left_out(&mut self, py: Python<'_>, link: &Link, count: u64, ends: &Ends) {
        let mut state = link.lock();
        state.left_out += count;
        let now = state.reactor.now();
        drop(state);
        self.left_out += count;
        if self.spoken.is_some_and(|spoken| now < spoken + SELDOM) {
            return;
        }
        self.spoken = Some(now);
        let count = std::mem::take(&mut self.left_out);
        let from = known_origin(py, ends);
        let text = format!(
            "Headers with an underscore in their names were left out of the environ: {count}{from}"
        );
        link.report(py, WARNING, &text, None);
    }
}
