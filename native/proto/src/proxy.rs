//! The header of the PROXY protocol, which a proxy sends before anything else to say whose
//! connection it passes on. The sections are those of haproxy's `proxy-protocol.txt`.
//!
//! Version 1 is a line of text, version 2 is binary; the first octet tells them apart. The header is
//! looked at from its start whenever more of it has arrived: it is short, comes once, and as a rule
//! in one piece. What cannot become a header is refused with its first wrong octet, and what is
//! refused depends on the bytes only and not on how they were cut. Who may send a header at all is
//! not known here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::Fault;
use crate::event::Span;
use crate::limits;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header: HTTP begins behind them.
    pub consumed: usize,
    pub told: Told,
}

/// What the header says of the connection's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The connection is the proxy's own, or it does not know whose: the real ends count.
    Nothing,
    Inet {
        source: SocketAddr,
        destination: SocketAddr,
    },
    /// Unix sockets. Their names are places in the input, and empty where there is none.
    Unix { source: Span, destination: Span },
}

/// Section 2.2: the octets that a binary header begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Section 2.1: the octets that a line begins with.
const WORD: &[u8] = b"PROXY ";
/// The fixed part of a binary header: signature, command, family, length.
const FIXED: usize = 16;
/// Families that are served, each with streams; of the first nothing is known.
const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const STREAM: u8 = 0x31;
/// Octets of a Unix socket's name.
const NAME: usize = 108;
/// The type of the extension that holds a checksum.
const CRC32C: u8 = 0x03;

/// Parses the header at the start of `input`; `None`: more of it has to come.
///
/// # Errors
/// If the input can become no header that is served, or is longer than one may be.
pub fn parse(input: &[u8]) -> Result<Option<Header>, Fault> {
    let may_be = |start: &[u8]| input.iter().zip(start).all(|(a, b)| a == b);
    if may_be(SIGNATURE) {
        binary(input)
    } else if may_be(WORD) {
        line(input)
    } else {
        Err(Fault::ProxyMissing)
    }
}

fn line(input: &[u8]) -> Result<Option<Header>, Fault> {
    let line = &input[..input.len().min(limits::PROXY_LINE)];
    let full = line.len() == limits::PROXY_LINE;
    let Some(end) = memchr::memchr2(b'\r', b'\n', line) else {
        return if full {
            Err(Fault::ProxyTooLong)
        } else {
            Ok(None)
        };
    };
    match line[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if full => return Err(Fault::ProxyTooLong),
        [b'\r'] => return Ok(None),
        _ => return Err(Fault::ProxyLine),
    }
    let text = line.get(WORD.len()..end).ok_or(Fault::ProxyLine)?;
    Ok(Some(Header {
        consumed: end + 2,
        told: words(text)?,
    }))
}

/// What follows `PROXY ` in a line.
fn words(text: &[u8]) -> Result<Told, Fault> {
    let mut words = text.split(|&octet| octet == b' ');
    let address: fn(&[u8]) -> Option<IpAddr> = match words.next() {
        Some(b"TCP4") => |text| parsed::<Ipv4Addr>(text).map(IpAddr::V4),
        Some(b"TCP6") => |text| parsed::<Ipv6Addr>(text).map(IpAddr::V6),
        // Whatever comes before the end of the line is to be ignored.
        Some(b"UNKNOWN") => return Ok(Told::Nothing),
        _ => return Err(Fault::ProxyLine),
    };
    let mut next = || words.next().ok_or(Fault::ProxyLine);
    let (from, to, from_port, to_port) = (next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err(Fault::ProxyLine);
    }
    let end = |host: &[u8], number: &[u8]| Some(SocketAddr::new(address(host)?, port(number)?));
    match (end(from, from_port), end(to, to_port)) {
        (Some(source), Some(destination)) => Ok(Told::Inet {
            source,
            destination,
        }),
        _ => Err(Fault::ProxyAddress),
    }
}

fn parsed<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// A number without a sign or zeros in front, which would make it octal to others.
fn port(text: &[u8]) -> Option<u16> {
    let plain = text.iter().all(u8::is_ascii_digit) && (text == b"0" || !text.starts_with(b"0"));
    plain.then(|| parsed(text)).flatten()
}

fn binary(input: &[u8]) -> Result<Option<Header>, Fault> {
    let Some(&command) = input.get(12) else {
        return Ok(None);
    };
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Fault::ProxyCommand),
    };
    let Some(&family) = input.get(13) else {
        return Ok(None);
    };
    // Of a connection of the proxy's own, the rest says nothing.
    let family = if local { UNSPEC } else { family };
    let addresses = match family {
        UNSPEC => 0,
        TCP4 => 2 * 4 + 4,
        TCP6 => 2 * 16 + 4,
        STREAM => 2 * NAME,
        // Datagrams among others, in which there is no HTTP.
        _ => return Err(Fault::ProxyFamily),
    };
    let Some(&[high, low]) = input.get(14..FIXED) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > limits::PROXY_BLOCK {
        return Err(Fault::ProxyTooLong);
    }
    if length < addresses {
        return Err(Fault::ProxyTooShort);
    }
    let Some(header) = input.get(..FIXED + length) else {
        return Ok(None);
    };
    if family != UNSPEC {
        extensions(header, FIXED + addresses)?;
    }
    let block = &header[FIXED..];
    let told = match family {
        TCP4 => Told::Inet {
            source: end::<4>(block, 0, 8),
            destination: end::<4>(block, 4, 10),
        },
        TCP6 => Told::Inet {
            source: end::<16>(block, 0, 32),
            destination: end::<16>(block, 16, 34),
        },
        STREAM => Told::Unix {
            source: name(header, FIXED),
            destination: name(header, FIXED + NAME),
        },
        _ => Told::Nothing,
    };
    Ok(Some(Header {
        consumed: header.len(),
        told,
    }))
}

/// The end whose address of `N` octets and whose port stand at these places of the block.
fn end<const N: usize>(block: &[u8], address: usize, port: usize) -> SocketAddr
where
    [u8; N]: Into<IpAddr>,
{
    let mut octets = [0; N];
    octets.copy_from_slice(&block[address..address + N]);
    SocketAddr::new(
        octets.into(),
        u16::from_be_bytes([block[port], block[port + 1]]),
    )
}

/// The name of a Unix socket, up to its first zero.
fn name(header: &[u8], start: usize) -> Span {
    let octets = &header[start..start + NAME];
    let length = memchr::memchr(0, octets).unwrap_or(NAME);
    Span::new(start, start + length)
}

/// Section 2.2.1: type, length and value each, up to the header's end. They are skipped but for the
/// checksum, which whoever knows it must verify.
fn extensions(header: &[u8], start: usize) -> Result<(), Fault> {
    let mut checked = false;
    let mut at = start;
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + 3) else {
            return Err(Fault::ProxyExtension);
        };
        let place = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let value = header.get(place.clone()).ok_or(Fault::ProxyExtension)?;
        if kind == CRC32C {
            // More than one would have each of them cost a look at the whole header.
            if checked || value.len() != 4 {
                return Err(Fault::ProxyExtension);
            }
            checked = true;
            let blank = |(index, &octet)| if place.contains(&index) { 0 } else { octet };
            if crc32c(header.iter().enumerate().map(blank)).to_be_bytes() != value {
                return Err(Fault::ProxyChecksum);
            }
        }
        at = place.end;
    }
    Ok(())
}

/// The checksum of RFC 4960 appendix B, octet by octet: it is for one short header of a connection.
fn crc32c(octets: impl Iterator<Item = u8>) -> u32 {
    let shift = |sum: u32| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
    !octets.fold(!0, |sum, octet| {
        (0..8).fold(sum ^ u32::from(octet), |sum, _| shift(sum))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader who has got `input` in these pieces comes to, and how much had come by then.
    fn fed(input: &[u8], mut cut: impl FnMut() -> usize) -> (Result<Option<Header>, Fault>, usize) {
        let mut seen = 0;
        while seen < input.len() {
            seen += cut().clamp(1, input.len() - seen);
            let outcome = parse(&input[..seen]);
            if outcome != Ok(None) {
                return (outcome, seen);
            }
        }
        (Ok(None), seen)
    }

    /// The outcome, which must not depend on how the input is cut or on what follows.
    fn check(input: &[u8]) -> Result<Option<Header>, Fault> {
        let whole = fed(input, || usize::MAX).0;
        let (bytewise, seen) = fed(input, || 1);
        assert_eq!(bytewise, whole, "byte by byte: {input:?}");
        if let Ok(Some(header)) = whole {
            assert_eq!(header.consumed, seen, "nothing behind it is waited for");
        }
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..50 {
            let random = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                usize::try_from(state >> 59).unwrap()
            };
            assert_eq!(fed(input, random).0, whole, "cut at random: {input:?}");
        }
        if whole != Ok(None) {
            let more = [input, b"GET / HTTP/1.1\r\n".repeat(500).as_slice()].concat();
            assert_eq!(parse(&more), whole, "with more behind it: {input:?}");
        }
        whole
    }

    fn told(input: &[u8]) -> Told {
        let header = check(input).unwrap().expect("a whole header");
        assert_eq!(header.consumed, input.len());
        header.told
    }

    fn inet(source: &str, destination: &str) -> Told {
        Told::Inet {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    fn block(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    }

    const V4: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 0x12, 0x34, 0, 80];

    fn with_extensions(extensions: &[u8]) -> Vec<u8> {
        block(0x21, TCP4, &[V4, extensions].concat())
    }

    #[test]
    fn lines() {
        for (line, wanted) in [
            (
                "TCP4 1.2.3.4 255.255.255.255 0 65535",
                inet("1.2.3.4:0", "255.255.255.255:65535"),
            ),
            (
                "TCP6 2001:db8::1 ::1 4000 80",
                inet("[2001:db8::1]:4000", "[::1]:80"),
            ),
            (
                "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::ffff:1.2.3.4 65535 65535",
                inet(
                    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                    "[::ffff:1.2.3.4]:65535",
                ),
            ),
            ("UNKNOWN", Told::Nothing),
            ("UNKNOWN ", Told::Nothing),
            ("UNKNOWN 1.2.3.4 \0 \u{ff}  what ever", Told::Nothing),
        ] {
            assert_eq!(told(format!("PROXY {line}\r\n").as_bytes()), wanted);
        }
    }

    #[test]
    fn lines_that_are_malformed() {
        for text in [
            "TCP4 1.2.3.4 5.6.7.8 1 2 ",
            "TCP4 1.2.3.4 5.6.7.8 1 2 3",
            "TCP4  1.2.3.4 5.6.7.8 1 2",
            "TCP4 1.2.3.4 5.6.7.8 1",
            "TCP4\t1.2.3.4 5.6.7.8 1 2",
            "TCP4",
            "",
            " TCP4 1.2.3.4 5.6.7.8 1 2",
            "tcp4 1.2.3.4 5.6.7.8 1 2",
            "UDP4 1.2.3.4 5.6.7.8 1 2",
            "TCP5 1.2.3.4 5.6.7.8 1 2",
            "UNKNOWNS",
            "unknown",
        ] {
            let line = format!("PROXY {text}\r\n");
            assert_eq!(check(line.as_bytes()), Err(Fault::ProxyLine), "{text}");
        }
        for end in ["\n", "\r\r\n", "\rx"] {
            for text in ["TCP4 1.2.3.4 5.6.7.8 1 2", "UNKNOWN", "UNKNOWN a"] {
                let line = format!("PROXY {text}{end}");
                assert_eq!(check(line.as_bytes()), Err(Fault::ProxyLine), "{line:?}");
            }
        }
    }

    #[test]
    fn addresses_and_ports_that_are_none() {
        for text in [
            "TCP4 01.2.3.4 5.6.7.8 1 2",
            "TCP4 1.2.3 5.6.7.8 1 2",
            "TCP4 1.2.3.256 5.6.7.8 1 2",
            "TCP4 1.2.3.4.5 5.6.7.8 1 2",
            "TCP4 0x1.2.3.4 5.6.7.8 1 2",
            "TCP4 ::1 5.6.7.8 1 2",
            "TCP4 1.2.3.4 ::1 1 2",
            "TCP4 host 5.6.7.8 1 2",
            "TCP6 1.2.3.4 ::1 1 2",
            "TCP6 ::1 1:2:3:4:5:6:7 1 2",
            "TCP6 ::1 1::2::3 1 2",
            "TCP6 ::1 12345:: 1 2",
            "TCP6 ::1 [::2] 1 2",
            "TCP6 fe80::1%eth0 ::2 1 2",
            "TCP6 ::1 ::\u{ff} 1 2",
            "TCP4 1.2.3.4 5.6.7.8 01 2",
            "TCP4 1.2.3.4 5.6.7.8 00 2",
            "TCP4 1.2.3.4 5.6.7.8 +1 2",
            "TCP4 1.2.3.4 5.6.7.8 -1 2",
            "TCP4 1.2.3.4 5.6.7.8 1 65536",
            "TCP4 1.2.3.4 5.6.7.8 1 0x10",
            "TCP4 1.2.3.4 5.6.7.8  2",
            "TCP4 1.2.3.4 5.6.7.8 1 ",
        ] {
            let line = format!("PROXY {text}\r\n");
            assert_eq!(check(line.as_bytes()), Err(Fault::ProxyAddress), "{text}");
        }
    }

    #[test]
    fn a_line_has_at_most_107_bytes() {
        let filled = |length: usize, end: &str| {
            let start = "PROXY UNKNOWN ";
            format!(
                "{start}{}{end}",
                "x".repeat(length - start.len() - end.len())
            )
        };
        assert_eq!(told(filled(107, "\r\n").as_bytes()), Told::Nothing);
        for line in [filled(108, "\r\n"), filled(109, "\r\n"), filled(107, "")] {
            assert_eq!(check(line.as_bytes()), Err(Fault::ProxyTooLong), "{line}");
        }
        assert_eq!(check(filled(106, "").as_bytes()), Ok(None));
        assert_eq!(check(filled(106, "\r").as_bytes()), Ok(None));
    }

    #[test]
    fn what_begins_otherwise_is_refused_with_its_first_wrong_octet() {
        for start in [WORD, SIGNATURE] {
            for length in 0..start.len() {
                assert_eq!(check(&start[..length]), Ok(None));
                let wrong = [&start[..length], b"!"].concat();
                assert_eq!(check(&wrong), Err(Fault::ProxyMissing), "{wrong:?}");
            }
        }
        assert_eq!(check(b"GET / HTTP/1.1\r\n"), Err(Fault::ProxyMissing));
        assert_eq!(check(b"proxy"), Err(Fault::ProxyMissing));
        assert_eq!(check(b"PROXY\r\n"), Err(Fault::ProxyMissing));
    }

    #[test]
    fn binary_headers() {
        let wanted = inet("1.2.3.4:4660", "5.6.7.8:80");
        assert_eq!(told(&block(0x21, TCP4, V4)), wanted);
        let six: Vec<u8> = (1..=32).chain([0xff, 0xff, 0, 0]).collect();
        assert_eq!(
            told(&block(0x21, TCP6, &six)),
            inet(
                "[102:304:506:708:90a:b0c:d0e:f10]:65535",
                "[1112:1314:1516:1718:191a:1b1c:1d1e:1f20]:0"
            )
        );
        let mut names = [b'y'; 216];
        names[..4].copy_from_slice(b"/x\0z");
        assert_eq!(
            told(&block(0x21, STREAM, &names)),
            Told::Unix {
                source: Span { start: 16, end: 18 },
                destination: Span {
                    start: 124,
                    end: 232
                }
            }
        );
        // A whole header of each kind is incomplete at each octet but the last.
        for header in [block(0x21, TCP4, V4), block(0x20, 0, b"")] {
            for length in 0..header.len() {
                assert_eq!(check(&header[..length]), Ok(None));
            }
        }
    }

    #[test]
    fn who_speaks_for_nobody_says_nothing() {
        for header in [
            block(0x20, 0x00, b""),
            block(0x20, TCP4, V4),
            block(0x20, TCP4, b"short"),
            block(0x20, 0xff, &[0; 4096]),
            block(0x21, 0x00, b""),
            block(0x21, 0x00, b"whatever"),
        ] {
            assert_eq!(told(&header), Told::Nothing);
        }
    }

    #[test]
    fn binary_headers_that_are_malformed() {
        for command in [0x00, 0x01, 0x11, 0x22, 0x2f, 0x31, 0xff] {
            let header = block(command, TCP4, V4);
            assert_eq!(check(&header), Err(Fault::ProxyCommand));
            assert_eq!(check(&header[..13]), Err(Fault::ProxyCommand));
        }
        for family in [0x01, 0x02, 0x10, 0x12, 0x13, 0x22, 0x32, 0x41, 0xff] {
            let header = block(0x21, family, &[0; 216]);
            assert_eq!(check(&header), Err(Fault::ProxyFamily));
            assert_eq!(check(&header[..14]), Err(Fault::ProxyFamily));
        }
        for (family, short) in [(TCP4, 11), (TCP6, 35), (STREAM, 215), (TCP4, 0)] {
            let header = block(0x21, family, &vec![0; short]);
            assert_eq!(check(&header), Err(Fault::ProxyTooShort));
            assert_eq!(check(&header[..FIXED]), Err(Fault::ProxyTooShort));
        }
        for command in [0x20, 0x21] {
            let header = block(command, 0, &[0; limits::PROXY_BLOCK + 1]);
            assert_eq!(check(&header[..FIXED]), Err(Fault::ProxyTooLong));
        }
    }

    #[test]
    fn extensions_are_skipped_if_they_fill_the_header() {
        let wanted = inet("1.2.3.4:4660", "5.6.7.8:80");
        for some in [
            &[4, 0, 0][..],
            &[2, 0, 1, b'h', 0xff, 0, 2, 0, 0],
            &[4; 0],
            &[[1, 0x0f, 0xf1].as_slice(), &[0; 4081]].concat(),
        ] {
            assert_eq!(told(&with_extensions(some)), wanted, "{some:?}");
        }
        for some in [
            &[4][..],
            &[4, 0],
            &[4, 0, 1],
            &[4, 0, 0, 0],
            &[4, 0xff, 0xff, 0],
        ] {
            let header = with_extensions(some);
            assert_eq!(check(&header), Err(Fault::ProxyExtension), "{some:?}");
        }
    }

    #[test]
    fn the_checksum_is_verified() {
        // The check value of CRC-32C.
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
        let blank = with_extensions(&[4, 0, 0, CRC32C, 0, 4, 0, 0, 0, 0, 5, 0, 1, 9]);
        let mut header = blank.clone();
        let at = header.len() - 8;
        header[at..at + 4].copy_from_slice(&crc32c(blank.iter().copied()).to_be_bytes());
        assert_eq!(told(&header), inet("1.2.3.4:4660", "5.6.7.8:80"));
        for wrong in [16, at, header.len() - 1] {
            let mut header = header.clone();
            header[wrong] ^= 1;
            assert_eq!(check(&header), Err(Fault::ProxyChecksum));
        }
        let long = with_extensions(&[CRC32C, 0, 5, 0, 0, 0, 0, 0]);
        assert_eq!(check(&long), Err(Fault::ProxyExtension));
    }

    #[test]
    fn a_second_checksum_is_not_computed() {
        let some = [CRC32C, 0, 4, 0, 0, 0, 0, CRC32C, 0, 4, 0, 0, 0, 0];
        let blank = with_extensions(&some);
        let mut header = blank.clone();
        let sum = crc32c(blank.iter().copied()).to_be_bytes();
        let at = header.len() - some.len() + 3;
        header[at..at + 4].copy_from_slice(&sum);
        assert_eq!(check(&header), Err(Fault::ProxyExtension));
    }
}
