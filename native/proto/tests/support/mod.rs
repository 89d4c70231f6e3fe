//! The one checker: a connection driven as the engine drives it, and what came of it.
//!
//! A [`Transcript`] is what an observer sees: the events, with the body put together, the bytes
//! sent, and whether the connection goes on. It must not depend on how the input was cut, so every
//! parser test goes through [`check`], which plays the input whole, byte by byte, at random cuts
//! and with bytes behind it.

#![allow(dead_code, reason = "each test binary uses a part of the checker")]

pub mod session;
pub mod ws;

use ferricorn_proto::{
    BodyFraming, BodyLength, Eof, Event, Field, Http1, Limits, Preset, RecvBuf, RequestHead,
    Version, encode,
};

/// A small generator, so that a failure can be repeated: xorshift64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// What the application does with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Reads the body, then answers.
    Reads,
    /// Answers at once and never reads.
    Early,
}

/// What the client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Send(Vec<u8>),
    /// Waits for an answer before it goes on.
    Wait,
    /// Ends its side of the connection.
    Eof,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// Lines as wire case files have them.
    pub events: Vec<String>,
    pub output: Vec<u8>,
    /// Nothing more is read, or the client ended and was answered.
    pub closed: bool,
    /// A request was begun and is not complete.
    pub pending: bool,
}

impl Transcript {
    /// The status of each response.
    pub fn statuses(&self) -> Vec<u16> {
        let text = String::from_utf8_lossy(&self.output);
        let lines = text
            .match_indices("HTTP/1.1 ")
            .map(|(at, line)| &text[at + line.len()..]);
        lines.map(|rest| rest[..3].parse().unwrap()).collect()
    }
}

/// A connection and its application.
pub struct Driver {
    http: Http1,
    input: RecvBuf,
    limits: Limits,
    app: App,
    body: Option<Vec<u8>>,
    eof: bool,
    failed: bool,
    seen: Transcript,
}

impl Driver {
    pub fn new(app: App, limits: Limits) -> Self {
        Self {
            http: Http1::new(),
            input: RecvBuf::new(),
            limits,
            app,
            body: None,
            eof: false,
            failed: false,
            seen: Transcript::default(),
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.append(bytes);
        self.turn();
    }

    pub fn eof(&mut self) {
        self.eof = true;
        self.turn();
    }

    pub fn finish(mut self) -> Transcript {
        self.seen.closed = self.http.is_closing();
        self.seen.pending = !self.seen.closed && (!self.http.is_idle() || !self.input.is_empty());
        self.flush_body();
        self.seen
    }

    fn turn(&mut self) {
        loop {
            if self.step() {
                continue;
            }
            if !self.eof || self.http.is_closing() {
                return;
            }
            match self.http.handle_eof(!self.input.is_empty()) {
                Eof::Idle | Eof::AfterRequest => {}
                Eof::MidHead => self.seen.events.push("cut head".into()),
                Eof::MidBody => {
                    self.flush_body();
                    self.seen.events.push("cut body".into());
                }
            }
            return;
        }
    }

    /// Parses once, and says whether that came to something.
    fn step(&mut self) -> bool {
        let mut fields = Vec::new();
        let input = self.input.as_mut_slice();
        let len = input.len();
        let step = match self.http.handle_bytes(input, &mut fields, &self.limits) {
            Ok(step) => step,
            Err(fault) => {
                assert!(!self.failed, "a fault is told once");
                self.failed = true;
                self.flush_body();
                self.seen.events.push(format!("fault {}", fault.code()));
                self.http
                    .refuse(fault, &mut self.seen.output, &Preset::default());
                assert!(self.http.is_closing());
                return true;
            }
        };
        assert!(step.consumed <= len);
        let progress = step.consumed > 0 || step.event.is_some();
        match step.event {
            Some(Event::Request(head)) => {
                assert!(!self.failed, "nothing is parsed after a fault");
                let input = self.input.as_mut_slice();
                describe(&mut self.seen.events, &head, &fields, input);
                self.request(&head);
            }
            Some(Event::Body { data, end }) => {
                let body = self.body.get_or_insert_default();
                body.extend_from_slice(data.of(self.input.as_mut_slice()));
                if end {
                    self.flush_body();
                    self.seen.events.push("end".into());
                    if !self.http.response_started() {
                        self.respond();
                    }
                }
            }
            Some(Event::Refuse(fault)) => {
                self.seen.events.push(format!("refuse {}", fault.code()));
                self.http
                    .refuse(fault, &mut self.seen.output, &Preset::default());
            }
            None => {}
        }
        self.input.consume(step.consumed);
        if self.http.exchange_complete() && self.http.keep_alive() {
            self.http.next_exchange();
            assert!(self.http.is_idle());
        }
        progress
    }

    fn request(&mut self, head: &RequestHead) {
        if head.body == BodyLength::None {
            self.seen.events.push("end".into());
        }
        match self.app {
            App::Early => self.respond(),
            App::Reads if self.http.request_complete() => self.respond(),
            App::Reads => self.http.send_continue(&mut self.seen.output),
        }
    }

    fn respond(&mut self) {
        let preset = Preset::default();
        let mut writer = self
            .http
            .respond(200, &mut self.seen.output, &preset)
            .unwrap();
        writer.field(b"content-length", b"2").unwrap();
        writer.finish().unwrap();
        if self.http.body(2, false).unwrap() == BodyFraming::Raw {
            self.seen.output.extend_from_slice(b"ok");
        }
    }

    fn flush_body(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_empty()) {
            self.seen.events.push(format!("body {}", escape(&body)));
        }
    }
}

fn describe(events: &mut Vec<String>, head: &RequestHead, fields: &[Field], input: &[u8]) {
    let version = match head.version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    };
    let text = |span: ferricorn_proto::Span| escape(span.of(input));
    let query = if head.query.is_empty() {
        String::new()
    } else {
        format!("?{}", text(head.query))
    };
    events.push(format!(
        "request {} {}{query} {version}",
        text(head.method),
        text(head.path)
    ));
    assert_eq!(head.fields.len(), fields.len());
    for field in fields {
        events.push(format!("field {}: {}", text(field.name), text(field.value)));
    }
    if head.upgrade != ferricorn_proto::Upgrade::None {
        events.push(format!("upgrade {:?}", head.upgrade).to_ascii_lowercase());
    }
    match head.body {
        BodyLength::None => {}
        BodyLength::Fixed(length) => events.push(format!("length {length}")),
        BodyLength::Chunked => events.push("chunked".into()),
    }
}

/// Bytes as case files have them.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            0x20..0x7f => text.push(byte.into()),
            _ => text.extend(format!("\\x{byte:02x}").chars()),
        }
    }
    text
}

/// Plays `acts`, each send cut by `cut`, which is given what is left and takes at least one byte.
pub fn play(
    acts: &[Act],
    app: App,
    limits: Limits,
    mut cut: impl FnMut(usize) -> usize,
) -> Transcript {
    let mut driver = Driver::new(app, limits);
    for act in acts {
        match act {
            Act::Wait => {}
            Act::Eof => driver.eof(),
            Act::Send(bytes) => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (part, tail) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
                    driver.feed(part);
                    rest = tail;
                }
            }
        }
    }
    driver.finish()
}

/// What is sent behind everything else, to see what becomes of it.
const TRAILING: &[u8] = b"GET /trailing HTTP/1.1\r\nhost: t\r\n\r\n";

/// Plays `acts` in every way and gives what all ways had in common, which is everything.
pub fn check(acts: &[Act], app: App, limits: Limits) -> Transcript {
    let whole = play(acts, app, limits, |left| left);
    let bytes: Vec<u8> = acts
        .iter()
        .flat_map(|act| {
            if let Act::Send(bytes) = act {
                &bytes[..]
            } else {
                &[]
            }
        })
        .copied()
        .collect();
    let context = || escape(&bytes[..bytes.len().min(300)]);
    assert_eq!(
        play(acts, app, limits, |_| 1),
        whole,
        "byte by byte: {}",
        context()
    );
    for seed in 0..16 {
        let mut random = Random::new(seed);
        let mean = 1 + random.below(40);
        let cut = |_| 1 + random.below(2 * mean);
        assert_eq!(
            play(acts, app, limits, cut),
            whole,
            "cut with seed {seed}: {}",
            context()
        );
    }
    if !whole.pending && !acts.contains(&Act::Eof) {
        let mut longer = acts.to_vec();
        match longer.last_mut() {
            Some(Act::Send(bytes)) => bytes.extend_from_slice(TRAILING),
            _ => longer.push(Act::Send(TRAILING.to_vec())),
        }
        let mut expected = whole.clone();
        if !whole.closed {
            expected
                .events
                .extend(["request GET /trailing 1.1", "field host: t", "end"].map(String::from));
            expected
                .output
                .extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
        assert_eq!(
            play(&longer, app, limits, |left| left),
            expected,
            "with trailing bytes: {}",
            context()
        );
        assert_eq!(
            play(&longer, app, limits, |_| 1),
            expected,
            "with trailing bytes, byte by byte: {}",
            context()
        );
    }
    whole
}

/// Writes a body part as the engine does.
pub fn write_part(
    http: &mut Http1,
    out: &mut Vec<u8>,
    data: &[u8],
    more: bool,
) -> Result<(), ferricorn_proto::Misuse> {
    let framing = http.body(data.len() as u64, more)?;
    match framing {
        BodyFraming::Discard => {}
        BodyFraming::Raw => out.extend_from_slice(data),
        BodyFraming::Chunked => {
            if !data.is_empty() {
                encode::chunk_size(out, data.len() as u64);
                out.extend_from_slice(data);
                out.extend_from_slice(encode::CHUNK_END);
            }
            if http.response_complete() {
                out.extend_from_slice(encode::LAST_CHUNK);
            }
        }
    }
    Ok(())
}
