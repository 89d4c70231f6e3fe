//! The opening handshake (RFC 6455 section 4.2): what the request must say, and the answer.
//!
//! That the request asks for a WebSocket at all (GET, HTTP/1.1, `connection: upgrade`, no body) was
//! found when its head was parsed. What the answer needs of it is kept here, because the
//! application answers when the bytes of the request are long gone.

use base64ct::{Base64, Encoding};
use sha1_smol::Sha1;

use super::offer::{Deflate, DeflateSettings};
use crate::error::{Fault, Misuse};
use crate::event::Field;
use crate::h1::{Preset, field_line, is_token, list, status_line};

/// What is hashed with the key (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request that may be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The value of the answer's `sec-websocket-accept`.
    accept: [u8; 28],
    pub deflate: Option<Deflate>,
    /// The subprotocols that the client offers, each with a comma after it.
    offered: Box<[u8]>,
}

impl Handshake {
    /// Looks at the fields of a request. `deflate`: what compression the server agrees to.
    ///
    /// # Errors
    /// If a field of the handshake is missing or malformed, or the version is not ours.
    pub fn examine(
        fields: &[Field],
        input: &[u8],
        deflate: Option<&DeflateSettings>,
    ) -> Result<Self, Fault> {
        let (mut key, mut version, mut chosen) = (None, None, None);
        for field in fields {
            let value = field.value.of(input);
            match field.name.of(input) {
                // Section 11.3: neither appears more than once.
                b"sec-websocket-key" if key.replace(value).is_some() => {
                    return Err(Fault::InvalidWebSocketKey);
                }
                b"sec-websocket-version" if version.replace(value).is_some() => {
                    return Err(Fault::WebSocketVersion);
                }
                // Section 9.1: several fields are one list.
                b"sec-websocket-extensions" => {
                    let choice = Deflate::choose(value, deflate)?;
                    chosen = chosen.or(choice);
                }
                _ => {}
            }
        }
        // Section 4.4: the refusal names the version that would do.
        if version != Some(b"13") {
            return Err(Fault::WebSocketVersion);
        }
        let key = key
            .filter(|key| is_key(key))
            .ok_or(Fault::InvalidWebSocketKey)?;
        let mut offered = Vec::new();
        for subprotocol in subprotocols(fields, input) {
            if !is_token(subprotocol) {
                return Err(Fault::InvalidSubprotocol);
            }
            offered.extend_from_slice(subprotocol);
            offered.push(b',');
        }
        Ok(Self {
            accept: accept(key),
            deflate: chosen,
            offered: offered.into_boxed_slice(),
        })
    }

    /// Begins the answer that accepts the client. `preset` are lines of the server's own.
    pub fn respond<'a>(&'a self, out: &'a mut Vec<u8>, preset: &'a Preset) -> AcceptWriter<'a> {
        let start = out.len();
        status_line(out, 101);
        out.extend_from_slice(&preset.extra);
        out.extend_from_slice(
            b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ",
        );
        out.extend_from_slice(&self.accept);
        out.extend_from_slice(b"\r\n");
        if let Some(deflate) = &self.deflate {
            out.extend_from_slice(b"sec-websocket-extensions: ");
            deflate.write(out);
            out.extend_from_slice(b"\r\n");
        }
        AcceptWriter {
            offered: &self.offered,
            out,
            preset,
            start,
            date: false,
            server: false,
            chosen: false,
            finished: false,
        }
    }
}

/// Section 4.1: sixteen bytes in base64. Clients pad with bits of any value, as the RFC's own
/// example does, and only a hash is made of them.
fn is_key(value: &[u8]) -> bool {
    let sextet = |&octet: &u8| octet.is_ascii_alphanumeric() || octet == b'+' || octet == b'/';
    matches!(value, [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(sextet))
}

/// Section 4.2.2 (5.4).
fn accept(key: &[u8]) -> [u8; 28] {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    let mut text = [0; 28];
    let written = Base64::encode(&hash.digest().bytes(), &mut text).map(str::len);
    debug_assert_eq!(written, Ok(28));
    text
}

/// The subprotocols that the client offers, in its order.
pub fn subprotocols<'a>(fields: &'a [Field], input: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(|field| field.name.of(input) == b"sec-websocket-protocol")
        .flat_map(|field| list(field.value.of(input)))
        .filter(|subprotocol| !subprotocol.is_empty())
}

/// Fields that the handshake writes itself, or that such an answer cannot have.
const FORBIDDEN: [&[u8]; 6] = [
    b"connection",
    b"content-length",
    b"sec-websocket-accept",
    b"sec-websocket-extensions",
    b"transfer-encoding",
    b"upgrade",
];

/// Writes the answer that accepts a client. See [`Handshake::respond`]. Dropped before `finish`, it
/// leaves the output as it was.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each set by another field"
)]
#[derive(Debug)]
pub struct AcceptWriter<'a> {
    offered: &'a [u8],
    out: &'a mut Vec<u8>,
    preset: &'a Preset,
    start: usize,
    /// The application sends its own.
    date: bool,
    server: bool,
    /// A subprotocol is written.
    chosen: bool,
    finished: bool,
}

impl AcceptWriter<'_> {
    /// Writes one field.
    ///
    /// # Errors
    /// If the name or value is malformed, or the field is the handshake's.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Misuse> {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if FORBIDDEN.iter().any(|other| is(other)) {
            return Err(Misuse::ForbiddenField);
        }
        if is(b"sec-websocket-protocol") {
            return self.subprotocol(value);
        }
        field_line(self.out, name, value)?;
        self.date |= is(b"date");
        self.server |= is(b"server");
        Ok(())
    }

    /// Says which subprotocol is spoken: one, and one that the client offered (section 4.2.2 (5.5)).
    /// A client ends the connection upon any other (section 4.1).
    ///
    /// # Errors
    /// If it is none of these.
    pub fn subprotocol(&mut self, value: &[u8]) -> Result<(), Misuse> {
        if !is_token(value) {
            return Err(Misuse::InvalidSubprotocol);
        }
        if self.chosen || !list(self.offered).any(|offered| offered == value) {
            return Err(Misuse::UnexpectedSubprotocol);
        }
        self.chosen = true;
        field_line(self.out, b"sec-websocket-protocol", value)
    }

    /// Ends the answer: frames follow.
    pub fn finish(mut self) {
        for (line, replaced) in [
            (&self.preset.date, self.date),
            (&self.preset.server, self.server),
        ] {
            if !replaced {
                self.out.extend_from_slice(line);
            }
        }
        self.out.extend_from_slice(b"\r\n");
        self.finished = true;
    }
}

impl Drop for AcceptWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}
