//! UTF-8 that arrives in pieces, refused at the first byte that cannot be part of it.
//!
//! What a piece leaves incomplete, at most three bytes of one character, is carried over. The
//! library says of an incomplete character whether it can still become one, so that a wrong second
//! byte is not waited out (RFC 6455 section 8.1 lets the connection fail at once).

/// The bytes are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// The state between two pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Utf8 {
    carried: [u8; 4],
    /// How many are carried: fewer than a character has.
    len: u8,
}

impl Utf8 {
    /// Looks at the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Invalid> {
        let mut rest = piece;
        while self.len > 0 {
            let Some((&octet, tail)) = rest.split_first() else {
                return Ok(());
            };
            rest = tail;
            self.carried[usize::from(self.len)] = octet;
            self.len += 1;
            match str::from_utf8(&self.carried[..usize::from(self.len)]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return Err(Invalid),
                Err(_) => {}
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(rest) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(Invalid);
        }
        for &octet in &rest[error.valid_up_to()..] {
            self.carried[usize::from(self.len)] = octet;
            self.len += 1;
        }
        Ok(())
    }

    /// The text may end here.
    pub(super) fn is_complete(self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pieces: &[&[u8]]) -> bool {
        let mut utf8 = Utf8::default();
        pieces.iter().all(|piece| utf8.push(piece).is_ok()) && utf8.is_complete()
    }

    #[test]
    fn every_cut_of_a_text_is_judged_as_the_whole() {
        let long = "aü€😀z".repeat(20);
        let samples: [&[u8]; 14] = [
            "aü€😀z".as_bytes(),
            long.as_bytes(),
            b"",
            b"\x80",
            b"ok\xff",
            b"\xc0\x80",
            b"\xe0\x9f\xbf",
            b"\xed\xa0\x80",
            b"\xf0\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"\xe2\x82",
            b"\xf0\x9f\x98",
            b"\xf0\x9f\x98a",
        ];
        for sample in samples {
            let valid = str::from_utf8(sample).is_ok();
            for first in 0..=sample.len() {
                for second in first..=sample.len() {
                    let pieces = [&sample[..first], &sample[first..second], &sample[second..]];
                    assert_eq!(verdict(&pieces), valid, "{sample:?} {first} {second}");
                }
            }
        }
    }

    /// Each prefix of up to four bytes is refused exactly if no text begins with it.
    #[test]
    fn the_first_byte_that_cannot_be_part_of_a_text_is_refused_at_once() {
        let octets = [
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0,
            0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff,
        ];
        // What may follow, as Unicode's table of well-formed sequences has it.
        let follows = |before: &[u8], octet: u8| match before {
            [] => matches!(octet, 0..=0x7f | 0xc2..=0xf4),
            [0xe0] => matches!(octet, 0xa0..=0xbf),
            [0xed] => matches!(octet, 0x80..=0x9f),
            [0xf0] => matches!(octet, 0x90..=0xbf),
            [0xf4] => matches!(octet, 0x80..=0x8f),
            _ => matches!(octet, 0x80..=0xbf),
        };
        let width = |first: u8| match first {
            0..=0x7f => 1,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
        for a in octets {
            for b in octets {
                for c in octets {
                    for d in octets {
                        let mut utf8 = Utf8::default();
                        let mut character = Vec::new();
                        for octet in [a, b, c, d] {
                            let good = follows(&character, octet);
                            let context = format!("{character:x?} {octet:#x}");
                            assert_eq!(utf8.push(&[octet]).is_ok(), good, "{context}");
                            if !good {
                                break;
                            }
                            character.push(octet);
                            if character.len() == width(character[0]) {
                                character.clear();
                            }
                            assert_eq!(utf8.is_complete(), character.is_empty(), "{context}");
                        }
                    }
                }
            }
        }
    }
}
