//! Request heads, cut anywhere, with httparse as the oracle.
//!
//! What we accept, httparse accepts and reads in the same way. What it accepts and we refuse is
//! refused for a reason of the list below: there we are stricter, and nowhere else.

#![no_main]

#[path = "../../proto/tests/support/mod.rs"]
mod support;

use ferricorn_proto::{Event, Fault, Field, Http1, Limits, RequestHead, Step, Version};
use libfuzzer_sys::fuzz_target;
use support::Random;

/// Where we are stricter than httparse, which looks at single lines and skips empty ones.
const STRICTER: &[Fault] = &[
    Fault::EmptyLines,
    Fault::BareLf,
    Fault::MethodTooLong,
    Fault::ConnectMethod,
    Fault::InvalidTarget,
    Fault::TargetForm,
    Fault::TargetScheme,
    Fault::TargetAuthority,
    Fault::RequestLineTooLong,
    Fault::HeadTooLarge,
    Fault::TooManyFields,
    Fault::MissingHost,
    Fault::DuplicateHost,
    Fault::InvalidHost,
    Fault::InvalidContentLength,
    Fault::ContentLengthTooLarge,
    Fault::DuplicateContentLength,
    Fault::InvalidTransferEncoding,
    Fault::UnsupportedTransferEncoding,
    Fault::DuplicateTransferEncoding,
    Fault::OldTransferEncoding,
    Fault::LengthAndEncoding,
];

#[derive(Debug, PartialEq)]
enum Outcome {
    Incomplete,
    Request {
        head: RequestHead,
        fields: Vec<Field>,
        consumed: usize,
        bytes: Vec<u8>,
    },
    Refuse,
    Fault(Fault),
}

/// Feeds `input`, of which `cut` says how much comes next.
fn parse(input: &[u8], mut cut: impl FnMut() -> usize) -> Outcome {
    let limits = Limits::default();
    let mut http = Http1::new();
    let mut fields = Vec::new();
    let mut bytes = Vec::new();
    let mut dropped = 0;
    let mut rest = input;
    while !rest.is_empty() {
        let (part, tail) = rest.split_at(cut().clamp(1, rest.len()));
        rest = tail;
        bytes.extend_from_slice(part);
        match http.handle_bytes(&mut bytes, &mut fields, &limits) {
            Err(fault) => return Outcome::Fault(fault),
            Ok(Step {
                consumed,
                event: None,
            }) => {
                bytes.drain(..consumed);
                dropped += consumed;
            }
            Ok(Step {
                consumed,
                event: Some(Event::Request(head)),
            }) => {
                return Outcome::Request {
                    head,
                    fields,
                    consumed: dropped + consumed,
                    bytes,
                };
            }
            Ok(Step {
                event: Some(Event::Refuse(_)),
                ..
            }) => return Outcome::Refuse,
            Ok(step) => panic!("{step:?} before a request"),
        }
    }
    Outcome::Incomplete
}

/// What does not depend on where the request lies.
fn told(outcome: &Outcome) -> (Vec<Vec<u8>>, String) {
    match outcome {
        Outcome::Request {
            head,
            fields,
            consumed,
            bytes,
        } => {
            let mut texts: Vec<_> = [head.method, head.path, head.query]
                .iter()
                .map(|span| span.of(bytes).to_vec())
                .collect();
            for field in fields {
                texts.extend([
                    field.name.of(bytes).to_vec(),
                    field.value.of(bytes).to_vec(),
                ]);
            }
            let facts = format!(
                "{consumed} {:?} {:?} {} {:?} {} {} {}",
                head.version,
                head.body,
                head.expect_continue,
                head.upgrade,
                head.keep_alive,
                head.trailers,
                head.forwarded
            );
            (texts, facts)
        }
        other => (Vec::new(), format!("{other:?}")),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((seed, input)) = data.split_first() else {
        return;
    };
    let whole = parse(input, || usize::MAX);
    assert_eq!(told(&parse(input, || 1)), told(&whole), "byte by byte");
    let mut random = Random::new((*seed).into());
    let mean = 1 + random.below(30);
    assert_eq!(
        told(&parse(input, || random.below(2 * mean))),
        told(&whole),
        "cut at random"
    );

    let mut headers = [httparse::EMPTY_HEADER; 200];
    let mut oracle = httparse::Request::new(&mut headers);
    let verdict = oracle.parse(input);
    match &whole {
        Outcome::Request {
            head,
            fields,
            consumed,
            bytes,
        } => {
            assert_eq!(verdict, Ok(httparse::Status::Complete(*consumed)));
            assert_eq!(oracle.method.unwrap().as_bytes(), head.method.of(bytes));
            assert_eq!(
                oracle.version,
                Some(u8::from(head.version == Version::Http11))
            );
            let path = oracle.path.unwrap().as_bytes();
            let absolute = path[0] != b'/' && path != b"*";
            if !absolute {
                let (start, query) = match path.iter().position(|&octet| octet == b'?') {
                    Some(at) => (&path[..at], &path[at + 1..]),
                    None => (path, &b""[..]),
                };
                assert_eq!((start, query), (head.path.of(bytes), head.query.of(bytes)));
            }
            assert_eq!(oracle.headers.len(), fields.len());
            for (header, field) in oracle.headers.iter().zip(fields) {
                assert_eq!(
                    header.name.to_ascii_lowercase().as_bytes(),
                    field.name.of(bytes)
                );
                let replaced = absolute && field.name.of(bytes) == b"host";
                assert!(replaced || header.value == field.value.of(bytes));
            }
        }
        Outcome::Incomplete => assert!(!matches!(verdict, Ok(httparse::Status::Complete(_)))),
        Outcome::Refuse => assert!(matches!(verdict, Ok(httparse::Status::Complete(_)))),
        Outcome::Fault(fault) => {
            let accepted = matches!(verdict, Ok(httparse::Status::Complete(_)));
            assert!(
                !accepted || STRICTER.contains(fault),
                "only we refuse: {fault:?}"
            );
        }
    }
});
