//! Request line and header block to places in the input, strictly by RFC 9112 sections 2 to 5.
//!
//! A head that arrives whole is parsed in one pass. Where that pass stops early, for want of bytes
//! or at a fault, [`Scan`] takes over: it goes line by line, remembers how far it has looked, and
//! checks each line as it ends, so that the work is linear however the bytes arrive and a fault is
//! told by the first line that has one, however the bytes arrived. When the empty line is there,
//! the pass is made again and can fail only for what the lines mean together.
//!
//! Names are put into lower case in place. Doing so twice, or to half a name, does no harm.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::authority::is_host;
use super::framing::Framing;
use super::octets::{find_control, find_target_break, is_space, is_token_octet, lower_token};
use crate::error::Fault;
use crate::event::{Field, RequestHead, Span, Version};
use crate::limits::Limits;

/// Why a pass ended before the head did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Incomplete,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A complete head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: RequestHead,
    /// Bytes of the input up to the end of the empty line.
    pub(super) len: usize,
    /// An expectation that cannot be met.
    pub(super) unmet: bool,
}

/// How far an incomplete head has been looked at. Offsets count from the start of the head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// No line ends between `line` and here.
    at: u32,
    /// Start of the line that has not ended; 0 is the request line.
    line: u32,
    fields: u32,
}

impl Scan {
    pub(super) const fn new() -> Self {
        Self {
            at: 0,
            line: 0,
            fields: 0,
        }
    }

    /// Goes on with a head of which `input` is all that has arrived. A complete head appends its
    /// fields to `fields`.
    pub(super) fn advance(
        &mut self,
        input: &mut [u8],
        fields: &mut Vec<Field>,
        limits: &Limits,
    ) -> Result<Option<Head>, Fault> {
        if self.at == 0
            && let Ok(head) = parse(input, fields, limits)
        {
            return Ok(Some(head));
        }
        if !self.lines(input, limits)? {
            return Ok(None);
        }
        match parse(input, fields, limits) {
            Ok(head) => Ok(Some(head)),
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Incomplete) => Ok(None),
        }
    }

    /// Checks the lines that have ended since, and says whether the head has.
    fn lines(&mut self, input: &mut [u8], limits: &Limits) -> Result<bool, Fault> {
        // What cannot begin a request line is refused without waiting for the end of one.
        if input.first().is_some_and(|&octet| !is_token_octet(octet)) {
            return Err(Fault::InvalidMethod);
        }
        loop {
            let (bound, fault) = self.bound(limits);
            let seen = input.len().min(bound);
            let (at, line) = (self.at as usize, self.line as usize);
            let Some(distance) = memchr(b'\n', &input[at..seen]) else {
                self.at = offset(seen);
                return if seen == bound { Err(fault) } else { Ok(false) };
            };
            let end = at + distance + 1;
            self.at = offset(end);
            let text = &mut input[line..end];
            let outcome = if line == 0 {
                request_line(text, limits).map(|_| ())
            } else if text == b"\r\n" {
                return Ok(true);
            } else {
                self.fields += 1;
                if self.fields as usize > limits.fields {
                    return Err(Fault::TooManyFields);
                }
                field_line(text, self.fields == 1).map(|_| ())
            };
            if let Err(Stop::Fault(fault)) = outcome {
                return Err(fault);
            }
            self.line = offset(end);
        }
    }

    /// How long the input may become without the present line having ended, and what it is then.
    fn bound(&self, limits: &Limits) -> (usize, Fault) {
        let line = limits.request_line.saturating_add(2);
        if self.line == 0 && line < limits.head_bytes {
            (line, Fault::RequestLineTooLong)
        } else {
            (limits.head_bytes, Fault::HeadTooLarge)
        }
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// One strict pass over a head.
fn parse(input: &mut [u8], fields: &mut Vec<Field>, limits: &Limits) -> Result<Head, Stop> {
    let first = fields.len();
    let head = parse_into(input, fields, limits);
    if head.is_err() {
        fields.truncate(first);
    }
    head
}

fn parse_into(input: &mut [u8], fields: &mut Vec<Field>, limits: &Limits) -> Result<Head, Stop> {
    let first = fields.len();
    let line = request_line(input, limits)?;
    let mut framing = Framing::default();
    let mut at = line.len;
    let mut count = 0;
    while let Some(line) = field_line(&mut input[at..], count == 0)? {
        if count as usize == limits.fields {
            return Err(Fault::TooManyFields.into());
        }
        framing.field(count, line.name, line.value)?;
        let value = at + line.start;
        let field = Field {
            name: Span::new(at, at + line.name.len()),
            value: Span::new(value, value + line.value.len()),
        };
        at += line.len;
        fields.push(field);
        count += 1;
    }
    let len = at + 2;
    if len > limits.head_bytes {
        return Err(Fault::HeadTooLarge.into());
    }
    let conclusion = framing.conclude(
        line.version,
        line.method.of(input),
        line.authority.is_some(),
    )?;
    // RFC 9112 section 3.2.2: the authority of an absolute target replaces Host.
    if let (Some(authority), Some(host)) = (line.authority, conclusion.host)
        && let Some(field) = fields.get_mut(first + host as usize)
    {
        field.value = authority;
    }
    let request = RequestHead {
        method: line.method,
        path: line.path,
        query: line.query,
        version: line.version,
        body: conclusion.body,
        expect_continue: conclusion.expect_continue,
        upgrade: conclusion.upgrade,
        keep_alive: conclusion.keep_alive,
        trailers: framing.trailers,
        forwarded: framing.forwarded,
        fields: offset(first)..offset(fields.len()),
    };
    Ok(Head {
        request,
        len,
        unmet: conclusion.unmet,
    })
}

/// A request line, with the bytes up to the end of its CRLF.
struct RequestLine {
    method: Span,
    path: Span,
    query: Span,
    authority: Option<Span>,
    version: Version,
    len: usize,
}

/// RFC 9112 section 3: method SP request-target SP HTTP-version CRLF, with single spaces.
fn request_line(input: &[u8], limits: &Limits) -> Result<RequestLine, Stop> {
    let method = input
        .iter()
        .position(|&octet| !is_token_octet(octet))
        .ok_or(Stop::Incomplete)?;
    if input[method] != b' ' || method == 0 {
        return Err(line_end(&input[method..]).unwrap_or(Fault::InvalidMethod.into()));
    }
    if method > limits.method {
        return Err(Fault::MethodTooLong.into());
    }
    let start = method + 1;
    let target = &input[start..];
    let path = find_target_break(target).ok_or(Stop::Incomplete)?;
    let mut end = path;
    // The first `?` begins the query, and others are part of it.
    while target[end] == b'?' {
        end += 1;
        end += find_target_break(&target[end..]).ok_or(Stop::Incomplete)?;
    }
    if target[end] != b' ' || end == 0 {
        return Err(line_end(&target[end..]).unwrap_or(Fault::InvalidTarget.into()));
    }
    let (version, rest) = version(&target[end + 1..])?;
    let len = start + end + 1 + rest;
    if len > limits.request_line.saturating_add(2) {
        return Err(Fault::RequestLineTooLong.into());
    }
    let (authority, path_place) = form(&input[..method], &target[..path])?;
    let place = |range: Range<usize>| Span::new(start + range.start, start + range.end);
    Ok(RequestLine {
        method: Span::new(0, method),
        path: place(path_place),
        query: place(end.min(path + 1)..end),
        authority: authority.map(place),
        version,
        len,
    })
}

/// What a line that ends too soon amounts to, if it ends here.
fn line_end(rest: &[u8]) -> Option<Stop> {
    match rest {
        [b'\n', ..] => Some(Fault::BareLf.into()),
        [b'\r', b'\n', ..] => Some(Fault::MissingVersion.into()),
        [b'\r', _, ..] => Some(Fault::BareCr.into()),
        [b'\r'] => Some(Stop::Incomplete),
        _ => None,
    }
}

/// RFC 9112 section 2.3, with the CRLF after it: what is left of the line.
fn version(rest: &[u8]) -> Result<(Version, usize), Stop> {
    const LEN: usize = b"HTTP/1.1\r\n".len();
    match rest.first_chunk::<LEN>() {
        Some(b"HTTP/1.1\r\n") => Ok((Version::Http11, LEN)),
        Some(b"HTTP/1.0\r\n") => Ok((Version::Http10, LEN)),
        _ => Err(version_fault(rest)),
    }
}

fn version_fault(rest: &[u8]) -> Stop {
    let Some(end) = memchr2(b'\r', b'\n', rest) else {
        return Stop::Incomplete;
    };
    match rest[end..] {
        [b'\r'] => Stop::Incomplete,
        [b'\r', b'\n', ..] => match rest[..end] {
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Fault::UnsupportedVersion.into()
            }
            _ => Fault::InvalidVersion.into(),
        },
        [b'\r', ..] => Fault::BareCr.into(),
        _ => Fault::BareLf.into(),
    }
}

/// RFC 9112 section 3.2: which of the four forms a target has is decided by its first octet and the
/// method. Gives, of a target up to its query, where the authority is, and the path. Neither a
/// method nor a target is empty.
fn form(method: &[u8], target: &[u8]) -> Result<(Option<Range<usize>>, Range<usize>), Fault> {
    match (method, target) {
        // RFC 9110 section 9.3.6: CONNECT asks for a tunnel, which an origin server is not.
        (b"CONNECT", _) => Err(Fault::ConnectMethod),
        (_, [b'/', ..]) | (b"OPTIONS", b"*") => Ok((None, 0..target.len())),
        _ => absolute(target),
    }
}

/// RFC 9112 section 3.2.2, for the schemes of RFC 9110 section 4.2.
fn absolute(target: &[u8]) -> Result<(Option<Range<usize>>, Range<usize>), Fault> {
    let Some(colon) = memchr(b':', target).filter(|&colon| target[colon..].starts_with(b"://"))
    else {
        return Err(Fault::TargetForm);
    };
    let scheme = &target[..colon];
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(Fault::TargetScheme);
    }
    let start = colon + 3;
    let end = memchr(b'/', &target[start..]).map_or(target.len(), |n| start + n);
    // Section 4.2.4 of RFC 9110 deprecates userinfo, which is_host knows nothing of.
    if !is_host(&target[start..end]) {
        return Err(Fault::TargetAuthority);
    }
    // An empty path is "/" (RFC 9110 section 4.2.3), which stands before the authority as well.
    let path = if end == target.len() {
        start - 1..start
    } else {
        end..target.len()
    };
    Ok((Some(start..end), path))
}

/// A field line, with its length up to the end of its CRLF.
struct Line<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// Where the value begins.
    start: usize,
    len: usize,
}

/// RFC 9112 section 5: field-name ":" OWS field-value OWS CRLF; nothing for the empty line.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a third of the time of a head is this loop's"
)]
fn field_line(line: &mut [u8], first: bool) -> Result<Option<Line<'_>>, Stop> {
    let len = lower_token(line);
    let (name, rest) = line.split_at(len);
    let mut rest = match rest {
        [b':', rest @ ..] if len > 0 => rest,
        [b'\r', b'\n', ..] if len == 0 => return Ok(None),
        [] => return Err(Stop::Incomplete),
        _ => return Err(name_fault(rest, len, first)),
    };
    // One space in nearly every line.
    if let [b' ', tail @ ..] = rest {
        rest = tail;
    }
    while let [b' ' | b'\t', tail @ ..] = rest {
        rest = tail;
    }
    let start = line.len() - rest.len();
    let mut end = 0;
    loop {
        end += find_control(&rest[end..]).ok_or(Stop::Incomplete)?;
        match rest[end..] {
            [b'\r', b'\n', ..] => break,
            [b'\r'] => return Err(Stop::Incomplete),
            [b'\t', ..] => end += 1,
            [b'\r', ..] => return Err(Fault::BareCr.into()),
            [b'\n', ..] => return Err(Fault::BareLf.into()),
            _ => return Err(Fault::InvalidFieldValue.into()),
        }
    }
    let mut value = &rest[..end];
    while let [head @ .., b' ' | b'\t'] = value {
        value = head;
    }
    Ok(Some(Line {
        name,
        value,
        start,
        len: start + end + 2,
    }))
}

/// What is wrong with a field line that goes on with `rest` after `name` octets of a name.
#[cold]
fn name_fault(rest: &[u8], name: usize, first: bool) -> Stop {
    match rest {
        [b'\r'] => Stop::Incomplete,
        [b'\r', b'\n', ..] => Fault::MissingColon.into(),
        [b'\r', ..] => Fault::BareCr.into(),
        [b'\n', ..] => Fault::BareLf.into(),
        // RFC 9112 sections 2.2 and 5.2: neither skipped nor unfolded.
        [b' ' | b'\t', ..] if name == 0 && first => Fault::LeadingSpace.into(),
        [b' ' | b'\t', ..] if name == 0 => Fault::FoldedField.into(),
        // RFC 9112 section 5.1: a server refuses whitespace here.
        [b' ' | b'\t', rest @ ..] => match rest.iter().find(|&&octet| !is_space(octet)) {
            Some(b':') => Fault::SpaceBeforeColon.into(),
            Some(_) => Fault::InvalidFieldName.into(),
            None => Stop::Incomplete,
        },
        _ => Fault::InvalidFieldName.into(),
    }
}
