//! Headers of the PROXY protocol, cut anywhere, beside a reader of lines that has the whole of them
//! and takes addresses apart by itself.

#![no_main]

#[path = "../../proto/tests/support/mod.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ferricorn_proto::Fault;
use ferricorn_proto::proxy::{Header, Told, parse};
use libfuzzer_sys::fuzz_target;
use support::Random;

fn fed(input: &[u8], mut cut: impl FnMut() -> usize) -> Result<Option<Header>, Fault> {
    let mut seen = 0;
    while seen < input.len() {
        seen += cut().clamp(1, input.len() - seen);
        let outcome = parse(&input[..seen]);
        if outcome != Ok(None) {
            return outcome;
        }
    }
    Ok(None)
}

enum Line {
    Short,
    Wrong,
    Whole(usize, Option<(SocketAddr, SocketAddr)>),
}

fn reference(input: &[u8]) -> Line {
    let Some(feed) = input.iter().position(|&octet| octet == b'\n') else {
        let cut_off = input.iter().position(|&octet| octet == b'\r');
        let over = cut_off.is_some_and(|at| at + 1 < input.len());
        return if over || input.len() >= 107 {
            Line::Wrong
        } else {
            Line::Short
        };
    };
    let Some(text) = input[..=feed].strip_suffix(b"\r\n") else {
        return Line::Wrong;
    };
    if feed >= 107 || text.contains(&b'\r') {
        return Line::Wrong;
    }
    // Only what is ignored may be other than ASCII.
    let text: String = text.iter().copied().map(char::from).collect();
    let words: Vec<&str> = text.split(' ').collect();
    let number = |text: &str| {
        let value: u16 = text.parse().ok()?;
        (value.to_string() == text).then_some(value)
    };
    let read = |address: fn(&str) -> Option<IpAddr>| {
        let [_, _, source, destination, from, to] = words[..] else {
            return None;
        };
        let source = SocketAddr::new(address(source)?, number(from)?);
        let destination = SocketAddr::new(address(destination)?, number(to)?);
        Some((source, destination))
    };
    let both = match words[..] {
        ["PROXY", "UNKNOWN", ..] => return Line::Whole(feed + 1, None),
        ["PROXY", "TCP4", ..] => read(v4),
        ["PROXY", "TCP6", ..] => read(v6),
        _ => None,
    };
    both.map_or(Line::Wrong, |both| Line::Whole(feed + 1, Some(both)))
}

fn octets(text: &str) -> Option<[u8; 4]> {
    let mut octets = Vec::new();
    for part in text.split('.') {
        let value: u8 = part.parse().ok()?;
        if value.to_string() != part {
            return None;
        }
        octets.push(value);
    }
    octets.try_into().ok()
}

fn v4(text: &str) -> Option<IpAddr> {
    Some(Ipv4Addr::from(octets(text)?).into())
}

/// The groups on one side of `::`; the last may be an address of IPv4, where `tail` says so.
fn groups(text: &str, tail: bool) -> Option<Vec<u16>> {
    let mut groups = Vec::new();
    if text.is_empty() {
        return Some(groups);
    }
    let parts: Vec<&str> = text.split(':').collect();
    for (index, part) in parts.iter().enumerate() {
        if tail && index + 1 == parts.len() && part.contains('.') {
            let [a, b, c, d] = octets(part)?;
            groups.extend([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
        } else {
            let digits = part.bytes().all(|octet| octet.is_ascii_hexdigit());
            if !digits || !(1..=4).contains(&part.len()) {
                return None;
            }
            groups.push(u16::from_str_radix(part, 16).ok()?);
        }
    }
    Some(groups)
}

fn v6(text: &str) -> Option<IpAddr> {
    let all = match text.split_once("::") {
        None => groups(text, true)?,
        Some((left, right)) => {
            let (left, right) = (groups(left, false)?, groups(right, true)?);
            let zeros = 8_usize.checked_sub(left.len() + right.len())?;
            if zeros == 0 {
                return None;
            }
            [left, vec![0; zeros], right].concat()
        }
    };
    let all: [u16; 8] = all.try_into().ok()?;
    Some(Ipv6Addr::from(all).into())
}

fuzz_target!(|data: &[u8]| {
    let Some((seed, input)) = data.split_first() else {
        return;
    };
    let whole = fed(input, || usize::MAX);
    assert_eq!(fed(input, || 1), whole, "byte by byte");
    let mut random = Random::new((*seed).into());
    let mean = 1 + random.below(30);
    assert_eq!(fed(input, || random.below(2 * mean)), whole, "at random");

    if let Ok(Some(header)) = whole {
        assert!(header.consumed <= input.len());
        assert_eq!(
            parse(&input[..header.consumed]),
            whole,
            "nothing behind it counts"
        );
        assert_eq!(parse(&input[..header.consumed - 1]), Ok(None));
        if let Told::Unix {
            source,
            destination,
        } = header.told
        {
            assert!([source, destination].iter().all(|name| name.len() <= 108));
            assert!(!destination.of(input).contains(&0));
        }
    }
    let Some(rest) = input.strip_prefix(b"PROXY ") else {
        return;
    };
    match reference(input) {
        Line::Short => assert_eq!(whole, Ok(None), "{rest:?}"),
        Line::Wrong => assert!(whole.is_err(), "{rest:?}"),
        Line::Whole(consumed, both) => {
            let told = both.map_or(Told::Nothing, |(source, destination)| Told::Inet {
                source,
                destination,
            });
            assert_eq!(whole, Ok(Some(Header { consumed, told })));
        }
    }
});
