//! Every short sequence of actions, and many long ones, beside the model.

mod support;

use ferricorn_proto::Fault;
use support::Random;
use support::session::{Action, Session};

const RESPOND: Action = Action::Respond {
    status: 200,
    length: None,
    chunked: false,
    close: false,
    malformed: false,
};
const RESPOND_FIXED: Action = Action::Respond {
    status: 200,
    length: Some(2),
    chunked: false,
    close: false,
    malformed: false,
};

fn arrive(bytes: &[u8]) -> Action {
    Action::Arrive(bytes.to_vec())
}

/// Plays `actions` after `opening`, and every continuation of it by `depth` more of `choices`.
fn explore(opening: &mut Vec<Action>, choices: &[Action], depth: usize) -> usize {
    let mut session = Session::new();
    for action in opening.iter() {
        session.apply(action);
    }
    session.finish();
    if depth == 0 {
        return 1;
    }
    let mut played = 1;
    for choice in choices {
        opening.push(choice.clone());
        played += explore(opening, choices, depth - 1);
        opening.pop();
    }
    played
}

#[test]
fn every_short_sequence_keeps_the_rules() {
    let choices = [
        RESPOND,
        RESPOND_FIXED,
        Action::Body { len: 2, more: true },
        Action::Body {
            len: 0,
            more: false,
        },
        Action::ExpectTrailers,
        Action::Trailers { malformed: false },
        Action::Inform,
        Action::Continue,
        Action::Fail,
        Action::Refuse(Fault::BodyTimeout),
        Action::Eof,
        arrive(b"xy"),
    ];
    let openings: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
        b"HEAD / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n1\r\n",
        b"GET /",
    ];
    for opening in openings {
        assert!(explore(&mut vec![arrive(opening)], &choices, 4) > 20_000);
    }
}

/// Parts of requests, good and bad.
const PARTS: [&[u8]; 16] = [
    b"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nhost: h\r\n\r\n",
    b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: h\r\nexpect: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    b"hello",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"\r\n",
    b"GET / HTTP/1.1\r\nho",
    b"st: h\r\n\r\n",
];

fn action(random: &mut Random) -> Action {
    match random.below(24) {
        0..=9 => {
            let part = PARTS[random.below(PARTS.len())];
            let end = if random.below(4) == 0 {
                random.below(part.len() + 1)
            } else {
                part.len()
            };
            arrive(&part[..end])
        }
        10..=13 => Action::Respond {
            status: [200, 200, 204, 304, 404, 199, 600][random.below(7)],
            length: [None, Some(0), Some(5)][random.below(3)],
            chunked: random.below(4) == 0,
            close: random.below(6) == 0,
            malformed: random.below(8) == 0,
        },
        14..=18 => Action::Body {
            len: [0, 2, 3, 5][random.below(4)],
            more: random.below(2) == 0,
        },
        19 => Action::ExpectTrailers,
        20 => Action::Trailers {
            malformed: random.below(4) == 0,
        },
        21 => [Action::Inform, Action::Continue, Action::Abandon][random.below(3)].clone(),
        22 => Action::CloseAfter,
        _ => match random.below(6) {
            0 => Action::Fail,
            1 => Action::Refuse(Fault::BodyTimeout),
            2 => Action::Refuse(Fault::UnmetExpectation),
            3 => Action::Eof,
            _ => Action::Continue,
        },
    }
}

#[test]
fn long_sequences_keep_the_rules() {
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        let mut session = Session::new();
        for _ in 0..40 {
            session.apply(&action(&mut random));
        }
        session.finish();
    }
}
