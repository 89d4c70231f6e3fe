//! WebSocket connections: what a peer may send, what it may not, and what is sent.

mod support;

use ferricorn_proto::ws::{Codec, Event, Kind, WebSocket};
use ferricorn_proto::{Misuse, WsLimits, limits};
use support::Random;
use support::ws::{
    BINARY, CLOSE, COMPRESSED, CONTINUATION, Driver, FIN, PING, PONG, TEXT, Transcript, check,
    close, frame, head, read_naively, server_frames,
};

const SMALL: WsLimits = WsLimits {
    message: 1000,
    fragments: 8,
};

fn seen(frames: &[Vec<u8>]) -> Transcript {
    let input = frames.concat();
    let seen = check(&input, SMALL, None);
    assert_eq!(seen.events, read_naively(&input, SMALL), "{input:x?}");
    seen
}

fn events(frames: &[Vec<u8>]) -> Vec<String> {
    seen(frames).events
}

/// The code that the peer is told, which is also the event.
fn failure(frames: &[Vec<u8>]) -> u16 {
    let seen = seen(frames);
    assert!(seen.closed);
    let answers = server_frames(&seen.output);
    let (first, payload) = answers.last().unwrap();
    assert_eq!(*first, FIN | CLOSE);
    let code = u16::from_be_bytes(*payload.first_chunk().unwrap());
    assert!(str::from_utf8(&payload[2..]).is_ok_and(|reason| !reason.is_empty()));
    assert_eq!(seen.events.last().unwrap(), &format!("failed {code}"));
    code
}

#[test]
fn messages_arrive_whole_and_in_order_however_they_are_cut() {
    let input = [
        frame(FIN | TEXT, "grüße".as_bytes()),
        frame(FIN | BINARY, b""),
        frame(TEXT, b"a"),
        frame(CONTINUATION, b""),
        frame(FIN | PING, b"between"),
        frame(CONTINUATION, "\u{1f600}".as_bytes()),
        frame(FIN | CONTINUATION, b"z"),
        frame(BINARY, b""),
        frame(FIN | CONTINUATION, b""),
        frame(FIN | BINARY, &[0, 255]),
        frame(FIN | TEXT, &[b'x'; 900]),
        frame(FIN | PONG, b"unasked"),
    ];
    let seen = seen(&input);
    let long = format!("text {}", "x".repeat(900));
    assert_eq!(
        seen.events,
        [
            "text grüße",
            "binary ",
            "text a\u{1f600}z",
            "binary ",
            "binary \\x00\\xff",
            &long
        ]
    );
    assert_eq!(
        server_frames(&seen.output),
        [(FIN | PONG, b"between".to_vec())]
    );
    assert!(!seen.closed && !seen.pending);
}

#[test]
fn a_character_may_be_cut_by_frames_and_stays_one() {
    let text = "aü€\u{1f600}".as_bytes();
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let input = [
                frame(TEXT, &text[..first]),
                frame(CONTINUATION, &text[first..second]),
                frame(FIN | CONTINUATION, &text[second..]),
            ];
            assert_eq!(events(&input), ["text aü€\u{1f600}"]);
        }
    }
}

#[test]
fn b51_frames_that_break_the_rules_are_answered_1002() {
    let unmasked = |first: u8| vec![first, 1, b'x'];
    let long = |first: u8, len: &[u8]| [&[first][..], len, b"mask"].concat();
    let table: &[(&str, Vec<Vec<u8>>)] = &[
        ("unmasked text", vec![unmasked(FIN | TEXT)]),
        ("unmasked ping", vec![unmasked(FIN | PING)]),
        (
            "rsv1 without deflate",
            vec![frame(FIN | COMPRESSED | TEXT, b"x")],
        ),
        ("rsv2", vec![frame(FIN | 0x20 | TEXT, b"x")]),
        ("rsv3", vec![frame(FIN | 0x10 | TEXT, b"x")]),
        ("rsv1 on a ping", vec![frame(FIN | COMPRESSED | PING, b"")]),
        ("opcode 3", vec![frame(FIN | 3, b"x")]),
        ("opcode 7", vec![frame(FIN | 7, b"x")]),
        ("opcode 11", vec![frame(0x8b, b"")]),
        ("opcode 15", vec![frame(0x8f, b"")]),
        ("ping of 126", vec![frame(FIN | PING, &[0; 126])]),
        ("close of 126", vec![frame(FIN | CLOSE, &[0; 126])]),
        ("fragmented ping", vec![frame(PING, b"")]),
        ("fragmented close", vec![frame(CLOSE, b"")]),
        (
            "continuation of nothing",
            vec![frame(FIN | CONTINUATION, b"x")],
        ),
        (
            "unfinished continuation of nothing",
            vec![frame(CONTINUATION, b"x")],
        ),
        (
            "a message inside another",
            vec![frame(TEXT, b"a"), frame(FIN | TEXT, b"b")],
        ),
        (
            "a beginning inside another",
            vec![frame(BINARY, b"a"), frame(BINARY, b"b")],
        ),
        (
            "continuation after the end",
            vec![
                frame(TEXT, b"a"),
                frame(FIN | CONTINUATION, b"b"),
                frame(FIN | CONTINUATION, b"c"),
            ],
        ),
        ("16 bits for 125", vec![long(FIN | TEXT, b"\xfe\x00\x7d")]),
        (
            "64 bits for 65535",
            vec![long(FIN | TEXT, b"\xff\x00\x00\x00\x00\x00\x00\xff\xff")],
        ),
        (
            "64th bit",
            vec![long(FIN | TEXT, b"\xff\x80\x00\x00\x00\x00\x00\x00\x00")],
        ),
        ("close of one byte", vec![frame(FIN | CLOSE, b"\x03")]),
    ];
    for (name, frames) in table {
        assert_eq!(failure(frames), 1002, "{name}");
        // What was well before it is handed up, and the ping is answered.
        let before = [frame(FIN | BINARY, b"ok"), frame(FIN | PING, b"p")];
        let all = [&before[..], frames].concat();
        assert_eq!(failure(&all), 1002, "{name}");
        assert_eq!(events(&all)[0], "binary ok", "{name}");
        assert_eq!(server_frames(&seen(&all).output)[0].1, b"p", "{name}");
    }
}

#[test]
fn what_a_head_shows_is_judged_before_the_payload_comes() {
    for input in [
        vec![FIN | TEXT, 1],
        vec![FIN | 3, 0x80],
        vec![FIN | PING, 0xfe],
        [head(FIN | BINARY, 1001), b"mask".to_vec()].concat(),
        [head(FIN | BINARY, 1 << 62), b"mask".to_vec()].concat(),
    ] {
        let seen = check(&input, SMALL, None);
        assert!(seen.closed && seen.events.len() == 1, "{input:x?}");
        assert_eq!(seen.events, read_naively(&input, SMALL));
    }
}

#[test]
fn b52_text_that_is_no_utf_8_is_answered_1007_at_its_first_wrong_byte() {
    for wrong in [
        &b"\xff"[..],
        b"a\x80",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ] {
        assert_eq!(failure(&[frame(FIN | TEXT, wrong)]), 1007);
        assert_eq!(failure(&[frame(TEXT, wrong)]), 1007, "not the end");
        let valid = str::from_utf8(wrong).unwrap_err().valid_up_to();
        for cut in 0..=wrong.len() {
            let (a, b) = wrong.split_at(cut);
            assert_eq!(
                failure(&[frame(TEXT, a), frame(FIN | CONTINUATION, b)]),
                1007
            );
            // The frame says that more comes, and it is not waited for.
            let mut long = frame(TEXT, wrong);
            long[1] = 0xe4;
            let seen = check(&long, SMALL, None);
            assert_eq!(seen.events, ["failed 1007"], "after {valid} good bytes");
        }
    }
    // A text that ends in the middle of a character.
    assert_eq!(failure(&[frame(FIN | TEXT, b"a\xe2\x82")]), 1007);
    let cut = [frame(TEXT, b"a\xe2\x82"), frame(FIN | CONTINUATION, b"")];
    assert_eq!(failure(&cut), 1007);
    assert_eq!(failure(&[frame(FIN | CLOSE, b"\x03\xe8\xff")]), 1007);
    assert_eq!(events(&[frame(FIN | BINARY, b"\xff")]), ["binary \\xff"]);
}

#[test]
fn b53_a_message_has_its_limit_to_the_byte() {
    let of = |sizes: &[usize]| -> Vec<Vec<u8>> {
        let last = sizes.len() - 1;
        let first = |at: usize| {
            let opcode = if at == 0 { BINARY } else { CONTINUATION };
            opcode | if at == last { FIN } else { 0 }
        };
        let sizes = sizes.iter().enumerate();
        sizes
            .map(|(at, &size)| frame(first(at), &vec![b'x'; size]))
            .collect()
    };
    for sizes in [
        &[1000][..],
        &[999, 1],
        &[0, 1000],
        &[1000, 0],
        &[500, 250, 250],
    ] {
        assert_eq!(events(&of(sizes)).len(), 1, "{sizes:?}");
        assert!(events(&of(sizes))[0].starts_with("binary xxx"));
    }
    for sizes in [
        &[1001][..],
        &[1000, 1],
        &[999, 2],
        &[0, 1001],
        &[500, 250, 251],
    ] {
        assert_eq!(failure(&of(sizes)), 1009, "{sizes:?}");
    }
    assert_eq!(events(&of(&[0; 8])), ["binary "]);
    assert_eq!(failure(&of(&[0; 9])), 1008);
    // Each message has the whole limit.
    assert_eq!(
        events(&[of(&[0; 8]), of(&[1000]), of(&[1; 8])].concat()).len(),
        3
    );
}

#[test]
fn b53_what_is_announced_costs_no_memory() {
    let limits = WsLimits::default();
    let mut driver = Driver::new(limits, None);
    driver.feed(&[head(FIN | BINARY, limits.message as u64), b"mask".to_vec()].concat());
    driver.feed(&[0; 10]);
    assert!(driver.socket.in_message());
    assert_eq!(driver.socket.buffered(), 10);
}

#[test]
fn a_close_frame_is_told_and_answered_and_nothing_is_read_after_it() {
    let mut long = b"\x0f\xa0".to_vec();
    long.extend_from_slice(&[b'r'; 123]);
    for (payload, code, reason) in [
        (&b""[..], 1005, ""),
        (b"\x03\xe8", 1000, ""),
        (b"\x03\xe9going", 1001, "going"),
        (b"\x03\xf6", 1014, ""),
        (b"\x0b\xb8", 3000, ""),
        (b"\x13\x87\xc3\xbc", 4999, "ü"),
        (&long, 4000, str::from_utf8(&long[2..]).unwrap()),
    ] {
        let seen = seen(&[
            frame(FIN | CLOSE, payload),
            frame(FIN | TEXT, b"too late"),
            frame(FIN | PING, b""),
            b"\xff\xff\xff".to_vec(),
        ]);
        assert_eq!(seen.events, [close(code, reason)]);
        assert!(seen.closed);
        assert_eq!(
            server_frames(&seen.output),
            [(FIN | CLOSE, payload.to_vec())]
        );
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535_u16,
    ] {
        let frames = [frame(FIN | CLOSE, &code.to_be_bytes())];
        assert_eq!(failure(&frames), 1002, "{code}");
    }
    // A close frame may stand in the middle of a message, which is lost.
    let middle = [frame(TEXT, b"a"), frame(FIN | CLOSE, b"")];
    assert_eq!(events(&middle), ["close 1005 "]);
}

fn handle(socket: &mut WebSocket, input: &[u8], out: &mut Vec<u8>) -> Vec<Event> {
    let (mut input, mut codec) = (input.to_vec(), Codec::new());
    let mut events = Vec::new();
    let mut rest = &mut input[..];
    loop {
        let step = socket.handle_bytes(rest, &mut codec, &SMALL, out);
        if step.consumed == 0 && step.event.is_none() {
            return events;
        }
        events.extend(step.event);
        rest = &mut rest[step.consumed..];
    }
}

#[test]
fn after_our_close_frame_only_the_peers_counts() {
    let mut socket = WebSocket::new(None);
    let mut out = Vec::new();
    // In the middle of a message, which is dropped with those after it.
    handle(&mut socket, &frame(TEXT, b"half"), &mut out);
    assert_eq!(socket.buffered(), 4);
    socket.ping(&mut out);
    out.clear();
    socket.close(1001, "bye", &mut out).unwrap();
    assert_eq!(out, b"\x88\x05\x03\xe9bye");
    out.clear();
    assert!(socket.close_sent() && !socket.is_open() && !socket.is_closing());
    assert_eq!(socket.buffered(), 0);
    // Neither limits nor UTF-8 matter to what nobody reads.
    let input = [
        frame(FIN | CONTINUATION, b"\xff"),
        frame(FIN | BINARY, &[0; 5000]),
        frame(FIN | TEXT, b"\xff"),
        frame(FIN | PING, b"p"),
        frame(FIN | PONG, &1_u32.to_be_bytes()),
        frame(BINARY, b"x"),
    ]
    .concat();
    assert_eq!(handle(&mut socket, &input, &mut out), [Event::Pong]);
    assert!(socket.close_sent() && socket.in_message());
    for verb in [
        socket.send(Kind::Text, b"x", &mut Codec::new(), &mut out),
        socket.send_head(Kind::Text, 1, &mut out),
        socket.close(1000, "", &mut out),
    ] {
        assert_eq!(verb, Err(Misuse::NotWebSocket));
    }
    socket.ping(&mut out);
    socket.write_due(&mut out);
    let bye = Event::Close {
        code: 1001,
        reason: String::new(),
    };
    let closing = frame(FIN | CLOSE, b"\x03\xe9");
    assert_eq!(handle(&mut socket, &closing, &mut out), [bye]);
    assert_eq!(out, b"", "one close frame is enough");
    assert!(socket.is_closing() && socket.close_received() && !socket.close_sent());
}

#[test]
fn a_peer_that_errs_after_our_close_frame_gets_no_second_one() {
    let mut socket = WebSocket::new(None);
    let mut out = Vec::new();
    socket.close(1000, "", &mut out).unwrap();
    out.clear();
    let events = handle(&mut socket, &frame(FIN | 3, b""), &mut out);
    assert!(matches!(events[..], [Event::Failed { code: 1002, .. }]));
    assert_eq!(out, b"");
    assert!(socket.is_closing() && !socket.close_received());
}

#[test]
fn our_close_frame_has_a_valid_code_and_a_reason_that_fits() {
    for code in 0..=u16::MAX {
        let mut out = Vec::new();
        let closed = WebSocket::new(None).close(code, "why", &mut out);
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => {
                let payload = [&code.to_be_bytes()[..], b"why"].concat();
                assert_eq!(server_frames(&out), [(FIN | CLOSE, payload)]);
            }
            1005 => assert_eq!(server_frames(&out), [(FIN | CLOSE, Vec::new())]),
            _ => {
                assert_eq!(closed, Err(Misuse::InvalidCloseCode(code)));
                assert_eq!(out, b"");
            }
        }
    }
    for (reason, len) in [
        ("r".repeat(123), 123),
        ("r".repeat(124), 123),
        ("ü".repeat(100), 122),
        ("€".repeat(50), 123),
        (format!("r{}", "\u{1f600}".repeat(40)), 121),
    ] {
        let mut out = Vec::new();
        WebSocket::new(None).close(1000, &reason, &mut out).unwrap();
        let payload = &server_frames(&out)[0].1;
        assert_eq!(&payload[2..], &reason.as_bytes()[..len]);
    }
}

#[test]
fn messages_are_framed_as_they_are() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
        let data = vec![b'd'; len];
        for (kind, first) in [(Kind::Text, FIN | TEXT), (Kind::Binary, FIN | BINARY)] {
            let mut socket = WebSocket::new(None);
            let (mut out, mut by_head) = (b"before".to_vec(), Vec::new());
            assert!(!socket.compresses(len));
            socket
                .send(kind, &data, &mut Codec::new(), &mut out)
                .unwrap();
            let frames = server_frames(&out[6..]);
            assert!(frames[0] == (first, data.clone()), "{len}");
            socket.send_head(kind, len as u64, &mut by_head).unwrap();
            by_head.extend_from_slice(&data);
            assert!(by_head == out[6..], "{len}");
        }
    }
}

#[test]
fn the_pong_to_our_latest_ping_is_told_from_others() {
    let mut socket = WebSocket::new(None);
    let mut pings = Vec::new();
    socket.ping(&mut pings);
    socket.ping(&mut pings);
    assert!(socket.awaits_pong());
    let pings = server_frames(&pings);
    assert_ne!(pings[0].1, pings[1].1);
    let mut out = Vec::new();
    for (payload, told) in [
        (&pings[0].1[..], false),
        (b"", false),
        (b"other", false),
        (&pings[1].1, true),
        (&pings[1].1, false),
    ] {
        let events = handle(&mut socket, &frame(FIN | PONG, payload), &mut out);
        assert_eq!(events == [Event::Pong], told);
        assert_eq!(events.is_empty(), !told);
    }
    assert!(!socket.awaits_pong());
    assert_eq!(out, b"");
}

#[test]
fn b56_every_ping_is_answered_until_much_is_waiting_and_then_the_latest() {
    let pings: Vec<_> = (0..10_u8).map(|n| frame(FIN | PING, &[n; 125])).collect();
    let mut socket = WebSocket::new(None);
    let mut out = Vec::new();
    handle(&mut socket, &pings.concat(), &mut out);
    let pongs = server_frames(&out);
    assert_eq!(pongs.len(), 10);
    assert!(
        pongs
            .iter()
            .zip(0..)
            .all(|(pong, n)| *pong == (FIN | PONG, vec![n; 125]))
    );
    // Nobody reads them.
    for _ in 0..1000 {
        handle(&mut socket, &pings.concat(), &mut out);
    }
    assert!(out.len() < limits::WS_PONGS + 127);
    out.clear();
    socket.write_due(&mut out);
    socket.write_due(&mut out);
    assert_eq!(server_frames(&out), [(FIN | PONG, vec![9; 125])]);
    // One that is held back gives way to the next, and to a close frame.
    let mut full = vec![0; limits::WS_PONGS];
    handle(&mut socket, &pings[0], &mut full);
    handle(&mut socket, &pings[1], &mut out);
    socket.write_due(&mut out);
    assert_eq!(server_frames(&out).len(), 2);
    handle(&mut socket, &pings[0], &mut full);
    out.clear();
    socket.close(1000, "", &mut out).unwrap();
    socket.write_due(&mut out);
    assert_eq!(server_frames(&out).len(), 1);
}

/// Frames at random, good and bad, beside the naive reader.
#[test]
fn random_frames_are_read_as_by_the_naive_reader() {
    for seed in 0..4_000 {
        let mut random = Random::new(seed);
        let mut input = Vec::new();
        for _ in 0..=random.below(8) {
            let opcodes = [
                TEXT,
                BINARY,
                CONTINUATION,
                CONTINUATION,
                PING,
                PONG,
                CLOSE,
                3,
            ];
            let known = random.below(4) > 0;
            let mut first = opcodes[random.below(8 - usize::from(known))];
            if first >= CLOSE || random.below(2) == 0 {
                first |= FIN;
            }
            if random.below(40) == 0 {
                first ^= 0x10 << random.below(4);
            }
            let len = [0, 1, 2, 5, 125, 126, 300, 999][random.below(8)];
            let mut payload = "aü€\u{1f600}".repeat(100).into_bytes();
            payload.drain(..random.below(10));
            payload.truncate(len);
            if first & 15 == CLOSE && len >= 2 {
                payload[..2].copy_from_slice(&1000_u16.to_be_bytes());
            }
            input.extend(frame(first, &payload));
            if random.below(30) == 0 {
                let at = random.below(input.len());
                input[at] ^= 1 << random.below(8);
            }
        }
        input.truncate(input.len() - random.below(4).saturating_sub(2));
        assert_eq!(
            check(&input, SMALL, None).events,
            read_naively(&input, SMALL),
            "{seed}"
        );
    }
}
