//! `uri-host [ ":" port ]`, the value of Host and the authority of an absolute target.
//!
//! RFC 3986 section 3.2 as RFC 9110 section 7.2 uses it: no userinfo. Narrower in two places, where
//! a wider reading has led servers and applications to disagree about the host: no comma, which
//! looks like a list, and no port above 65535.

use std::net::Ipv6Addr;

/// Whether `value` names a host, with an optional port.
pub(super) fn is_host(value: &[u8]) -> bool {
    if let [b'[', rest @ ..] = value {
        let Some(end) = rest.iter().position(|&octet| octet == b']') else {
            return false;
        };
        return is_ip_literal(&rest[..end]) && is_port(&rest[end + 1..]);
    }
    let (name, rest) = registered_name(value);
    name > 0 && is_port(rest)
}

/// Section 3.2.3: `":" *DIGIT`, here with its colon, or nothing.
fn is_port(text: &[u8]) -> bool {
    let [b':', digits @ ..] = text else {
        return text.is_empty();
    };
    let mut port: u32 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() || port > 0xffff {
            return false;
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    port <= 0xffff
}

/// Octets of a reg-name that stand for themselves: unreserved, and sub-delims without comma.
static NAME: [bool; 256] = name_table();

const fn name_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut octet: u8 = 0;
    while octet < 0x80 {
        table[octet as usize] = octet.is_ascii_alphanumeric()
            || matches!(octet, b'-' | b'.' | b'_' | b'~')
            || matches!(
                octet,
                b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
            );
        octet += 1;
    }
    table
}

/// Section 3.2.2, reg-name, which also covers IPv4 addresses: its length, and what follows it.
fn registered_name(value: &[u8]) -> (usize, &[u8]) {
    let mut rest = value;
    loop {
        let plain = rest
            .iter()
            .position(|&octet| !NAME[octet as usize])
            .unwrap_or(rest.len());
        rest = match &rest[plain..] {
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                tail
            }
            tail => return (value.len() - tail.len(), tail),
        };
    }
}

/// Section 3.2.2, what stands between brackets: an IPv6 address, or `v` for a version to come.
fn is_ip_literal(text: &[u8]) -> bool {
    match text {
        [b'v' | b'V', rest @ ..] => {
            let dot = rest
                .iter()
                .position(|&octet| octet == b'.')
                .unwrap_or(rest.len());
            let (version, address) = rest.split_at(dot);
            !version.is_empty()
                && version.iter().all(u8::is_ascii_hexdigit)
                && address.len() > 1
                && address.iter().all(|&octet| {
                    octet.is_ascii_alphanumeric() || b"-._~!$&'()*+;=:".contains(&octet)
                })
        }
        _ => std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_is_none() {
        for good in [
            "a",
            "a.b.c",
            "localhost:8000",
            "127.0.0.1",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:80",
            "a:",
            "under_score",
            "a%2db",
            "[v1.x:y]",
            "[::ffff:1.2.3.4]",
            "xn--bcher-kva.example",
            "00",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a/b",
            "u@h",
            "a,b",
            "bad host",
            "a:b",
            "a:65536",
            "a:80:80",
            "[::1",
            "[::1]x",
            "[]",
            "[g::]",
            "[fe80::1%25eth0]",
            "[v.x]",
            "[v1.]",
            "a%2",
            "a%zz",
            "a\"",
            "a\\b",
            "ü",
            "a\u{0}",
            "?",
            "a#b",
            "[v1.a b]",
            "a:+80",
            "a:99999999999999999999",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
