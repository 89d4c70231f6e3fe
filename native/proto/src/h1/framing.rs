//! What the fields of a request head mean for the connection: RFC 9112 section 6 and its neighbours.
//!
//! Each field is looked at once, as it is parsed; the conclusion follows when the head is complete.
//! Every rule against request smuggling is here, and none has a switch: where two readers could
//! take a message differently, it is refused. Names arrive in lower case, values without
//! surrounding whitespace.

use super::authority::is_host;
use super::octets::{is_token, trim};
use crate::error::Fault;
use crate::event::{BodyLength, Upgrade, Version};

/// What was learnt from the fields so far.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each set by another field"
)]
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// The number of the Host field among the fields, and whether its value is empty.
    host: Option<(u32, bool)>,
    length: Option<u64>,
    chunked: bool,
    coded: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    websocket: bool,
    other_protocol: bool,
    expect_continue: bool,
    expect_other: bool,
    pub(super) trailers: bool,
    pub(super) forwarded: bool,
}

/// As many as the largest u64 has.
const MAX_DIGITS: usize = 20;

/// The conclusion from a complete head.
#[derive(Debug)]
pub(super) struct Conclusion {
    pub(super) body: BodyLength,
    pub(super) keep_alive: bool,
    pub(super) upgrade: Upgrade,
    pub(super) expect_continue: bool,
    /// An expectation that cannot be met.
    pub(super) unmet: bool,
    /// The number of the Host field.
    pub(super) host: Option<u32>,
}

impl Framing {
    /// Takes note of field number `index`.
    #[inline]
    pub(super) fn field(&mut self, index: u32, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        match (name.len(), name) {
            (2, b"te") => {
                // RFC 9110 section 10.1.4: parameters and weights do not stand on `trailers`.
                self.trailers |= list(value).any(|item| item.eq_ignore_ascii_case(b"trailers"));
            }
            (4, b"host") => return self.host(index, value),
            (6, b"expect") => {
                let known = value.eq_ignore_ascii_case(b"100-continue");
                self.expect_continue |= known;
                self.expect_other |= !known;
            }
            (7, b"upgrade") => {
                for protocol in list(value) {
                    self.websocket |= protocol.eq_ignore_ascii_case(b"websocket");
                    self.other_protocol = true;
                }
            }
            (9, b"forwarded") => self.forwarded = true,
            (10, b"connection") => self.connection(value),
            (14, b"content-length") => return self.content_length(value),
            (17, b"transfer-encoding") => return self.transfer_encoding(value),
            (13.., [b'x', b'-', b'f', ..]) => self.forwarded |= name.starts_with(b"x-forwarded-"),
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 section 3.2: at most one Host line, and it holds a host with an optional port. It
    /// may be empty where the target has no authority.
    fn host(&mut self, index: u32, value: &[u8]) -> Result<(), Fault> {
        if self.host.replace((index, value.is_empty())).is_some() {
            return Err(Fault::DuplicateHost);
        }
        if value.is_empty() || is_host(value) {
            Ok(())
        } else {
            Err(Fault::InvalidHost)
        }
    }

    /// RFC 9110 section 8.6: `1*DIGIT`. RFC 9112 section 6.3 (5) would let equal values be merged;
    /// whoever sends two is not to be trusted with either.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.length.is_some() {
            return Err(Fault::DuplicateContentLength);
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Fault::InvalidContentLength);
        }
        // Zeros at the front count as well: no sender writes them, and parsers differ about them.
        let sane = Some(value).filter(|value| value.len() <= MAX_DIGITS);
        let length = sane.and_then(decimal).ok_or(Fault::ContentLengthTooLarge)?;
        self.length = Some(length);
        Ok(())
    }

    /// RFC 9112 section 6.1: `chunked` is the only coding that is applied hop by hop in practice,
    /// and it must be the last; a coding that is not understood is answered 501.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.coded {
            return Err(Fault::DuplicateTransferEncoding);
        }
        self.coded = true;
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        let mut codings = list(value).peekable();
        while let Some(coding) = codings.next() {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            if !is_token(coding) || (chunked && codings.peek().is_some()) {
                return Err(Fault::InvalidTransferEncoding);
            }
        }
        Err(Fault::UnsupportedTransferEncoding)
    }

    fn connection(&mut self, value: &[u8]) {
        // What nearly every client says, if it says something.
        if value == b"keep-alive" {
            self.keep_alive = true;
            return;
        }
        for option in list(value) {
            match option.len() {
                5 => self.close |= option.eq_ignore_ascii_case(b"close"),
                7 => self.upgrade |= option.eq_ignore_ascii_case(b"upgrade"),
                10 => self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive"),
                _ => {}
            }
        }
    }

    /// What follows from all fields, the version, the method, and whether the target names an
    /// authority.
    pub(super) fn conclude(
        &self,
        version: Version,
        method: &[u8],
        authority: bool,
    ) -> Result<Conclusion, Fault> {
        let current = version == Version::Http11;
        match self.host {
            None if current => return Err(Fault::MissingHost),
            // RFC 9112 section 3.2: Host is the authority of the target, so it is not empty here.
            Some((_, true)) if authority => return Err(Fault::InvalidHost),
            _ => {}
        }
        // RFC 9112 section 6.1: 1.0 has no transfer codings, and one that seems to is faulty.
        if self.coded && !current {
            return Err(Fault::OldTransferEncoding);
        }
        // RFC 9112 section 6.3 (3): an attempt at smuggling, or as good as one.
        if self.coded && self.length.is_some() {
            return Err(Fault::LengthAndEncoding);
        }
        // Section 6.3 (4), (6) and (7): without either, a request has no body.
        let body = match self.length {
            _ if self.chunked => BodyLength::Chunked,
            Some(length) if length > 0 => BodyLength::Fixed(length),
            _ => BodyLength::None,
        };
        // RFC 9112 section 9.3: `close` wins, 1.1 keeps, 1.0 keeps on demand.
        let keep_alive = !self.close && (current || self.keep_alive);
        // RFC 9110 section 7.8: Upgrade counts only with its connection option and not in 1.0.
        let upgrade = if !self.upgrade || !current || !self.other_protocol {
            Upgrade::None
        } else if self.websocket && method == b"GET" && body == BodyLength::None {
            Upgrade::WebSocket
        } else {
            Upgrade::Other
        };
        Ok(Conclusion {
            body,
            keep_alive,
            upgrade,
            // RFC 9110 section 10.1.1: nothing to wait for without a body, and 1.0 knows no 100.
            expect_continue: self.expect_continue && current && body != BodyLength::None,
            unmet: self.expect_other && current,
            host: self.host.map(|(index, _)| index),
        })
    }
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1), empty ones included.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&octet| octet == b',').map(trim)
}

/// The number that decimal digits spell, if they are digits and it fits.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
