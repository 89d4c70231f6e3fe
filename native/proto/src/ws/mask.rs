//! The mask of a client's payload (RFC 6455 section 5.3), taken off in place.
//!
//! A payload may come in pieces of any length. The mask is turned along with them, so that it always
//! begins with the octet that the next byte needs and no piece has to know its place.

/// The bit of each octet that no ASCII character has.
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// Unmasks the next piece of a payload, and says whether all of it is ASCII: most texts are, and need
/// not be looked at again.
pub(super) fn unmask(piece: &mut [u8], mask: &mut [u8; 4]) -> bool {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = piece.as_chunks_mut::<8>();
    let mut seen = 0;
    for word in words {
        let plain = u64::from_ne_bytes(*word) ^ wide;
        seen |= plain;
        *word = plain.to_ne_bytes();
    }
    let mut last = 0;
    for (octet, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *octet ^= key;
        last |= *octet;
    }
    mask.rotate_left(piece.len() % 4);
    seen & HIGH == 0 && last.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_unmasked_as_the_whole() {
        let masked: Vec<u8> = (0..=255).collect();
        let mask = [0x12, 0xff, 0, 0x80];
        let naive = |(at, octet): (usize, &u8)| octet ^ mask[at % 4];
        let plain: Vec<u8> = masked.iter().enumerate().map(naive).collect();
        for size in 1..=40 {
            for first in 0..=size {
                let (mut turned, mut bytes) = (mask, masked.clone());
                let (start, rest) = bytes.split_at_mut(first);
                unmask(start, &mut turned);
                for piece in rest.chunks_mut(size) {
                    unmask(piece, &mut turned);
                }
                assert_eq!(bytes, plain, "pieces of {size} after {first}");
            }
        }
    }

    #[test]
    fn one_octet_that_is_not_ascii_is_seen_wherever_it_stands() {
        let mask = [0x12, 0xff, 0, 0x80];
        for size in 0..40 {
            for at in 0..=size {
                let mut piece = vec![b'a'; size];
                if let Some(octet) = piece.get_mut(at) {
                    *octet = 0x80;
                }
                unmask(&mut piece, &mut { mask });
                assert_eq!(
                    unmask(&mut piece, &mut { mask }),
                    at == size,
                    "{at} of {size}"
                );
            }
        }
    }
}
