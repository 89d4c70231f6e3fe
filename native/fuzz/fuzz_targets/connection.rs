//! A whole connection: what arrives, how it is cut, and what the application does meanwhile.
//!
//! The input is a program: each octet chooses an action, or how many of the octets after it arrive
//! as they are. The model and the client of the crate's own tests judge what comes of it.

#![no_main]

#[path = "../../proto/tests/support/mod.rs"]
mod support;

use ferricorn_proto::Fault;
use libfuzzer_sys::fuzz_target;
use support::session::{Action, Session};

/// What is tedious to find by chance.
const PARTS: [&[u8]; 8] = [
    b"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nhost: h\r\n\r\n",
    b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
];

fn action(code: u8, rest: &mut &[u8]) -> Action {
    let mut next = || {
        let (&octet, tail) = rest.split_first().unwrap_or((&0, &[]));
        *rest = tail;
        octet
    };
    match code {
        0..=7 => Action::Arrive(PARTS[usize::from(code)].to_vec()),
        8..=15 => {
            let choice = next();
            Action::Respond {
                status: [200, 204, 304, 205, 404, 500, 199, 600][usize::from(code - 8)],
                length: [None, Some(0), Some(5), Some(70_000)][usize::from(choice & 3)],
                chunked: choice & 4 != 0,
                close: choice & 8 != 0,
                malformed: choice & 0x30 == 0x30,
            }
        }
        16..=31 => {
            let len = [0, 1, 4, 5, 16, 255, 4096, 70_000][usize::from(code & 7)];
            Action::Body {
                len,
                more: code & 8 != 0,
            }
        }
        32 => Action::Eof,
        33 => Action::Abandon,
        34 => Action::ExpectTrailers,
        35 => Action::Trailers { malformed: false },
        36 => Action::Trailers { malformed: true },
        37 => Action::Inform,
        38 => Action::Continue,
        39 => Action::CloseAfter,
        40 => Action::Fail,
        41 => {
            let answered = |fault: &&Fault| !fault.is_silent();
            let count = Fault::ALL.iter().filter(answered).count();
            let fault = Fault::ALL
                .iter()
                .filter(answered)
                .nth(usize::from(next()) % count);
            Action::Refuse(*fault.expect("one of them"))
        }
        _ => {
            let (bytes, tail) = rest.split_at(usize::from(code - 41).min(rest.len()));
            *rest = tail;
            Action::Arrive(bytes.to_vec())
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let mut session = Session::new();
    while let Some((&code, tail)) = rest.split_first() {
        rest = tail;
        session.apply(&action(code, &mut rest));
    }
    session.finish();
});
