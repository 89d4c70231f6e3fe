//! Response heads and body framing, as bytes.
//!
//! Pure writers: each appends to a vector and knows nothing of the exchange it belongs to. What may
//! be written when is the state machine's affair, and which framing fits is the head writer's.

use super::octets::{find_control, token_lower, trim};
use crate::error::Misuse;

/// Ends the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The last chunk, and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes the line before the data of a chunk. `len` is not 0: that would end the body.
pub fn chunk_size(out: &mut Vec<u8>, len: u64) {
    debug_assert!(len > 0);
    let digits = (u64::BITS - len.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        let digit = len >> (4 * place) & 0xf;
        out.push(b"0123456789abcdef"[usize::try_from(digit).unwrap_or(0)]);
    }
    out.extend_from_slice(CHUNK_END);
}

/// Writes a field line: the name in lower case, the value without surrounding whitespace.
///
/// # Errors
/// If the name is no token or the value has a control character; nothing is written then.
pub fn field_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), Misuse> {
    let value = checked_value(value)?;
    let start = out.len();
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    let mut token = !name.is_empty();
    for octet in &mut out[start..] {
        *octet = token_lower(*octet);
        token &= *octet != 0;
    }
    if !token {
        out.truncate(start);
        return Err(Misuse::InvalidFieldName);
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// RFC 9110 section 5.5: a value that could end its line, or be taken to, is not sent.
fn checked_value(value: &[u8]) -> Result<&[u8], Misuse> {
    let value = trim(value);
    let mut rest = value;
    while let Some(at) = find_control(rest) {
        if rest[at] != b'\t' {
            return Err(Misuse::InvalidFieldValue);
        }
        rest = &rest[at + 1..];
    }
    Ok(value)
}

/// RFC 9112 section 4. The version is the server's own, whatever the client's
/// (RFC 9110 section 2.5).
pub(crate) fn status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a number.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b"0123456789"[usize::try_from(rest % 10).unwrap_or(0)];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The phrases of the IANA registry; none for a status that is not in it.
fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for number in [1, 9, 10, 15, 16, 255, 256, 4096, 65_535, u64::MAX] {
            assert_eq!(
                text(|out| chunk_size(out, number)),
                format!("{number:x}\r\n")
            );
            assert_eq!(text(|out| decimal(out, number)), number.to_string());
        }
        assert_eq!(text(|out| decimal(out, 0)), "0");
    }

    #[test]
    fn a_status_line_has_its_phrase_or_none() {
        assert_eq!(text(|out| status_line(out, 200)), "HTTP/1.1 200 OK\r\n");
        assert_eq!(
            text(|out| status_line(out, 404)),
            "HTTP/1.1 404 Not Found\r\n"
        );
        assert_eq!(text(|out| status_line(out, 299)), "HTTP/1.1 299 \r\n");
    }

    #[test]
    fn a_field_that_could_break_its_line_is_not_written() {
        let mut out = b"kept".to_vec();
        for octet in (0..=255_u8).filter(|octet| octet.is_ascii_control() && *octet != b'\t') {
            let value = [b'a', octet, b'b'];
            assert_eq!(
                field_line(&mut out, b"x", &value),
                Err(Misuse::InvalidFieldValue)
            );
            assert_eq!(
                field_line(&mut out, &value, b"x"),
                Err(Misuse::InvalidFieldName)
            );
        }
        assert_eq!(
            field_line(&mut out, b"", b"x"),
            Err(Misuse::InvalidFieldName)
        );
        assert_eq!(
            field_line(&mut out, b"a b", b"x"),
            Err(Misuse::InvalidFieldName)
        );
        assert_eq!(
            field_line(&mut out, "ü".as_bytes(), b"x"),
            Err(Misuse::InvalidFieldName)
        );
        assert_eq!(out, b"kept");
        field_line(&mut out, b"X-Y", b" a\tb \xff ").unwrap();
        assert_eq!(out, b"keptx-y: a\tb \xff\r\n");
    }
}
