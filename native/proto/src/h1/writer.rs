//! Response heads, interim responses and trailers, field by field.
//!
//! A writer appends to the output as it is told and takes back everything if it is dropped before
//! `finish`: an application that errs in its third field has sent nothing. The state of the
//! connection changes only in `finish`. How the body is framed and whether the connection is kept
//! is decided there, once, from the request and from what the application's own fields say.

use super::encode::{self, field_line, status_line};
use super::framing::{decimal, list};
use super::octets::{is_value_octet, trim};
use super::state::{Input, Receive};
use super::{BodyFraming, Http1};
use crate::error::Misuse;

/// Response lines that the server brings itself, ready to be copied.
#[derive(Clone, Debug, Default)]
pub struct Preset {
    /// `date: ...` with CRLF, or empty. Left out if the application sends its own.
    pub date: Vec<u8>,
    /// `server: ...` with CRLF, or empty. Left out if the application sends its own.
    pub server: Vec<u8>,
    /// Configured lines, each with CRLF; none that frames.
    pub extra: Vec<u8>,
}

/// Where a line stands in the output.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    start: usize,
    end: usize,
    /// To be taken out again.
    struck: bool,
}

/// Writes the final response head. See [`Http1::respond`].
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each set by another field"
)]
#[derive(Debug)]
pub struct HeadWriter<'a> {
    http: &'a mut Http1,
    out: &'a mut Vec<u8>,
    start: usize,
    status: u16,
    date: Line,
    server: Line,
    length: Line,
    /// The value of the application's `content-length`.
    declared: Option<u64>,
    /// The application sent `transfer-encoding: chunked`.
    chunked: bool,
    /// The application sent `connection: close`.
    close: bool,
    /// The application sent `connection: keep-alive`.
    keep_alive: bool,
    finished: bool,
}

impl<'a> HeadWriter<'a> {
    pub(super) fn new(
        http: &'a mut Http1,
        out: &'a mut Vec<u8>,
        preset: &Preset,
        status: u16,
    ) -> Self {
        let start = out.len();
        status_line(out, status);
        let mut copy = |bytes: &[u8]| {
            let start = out.len();
            out.extend_from_slice(bytes);
            Line {
                start,
                end: out.len(),
                struck: false,
            }
        };
        let date = copy(&preset.date);
        let server = copy(&preset.server);
        copy(&preset.extra);
        Self {
            http,
            out,
            start,
            status,
            date,
            server,
            length: Line::default(),
            declared: None,
            chunked: false,
            close: false,
            keep_alive: false,
            finished: false,
        }
    }

    /// Says the status in other words than the standard's. To be called before any field.
    ///
    /// # Errors
    /// If it is not one line of text.
    pub fn reason(&mut self, phrase: &[u8]) -> Result<(), Misuse> {
        let start = self.start + b"HTTP/1.1 200 ".len();
        let mut rest = self.out[start..].iter();
        let end = start + rest.position(|&octet| octet == b'\r').unwrap_or(0);
        if self.out[start..end] == *phrase {
            return Ok(());
        }
        if !phrase.iter().all(|&octet| is_value_octet(octet)) {
            return Err(Misuse::InvalidReason);
        }
        self.out.splice(start..end, phrase.iter().copied());
        for line in [&mut self.date, &mut self.server] {
            line.start = line.start + phrase.len() - (end - start);
            line.end = line.end + phrase.len() - (end - start);
        }
        Ok(())
    }

    /// Writes one field. `content-length`, `transfer-encoding` and `connection` are understood, and
    /// written as far as they hold.
    ///
    /// # Errors
    /// If the name or value is malformed, or contradicts a field before it.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Misuse> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => self.date.struck = true,
            6 if name.eq_ignore_ascii_case(b"server") => self.server.struck = true,
            10 if name.eq_ignore_ascii_case(b"connection") => return self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                return self.content_length(value);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                return self.transfer_encoding(value);
            }
            _ => {}
        }
        field_line(self.out, name, value)
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Misuse> {
        if self.declared.is_some() {
            return Err(Misuse::DuplicateContentLength);
        }
        let digits = Some(trim(value)).filter(|digits| !digits.is_empty());
        let length = digits
            .and_then(decimal)
            .ok_or(Misuse::InvalidContentLength)?;
        let start = self.out.len();
        field_line(self.out, b"content-length", value)?;
        self.length = Line {
            start,
            end: self.out.len(),
            struck: false,
        };
        self.declared = Some(length);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Misuse> {
        if self.chunked || !trim(value).eq_ignore_ascii_case(b"chunked") {
            return Err(Misuse::InvalidTransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }

    /// What the connection becomes is said in `finish`; other options are passed on.
    fn connection(&mut self, value: &[u8]) -> Result<(), Misuse> {
        for option in list(value).filter(|option| !option.is_empty()) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                field_line(self.out, b"connection", option)?;
            }
        }
        Ok(())
    }

    /// Ends the head: the response is begun.
    ///
    /// # Errors
    /// None at present; the result leaves room for contradictions that show only at the end.
    pub fn finish(mut self) -> Result<(), Misuse> {
        let (framing, coded) = self.framing();
        self.strike();
        if coded {
            self.out
                .extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        let http = &mut *self.http;
        let old = http.flags.old;
        // On 1.0, a body without length ends where the connection does (RFC 9112 section 6.3 (8)).
        let delimited = framing != BodyFraming::Raw || self.declared.is_some();
        // RFC 9110 section 10.1.1: whether a client that still waits for 100 sends its body is
        // unknown, and with it where the next request begins.
        let unsure = http.flags.continue_due && http.state.receive == Receive::Body;
        // Too much of the request is missing to be thrown away after the response. An application
        // that reads it while it answers loses nothing but the connection's next use.
        let long = http.decoder.at_least() > http.drain_left;
        let ends = http.flags.close_after || self.close || !delimited || unsure || long;
        let keep = http.flags.keep_alive && !ends;
        if !keep {
            self.out.extend_from_slice(b"connection: close\r\n");
        } else if old || self.keep_alive {
            self.out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
        http.framing = framing;
        http.flags.keep_alive = keep;
        http.flags.continue_due = false;
        http.response_left = self.declared.filter(|_| framing == BodyFraming::Raw);
        http.change(Input::Respond);
        self.finished = true;
        Ok(())
    }

    /// How the body is framed, and whether the head says `transfer-encoding`.
    fn framing(&mut self) -> (BodyFraming, bool) {
        let flags = self.http.flags;
        // RFC 9112 section 6.1: 1.0 clients do not know transfer codings.
        let chunked = self.chunked && !flags.old;
        // Section 6.2: not both. The coding wins, as it does for whoever reads both.
        if self.chunked {
            self.drop_length();
        }
        match self.status {
            // RFC 9110 section 8.6, RFC 9112 section 6.1: 204 has neither field.
            204 => {
                self.drop_length();
                (BodyFraming::Discard, false)
            }
            // RFC 9110 section 15.4.5: it may say the length that 200 would have had.
            304 => (BodyFraming::Discard, false),
            // RFC 9110 section 9.3.2: what GET would have said, without the body.
            _ if flags.head => (BodyFraming::Discard, chunked),
            _ if chunked || (self.declared.is_none() && !flags.old) => (BodyFraming::Chunked, true),
            _ => (BodyFraming::Raw, false),
        }
    }

    fn drop_length(&mut self) {
        self.length.struck = true;
        self.declared = None;
    }

    /// Takes struck lines out, from the last to the first so that places stay valid.
    fn strike(&mut self) {
        for line in [self.length, self.server, self.date] {
            if line.struck {
                self.out.drain(line.start..line.end);
            }
        }
    }
}

impl Drop for HeadWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// Writes an interim response. See [`Http1::informational`].
#[derive(Debug)]
pub struct InfoWriter<'a> {
    http: &'a mut Http1,
    out: &'a mut Vec<u8>,
    start: usize,
    finished: bool,
}

impl<'a> InfoWriter<'a> {
    pub(super) fn new(http: &'a mut Http1, out: &'a mut Vec<u8>, status: u16) -> Self {
        let start = out.len();
        status_line(out, status);
        Self {
            http,
            out,
            start,
            finished: false,
        }
    }

    /// Writes one field.
    ///
    /// # Errors
    /// If the name or value is malformed, or the field frames: an interim response has no body.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Misuse> {
        let frames: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"connection"];
        if frames.iter().any(|frame| name.eq_ignore_ascii_case(frame)) {
            return Err(Misuse::ForbiddenField);
        }
        field_line(self.out, name, value)
    }

    /// Ends the interim response.
    ///
    /// # Errors
    /// None at present.
    pub fn finish(mut self) -> Result<(), Misuse> {
        self.out.extend_from_slice(b"\r\n");
        self.http.change(Input::Inform);
        // RFC 9110 section 15.2: none for a 1.0 client.
        self.finished = !self.http.flags.old;
        Ok(())
    }
}

impl Drop for InfoWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// Fields that a trailer section must not have (RFC 9110 section 6.5.1): they frame, route, modify
/// the request, authenticate, or say how to read content that has been read by then.
const NO_TRAILERS: [&[u8]; 19] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"date",
    b"expires",
    b"host",
    b"location",
    b"retry-after",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"vary",
    b"www-authenticate",
];

/// Writes the trailers and with them the end of the body. See [`Http1::trailers`].
#[derive(Debug)]
pub struct TrailerWriter<'a> {
    http: &'a mut Http1,
    out: &'a mut Vec<u8>,
    start: usize,
    finished: bool,
}

impl<'a> TrailerWriter<'a> {
    pub(super) fn new(http: &'a mut Http1, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        if http.framing == BodyFraming::Chunked {
            out.extend_from_slice(b"0\r\n");
        }
        Self {
            http,
            out,
            start,
            finished: false,
        }
    }

    /// Writes one field, if the client keeps trailers.
    ///
    /// # Errors
    /// If the name or value is malformed, or the field is none that may come after the body.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Misuse> {
        if NO_TRAILERS
            .iter()
            .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        {
            return Err(Misuse::ForbiddenField);
        }
        let start = self.out.len();
        field_line(self.out, name, value)?;
        if self.http.framing != BodyFraming::Chunked || !self.http.flags.trailers_wanted {
            self.out.truncate(start);
        }
        Ok(())
    }

    /// Ends the trailers: the response is complete.
    ///
    /// # Errors
    /// None at present.
    pub fn finish(mut self) -> Result<(), Misuse> {
        if self.http.framing == BodyFraming::Chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        self.http.change(Input::EndTrailers);
        self.http.ended();
        self.finished = true;
        Ok(())
    }
}

impl Drop for TrailerWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// A whole response of the server's own.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: &'static str,
    /// The request was HEAD.
    pub(super) head_only: bool,
    /// The connection is kept.
    pub(super) keep: bool,
}

impl Answer {
    pub(super) fn write(&self, out: &mut Vec<u8>, preset: &Preset) {
        status_line(out, self.status);
        for lines in [&preset.date, &preset.server, &preset.extra] {
            out.extend_from_slice(lines);
        }
        out.extend_from_slice(b"content-type: text/plain; charset=utf-8\r\ncontent-length: ");
        encode::decimal(out, self.text.len() as u64);
        out.extend_from_slice(b"\r\n");
        if self.status == 503 {
            // RFC 9110 section 10.2.3. Load that turns requests away rises and falls in seconds.
            out.extend_from_slice(b"retry-after: 1\r\n");
        }
        if self.status == 426 {
            // RFC 6455 section 4.4, and RFC 9110 sections 7.8 and 15.5.22: what to upgrade to.
            out.extend_from_slice(b"sec-websocket-version: 13\r\nupgrade: websocket\r\n");
            out.extend_from_slice(b"connection: upgrade\r\n");
        }
        if !self.keep {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !self.head_only {
            out.extend_from_slice(self.text.as_bytes());
        }
    }
}
