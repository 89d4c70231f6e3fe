//! What comes from outside, as text that stays on one line and means one thing.
//!
//! Three ways to write it: escaped as `\xNN` for lines that people read, percent-encoded as uvicorn
//! shows a path, and as a string of JSON. All of them are printable ASCII, whatever comes in.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

/// Writes octets; controls, quotes, backslashes and what is not ASCII as `\xNN`, nothing as `-`.
pub fn escape(value: &[u8], out: &mut Vec<u8>) {
    if value.is_empty() {
        out.push(b'-');
    }
    let mut rest = value;
    loop {
        let (plain, other) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = other.split_first() else {
            return;
        };
        let [high, low] = hex(byte).map(|digit| digit.to_ascii_lowercase());
        out.extend_from_slice(&[b'\\', b'x', high, low]);
        rest = after;
    }
}

/// Percent-encodes what is no unreserved character (RFC 3986 section 2.3) and no slash.
pub fn quote(path: &str, out: &mut Vec<u8>) {
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend_from_slice(&hex(byte));
        }
    }
}

/// Writes a string of JSON (RFC 8259 section 7), with its quotes.
pub fn json(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let (plain, other) = rest.split_at(plain_length(rest.as_bytes()));
        out.extend_from_slice(plain.as_bytes());
        let mut others = other.chars();
        match others.next() {
            None => break,
            Some('"') => out.extend_from_slice(b"\\\""),
            Some('\\') => out.extend_from_slice(b"\\\\"),
            Some(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let [high, low] = unit.to_be_bytes().map(hex);
                    out.extend_from_slice(b"\\u");
                    out.extend_from_slice(&high);
                    out.extend_from_slice(&low);
                }
            }
        }
        rest = others.as_str();
    }
    out.push(b'"');
}

/// How many octets are plain before the first that is not.
fn plain_length(text: &[u8]) -> usize {
    let other = text.iter().position(|&byte| !is_plain(byte));
    other.unwrap_or(text.len())
}

/// Printable, and neither a quote nor a backslash.
fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'
}

fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)])
}

/// Writes a time as the common log format does: `[27/Nov/2026:01:05:20 +0000]`.
pub fn common_date(time: SystemTime, out: &mut Vec<u8>) {
    let date = httpdate::fmt_http_date(time.max(UNIX_EPOCH));
    let parts = (
        date.get(5..7),
        date.get(8..11),
        date.get(12..16),
        date.get(17..25),
    );
    if let (Some(day), Some(month), Some(year), Some(time)) = parts {
        // To a vector, which takes everything.
        let _ = write!(out, "[{day}/{month}/{year}:{time} +0000]");
    }
}

/// Writes a time as RFC 3339 does, to the microsecond: `2026-11-27T01:05:20.000001Z`.
pub fn date(time: SystemTime, out: &mut Vec<u8>) {
    let time = time.max(UNIX_EPOCH);
    let date = httpdate::fmt_http_date(time);
    let micros = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_micros());
    let parts = (
        date.get(5..7),
        date.get(8..11),
        date.get(12..16),
        date.get(17..25),
    );
    if let (Some(day), Some(month), Some(year), Some(time)) = parts {
        let month = MONTHS.find(month).map_or(0, |place| place / 3 + 1);
        let _ = write!(out, "{year}-{month:02}-{day}T{time}.{micros:06}Z");
    }
}

/// The user's name in the credentials of RFC 7617 section 2.
pub fn user(authorization: &[u8]) -> Option<Vec<u8>> {
    let (scheme, coded) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut name = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for &byte in coded.trim_ascii() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 & 0xffff | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            match (bits >> count & 0xff).to_le_bytes()[0] {
                b':' => break,
                octet => name.push(octet),
            }
        }
    }
    Some(name)
}
