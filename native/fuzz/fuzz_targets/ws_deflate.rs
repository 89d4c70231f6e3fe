//! Compressed messages in both directions.
//!
//! The first octet chooses what is negotiated, the second the limit and how the input is cut. The
//! rest is taken twice: as payloads of a client, each with a first octet and a length, which must come
//! to the same whole and in pieces and to what the library makes of them in one go; and as messages
//! that the server sends, which the library must understand.

#![no_main]

#[path = "../../proto/tests/support/mod.rs"]
mod support;

use ferricorn_proto::WsLimits;
use ferricorn_proto::ws::{Codec, Deflate, DeflateSettings, Kind, WebSocket};
use flate2::{Decompress, FlushDecompress, Status};
use libfuzzer_sys::fuzz_target;
use support::ws::{COMPRESSED, FIN, frame, message, negotiate, play, server_frames};

const TAIL: &[u8] = b"\0\0\xff\xff";

fn agree(choice: u8) -> (Option<Deflate>, bool) {
    let bits = 9 + choice % 7;
    let takeover = choice & 0x80 != 0;
    let settings = DeflateSettings {
        takeover,
        min_size: 0,
        ..DeflateSettings::default()
    };
    let offer =
        format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}");
    (negotiate(&offer, &settings), takeover)
}

/// A program: a first octet, a length and as many octets, again and again.
fn pieces(mut data: &[u8]) -> Vec<(u8, &[u8])> {
    let mut pieces = Vec::new();
    while let [first, len, tail @ ..] = data {
        let (payload, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        pieces.push((*first, payload));
        data = tail;
    }
    pieces
}

/// What a message comes to by itself, if it is deflate to its end and not too large.
fn inflate(payload: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut stream = Decompress::new(false);
    let mut out = Vec::with_capacity(limit + 2);
    run(&mut stream, payload, &mut out, limit)?;
    // After a final block, or nothing, there is nothing to end.
    if stream.total_in() > 0 {
        run(&mut stream, TAIL, &mut out, limit)?;
    }
    Some(out)
}

fn run(stream: &mut Decompress, mut rest: &[u8], out: &mut Vec<u8>, limit: usize) -> Option<()> {
    while !rest.is_empty() {
        let before = stream.total_in();
        let status = stream.decompress_vec(rest, out, FlushDecompress::None);
        rest = &rest[usize::try_from(stream.total_in() - before).unwrap()..];
        if out.len() > limit || status.is_err() {
            return None;
        }
        if status.is_ok_and(|status| status == Status::StreamEnd) {
            stream.reset(false);
        }
    }
    Some(())
}

fuzz_target!(|data: &[u8]| {
    let &[choice, second, ref rest @ ..] = data else {
        return;
    };
    let (deflate, takeover) = agree(choice);
    let limits = WsLimits {
        message: [10, 300, 5000, 70_000][usize::from(second & 3)],
        fragments: 1000,
    };
    let pieces = pieces(rest);
    let frames: Vec<u8> = pieces
        .iter()
        .flat_map(|(first, payload)| frame(*first, payload))
        .collect();
    let whole = play(&frames, limits, deflate, |left| left);
    assert_eq!(play(&frames, limits, deflate, |_| 1), whole);
    let cut = 1 + usize::from(second >> 2);
    assert_eq!(play(&frames, limits, deflate, |_| cut), whole);

    for (first, payload) in &pieces {
        let single = frame(FIN | COMPRESSED | 2, payload);
        // Longer than anything of this limit can be compressed to.
        if payload.len() > limits.message {
            continue;
        }
        let seen = play(&single, limits, deflate, |_| cut);
        match inflate(payload, limits.message) {
            Some(bytes) if !takeover => {
                assert_eq!(seen.events, [message(Kind::Binary, &bytes)], "{first}");
            }
            None if !takeover => assert!(seen.events[0].starts_with("failed"), "{first}"),
            _ => {}
        }
    }

    let mut socket = WebSocket::new(deflate);
    let mut codec = Codec::new();
    let mut theirs = Decompress::new(false);
    for (first, payload) in &pieces {
        let data = payload.repeat(1 + usize::from(first >> 2) * 3);
        let mut out = Vec::new();
        socket
            .send(Kind::Binary, &data, &mut codec, &mut out)
            .unwrap();
        let sent = server_frames(&out);
        let (head, mut payload) = sent[0].clone();
        assert_eq!(sent.len(), 1);
        if head & COMPRESSED == 0 {
            assert_eq!(payload, data);
            continue;
        }
        if !takeover {
            theirs = Decompress::new(false);
        }
        payload.extend_from_slice(TAIL);
        let mut inflated = Vec::with_capacity(data.len() + 100);
        theirs
            .decompress_vec(&payload, &mut inflated, FlushDecompress::Sync)
            .unwrap();
        assert_eq!(inflated, data);
    }
});
