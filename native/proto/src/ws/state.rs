//! Messages in frames, and the two close frames: states x inputs.
//!
//! The only place where the state of a WebSocket changes: RFC 6455 section 5.4 at the receiving end,
//! section 7.1 at both.
//!
//! ```text
//!  Receive                                                Send
//!    Between -- First{fin} --> Between                      Open -- Send: stays
//!       |  ^                                                 |
//!       |  `------ Next{fin} -------.                        | Close
//!       `-- First{not fin} --> Message -- Next{not fin}:     v
//!                                                 stays    Closed
//!  Between, Message -- PeerClose --> Closed, at both ends: a close frame is answered by one
//!  Between, Message -- Stop -------> Failed, and nothing more is sent
//! ```
//!
//! After our close frame the peer may go on until its own (section 5.5.1), but nobody listens any
//! more. Nothing comes back from `Closed` and `Failed`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    Between,
    /// A message has begun, and another fragment of it is due.
    Message,
    /// The peer has sent its close frame.
    Closed,
    /// The peer erred, or is gone without a close frame.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Send {
    Open,
    /// Our close frame is written, or never will be.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The first frame of a message.
    First { fin: bool },
    /// A continuation.
    Next { fin: bool },
    /// The peer's close frame.
    PeerClose,
    /// Nothing more can be read, or will be.
    Stop,
    /// A message of ours.
    Send,
    /// Our close frame.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) receive: Receive,
    pub(super) send: Send,
}

/// The input is not possible in the state, which stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Illegal;

impl State {
    pub(super) const fn new() -> Self {
        Self {
            receive: Receive::Between,
            send: Send::Open,
        }
    }

    pub(super) fn apply(&mut self, input: Input) -> Result<(), Illegal> {
        let open = matches!(self.receive, Receive::Between | Receive::Message);
        let (receive, send) = match (self.receive, self.send, input) {
            (Receive::Between, send, Input::First { fin: true })
            | (Receive::Message, send, Input::Next { fin: true }) => (Receive::Between, send),
            (Receive::Between, send, Input::First { fin: false })
            | (Receive::Message, send, Input::Next { fin: false }) => (Receive::Message, send),

            (_, _, Input::PeerClose) if open => (Receive::Closed, Send::Closed),
            (_, _, Input::Stop) if open => (Receive::Failed, Send::Closed),

            (receive, Send::Open, Input::Send) if open => (receive, Send::Open),
            (receive, Send::Open, Input::Close) if open => (receive, Send::Closed),

            (_, _, _) => return Err(Illegal),
        };
        *self = Self { receive, send };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVE: [Receive; 4] = [
        Receive::Between,
        Receive::Message,
        Receive::Closed,
        Receive::Failed,
    ];
    const SEND: [Send; 2] = [Send::Open, Send::Closed];
    const INPUT: [Input; 8] = [
        Input::First { fin: false },
        Input::First { fin: true },
        Input::Next { fin: false },
        Input::Next { fin: true },
        Input::PeerClose,
        Input::Stop,
        Input::Send,
        Input::Close,
    ];

    #[test]
    fn every_state_meets_every_input() {
        let mut legal = 0;
        for receive in RECEIVE {
            for send in SEND {
                for input in INPUT {
                    let before = State { receive, send };
                    let mut after = before;
                    if after.apply(input).is_err() {
                        assert_eq!(after, before, "an illegal input changes nothing");
                        continue;
                    }
                    legal += 1;
                    let context = format!("{before:?} {input:?} -> {after:?}");
                    // Nothing comes back.
                    assert!(!matches!(receive, Receive::Closed | Receive::Failed));
                    if send == Send::Closed {
                        assert_eq!(after.send, Send::Closed, "{context}");
                    }
                    // Frames move the receiving end alone, and the application the sending one.
                    match input {
                        Input::First { fin } | Input::Next { fin } => {
                            assert_eq!(after.send, send, "{context}");
                            assert_eq!(fin, after.receive == Receive::Between, "{context}");
                            let first = matches!(input, Input::First { .. });
                            assert_eq!(first, receive == Receive::Between, "{context}");
                        }
                        Input::Send | Input::Close => {
                            assert_eq!(send, Send::Open, "{context}");
                            assert_eq!(after.receive, receive, "{context}");
                            assert_eq!(input == Input::Close, after.send == Send::Closed);
                        }
                        Input::PeerClose => assert_eq!(after.receive, Receive::Closed),
                        Input::Stop => assert_eq!(after.receive, Receive::Failed),
                    }
                    if matches!(input, Input::PeerClose | Input::Stop) {
                        assert_eq!(after.send, Send::Closed, "{context}");
                    }
                }
            }
        }
        // Of two ends that receive: 2 frames each in 2 states of sending, 2 ends in 2, 2 verbs in 1.
        assert_eq!(legal, 2 * (2 * 2 + 2 * 2 + 2));
    }
}
