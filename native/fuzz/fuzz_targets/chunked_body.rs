//! Chunked bodies, cut anywhere, beside a reader that has the whole body and looks at whole lines.

#![no_main]

#[path = "../../proto/tests/support/mod.rs"]
mod support;

use ferricorn_proto::{Event, Fault, Http1, Limits};
use libfuzzer_sys::fuzz_target;
use support::Random;

#[derive(Debug, PartialEq)]
struct Outcome {
    data: Vec<u8>,
    /// Bytes up to the end of the message, if it is there.
    end: Option<usize>,
    fault: Option<Fault>,
}

fn decode(input: &[u8], mut cut: impl FnMut() -> usize) -> Outcome {
    let limits = Limits::default();
    let mut http = Http1::new();
    let mut head = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let len = head.len();
    assert_eq!(
        http.handle_bytes(&mut head, &mut Vec::new(), &limits)
            .unwrap()
            .consumed,
        len
    );
    let mut outcome = Outcome {
        data: Vec::new(),
        end: None,
        fault: None,
    };
    let mut at = 0;
    let mut seen = 0;
    let mut bytes = input.to_vec();
    while seen < input.len() && outcome.end.is_none() {
        seen = (seen + cut().max(1).min(input.len())).min(input.len());
        loop {
            let step = match http.handle_bytes(&mut bytes[at..seen], &mut Vec::new(), &limits) {
                Ok(step) => step,
                Err(fault) => {
                    outcome.fault = Some(fault);
                    return outcome;
                }
            };
            match step.event {
                Some(Event::Body { data, end }) => {
                    outcome.data.extend_from_slice(data.of(&bytes[at..seen]));
                    if end {
                        outcome.end = Some(at + step.consumed);
                    }
                }
                None => {}
                other => panic!("{other:?} in a body"),
            }
            at += step.consumed;
            if step.consumed == 0 || outcome.end.is_some() {
                break;
            }
        }
    }
    outcome
}

enum Read<T> {
    Done(T),
    /// More is needed to tell.
    Short,
    Wrong,
}

/// Takes a line, which ends in CRLF and has neither octet elsewhere.
fn line<'a>(rest: &mut &'a [u8]) -> Read<&'a [u8]> {
    let Some(end) = rest.iter().position(|&octet| octet == b'\n') else {
        return Read::Short;
    };
    let (text, tail) = (&rest[..end], &rest[end + 1..]);
    *rest = tail;
    match text.split_last() {
        Some((b'\r', text)) if !text.contains(&b'\r') => Read::Done(text),
        _ => Read::Wrong,
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet))
}

fn is_text(octet: u8) -> bool {
    octet == b'\t' || (octet >= 0x20 && octet != 0x7f)
}

fn extensions(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((&octet, tail)) = rest.split_first() {
        if octet != b';' {
            return false;
        }
        let name = tail
            .iter()
            .position(|octet| b"=;".contains(octet))
            .unwrap_or(tail.len());
        if !is_token(&tail[..name]) {
            return false;
        }
        rest = &tail[name..];
        let Some(value) = rest.strip_prefix(b"=") else {
            continue;
        };
        if let Some(quoted) = value.strip_prefix(b"\"") {
            let mut at = 0;
            loop {
                match quoted.get(at) {
                    Some(b'"') => break,
                    Some(b'\\') => at += 2,
                    Some(_) => at += 1,
                    None => return false,
                }
            }
            if !quoted[..at].iter().all(|&octet| is_text(octet)) {
                return false;
            }
            rest = &quoted[at + 1..];
        } else {
            let end = value
                .iter()
                .position(|&octet| octet == b';')
                .unwrap_or(value.len());
            if !is_token(&value[..end]) {
                return false;
            }
            rest = &value[end..];
        }
    }
    true
}

/// The data, and how many bytes the message has.
fn reference(input: &[u8]) -> Read<(Vec<u8>, usize)> {
    let mut rest = input;
    let mut data = Vec::new();
    loop {
        let text = match line(&mut rest) {
            Read::Done(text) => text,
            Read::Short => return Read::Short,
            Read::Wrong => return Read::Wrong,
        };
        let digits = text
            .iter()
            .position(|octet| !octet.is_ascii_hexdigit())
            .unwrap_or(text.len());
        let (size, extension) = text.split_at(digits);
        if size.is_empty() || size.len() > 16 || !extensions(extension) {
            return Read::Wrong;
        }
        let size = u64::from_str_radix(std::str::from_utf8(size).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        let Some(end) = usize::try_from(size)
            .ok()
            .and_then(|size| size.checked_add(2))
        else {
            return Read::Short;
        };
        if rest.len() < end {
            return Read::Short;
        }
        if &rest[end - 2..end] != b"\r\n" {
            return Read::Wrong;
        }
        data.extend_from_slice(&rest[..end - 2]);
        rest = &rest[end..];
    }
    loop {
        match line(&mut rest) {
            Read::Done(b"") => return Read::Done((data, input.len() - rest.len())),
            Read::Done(text) => {
                let Some(colon) = text.iter().position(|&octet| octet == b':') else {
                    return Read::Wrong;
                };
                let framing: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
                if framing
                    .iter()
                    .any(|name| text[..colon].eq_ignore_ascii_case(name))
                {
                    return Read::Wrong;
                }
                if !is_token(&text[..colon])
                    || !text[colon + 1..].iter().all(|&octet| is_text(octet))
                {
                    return Read::Wrong;
                }
            }
            Read::Short => return Read::Short,
            Read::Wrong => return Read::Wrong,
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((seed, input)) = input.split_first() else {
        return;
    };
    let whole = decode(input, || usize::MAX);
    assert_eq!(decode(input, || 1), whole, "byte by byte");
    let mut random = Random::new((*seed).into());
    let mean = 1 + random.below(30);
    assert_eq!(
        decode(input, || random.below(2 * mean)),
        whole,
        "cut at random"
    );
    let bound = [
        Fault::ChunkExtensionsTooLarge,
        Fault::TrailersTooLarge,
        Fault::TooManyTrailers,
    ];
    if whole.fault.is_some_and(|fault| bound.contains(&fault)) {
        return;
    }
    match reference(input) {
        Read::Done((data, end)) => {
            assert_eq!(
                whole,
                Outcome {
                    data,
                    end: Some(end),
                    fault: None
                }
            );
        }
        Read::Wrong => assert!(whole.fault.is_some() && whole.end.is_none(), "{whole:?}"),
        Read::Short => assert!(whole.end.is_none(), "{whole:?}"),
    }
});
