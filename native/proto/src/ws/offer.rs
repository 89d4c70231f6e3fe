//! The negotiation of permessage-deflate (RFC 7692 sections 5 and 7.1).
//!
//! A client lists what it would agree to, best first. The first offer that can be met is accepted;
//! one with a parameter that is unknown, repeated or has a wrong value is declined, as is what is
//! not permessage-deflate. Only a list that is malformed as such is the client's fault.

use crate::error::Fault;
use crate::h1::{is_token, is_token_octet, list, trim};

/// The smallest window that zlib has for raw streams, and the largest there is.
const BITS: std::ops::RangeInclusive<u8> = 9..=15;

/// What the server agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateSettings {
    /// The largest window that is used for sending, and asked of clients that let it be chosen, in
    /// bits: from 9 to 15.
    pub window_bits: u8,
    /// Messages may refer to those before them. This costs each connection its own streams.
    pub takeover: bool,
    /// Messages of fewer bytes are sent as they are.
    pub min_size: usize,
    /// From 1, fast, to 9, small.
    pub level: u8,
}

impl Default for DeflateSettings {
    fn default() -> Self {
        Self {
            window_bits: 15,
            takeover: false,
            // What fits in one small packet anyway is not worth the time.
            min_size: 128,
            level: 1,
        }
    }
}

/// What was negotiated.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent parameters, as the RFC has them"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// Of our window, in bits.
    pub(super) server_bits: u8,
    /// Of the client's, which is only told: the library inflates with the largest at no more cost.
    client_bits: u8,
    pub(super) level: u8,
    pub(super) server_takeover: bool,
    pub(super) client_takeover: bool,
    /// The answer names the window.
    server_named: bool,
    client_named: bool,
    min_size: u32,
}

impl Deflate {
    /// Chooses from the value of one `sec-websocket-extensions` field.
    ///
    /// # Errors
    /// If it is no list of extensions (RFC 6455 section 9.1).
    pub(super) fn choose(
        value: &[u8],
        settings: Option<&DeflateSettings>,
    ) -> Result<Option<Self>, Fault> {
        let mut chosen = None;
        for offer in list(value).filter(|offer| !offer.is_empty()) {
            let mut parts = offer.split(|&octet| octet == b';').map(trim);
            let name = parts.next().filter(|name| is_token(name));
            let ours = name
                .ok_or(Fault::InvalidExtensions)?
                .eq_ignore_ascii_case(b"permessage-deflate");
            let mut parameters = Some(Parameters::default());
            for part in parts {
                let (name, value) = parameter(part).ok_or(Fault::InvalidExtensions)?;
                parameters = parameters.and_then(|known| known.with(name, value));
            }
            if let (Some(parameters), Some(settings), true, None) =
                (parameters, settings, ours, chosen)
            {
                chosen = Self::meet(parameters, settings);
            }
        }
        Ok(chosen)
    }

    fn meet(offer: Parameters, settings: &DeflateSettings) -> Option<Self> {
        let most = settings.window_bits.clamp(*BITS.start(), *BITS.end());
        // Section 7.1.2.1: ours is no larger than the client can inflate.
        let server_bits = offer.server_bits.map_or(most, |bits| bits.min(most));
        // Section 7.1.2.2: the client's may be limited only if it says so, perhaps with a bound.
        let client_bits = offer.client_bits.map_or(*BITS.end(), |bits| bits.min(most));
        BITS.contains(&server_bits).then(|| Self {
            server_bits,
            client_bits,
            level: settings.level.min(9),
            // Section 7.1.1: without takeover if either side wants it so.
            server_takeover: settings.takeover && !offer.server_alone,
            client_takeover: settings.takeover && !offer.client_alone,
            server_named: offer.server_bits.is_some() || server_bits < *BITS.end(),
            client_named: offer.client_bits.is_some() && client_bits < *BITS.end(),
            min_size: u32::try_from(settings.min_size).unwrap_or(u32::MAX),
        })
    }

    /// Writes the value of the answer's `sec-websocket-extensions`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"permessage-deflate");
        if !self.server_takeover {
            out.extend_from_slice(b"; server_no_context_takeover");
        }
        if !self.client_takeover {
            out.extend_from_slice(b"; client_no_context_takeover");
        }
        if self.server_named {
            write_bits(out, b"; server_max_window_bits=", self.server_bits);
        }
        if self.client_named {
            write_bits(out, b"; client_max_window_bits=", self.client_bits);
        }
    }

    /// A message of that length is worth compressing.
    pub(super) fn fits(&self, len: usize) -> bool {
        len > 0 && len >= self.min_size as usize
    }
}

/// The parameters of one offer.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    server_alone: bool,
    client_alone: bool,
    server_bits: Option<u8>,
    /// The largest window, where it has no value.
    client_bits: Option<u8>,
}

impl Parameters {
    /// Takes one more, or gives up on the offer.
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let repeated = match (name, value) {
            (b"server_no_context_takeover", None) => {
                std::mem::replace(&mut self.server_alone, true)
            }
            (b"client_no_context_takeover", None) => {
                std::mem::replace(&mut self.client_alone, true)
            }
            (b"server_max_window_bits", Some(value)) => {
                self.server_bits.replace(bits(value)?).is_some()
            }
            (b"client_max_window_bits", Some(value)) => {
                self.client_bits.replace(bits(value)?).is_some()
            }
            (b"client_max_window_bits", None) => self.client_bits.replace(*BITS.end()).is_some(),
            _ => return None,
        };
        (!repeated).then_some(self)
    }
}

/// RFC 6455 section 9.1: a token, or one with a value, which may be quoted and is a token as well.
fn parameter(part: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let Some(equals) = part.iter().position(|&octet| octet == b'=') else {
        return is_token(part).then_some((part, None));
    };
    let (name, value) = (trim(&part[..equals]), trim(&part[equals + 1..]));
    let value = match value {
        // A backslash would quote an octet that needs none: no value that is known has one.
        [b'"', inner @ .., b'"'] if !inner.is_empty() => inner
            .iter()
            .all(|&octet| is_token_octet(octet) || octet == b'\\')
            .then_some(inner)?,
        _ => is_token(value).then_some(value)?,
    };
    is_token(name).then_some((name, Some(value)))
}

/// Section 7.1.2: a number from 8 to 15, without zeros before it.
fn bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

fn write_bits(out: &mut Vec<u8>, name: &[u8], bits: u8) {
    out.extend_from_slice(name);
    if bits >= 10 {
        out.push(b'1');
    }
    out.push(b'0' + bits % 10);
}
