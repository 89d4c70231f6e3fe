//! Close frames and their codes (RFC 6455 sections 5.5.1 and 7.4).
//!
//! A [`Failure`] is here what a fault is to HTTP: a peer that errs is told by a close frame, with the
//! code for its kind of error and a clause that never repeats what was sent. What is wrong with a
//! frame, a text or a compressed message by itself is said where it is found, and gets its code here.

use super::deflate::Unfit;
use super::frame::{CONTROL, Malformed, Opcode, write_head};
use super::utf8::Invalid;

/// Why the peer is failed (section 7.1.7), with the code of section 7.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

impl Failure {
    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }

    pub(super) const TOO_LARGE: Self = Self::new(1009, "message too large");
    pub(super) const FRAGMENTS: Self = Self::new(1008, "too many fragments");
}

impl From<Malformed> for Failure {
    fn from(Malformed(reason): Malformed) -> Self {
        Self::new(1002, reason)
    }
}

impl From<Invalid> for Failure {
    fn from(Invalid: Invalid) -> Self {
        Self::new(1007, "invalid UTF-8")
    }
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::TooLarge => Self::TOO_LARGE,
            Unfit::Corrupt => Self::new(1007, "invalid compressed data"),
        }
    }
}

/// The code that stands for a close frame without one, and never in one.
pub(super) const NO_CODE: u16 = 1005;

/// Section 7.4: the codes that an endpoint may send, registered or for private use.
pub(super) fn is_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What the payload of a close frame says: a code of two bytes and a reason, or nothing.
pub(super) fn read(payload: &[u8]) -> Result<(u16, &str), Failure> {
    match payload {
        [] => Ok((NO_CODE, "")),
        [_] => Err(Malformed("half a close code").into()),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_code(code) {
                return Err(Malformed("invalid close code").into());
            }
            let reason = str::from_utf8(reason).map_err(|_| Invalid)?;
            Ok((code, reason))
        }
    }
}

/// Writes a close frame, with as much of the reason as there is room for, or an empty one for
/// [`NO_CODE`].
pub(super) fn write(out: &mut Vec<u8>, code: u16, reason: &str) {
    if code == NO_CODE {
        write_head(out, Opcode::Close, 0);
        return;
    }
    let mut end = reason.len().min(CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    write_head(out, Opcode::Close, end as u64 + 2);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
}
