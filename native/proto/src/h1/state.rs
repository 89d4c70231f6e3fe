//! The exchange of one request and its response: states x inputs.
//!
//! The only place where the state of a connection changes. Two ends move independently, because a
//! response may begin, and even end, before its request has:
//!
//! ```text
//!  Receive                                     Send
//!    Head -- Request{body} --> Body              Idle -- Request --> Head -- Respond --> Body
//!      \                        | RequestEnd      ^                   | Inform: stays     | Part: stays
//!       `-- Request{no body} -> Done              |                                       | End{trailers} --> Trailers
//!    any -- Stop --> Closed                       |                                       v                    |
//!                                                 `----------------- Next -------------- Done <-- EndTrailers -'
//!  Next needs Done at both ends.                 Refuse, Fail: before a head Done, after it Cut; Receive is Closed
//! ```
//!
//! Nothing comes back from `Closed` (RFC 9112 section 9.6: what follows the last request is not
//! looked at) and nothing from `Cut`.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    /// Between requests, or in a head.
    Head,
    Body,
    /// The request is complete; the next waits until its response is.
    Done,
    /// Nothing more is read.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Send {
    /// There is no request to respond to.
    Idle,
    /// The response head is due.
    Head,
    Body,
    Trailers,
    /// The response is complete.
    Done,
    /// The response ended in the middle and never will be complete.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A request head, and whether a body follows.
    Request {
        body: bool,
    },
    /// The end of the request body.
    RequestEnd,
    /// Nothing more can be read, or will be.
    Stop,
    /// An interim response, 100 included.
    Inform,
    /// The response head.
    Respond,
    /// Body bytes that are not the last.
    Part,
    /// The last body bytes.
    End {
        trailers: bool,
    },
    EndTrailers,
    /// The server answers in place of the application.
    Refuse,
    /// The application gave up.
    Fail,
    /// Both ends are done and the connection is kept.
    Next,
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
            receive: Receive::Head,
            send: Send::Idle,
        }
    }

    pub(super) fn apply(&mut self, input: Input) -> Result<(), Illegal> {
        let (receive, send) = match (self.receive, self.send, input) {
            (Receive::Head, Send::Idle, Input::Request { body: true }) => {
                (Receive::Body, Send::Head)
            }
            (Receive::Head, Send::Idle, Input::Request { body: false }) => {
                (Receive::Done, Send::Head)
            }
            (Receive::Body, send, Input::RequestEnd) => (Receive::Done, send),
            (_, send, Input::Stop) => (Receive::Closed, send),

            (receive, Send::Head, Input::Inform) => (receive, Send::Head),
            (receive, Send::Head, Input::Respond) | (receive, Send::Body, Input::Part) => {
                (receive, Send::Body)
            }
            (receive, Send::Body, Input::End { trailers: true }) => (receive, Send::Trailers),
            (receive, Send::Body, Input::End { trailers: false })
            | (receive, Send::Trailers, Input::EndTrailers) => (receive, Send::Done),

            (_, Send::Idle | Send::Head | Send::Done, Input::Refuse)
            | (_, Send::Head, Input::Fail) => (Receive::Closed, Send::Done),
            (_, Send::Body | Send::Trailers | Send::Cut, Input::Refuse | Input::Fail) => {
                (Receive::Closed, Send::Cut)
            }

            (Receive::Done, Send::Done, Input::Next) => (Receive::Head, Send::Idle),

            (_, _, _) => return Err(Illegal),
        };
        *self = Self { receive, send };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVE: [Receive; 4] = [Receive::Head, Receive::Body, Receive::Done, Receive::Closed];
    const SEND: [Send; 6] = [
        Send::Idle,
        Send::Head,
        Send::Body,
        Send::Trailers,
        Send::Done,
        Send::Cut,
    ];
    const INPUT: [Input; 13] = [
        Input::Request { body: false },
        Input::Request { body: true },
        Input::RequestEnd,
        Input::Stop,
        Input::Inform,
        Input::Respond,
        Input::Part,
        Input::End { trailers: false },
        Input::End { trailers: true },
        Input::EndTrailers,
        Input::Refuse,
        Input::Fail,
        Input::Next,
    ];

    /// How far an end has come; only Next goes back.
    fn progress(state: State) -> (usize, usize) {
        let receive = RECEIVE.iter().position(|&receive| receive == state.receive);
        let send = SEND.iter().position(|&send| send == state.send);
        (receive.unwrap(), send.unwrap())
    }

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
                    if input == Input::Next {
                        assert_eq!(
                            before,
                            State {
                                receive: Receive::Done,
                                send: Send::Done
                            },
                            "{context}"
                        );
                        assert_eq!(after, State::new(), "{context}");
                        continue;
                    }
                    assert!(progress(after).0 >= progress(before).0, "{context}");
                    assert!(progress(after).1 >= progress(before).1, "{context}");
                    if receive == Receive::Closed {
                        assert_eq!(after.receive, Receive::Closed, "{context}");
                    }
                    if send == Send::Cut {
                        assert_eq!(after.send, Send::Cut, "{context}");
                    }
                    if matches!(input, Input::Refuse | Input::Fail) {
                        assert_eq!(after.receive, Receive::Closed, "{context}");
                        assert!(matches!(after.send, Send::Done | Send::Cut), "{context}");
                        let begun = matches!(send, Send::Body | Send::Trailers | Send::Cut);
                        assert_eq!(after.send == Send::Cut, begun, "{context}");
                    }
                    // The application moves the sending end alone, the peer the receiving one.
                    let app = [
                        Input::Inform,
                        Input::Respond,
                        Input::Part,
                        Input::EndTrailers,
                    ]
                    .contains(&input)
                        || matches!(input, Input::End { .. });
                    if app {
                        assert_eq!(after.receive, receive, "{context}");
                    }
                    if matches!(input, Input::RequestEnd | Input::Stop) {
                        assert_eq!(after.send, send, "{context}");
                    }
                }
            }
        }
        // 2 requests, 6 ends, 24 stops, 4 of each verb, 24 refusals, 16 failures, 1 next.
        assert_eq!(legal, 2 + 6 + 24 + 6 * 4 + 24 + 16 + 1);
    }

    #[test]
    fn a_second_response_is_never_possible_before_the_next_request() {
        for receive in RECEIVE {
            for send in [
                Send::Idle,
                Send::Body,
                Send::Trailers,
                Send::Done,
                Send::Cut,
            ] {
                assert_eq!(State { receive, send }.apply(Input::Respond), Err(Illegal));
            }
        }
    }
}
