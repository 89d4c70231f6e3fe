//! What the connections are about that wait for no application: for a log of what is under way.
//!
//! Asked for at the end of a server or when it hangs, never by a turn. Whoever is idle between two
//! requests holds nobody up and is left out; a connection whose application still has to answer is
//! the floor above's to tell of.

use ferricorn_proto::Millis;

use crate::reactor::Reactor;
use crate::session::Session;
use crate::work::{Address, SessionId};

/// A connection that is not idle and has no application at work.
#[derive(Debug)]
pub struct Standing {
    pub session: SessionId,
    /// Milliseconds since it was accepted.
    pub age: Millis,
    /// The other end, as long as no request has told it upwards.
    pub peer: Option<Address>,
    pub wait: Wait,
}

/// What such a connection waits for: always its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The rest of a request head.
    Head,
    /// The rest of a request body, whose request was answered.
    Body,
    /// That the peer takes what was sent.
    Reader,
    /// That the peer closes, after its last response or our close frame.
    End,
}

impl<P: AsRef<[u8]>> Reactor<P> {
    /// The connections that wait for their peers, with the clock looked at: a turn that hangs has
    /// left it where it was.
    pub fn standing(&mut self) -> Vec<Standing> {
        self.clock.tick();
        let now = self.clock.now();
        let mut found = Vec::new();
        for id in self.table.ids() {
            if let Some(session) = self.table.get(id)
                && let Some(wait) = waits_for(session)
            {
                found.push(Standing {
                    session: id,
                    age: now.saturating_sub(session.opened),
                    peer: session.addresses.as_ref().map(|both| both.0.clone()),
                    wait,
                });
            }
        }
        found
    }
}

fn waits_for<P: AsRef<[u8]>>(session: &Session<P>) -> Option<Wait> {
    if session.live {
        None
    } else if session.lingering || session.is_socket() {
        Some(Wait::End)
    } else if session.blocked || !session.output.is_empty() {
        Some(Wait::Reader)
    } else if !session.http.is_idle() {
        (!session.http.request_complete()).then_some(Wait::Body)
    } else {
        (!session.input.is_empty()).then_some(Wait::Head)
    }
}
