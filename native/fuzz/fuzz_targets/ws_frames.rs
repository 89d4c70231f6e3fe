//! Frames of a client: what they come to, whole and in pieces, beside a reader that knows nothing of
//! pieces.
//!
//! The first octet chooses the limits, the second how the input is cut. The rest is what arrives, as
//! it is or as a program that writes well-formed frames: chance alone masks nothing well.

#![no_main]

#[path = "../../proto/tests/support/mod.rs"]
mod support;

use ferricorn_proto::WsLimits;
use libfuzzer_sys::fuzz_target;
use support::ws::{frame, play, read_naively};

/// Each instruction is a first byte, a length and as many octets.
fn frames(mut rest: &[u8]) -> Vec<u8> {
    let mut input = Vec::new();
    while let [first, len, tail @ ..] = rest {
        let (payload, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        input.extend(frame(*first, payload));
        rest = tail;
    }
    input
}

fuzz_target!(|data: &[u8]| {
    let &[choice, cut, ref rest @ ..] = data else {
        return;
    };
    let limits = WsLimits {
        message: [10, 125, 300, 70_000][usize::from(choice & 3)],
        fragments: [1, 2, 5, 100][usize::from(choice >> 2 & 3)],
    };
    let input = if choice & 0x80 == 0 {
        frames(rest)
    } else {
        rest.to_vec()
    };
    let whole = play(&input, limits, None, |left| left);
    assert_eq!(whole.events, read_naively(&input, limits));
    assert_eq!(play(&input, limits, None, |_| 1), whole);
    let mut turn = 0;
    let pieces = play(&input, limits, None, |_| {
        turn += 1;
        1 + usize::from(cut) * turn % 37
    });
    assert_eq!(pieces, whole);
});
