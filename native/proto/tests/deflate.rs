//! Compressed messages, with the library itself as the client.

mod support;

use ferricorn_proto::WsLimits;
use ferricorn_proto::ws::{Codec, Deflate, DeflateSettings, Event, Kind, WebSocket};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use support::Random;
use support::ws::{
    BINARY, COMPRESSED, CONTINUATION, Driver, FIN, PING, TEXT, Transcript, check, frame, message,
    negotiate, server_frames,
};

const LIMITS: WsLimits = WsLimits {
    message: 100_000,
    fragments: 100,
};

/// The whole of `data` through a stream of the client, as RFC 7692 section 7.2.1 has it.
fn deflate(stream: &mut Compress, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() * 2 + 1000);
    stream
        .compress_vec(data, &mut out, FlushCompress::Sync)
        .unwrap();
    assert!(out.ends_with(b"\0\0\xff\xff") && out.len() < out.capacity());
    out.truncate(out.len() - 4);
    out
}

fn inflate(stream: &mut Decompress, data: &[u8]) -> Vec<u8> {
    let data = [data, b"\0\0\xff\xff"].concat();
    let mut out = Vec::with_capacity(1_000_000);
    stream
        .decompress_vec(&data, &mut out, FlushDecompress::Sync)
        .unwrap();
    assert!(out.len() < out.capacity());
    out
}

fn fresh(bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::default(), false, bits)
}

/// One message, compressed by itself.
fn squeezed(data: &[u8]) -> Vec<u8> {
    deflate(&mut fresh(15), data)
}

fn agreed() -> Option<Deflate> {
    negotiate("permessage-deflate", &DeflateSettings::default())
}

fn seen(frames: &[Vec<u8>]) -> Transcript {
    check(&frames.concat(), LIMITS, agreed())
}

/// Text that repeats itself near and far, and some that does not.
fn samples() -> Vec<Vec<u8>> {
    let mut random = Random::new(7);
    let noise: Vec<u8> = (0..40_000)
        .map(|_| random.next().to_le_bytes()[0])
        .collect();
    // Repetition at distances that fit in one window and not in the next smaller one.
    let distances = [400, 800, 1600, 3200, 6400, 12_800, 22_000];
    let repeated = distances.map(|distance| noise[..distance].repeat(2));
    let far = repeated.concat();
    vec![
        b"x".to_vec(),
        b"Hello, Hello, Hello!".repeat(10),
        noise[..300].to_vec(),
        "grüße ".repeat(3000).into_bytes(),
        far,
        noise[..300].to_vec(),
        b"Hello, Hello, Hello!".repeat(10),
        vec![0; 99_000],
    ]
}

#[test]
fn every_window_and_takeover_is_understood_in_both_directions() {
    for takeover in [false, true] {
        for bits in 9..=15 {
            for (server_alone, client_alone) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                if !takeover && server_alone != client_alone {
                    continue;
                }
                let settings = DeflateSettings {
                    takeover,
                    min_size: 0,
                    ..DeflateSettings::default()
                };
                let mut offer = format!(
                    "permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}"
                );
                if server_alone {
                    offer.push_str("; server_no_context_takeover");
                }
                if client_alone {
                    offer.push_str("; client_no_context_takeover");
                }
                let deflate_agreed = negotiate(&offer, &settings);
                let context = format!("{offer} {takeover}");
                let server_keeps = takeover && !server_alone;
                let client_keeps = takeover && !client_alone;
                let mut driver = Driver::new(LIMITS, deflate_agreed);
                let mut socket = WebSocket::new(deflate_agreed);
                let mut codec = Codec::new();
                let mut expected = Vec::new();
                let mut theirs = fresh(bits);
                let mut ours = Decompress::new(false);
                for data in samples() {
                    if !client_keeps {
                        theirs = fresh(bits);
                    }
                    let payload = deflate(&mut theirs, &data);
                    driver.feed(&frame(FIN | COMPRESSED | BINARY, &payload));
                    expected.push(message(Kind::Binary, &data));

                    let mut out = Vec::new();
                    assert!(socket.compresses(data.len()));
                    socket
                        .send(Kind::Binary, &data, &mut codec, &mut out)
                        .unwrap();
                    let frames = server_frames(&out);
                    let (first, payload) = &frames[0];
                    assert_eq!(frames.len(), 1);
                    if !server_keeps {
                        ours = Decompress::new(false);
                    }
                    if *first == FIN | COMPRESSED | BINARY {
                        assert!(inflate(&mut ours, payload) == data, "{context}");
                    } else {
                        assert!(!server_keeps && *first == FIN | BINARY, "{context}");
                        assert!(*payload == data, "{context}");
                    }
                }
                let seen = driver.finish();
                assert!(seen.events == expected, "{context}");
            }
        }
    }
}

/// The library inflates any window, so that the server's is seen in what it finds repeated.
#[test]
fn the_server_refers_no_farther_back_than_was_agreed() {
    for bits in 9..=15_u8 {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}");
        let agreed = negotiate(&offer, &DeflateSettings::default());
        let window = 1_usize << bits;
        for (distance, found) in [(window / 4, true), (window / 2 * 3, false)] {
            let mut random = Random::new(9);
            let noise: Vec<u8> = (0..distance)
                .map(|_| random.next().to_le_bytes()[0])
                .collect();
            let mut out = Vec::new();
            WebSocket::new(agreed)
                .send(Kind::Binary, &noise.repeat(2), &mut Codec::new(), &mut out)
                .unwrap();
            let context = format!("{bits} {distance}");
            assert_eq!(out[0] & COMPRESSED != 0, found, "{context}");
            assert_eq!(out.len() < distance * 3 / 2, found, "{context}");
        }
    }
}

#[test]
fn takeover_makes_repetition_cheap_and_its_absence_keeps_messages_apart() {
    let sizes = |takeover| {
        let settings = DeflateSettings {
            takeover,
            min_size: 0,
            ..DeflateSettings::default()
        };
        let mut socket = WebSocket::new(negotiate("permessage-deflate", &settings));
        let mut codec = Codec::new();
        let size = |_| {
            let mut out = Vec::new();
            let data = &samples()[4][..400];
            socket.send(Kind::Text, data, &mut codec, &mut out).unwrap();
            out.len()
        };
        (0..3).map(size).collect::<Vec<_>>()
    };
    assert_eq!(sizes(false), [404; 3], "noise is sent as it is");
    let kept = sizes(true);
    assert!(kept[0] > 400 && kept[1] < 30 && kept[2] < 30, "{kept:?}");
}

#[test]
fn small_messages_are_sent_as_they_are() {
    let settings = DeflateSettings {
        min_size: 10,
        ..DeflateSettings::default()
    };
    let mut socket = WebSocket::new(negotiate("permessage-deflate", &settings));
    for (len, compressed) in [(0, false), (9, false), (10, true), (1000, true)] {
        let mut out = Vec::new();
        assert_eq!(socket.compresses(len), compressed);
        socket
            .send(Kind::Text, &vec![b'a'; len], &mut Codec::new(), &mut out)
            .unwrap();
        assert_eq!(out[0] & COMPRESSED != 0, compressed, "{len}");
    }
    let settings = DeflateSettings {
        min_size: 0,
        takeover: true,
        ..settings
    };
    let socket = WebSocket::new(negotiate("permessage-deflate", &settings));
    assert!(!socket.compresses(0) && socket.compresses(1));
}

#[test]
fn compressed_messages_come_in_any_number_of_frames_among_others() {
    for data in ["a", "grüße ", &"grüße und mehr".repeat(500)] {
        let payload = squeezed(data.as_bytes());
        let third = payload.len() / 3;
        let input = [
            frame(FIN | COMPRESSED | TEXT, &payload),
            frame(FIN | TEXT, b"plain"),
            frame(COMPRESSED | TEXT, &payload[..third]),
            frame(CONTINUATION, b""),
            frame(FIN | PING, b"p"),
            frame(CONTINUATION, &payload[third..2 * third]),
            frame(FIN | CONTINUATION, &payload[2 * third..]),
            frame(COMPRESSED | TEXT, b""),
            frame(CONTINUATION, &payload),
            frame(FIN | CONTINUATION, b""),
            frame(TEXT, b"pl"),
            frame(FIN | CONTINUATION, b"ain"),
        ];
        let text = format!("text {data}");
        let seen = seen(&input);
        assert_eq!(
            seen.events,
            [&text[..], "text plain", &text, &text, "text plain"]
        );
        assert!(!seen.pending);
    }
}

#[test]
fn the_examples_of_rfc_7692_are_understood() {
    // Section 7.2.3: compressed, in two frames, not compressed, a final block, two blocks.
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let input = [
        frame(FIN | COMPRESSED | TEXT, hello),
        [
            frame(COMPRESSED | TEXT, &hello[..3]),
            frame(FIN | CONTINUATION, &hello[3..]),
        ]
        .concat(),
        frame(
            FIN | COMPRESSED | TEXT,
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        ),
        frame(FIN | COMPRESSED | TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
        // A final block with nothing after it, and with more after it.
        frame(FIN | COMPRESSED | TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00"),
        frame(
            FIN | COMPRESSED | TEXT,
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ),
    ];
    assert_eq!(seen(&input).events, ["text Hello"; 6]);
    let twice = [&hello[..], b"\0\0\xff\xff", hello].concat();
    let empty = [
        frame(FIN | COMPRESSED | TEXT, &twice),
        frame(FIN | COMPRESSED | TEXT, b"\0"),
        frame(FIN | COMPRESSED | TEXT, b""),
        frame(FIN | COMPRESSED | TEXT, hello),
    ];
    assert_eq!(
        seen(&empty).events,
        ["text HelloHello", "text ", "text ", "text Hello"]
    );
}

#[test]
fn messages_after_a_final_block_are_understood_with_takeover() {
    let settings = DeflateSettings {
        takeover: true,
        ..DeflateSettings::default()
    };
    let agreed = negotiate("permessage-deflate", &settings);
    let last = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    let input = [
        frame(FIN | COMPRESSED | TEXT, last),
        frame(FIN | COMPRESSED | TEXT, &[&last[..], b"\0"].concat()),
        frame(FIN | COMPRESSED | TEXT, last),
    ]
    .concat();
    assert_eq!(check(&input, LIMITS, agreed).events, ["text Hello"; 3]);
}

/// A match that reaches farther back than the message.
const BACK: &[u8] = b"\x4a\x84\x11\x00";

#[test]
fn a_message_cannot_reach_into_another_connections() {
    // One literal, then a match 32 KiB back would show the end of what was inflated before.
    let secret = squeezed(&b"secret ".repeat(10_000));
    let mut codec = Codec::new();
    let mut run = |payload: &[u8]| {
        let mut input = frame(FIN | COMPRESSED | BINARY, payload);
        let mut socket = WebSocket::new(agreed());
        let step = socket.handle_bytes(&mut input, &mut codec, &LIMITS, &mut Vec::new());
        step.event.unwrap()
    };
    assert!(matches!(run(&secret), Event::Message { .. }));
    // The fixed code: a match of three bytes at distance 32768.
    for probe in [&b"\x1b\xbd\xff\x1f\x00"[..], b"\x03\xde\xff\x0f\x00", BACK] {
        match run(probe) {
            Event::Failed { code: 1007, .. } => {}
            Event::Message { data, .. } => {
                let ferricorn_proto::ws::Data::Made(bytes) = data else {
                    panic!("inflated")
                };
                assert!(
                    !bytes.contains(&b's') && !bytes.contains(&b'e'),
                    "{bytes:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn b54_the_limit_holds_for_what_is_inflated_to_the_byte() {
    for level in [0, 1, 9] {
        for (size, good) in [
            (99_999, true),
            (100_000, true),
            (100_001, false),
            (500_000, false),
        ] {
            let mut random = Random::new(size as u64);
            let noise: Vec<u8> = (0..size).map(|_| random.next().to_le_bytes()[0]).collect();
            for data in [vec![b'0'; size], noise] {
                let mut stream = Compress::new(Compression::new(level), false);
                let payload = deflate(&mut stream, &data);
                let half = payload.len() / 2;
                let whole = frame(FIN | COMPRESSED | BINARY, &payload);
                let parts = [
                    frame(COMPRESSED | BINARY, &payload[..half]),
                    frame(FIN | CONTINUATION, &payload[half..]),
                ]
                .concat();
                for input in [whole, parts] {
                    let mut driver = Driver::new(LIMITS, agreed());
                    driver.feed(&input);
                    let seen = driver.finish();
                    if good {
                        assert!(seen.events == [message(Kind::Binary, &data)], "{size}");
                    } else {
                        assert_eq!(seen.events, ["failed 1009"], "{size}");
                    }
                }
            }
        }
    }
}

#[test]
fn b54_a_bomb_is_found_as_it_grows() {
    let bomb = squeezed(&vec![0; 50_000_000]);
    assert!(bomb.len() < 100_000);
    let seen = seen(&[frame(FIN | COMPRESSED | BINARY, &bomb[..300])]);
    assert_eq!(seen.events, ["failed 1009"]);
    let whole = frame(FIN | COMPRESSED | BINARY, &bomb);
    let mut driver = Driver::new(LIMITS, agreed());
    driver.feed(&whole[..300]);
    assert_eq!(
        driver.seen.events,
        ["failed 1009"],
        "the rest was not waited for"
    );
    assert_eq!(driver.socket.buffered(), 0);
    // Blocks without content make nothing, and go on for as long as the peer likes.
    let nothing = b"\0\0\0\xff\xff".repeat(1000);
    let mut driver = Driver::new(LIMITS, agreed());
    driver.feed(&frame(COMPRESSED | BINARY, &nothing));
    for _ in 0..60 {
        driver.feed(&frame(CONTINUATION, &nothing));
        assert_eq!(driver.socket.buffered(), 0);
    }
    driver.feed(&frame(FIN | CONTINUATION, b"\0"));
    assert_eq!(driver.finish().events, ["binary "]);
}

#[test]
fn what_is_not_deflate_is_answered_1007() {
    for payload in [
        &b"\xff\xff\xff"[..],
        b"\x07",
        b"\x01\x05\x00\x00\x00",
        BACK,
        b"hello",
    ] {
        let first = &seen(&[frame(FIN | COMPRESSED | BINARY, payload)]).events;
        assert_eq!(first, &["failed 1007"], "{payload:x?}");
        let parts = [
            frame(COMPRESSED | BINARY, payload),
            frame(FIN | CONTINUATION, b"\0"),
        ];
        assert_eq!(seen(&parts).events, ["failed 1007"], "{payload:x?}");
    }
}

#[test]
fn b52_compressed_text_is_judged_before_it_is_complete() {
    for wrong in [&b"aaaaa\xff"[..], b"\xed\xa0\x80", b"a\xf4\x90\x80\x80"] {
        let mut data = wrong.to_vec();
        let good = seen(&[frame(FIN | COMPRESSED | BINARY, &squeezed(&data))]);
        assert!(good.events[0].starts_with("binary"));
        assert_eq!(
            seen(&[frame(FIN | COMPRESSED | TEXT, &squeezed(&data))]).events,
            ["failed 1007"]
        );
        data.extend_from_slice(&b"more and more".repeat(100));
        let mut stream = fresh(15);
        let start = deflate(&mut stream, &data);
        // The tail of a flush within a message is part of it.
        let start = [&start[..], b"\0\0\xff\xff"].concat();
        assert_eq!(
            seen(&[frame(COMPRESSED | TEXT, &start)]).events,
            ["failed 1007"]
        );
    }
    let cut = squeezed(b"a\xe2\x82");
    assert_eq!(
        seen(&[frame(FIN | COMPRESSED | TEXT, &cut)]).events,
        ["failed 1007"]
    );
    // A wrong byte comes before the limit, or after it.
    for (at, code) in [(99_999, 1007), (100_000, 1009)] {
        let mut data = vec![b'x'; 200_000];
        data[at] = 0xff;
        let events = seen(&[frame(FIN | COMPRESSED | TEXT, &squeezed(&data))]).events;
        assert_eq!(events, [format!("failed {code}")]);
    }
}

#[test]
fn b55_rsv1_is_for_the_first_frame_of_a_message() {
    let part = squeezed(b"hello hello hello");
    for frames in [
        vec![frame(FIN | COMPRESSED | PING, b"")],
        vec![
            frame(COMPRESSED | TEXT, &part[..3]),
            frame(FIN | COMPRESSED | CONTINUATION, &part[3..]),
        ],
        vec![
            frame(TEXT, b"a"),
            frame(FIN | COMPRESSED | CONTINUATION, &part),
        ],
        vec![frame(FIN | COMPRESSED | 0x20 | TEXT, &part)],
    ] {
        assert_eq!(seen(&frames).events, ["failed 1002"]);
    }
}

#[test]
fn messages_of_many_connections_share_the_codec_in_any_order() {
    let mut codec = Codec::new();
    let data = samples();
    let mut sockets: Vec<_> = data.iter().map(|_| WebSocket::new(agreed())).collect();
    let payloads: Vec<_> = data.iter().map(|data| squeezed(data)).collect();
    let mut made = vec![Vec::new(); data.len()];
    for round in 0..2 {
        for (at, socket) in sockets.iter_mut().enumerate() {
            let half = payloads[at].len() / 2;
            let mut input = match round {
                0 => frame(COMPRESSED | BINARY, &payloads[at][..half]),
                _ => frame(FIN | CONTINUATION, &payloads[at][half..]),
            };
            let step = socket.handle_bytes(&mut input, &mut codec, &LIMITS, &mut Vec::new());
            if let Some(Event::Message { data, .. }) = step.event
                && let ferricorn_proto::ws::Data::Made(bytes) = data
            {
                made[at] = bytes;
            }
        }
    }
    assert!(made == data);
}
