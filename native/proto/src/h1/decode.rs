//! Request bodies: fixed length, and the chunked coding (RFC 9112 section 7.1).
//!
//! A decoder takes bytes as they come and gives the data among them as one place in the input:
//! chunks are moved together where they lie, so that a million chunks of one byte cost one event.
//! It stops at the end of the message and before an octet that is at fault; a fault is told only
//! when no data comes before it in the same input, so that data never depends on segmentation.
//!
//! Stricter than the grammar in one place: no whitespace in the line of a chunk size. Section 7.1.1
//! has it parsed around extensions for senders that nobody knows; parsers that disagree about it
//! are how chunked bodies are used to smuggle requests.

use super::octets::{is_token_octet, is_value_octet, token_lower};
use crate::error::Fault;
use crate::event::{BodyLength, Span};
use crate::limits::Limits;

/// Where in a body the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a body of known length.
    Fixed,
    /// Before the first digit of a chunk size.
    Size,
    /// After a digit of a chunk size.
    Digits,
    /// After the `;` of an extension.
    Extension,
    ExtensionName,
    /// After the `=` of an extension.
    ExtensionValue,
    ExtensionToken,
    ExtensionQuoted,
    /// After a backslash in a quoted value.
    ExtensionEscape,
    /// After a quoted value.
    ExtensionEnd,
    /// After the CR that ends a chunk size.
    SizeLf,
    Data,
    /// After the last octet of a chunk.
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section.
    Trailer,
    TrailerName,
    TrailerValue,
    /// After the CR that ends a trailer field.
    TrailerLf,
    /// After the CR that ends the message.
    LastLf,
    Done,
}

/// The state of one body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder {
    /// Octets left of the body, or of the chunk; while a chunk size is read, that size.
    left: u64,
    /// Octets of chunk extensions so far.
    extensions: u32,
    /// Octets of the trailer section so far.
    trailer: u32,
    trailer_fields: u32,
    /// Digits of the chunk size so far.
    digits: u8,
    /// The trailer field's name so far.
    name: Name,
    place: Place,
}

/// What came of some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) consumed: usize,
    pub(super) data: Span,
    pub(super) end: bool,
}

/// Sixteen digits fill a u64.
const MAX_DIGITS: u8 = 16;

impl Decoder {
    pub(super) const fn new(body: BodyLength) -> Self {
        let (place, left) = match body {
            BodyLength::None => (Place::Done, 0),
            BodyLength::Fixed(left) => (Place::Fixed, left),
            BodyLength::Chunked => (Place::Size, 0),
        };
        Self {
            left,
            extensions: 0,
            trailer: 0,
            trailer_fields: 0,
            digits: 0,
            name: Name {
                len: 0,
                differs: [false; 2],
            },
            place,
        }
    }

    /// Octets that are certain to follow.
    pub(super) fn at_least(&self) -> u64 {
        match self.place {
            Place::Fixed | Place::Data => self.left,
            _ => 0,
        }
    }

    pub(super) fn decode(&mut self, input: &mut [u8], limits: &Limits) -> Result<Decoded, Fault> {
        if self.place == Place::Fixed {
            return Ok(self.fixed(input));
        }
        let (mut start, mut end) = (0, 0);
        let mut at = 0;
        while at < input.len() && self.place != Place::Done {
            if self.place == Place::Data {
                let n = self.take(input.len() - at);
                if start == end {
                    (start, end) = (at, at + n);
                } else {
                    input.copy_within(at..at + n, end);
                    end += n;
                }
                at += n;
                if self.left == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            match self.octet(input[at], limits) {
                Ok(place) => self.place = place,
                Err(_) if end > start => break,
                Err(fault) => return Err(fault),
            }
            at += 1;
        }
        Ok(Decoded {
            consumed: at,
            data: Span::new(start, end),
            end: self.place == Place::Done,
        })
    }

    fn fixed(&mut self, input: &[u8]) -> Decoded {
        let n = self.take(input.len());
        if self.left == 0 {
            self.place = Place::Done;
        }
        Decoded {
            consumed: n,
            data: Span::new(0, n),
            end: self.left == 0,
        }
    }

    /// Takes up to `available` octets off what is left.
    fn take(&mut self, available: usize) -> usize {
        let n = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(available);
        self.left -= n as u64;
        n
    }

    /// The place after `octet`. A fault leaves everything as it was.
    fn octet(&mut self, octet: u8, limits: &Limits) -> Result<Place, Fault> {
        match self.place {
            Place::Size => self.size(octet, Fault::InvalidChunkSize),
            Place::Digits => self.digits(octet, limits),
            Place::Extension
            | Place::ExtensionName
            | Place::ExtensionValue
            | Place::ExtensionToken
            | Place::ExtensionQuoted
            | Place::ExtensionEscape
            | Place::ExtensionEnd => self.extension(octet, limits),
            Place::SizeLf => self.size_lf(octet),
            Place::DataCr => expect(octet, b'\r', Place::DataLf, Fault::MissingChunkEnd),
            Place::DataLf => expect(octet, b'\n', Place::Size, Fault::MissingChunkEnd),
            Place::Trailer | Place::TrailerName | Place::TrailerValue => {
                self.trailer(octet, limits)
            }
            Place::TrailerLf => expect(octet, b'\n', Place::Trailer, Fault::BareCr),
            Place::LastLf => expect(octet, b'\n', Place::Done, Fault::BareCr),
            Place::Fixed | Place::Data | Place::Done => Ok(self.place),
        }
    }

    /// chunk-size = 1*HEXDIG, here of no more digits than fit.
    fn size(&mut self, octet: u8, fault: Fault) -> Result<Place, Fault> {
        // Not char::to_digit: the octet is no character.
        let digit = match octet {
            b'0'..=b'9' => octet - b'0',
            b'a'..=b'f' => octet - b'a' + 10,
            b'A'..=b'F' => octet - b'A' + 10,
            _ => return Err(fault),
        };
        if self.digits == MAX_DIGITS {
            return Err(Fault::ChunkTooLarge);
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(Place::Digits)
    }

    fn digits(&mut self, octet: u8, limits: &Limits) -> Result<Place, Fault> {
        match octet {
            b'\r' => Ok(Place::SizeLf),
            b';' => self.count_extension(Place::Extension, limits),
            b'\n' => Err(Fault::BareLf),
            _ => self.size(octet, Fault::InvalidChunkSize),
        }
    }

    fn size_lf(&mut self, octet: u8) -> Result<Place, Fault> {
        let next = if self.left == 0 {
            Place::Trailer
        } else {
            Place::Data
        };
        let place = expect(octet, b'\n', next, Fault::BareCr)?;
        self.digits = 0;
        Ok(place)
    }

    /// Section 7.1.1: *( ";" name [ "=" ( token / quoted-string ) ] ), recognised and ignored.
    fn extension(&mut self, octet: u8, limits: &Limits) -> Result<Place, Fault> {
        let token = is_token_octet(octet);
        let place = match (self.place, octet) {
            (Place::ExtensionName | Place::ExtensionToken | Place::ExtensionEnd, b'\r') => {
                return Ok(Place::SizeLf);
            }
            (Place::ExtensionName | Place::ExtensionToken | Place::ExtensionEnd, b';') => {
                Place::Extension
            }
            (Place::ExtensionName, b'=') => Place::ExtensionValue,
            (Place::Extension | Place::ExtensionName, _) if token => Place::ExtensionName,
            (Place::ExtensionValue, b'"') => Place::ExtensionQuoted,
            (Place::ExtensionValue | Place::ExtensionToken, _) if token => Place::ExtensionToken,
            // RFC 9110 section 5.6.4.
            (Place::ExtensionQuoted, b'"') => Place::ExtensionEnd,
            (Place::ExtensionQuoted, b'\\') => Place::ExtensionEscape,
            (Place::ExtensionQuoted | Place::ExtensionEscape, _) if is_value_octet(octet) => {
                Place::ExtensionQuoted
            }
            (_, b'\n') => return Err(Fault::BareLf),
            _ => return Err(Fault::InvalidChunkExtension),
        };
        self.count_extension(place, limits)
    }

    fn count_extension(&mut self, place: Place, limits: &Limits) -> Result<Place, Fault> {
        if self.extensions == limits.chunk_ext_bytes {
            return Err(Fault::ChunkExtensionsTooLarge);
        }
        self.extensions += 1;
        Ok(place)
    }

    /// Section 7.1.2: trailer fields are checked like header fields and dropped: none may be merged
    /// that routes or authenticates (RFC 9110 section 6.5.1), and no interface above hands them to an
    /// application. One that frames is refused: there are parsers that act on it.
    fn trailer(&mut self, octet: u8, limits: &Limits) -> Result<Place, Fault> {
        let place = match (self.place, octet) {
            (Place::Trailer, b'\r') => return Ok(Place::LastLf),
            (Place::Trailer, b' ' | b'\t') => return Err(Fault::FoldedField),
            (Place::TrailerName, b':') if self.name.frames() => return Err(Fault::FramingTrailer),
            (Place::TrailerName, b':') => Place::TrailerValue,
            (Place::TrailerName, b' ' | b'\t') => return Err(Fault::SpaceBeforeColon),
            (Place::TrailerName, b'\r') => return Err(Fault::MissingColon),
            (Place::Trailer | Place::TrailerName, _) if is_token_octet(octet) => Place::TrailerName,
            (Place::TrailerValue, b'\r') => Place::TrailerLf,
            (Place::TrailerValue, _) if is_value_octet(octet) => Place::TrailerValue,
            (_, b'\n') => return Err(Fault::BareLf),
            (Place::TrailerValue, _) => return Err(Fault::InvalidFieldValue),
            _ => return Err(Fault::InvalidFieldName),
        };
        if self.trailer == limits.trailer_bytes {
            return Err(Fault::TrailersTooLarge);
        }
        if self.place == Place::Trailer {
            if self.trailer_fields == limits.trailer_fields {
                return Err(Fault::TooManyTrailers);
            }
            self.trailer_fields += 1;
            self.name = Name::default();
        }
        if place == Place::TrailerName {
            self.name.push(octet);
        }
        self.trailer += 1;
        Ok(place)
    }
}

/// The name of a trailer as far as it goes: whether it spells that of a field that frames.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    len: u8,
    /// It began otherwise than the field of this number in [`FRAMING`].
    differs: [bool; 2],
}

const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];

impl Name {
    fn push(&mut self, octet: u8) {
        for (framing, differs) in FRAMING.iter().zip(&mut self.differs) {
            *differs |= framing.get(usize::from(self.len)) != Some(&token_lower(octet));
        }
        self.len = self.len.saturating_add(1);
    }

    fn frames(self) -> bool {
        let spelt =
            |(framing, differs): (&&[u8], bool)| !differs && framing.len() == usize::from(self.len);
        FRAMING.iter().zip(self.differs).any(spelt)
    }
}

fn expect(octet: u8, wanted: u8, place: Place, fault: Fault) -> Result<Place, Fault> {
    if octet == wanted {
        Ok(place)
    } else {
        Err(fault)
    }
}
