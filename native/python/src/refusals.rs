//! What is logged of peers that were refused.

use ferricorn_engine::{Address, SessionId};
use ferricorn_proto::Fault;
use pyo3::prelude::*;

use crate::link::Link;

/// `logging.WARNING`.
const WARNING: i32 = 30;
/// Refusals that are logged in one second; the rest is counted.
const LOGGED: u32 = 20;

/// Where a connection comes from, for the log: ` (from HOST:PORT)`, or nothing for a Unix socket.
pub fn origin(py: Python<'_>, link: &Link, session: SessionId, peer: &Address) -> String {
    if let Address::Inet(address) = peer {
        return format!(" (from {address})");
    }
    // Its first request has told who it is.
    let mut state = link.lock();
    let (slot, left) = state.claim(session);
    let client = slot.ends.as_ref().map(|ends| ends.client.clone_ref(py));
    drop(state);
    drop(left);
    let ends = client.and_then(|client| client.extract::<(String, u16)>(py).ok());
    ends.map_or_else(String::new, |(host, port)| format!(" (from {host}:{port})"))
}

/// One line for each refusal, and no flood of them.
#[derive(Default)]
pub struct RefusalLog {
    second: u64,
    logged: u32,
    held_back: u64,
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
}
