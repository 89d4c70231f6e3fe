//! The same for a WebSocket: one that is driven as the engine drives it, a client's frames, and a
//! reader of frames that knows nothing of pieces.

use ferricorn_proto::ws::{
    Codec, Data, Deflate, DeflateSettings, Event, Handshake, Kind, WebSocket,
};
use ferricorn_proto::{Event as HttpEvent, Http1, Limits, RecvBuf, WsLimits};

use super::{Random, escape};

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
pub const FIN: u8 = 0x80;
/// RSV1.
pub const COMPRESSED: u8 = 0x40;

/// A client's frame, masked by a mask that depends on its length.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len() as u64);
    let mask = [0xa5, payload.len().to_le_bytes()[0], 0, 0x5a];
    frame.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(octet, key)| octet ^ key));
    frame
}

/// The head of a client's frame, without its mask.
pub fn head(first: u8, len: u64) -> Vec<u8> {
    let mut head = vec![first];
    if len < 126 {
        head.push(0x80 | len.to_le_bytes()[0]);
    } else if let Ok(len) = u16::try_from(len) {
        head.push(0xfe);
        head.extend_from_slice(&len.to_be_bytes());
    } else {
        head.push(0xff);
        head.extend_from_slice(&len.to_be_bytes());
    }
    head
}

/// A frame of the server's, which must be whole: first byte and payload.
pub fn server_frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second {
            126 => (
                u64::from(u16::from_be_bytes(*rest.first_chunk().unwrap())),
                &rest[2..],
            ),
            127 => (u64::from_be_bytes(*rest.first_chunk().unwrap()), &rest[8..]),
            short => (u64::from(*short), rest),
        };
        let (payload, rest) = rest.split_at(usize::try_from(len).unwrap());
        frames.push((*first, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}

/// What a request with these lines comes to.
pub fn handshake(
    lines: &str,
    settings: Option<&DeflateSettings>,
) -> Result<Handshake, ferricorn_proto::Fault> {
    let head = format!(
        "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{lines}\r\n"
    );
    let (mut input, mut fields) = (head.into_bytes(), Vec::new());
    let step = Http1::new()
        .handle_bytes(&mut input, &mut fields, &Limits::default())
        .unwrap();
    assert!(matches!(step.event, Some(HttpEvent::Request(_))));
    Handshake::examine(&fields, &input, settings)
}

pub const KEY: &str =
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What comes of an offer.
pub fn negotiate(offer: &str, settings: &DeflateSettings) -> Option<Deflate> {
    let lines = format!("{KEY}Sec-WebSocket-Extensions: {offer}\r\n");
    handshake(&lines, Some(settings)).unwrap().deflate
}

/// What an observer sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    pub events: Vec<String>,
    pub output: Vec<u8>,
    pub closed: bool,
    /// A frame or a message is incomplete.
    pub pending: bool,
}

pub struct Driver {
    pub socket: WebSocket,
    input: RecvBuf,
    limits: WsLimits,
    codec: Codec,
    pub seen: Transcript,
}

/// What an incomplete frame may leave unconsumed: a control frame, or a head.
const LEFT: usize = 2 + 4 + 125;

impl Driver {
    pub fn new(limits: WsLimits, deflate: Option<Deflate>) -> Self {
        Self {
            socket: WebSocket::new(deflate),
            input: RecvBuf::new(),
            limits,
            codec: Codec::new(),
            seen: Transcript::default(),
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.append(bytes);
        loop {
            let closing = self.socket.is_closing();
            let input = self.input.as_mut_slice();
            let len = input.len();
            let out = &mut self.seen.output;
            let step = self
                .socket
                .handle_bytes(input, &mut self.codec, &self.limits, out);
            assert!(step.consumed <= len);
            assert!(self.socket.buffered() <= self.limits.message);
            if let Some(event) = &step.event {
                assert!(!closing, "nothing is parsed after the end");
                let ends = matches!(event, Event::Close { .. } | Event::Failed { .. });
                assert_eq!(ends, self.socket.is_closing());
                let line = describe(event, &self.input.as_mut_slice()[..step.consumed]);
                self.seen.events.push(line);
            }
            self.input.consume(step.consumed);
            if step.consumed == 0 && step.event.is_none() {
                break;
            }
        }
        assert!(self.input.len() < LEFT, "a message is taken as it comes");
    }

    pub fn finish(mut self) -> Transcript {
        self.socket.write_due(&mut self.seen.output);
        self.seen.closed = self.socket.is_closing();
        self.seen.pending =
            !self.seen.closed && (self.socket.in_message() || !self.input.is_empty());
        self.seen
    }
}

fn describe(event: &Event, input: &[u8]) -> String {
    match event {
        Event::Message { kind, data } => {
            let bytes = match data {
                Data::Here(span) => span.of(input),
                Data::Made(bytes) => bytes,
            };
            message(*kind, bytes)
        }
        Event::Pong => "pong".into(),
        Event::Close { code, reason } => close(*code, reason),
        Event::Failed { code, reason } => {
            assert!(!reason.is_empty());
            format!("failed {code}")
        }
    }
}

pub fn message(kind: Kind, bytes: &[u8]) -> String {
    match kind {
        Kind::Text => format!("text {}", str::from_utf8(bytes).unwrap()),
        Kind::Binary => format!("binary {}", escape(bytes)),
    }
}

pub fn close(code: u16, reason: &str) -> String {
    format!("close {code} {reason}")
}

/// Plays `input`, cut by `cut`, which is given what is left and takes at least one byte.
pub fn play(
    input: &[u8],
    limits: WsLimits,
    deflate: Option<Deflate>,
    mut cut: impl FnMut(usize) -> usize,
) -> Transcript {
    let mut driver = Driver::new(limits, deflate);
    let mut rest = input;
    while !rest.is_empty() {
        let (part, tail) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
        driver.feed(part);
        rest = tail;
    }
    driver.finish()
}

/// Plays `input` in every way and gives what all ways had in common, which is everything.
pub fn check(input: &[u8], limits: WsLimits, deflate: Option<Deflate>) -> Transcript {
    let whole = play(input, limits, deflate, |left| left);
    let context = escape(&input[..input.len().min(200)]);
    let single = play(input, limits, deflate, |_| 1);
    assert_eq!(single, whole, "byte by byte: {context}");
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let mean = 1 + random.below(40);
        let cut = |_| 1 + random.below(2 * mean);
        let split = play(input, limits, deflate, cut);
        assert_eq!(split, whole, "cut with seed {seed}: {context}");
    }
    if !whole.pending {
        let trailing = frame(FIN | BINARY, b"trailing");
        let longer = [input, &trailing].concat();
        let mut expected = whole.clone();
        if !whole.closed {
            expected.events.push("binary trailing".into());
        }
        let seen = play(&longer, limits, deflate, |left| left);
        assert_eq!(seen, expected, "with trailing bytes: {context}");
        let seen = play(&longer, limits, deflate, |_| 1);
        assert_eq!(
            seen, expected,
            "with trailing bytes, byte by byte: {context}"
        );
    }
    whole
}

/// The events of a whole input without compression, by the letter of RFC 6455 and frame by frame.
pub fn read_naively(mut input: &[u8], limits: WsLimits) -> Vec<String> {
    let mut events = Vec::new();
    let mut open: Option<(u8, Vec<u8>, u32)> = None;
    let failed = |code: u16| format!("failed {code}");
    loop {
        let &[first, second, ..] = input else {
            return events;
        };
        let (opcode, short) = (first & 15, second & 127);
        let control = opcode >= 8;
        if ![0, 1, 2, 8, 9, 10].contains(&opcode)
            || first & 0x70 != 0
            || second < 128
            || (control && (first < 128 || short > 125))
        {
            events.push(failed(1002));
            return events;
        }
        let width = [0, 2, 8][usize::from(short.saturating_sub(125))];
        if input.len() < 2 + width {
            return events;
        }
        let mut len = u64::from(short);
        if width > 0 {
            len = 0;
            for octet in &input[2..2 + width] {
                len = len * 256 % (1 << 63) + u64::from(*octet);
            }
            if len < [126, 65536][width / 8] || (width == 8 && input[2] > 127) {
                events.push(failed(1002));
                return events;
            }
        }
        if input.len() < 6 + width {
            return events;
        }
        let mask = &input[2 + width..6 + width];
        let rest = &input[6 + width..];
        let there = rest.len().min(usize::try_from(len).unwrap());
        let whole = there as u64 == len;
        let payload: Vec<u8> = (0..there).map(|at| rest[at] ^ mask[at % 4]).collect();
        input = &rest[there..];
        if control {
            if !whole {
                return events;
            }
            if opcode == 8 {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let line = match (code, str::from_utf8(payload.get(2..).unwrap_or_default())) {
                    (None, _) if payload.is_empty() => "close 1005 ".into(),
                    (Some(1000..=1003 | 1007..=1014 | 3000..=4999), Err(_)) => failed(1007),
                    (Some(code @ (1000..=1003 | 1007..=1014 | 3000..=4999)), Ok(reason)) => {
                        format!("close {code} {reason}")
                    }
                    _ => failed(1002),
                };
                events.push(line);
                return events;
            }
            continue;
        }
        if (opcode == 0) != open.is_some() {
            events.push(failed(1002));
            return events;
        }
        let (kind, mut bytes, mut fragments) = open.take().unwrap_or((opcode, Vec::new(), 0));
        fragments += 1;
        if fragments > 1 && fragments > limits.fragments {
            events.push(failed(1008));
            return events;
        }
        if len > (limits.message - bytes.len()) as u64 {
            events.push(failed(1009));
            return events;
        }
        bytes.extend(payload);
        let end = whole && first >= 128;
        if kind == 1 {
            let wrong = match str::from_utf8(&bytes) {
                Ok(_) => false,
                Err(error) => error.error_len().is_some() || end,
            };
            if wrong {
                // A frame that is not all there may still be judged as a whole.
                events.push(failed(1007));
                return events;
            }
        }
        if !whole {
            return events;
        }
        if end {
            let kind = if kind == 1 { Kind::Text } else { Kind::Binary };
            events.push(message(kind, &bytes));
        } else {
            open = Some((kind, bytes, fragments));
        }
    }
}
