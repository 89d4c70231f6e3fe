//! A connection under any sequence of actions, beside a naive model of what is allowed.
//!
//! The model knows five phases and counts bytes; it says of every action whether it must succeed.
//! What was sent is read back by a client of a few lines. Whatever peer and application do, in
//! whatever order: nothing panics, an error changes nothing, and what the client reads is a series
//! of well-formed responses, cut short only where the connection ends.

use ferricorn_proto::{BodyLength, Eof, Event, Fault, Http1, Limits, Preset, RecvBuf, Version};

use super::write_part;

/// One thing that the peer or the application does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Bytes arrive.
    Arrive(Vec<u8>),
    /// The peer ends its side.
    Eof,
    Respond {
        status: u16,
        length: Option<u64>,
        chunked: bool,
        close: bool,
        malformed: bool,
    },
    /// A response head that is begun and dropped.
    Abandon,
    Body {
        len: u64,
        more: bool,
    },
    ExpectTrailers,
    Trailers {
        malformed: bool,
    },
    Inform,
    Continue,
    CloseAfter,
    Refuse(Fault),
    Fail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request, or none that was told.
    Idle,
    Due,
    Streaming,
    TrailersDue,
    /// Complete, or never will be.
    Over,
}

/// What the client knows about its request.
#[derive(Clone, Copy, Debug)]
struct Asked {
    head: bool,
    old: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "a naive model")]
pub struct Session {
    http: Http1,
    input: RecvBuf,
    limits: Limits,
    out: Vec<u8>,
    phase: Phase,
    /// Bytes that the response still owes.
    left: Option<u64>,
    trailers: bool,
    asked: Vec<Asked>,
    /// Body bytes that the request still owes, if it says how many.
    owed: Option<u64>,
    /// Inside a request body.
    in_body: bool,
    faulty: bool,
    eof: bool,
}

impl Session {
    pub fn new() -> Self {
        Self {
            http: Http1::new(),
            input: RecvBuf::new(),
            limits: Limits::default(),
            out: Vec::new(),
            phase: Phase::Idle,
            left: None,
            trailers: false,
            asked: Vec::new(),
            owed: None,
            in_body: false,
            faulty: false,
            eof: false,
        }
    }

    pub fn apply(&mut self, action: &Action) {
        let before = (self.out.len(), self.getters());
        match action {
            Action::Arrive(bytes) if !self.eof => self.input.append(bytes),
            Action::Arrive(_) => {}
            Action::Eof => self.end_of_input(),
            Action::Respond { .. } => self.respond(action),
            Action::Abandon => {
                let began = self
                    .http
                    .respond(200, &mut self.out, &Preset::default())
                    .is_ok();
                assert_eq!(began, self.phase == Phase::Due);
                assert_eq!((self.out.len(), self.getters()), before);
            }
            Action::Body { len, more } => self.body(*len, *more),
            Action::ExpectTrailers => {
                self.http.expect_trailers();
                self.trailers |= matches!(self.phase, Phase::Due | Phase::Streaming);
            }
            Action::Trailers { malformed } => self.send_trailers(*malformed),
            Action::Inform => {
                let began = self
                    .http
                    .informational(103, &mut self.out)
                    .and_then(|mut writer| {
                        writer.field(b"link", b"</a>")?;
                        writer.finish()
                    });
                assert_eq!(began.is_ok(), self.phase == Phase::Due);
            }
            Action::Continue => {
                let wanted = self.http.wants_continue();
                self.http.send_continue(&mut self.out);
                assert_eq!(wanted, self.out.len() > before.0);
                assert!(!self.http.wants_continue());
            }
            Action::CloseAfter => self.http.close_after(),
            Action::Refuse(fault) => self.refuse(*fault),
            Action::Fail => {
                let told = self.http.fail(&mut self.out, &Preset::default());
                assert_eq!(told, self.phase == Phase::Due);
                assert_eq!(told, self.out.len() > before.0);
                if !matches!(self.phase, Phase::Idle | Phase::Over) {
                    assert!(self.http.is_closing());
                    self.phase = Phase::Over;
                }
            }
        }
        self.receive();
        self.compare();
    }

    /// Everything that can be asked.
    fn getters(&self) -> [bool; 8] {
        let http = &self.http;
        [
            http.request_complete(),
            http.response_started(),
            http.response_complete(),
            http.exchange_complete(),
            http.is_idle(),
            http.keep_alive(),
            http.is_closing(),
            http.wants_continue(),
        ]
    }

    fn compare(&self) {
        let http = &self.http;
        assert!(http.response_started() || matches!(self.phase, Phase::Idle | Phase::Due));
        assert_eq!(
            http.exchange_complete(),
            http.request_complete() && http.response_complete()
        );
        if http.is_idle() {
            assert!(self.phase == Phase::Idle && !http.is_closing());
        }
        if http.response_complete() {
            assert_eq!(self.phase, Phase::Over);
        }
    }

    fn respond(&mut self, action: &Action) {
        let Action::Respond {
            status,
            length,
            chunked,
            close,
            malformed,
        } = action
        else {
            return;
        };
        let before = (self.out.len(), self.getters());
        let preset = Preset {
            date: b"date: D\r\n".into(),
            server: b"server: S\r\n".into(),
            ..Preset::default()
        };
        let outcome = self
            .http
            .respond(*status, &mut self.out, &preset)
            .and_then(|mut writer| {
                if let Some(length) = length {
                    writer.field(b"Content-Length", length.to_string().as_bytes())?;
                }
                if *chunked {
                    writer.field(b"Transfer-Encoding", b"chunked")?;
                }
                if *close {
                    writer.field(b"Connection", b"close")?;
                }
                if *malformed {
                    writer.field(b"x", b"a\r\nb: c")?;
                }
                writer.finish()
            });
        let allowed = self.phase == Phase::Due && (200..600).contains(status) && !malformed;
        assert_eq!(outcome.is_ok(), allowed, "{outcome:?}");
        if !allowed {
            assert_eq!(
                (self.out.len(), self.getters()),
                before,
                "an error changes nothing"
            );
            return;
        }
        let asked = self.asked.last().unwrap();
        let bodiless = asked.head || matches!(status, 204 | 304);
        self.left = length.filter(|_| !bodiless && !chunked);
        self.phase = Phase::Streaming;
    }

    fn body(&mut self, len: u64, more: bool) {
        let before = (self.out.len(), self.getters());
        let data = vec![b'x'; usize::try_from(len).unwrap()];
        let outcome = write_part(&mut self.http, &mut self.out, &data, more);
        let fits = self
            .left
            .is_none_or(|left| len <= left && (more || len == left));
        assert_eq!(
            outcome.is_ok(),
            self.phase == Phase::Streaming && fits,
            "{outcome:?}"
        );
        if outcome.is_err() {
            assert_eq!(
                (self.out.len(), self.getters()),
                before,
                "an error changes nothing"
            );
            return;
        }
        self.left = self.left.map(|left| left - len);
        if !more {
            self.phase = if self.trailers {
                Phase::TrailersDue
            } else {
                Phase::Over
            };
        }
    }

    fn send_trailers(&mut self, malformed: bool) {
        let before = (self.out.len(), self.getters());
        let outcome = self.http.trailers(&mut self.out).and_then(|mut writer| {
            writer.field(b"X-Sum", b"1")?;
            if malformed {
                writer.field(b"Content-Length", b"1")?;
            }
            writer.finish()
        });
        assert_eq!(
            outcome.is_ok(),
            self.phase == Phase::TrailersDue && !malformed,
            "{outcome:?}"
        );
        if outcome.is_ok() {
            self.phase = Phase::Over;
        } else {
            assert_eq!(
                (self.out.len(), self.getters()),
                before,
                "an error changes nothing"
            );
        }
    }

    fn refuse(&mut self, fault: Fault) {
        let before = self.out.len();
        self.http.refuse(fault, &mut self.out, &Preset::default());
        let told = self.out.len() > before;
        match self.phase {
            Phase::Due => assert!(told),
            // Also where a head is incomplete: a timeout.
            Phase::Idle => assert!(told || self.faulty),
            Phase::Streaming | Phase::TrailersDue | Phase::Over => assert!(!told),
        }
        if self.phase == Phase::Idle {
            self.faulty = true;
        }
        assert!(self.http.is_closing() || fault == Fault::UnmetExpectation);
        self.phase = Phase::Over;
    }

    fn end_of_input(&mut self) {
        self.receive();
        if self.eof || self.http.is_closing() {
            return;
        }
        self.eof = true;
        let idle = self.http.is_idle();
        let complete = self.http.request_complete();
        match self.http.handle_eof(!self.input.is_empty()) {
            Eof::Idle => assert!(idle && self.input.is_empty()),
            Eof::MidHead => assert!(idle && !self.input.is_empty()),
            Eof::MidBody => assert!(self.in_body && self.owed != Some(0)),
            Eof::AfterRequest => assert!(complete),
        }
    }

    /// What the engine does after every action.
    fn receive(&mut self) {
        loop {
            if self.http.exchange_complete() && self.http.keep_alive() && !self.http.is_closing() {
                self.http.next_exchange();
                assert!(self.http.is_idle());
                self.phase = Phase::Idle;
                self.trailers = false;
            }
            let closing = self.http.is_closing();
            let waiting = self.http.request_complete();
            let mut fields = Vec::new();
            let len = self.input.len();
            let step =
                match self
                    .http
                    .handle_bytes(self.input.as_mut_slice(), &mut fields, &self.limits)
                {
                    Ok(step) => step,
                    Err(fault) => {
                        assert!(!closing && !waiting);
                        assert!(fields.is_empty());
                        self.refuse(fault);
                        assert!(self.http.is_closing());
                        continue;
                    }
                };
            assert!(step.consumed <= len);
            if closing {
                assert_eq!(
                    (step.consumed, &step.event),
                    (len, &None),
                    "nothing is looked at any more"
                );
            } else if waiting {
                assert_eq!(
                    (step.consumed, &step.event),
                    (0, &None),
                    "the next request waits"
                );
            }
            match &step.event {
                Some(Event::Request(head)) => {
                    assert_eq!(self.phase, Phase::Idle);
                    let method = head.method.of(self.input.as_mut_slice());
                    self.asked.push(Asked {
                        head: method == b"HEAD",
                        old: head.version == Version::Http10,
                    });
                    self.phase = Phase::Due;
                    self.in_body = head.body != BodyLength::None;
                    self.owed = match head.body {
                        BodyLength::Fixed(length) => Some(length),
                        _ => None,
                    };
                }
                Some(Event::Body { data, end }) => {
                    assert!(self.in_body);
                    assert!(matches!(
                        self.phase,
                        Phase::Due | Phase::Streaming | Phase::TrailersDue
                    ));
                    assert!(data.end as usize <= step.consumed);
                    if let Some(owed) = &mut self.owed {
                        *owed -= data.len() as u64;
                        assert_eq!(*owed == 0, *end);
                    }
                    self.in_body = !end;
                }
                Some(Event::Refuse(fault)) => {
                    self.asked.push(Asked {
                        head: false,
                        old: false,
                    });
                    self.phase = Phase::Due;
                    // HEAD is not told of here; the client of this file cannot tell the body.
                    let before = self.out.len();
                    self.refuse(*fault);
                    assert!(self.out.len() > before);
                    let text = self.out[before..]
                        .windows(4)
                        .position(|four| four == b"\r\n\r\n");
                    self.asked.last_mut().unwrap().head =
                        before + text.unwrap() + 4 == self.out.len();
                }
                None => {}
            }
            self.input.consume(step.consumed);
            if step.consumed == 0 && step.event.is_none() {
                return;
            }
        }
    }

    /// Reads what was sent as a client does.
    pub fn finish(mut self) {
        self.receive();
        let over = matches!(self.phase, Phase::Idle | Phase::Over);
        let cut = self.http.is_closing() && !self.http.response_complete();
        let mut asked = self.asked.iter();
        let mut rest = &self.out[..];
        let mut closed = false;
        while !rest.is_empty() {
            assert!(!closed, "nothing follows `connection: close`");
            let (status, fields, tail) = head(rest);
            rest = tail;
            if status < 200 {
                assert!(
                    !asked.as_slice().first().unwrap().old,
                    "1.0 clients get no interim response"
                );
                assert!(
                    !fields
                        .iter()
                        .any(|(name, _)| *name == "content-length" || *name == "transfer-encoding")
                );
                continue;
            }
            // The last response may be to a request that could not be parsed.
            let request = asked.next().copied().unwrap_or(Asked {
                head: false,
                old: false,
            });
            let values = |wanted: &str| -> Vec<&str> {
                fields
                    .iter()
                    .filter(|(name, _)| *name == wanted)
                    .map(|(_, value)| *value)
                    .collect()
            };
            let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
            assert!(
                lengths.len() + codings.len() <= 1,
                "one framing: {fields:?}"
            );
            closed = values("connection").contains(&"close");
            if status == 204 {
                assert!(lengths.is_empty() && codings.is_empty());
            }
            let body = if request.head || status == 204 || status == 304 {
                Some(rest)
            } else if !codings.is_empty() {
                assert!(!request.old, "1.0 clients get no chunks");
                chunks(rest)
            } else if let [length] = lengths[..] {
                rest.get(length.parse().unwrap()..)
            } else {
                assert!(closed, "a body without length ends with the connection");
                Some(&rest[rest.len()..])
            };
            let Some(tail) = body else {
                let text = String::from_utf8_lossy(&self.out);
                assert!(
                    cut || !over,
                    "a complete response is not complete for the client: {text}"
                );
                return;
            };
            rest = tail;
        }
        if closed && over {
            assert!(self.http.is_closing());
        }
    }
}

/// Status, fields and rest of a response.
fn head(bytes: &[u8]) -> (u16, Vec<(&str, &str)>, &[u8]) {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a whole head");
    let text = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .strip_prefix("HTTP/1.1 ")
        .expect("a status line");
    let fields = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").expect("a field line");
            assert!(!name.is_empty() && !value.contains(['\r', '\n']));
            (name, value)
        })
        .collect();
    (status[..3].parse().unwrap(), fields, &bytes[end + 4..])
}

/// What follows a chunked body, if it is complete.
fn chunks(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        let tail = rest.get(size + 2..)?;
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = tail;
    }
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        if line.is_empty() {
            return Some(rest);
        }
        assert_eq!(line, b"x-sum: 1");
    }
}
