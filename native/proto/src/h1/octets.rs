//! Classes of octets (RFC 9110 section 5.6, RFC 9112 section 2.2), and searches by class.
//!
//! Searches look at eight octets at a time: arithmetic on a word flags each octet of a class by its
//! high bit. Carries run upwards, so with some classes only the lowest flag is to be trusted; that
//! is the one a search for the first octet wants.

/// For each octet that a token may have (RFC 9110 section 5.6.2) its lower case, else 0.
static TOKEN: [u8; 256] = token_table();

const fn token_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut octet: u8 = 0;
    while octet < 0x80 {
        if octet.is_ascii_alphanumeric()
            || matches!(
                octet,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            table[octet as usize] = octet.to_ascii_lowercase();
        }
        octet += 1;
    }
    table
}

/// The lower case of an octet of a token, 0 for any other octet.
#[inline]
pub(super) fn token_lower(octet: u8) -> u8 {
    TOKEN[octet as usize]
}

#[inline]
pub(crate) fn is_token_octet(octet: u8) -> bool {
    token_lower(octet) != 0
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&octet| is_token_octet(octet))
}

/// Optional whitespace, OWS.
#[inline]
pub(super) fn is_space(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// Octets of a field value (RFC 9110 section 5.5): visible ones, obs-text, SP and HTAB.
#[inline]
pub(super) fn is_value_octet(octet: u8) -> bool {
    (octet >= b' ' && octet != 0x7f) || octet == b'\t'
}

/// Without surrounding OWS.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes
        .iter()
        .position(|&octet| !is_space(octet))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|&octet| !is_space(octet))
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}

const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// Flags octets below `bound`, which is at most 0x80. The lowest flag is exact.
#[inline]
const fn below(word: u64, bound: u64) -> u64 {
    word.wrapping_sub(LOW * bound) & !word & HIGH
}

/// Flags octets equal to `octet`, which is ASCII; every flag is exact.
#[inline]
const fn equal(word: u64, octet: u64) -> u64 {
    let zero = word ^ (LOW * octet);
    !(((zero & !HIGH) + !HIGH) | zero) & HIGH
}

/// Flags octets below `bound` or above 0x7e. The lowest flag is exact.
#[inline]
const fn unusual(word: u64, bound: u64) -> u64 {
    (word.wrapping_sub(LOW * bound) | word.wrapping_add(LOW) | word) & HIGH
}

/// The place of the lowest flag, 8 without any.
#[inline]
const fn first(flags: u64) -> usize {
    (flags.trailing_zeros() / 8) as usize
}

/// The first control character, HTAB included.
#[inline]
pub(super) fn find_control(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut rest = bytes;
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        // obs-text is unusual, and no control character.
        if unusual(word, 0x20) != 0 {
            let flags = below(word, 0x20) | equal(word, 0x7f);
            if flags != 0 {
                return Some(at + first(flags));
            }
        }
        at += 8;
        rest = tail;
    }
    rest.iter()
        .position(|&octet| octet < 0x20 || octet == 0x7f)
        .map(|n| at + n)
}

/// The first octet that no request target may have (controls, space and what is not ASCII), or
/// that ends a part of one: `?` and `#`.
#[inline]
pub(super) fn find_target_break(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut rest = bytes;
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let flags = unusual(word, 0x21) | equal(word, 0x3f) | equal(word, 0x23);
        if flags != 0 {
            return Some(at + first(flags));
        }
        at += 8;
        rest = tail;
    }
    let hit = |&octet: &u8| !(0x21..0x7f).contains(&octet) || octet == b'?' || octet == b'#';
    rest.iter().position(hit).map(|n| at + n)
}

/// Puts the token at the start of `bytes` into lower case and gives its length. Most names are
/// letters and dashes, which eight octets at a time are told from others.
#[inline]
pub(super) fn lower_token(bytes: &mut [u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk_mut::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let folded = (word | (LOW * 0x20)) & !HIGH;
        let from_a = folded + LOW * (0x80 - 0x61);
        let past_z = folded + LOW * (0x80 - 0x7b);
        let letters = from_a & !past_z & !word & HIGH;
        let others = !(letters | equal(word, 0x2d)) & HIGH;
        // Bits below the lowest flag of an octet that is neither; all bits without one.
        let before = others.wrapping_sub(1) & !others;
        // The high bit of an upper case letter, moved to the bit that tells the cases apart.
        let upper = letters & !(word << 2) & before;
        *chunk = (word | (upper >> 2)).to_le_bytes();
        at += first(others);
        if others != 0 {
            break;
        }
    }
    while let Some(octet) = bytes.get_mut(at) {
        let lower = token_lower(*octet);
        if lower == 0 {
            break;
        }
        *octet = lower;
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_find_the_first_octet_of_their_class_wherever_it_stands() {
        for octet in 0..=255_u8 {
            for place in 0..20 {
                for second in [0_u8, 0x1f, 0x20, 0x22, 0x23, 0x3e, 0x3f, 0x7f, 0x80, b'a'] {
                    let mut bytes = [b'a'; 24];
                    bytes[place] = octet;
                    bytes[place + 1] = second;
                    let naive = |hit: fn(u8) -> bool| bytes.iter().position(|&b| hit(b));
                    assert_eq!(find_control(&bytes), naive(|b| b < 0x20 || b == 0x7f));
                    let stop = |b| b <= 0x20 || b >= 0x7f || b == b'?' || b == b'#';
                    assert_eq!(find_target_break(&bytes), naive(stop));
                }
            }
        }
    }

    #[test]
    fn names_are_put_into_lower_case_up_to_the_first_octet_that_no_token_has() {
        let octets = [
            b'A', b'z', b'-', b'Z', b'@', b'[', b'`', b'{', b',', b'.', b'_', b'1', b':', 0xe1,
            0xad, 0, b'M',
        ];
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let mut bytes = [0; 21];
            for byte in &mut bytes {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let pick = (state >> 16) as usize;
                *byte = match pick % 5 {
                    0 => octets[pick / 5 % octets.len()],
                    _ => b"ABXyz-"[pick % 6],
                };
            }
            let len = bytes
                .iter()
                .position(|&octet| !is_token_octet(octet))
                .unwrap_or(bytes.len());
            let mut expected = bytes;
            expected[..len].make_ascii_lowercase();
            let before = bytes;
            assert_eq!(lower_token(&mut bytes), len, "{before:?}");
            assert_eq!(bytes, expected, "{before:?}");
        }
    }

    #[test]
    fn tokens_are_what_rfc_9110_lists() {
        let listed =
            b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for octet in 0..=255_u8 {
            assert_eq!(is_token_octet(octet), listed.contains(&octet), "{octet:#x}");
        }
        assert_eq!(token_lower(b'Q'), b'q');
        assert_eq!(token_lower(b'-'), b'-');
    }

    #[test]
    fn trimming_takes_spaces_and_tabs_only() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t"), b"");
        assert_eq!(trim(b"\xa0a\x85"), b"\xa0a\x85");
    }
}
