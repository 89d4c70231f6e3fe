//! What an application may say, and what the client sees of it.

mod support;

use ferricorn_proto::{Eof, Event, Fault, Http1, Limits, Misuse, Preset, Verb};
use support::write_part;

/// A connection on which `request` has arrived, whole.
fn after(request: &[u8]) -> Http1 {
    let mut http = Http1::new();
    feed(&mut http, request);
    assert!(!http.is_idle());
    http
}

fn feed(http: &mut Http1, input: &[u8]) -> usize {
    let mut input = input.to_vec();
    let mut used = 0;
    let mut fields = Vec::new();
    loop {
        let step = http
            .handle_bytes(&mut input[used..], &mut fields, &Limits::default())
            .unwrap();
        used += step.consumed;
        if step.consumed == 0 && step.event.is_none() || used == input.len() {
            return used;
        }
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: h\r\n\r\n";
const GET10: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const KEEP10: &[u8] = b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
const TRAILERS: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n";

type Fields<'a> = &'a [(&'a str, &'a str)];

fn start(http: &mut Http1, out: &mut Vec<u8>, status: u16, fields: Fields) -> Result<(), Misuse> {
    let preset = Preset::default();
    let mut writer = http.respond(status, out, &preset)?;
    for (name, value) in fields {
        writer.field(name.as_bytes(), value.as_bytes())?;
    }
    writer.finish()
}

/// The whole answer to `request`, and whether the connection is kept.
fn answer(request: &[u8], status: u16, fields: Fields, parts: &[&str]) -> (String, bool) {
    let mut http = after(request);
    let mut out = Vec::new();
    start(&mut http, &mut out, status, fields).unwrap();
    for (number, part) in parts.iter().enumerate() {
        write_part(
            &mut http,
            &mut out,
            part.as_bytes(),
            number + 1 < parts.len(),
        )
        .unwrap();
    }
    assert!(http.exchange_complete());
    assert_eq!(http.is_closing(), !http.keep_alive());
    (String::from_utf8(out).unwrap(), http.keep_alive())
}

fn kept(text: &str) -> (String, bool) {
    (text.into(), true)
}

fn closed(text: &str) -> (String, bool) {
    (text.into(), false)
}

#[test]
fn a_length_that_the_application_gives_frames_the_body() {
    assert_eq!(
        answer(
            GET,
            200,
            &[("Content-Type", "text/plain"), ("Content-Length", "5")],
            &["he", "", "llo"]
        ),
        kept("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello")
    );
    assert_eq!(
        answer(GET, 200, &[("content-length", " 0 ")], &[""]),
        kept("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    );
}

#[test]
fn without_a_length_the_body_is_chunked() {
    let text = "HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n11\r\nseventeen octets.\r\n0\r\n\r\n";
    assert_eq!(
        answer(
            GET,
            200,
            &[("a", "b")],
            &["hello", "", "seventeen octets.", ""]
        ),
        kept(text)
    );
    let explicit = [("a", "b"), ("Transfer-Encoding", "Chunked")];
    assert_eq!(
        answer(GET, 200, &explicit, &["hello", "seventeen octets."]),
        kept(text)
    );
}

#[test]
fn an_http_1_0_client_gets_no_chunks() {
    let text = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello";
    assert_eq!(answer(GET10, 200, &[], &["hel", "lo"]), closed(text));
    assert_eq!(
        answer(KEEP10, 200, &[], &["hel", "lo"]),
        closed(text),
        "the end of the connection ends the body"
    );
    assert_eq!(
        answer(KEEP10, 200, &[("transfer-encoding", "chunked")], &["hello"]),
        closed(text)
    );
    assert_eq!(
        answer(KEEP10, 200, &[("content-length", "5")], &["hello"]),
        kept("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\nhello")
    );
    assert_eq!(
        answer(GET10, 200, &[("content-length", "5")], &["hello"]),
        closed("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
    );
    assert_eq!(
        answer(KEEP10, 304, &[], &[""]),
        kept("HTTP/1.1 304 Not Modified\r\nconnection: keep-alive\r\n\r\n"),
        "no body has a known length"
    );
}

#[test]
fn b58_length_and_coding_together_leave_the_coding() {
    let fields = [
        ("x", "1"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
        ("y", "2"),
    ];
    assert_eq!(
        answer(GET, 200, &fields, &["hello"]),
        kept(
            "HTTP/1.1 200 OK\r\nx: 1\r\ny: 2\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
    );
}

#[test]
fn b58_responses_that_have_no_body_get_none() {
    let length = [("content-length", "5")];
    assert_eq!(
        answer(HEAD, 200, &length, &["hello"]),
        kept("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    );
    assert_eq!(
        answer(HEAD, 200, &length, &[""]),
        kept("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    );
    assert_eq!(
        answer(HEAD, 200, &[], &["hel", "lo"]),
        kept("HTTP/1.1 200 OK\r\n\r\n")
    );
    assert_eq!(
        answer(GET, 204, &length, &["hello"]),
        kept("HTTP/1.1 204 No Content\r\n\r\n")
    );
    assert_eq!(
        answer(GET, 204, &[("transfer-encoding", "chunked")], &["hello"]),
        kept("HTTP/1.1 204 No Content\r\n\r\n")
    );
    assert_eq!(
        answer(GET, 304, &length, &["hello"]),
        kept("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n")
    );
    assert_eq!(
        answer(GET, 304, &[], &["hello"]),
        kept("HTTP/1.1 304 Not Modified\r\n\r\n")
    );
}

#[test]
fn b58_a_body_that_contradicts_its_length_is_an_error_and_cuts() {
    for (parts, misuse) in [
        (&["hel", "lo!"][..], Misuse::ContentTooLong),
        (&["hel", "l"], Misuse::ContentTooShort),
        (&[""], Misuse::ContentTooShort),
    ] {
        let mut http = after(GET);
        let mut out = Vec::new();
        start(&mut http, &mut out, 200, &[("content-length", "5")]).unwrap();
        let (last, first) = parts.split_last().unwrap();
        for part in first {
            write_part(&mut http, &mut out, part.as_bytes(), true).unwrap();
        }
        let before = out.clone();
        assert_eq!(
            write_part(&mut http, &mut out, last.as_bytes(), false),
            Err(misuse)
        );
        assert_eq!(out, before, "nothing of the wrong part is written");
        assert!(!http.fail(&mut out, &Preset::default()));
        assert_eq!(out, before);
        assert!(http.is_closing());
        assert!(!http.response_complete());
        assert!(!http.keep_alive());
        assert_eq!(http.body(0, false), Err(Misuse::Complete(Verb::Body)));
    }
}

#[test]
fn b57_a_field_that_would_break_the_head_is_an_error_and_nothing_is_written() {
    for (name, value, misuse) in [
        ("x", "a\r\nset-cookie: b", Misuse::InvalidFieldValue),
        ("x", "a\nb", Misuse::InvalidFieldValue),
        ("x", "a\rb", Misuse::InvalidFieldValue),
        ("x", "a\0b", Misuse::InvalidFieldValue),
        ("x", "a\x7fb", Misuse::InvalidFieldValue),
        ("x\r\ny", "a", Misuse::InvalidFieldName),
        ("x:", "a", Misuse::InvalidFieldName),
        ("x y", "a", Misuse::InvalidFieldName),
        ("", "a", Misuse::InvalidFieldName),
        ("date", "a\r\n", Misuse::InvalidFieldValue),
        ("connection", "x\0", Misuse::InvalidFieldValue),
        ("content-length", "5\r\n", Misuse::InvalidContentLength),
        ("content-length", "+5", Misuse::InvalidContentLength),
        ("content-length", "", Misuse::InvalidContentLength),
        (
            "content-length",
            "18446744073709551616",
            Misuse::InvalidContentLength,
        ),
        ("transfer-encoding", "gzip", Misuse::InvalidTransferEncoding),
        (
            "transfer-encoding",
            "chunked, chunked",
            Misuse::InvalidTransferEncoding,
        ),
    ] {
        let mut http = after(GET);
        let mut out = b"before".to_vec();
        let outcome = start(&mut http, &mut out, 200, &[("first", "1"), (name, value)]);
        assert_eq!(outcome, Err(misuse), "{name:?} {value:?}");
        assert_eq!(out, b"before", "{name:?} {value:?}");
        assert!(
            http.fail(&mut out, &Preset::default()),
            "the client can still be told"
        );
        assert!(out.starts_with(b"beforeHTTP/1.1 500 "));
    }
}

#[test]
fn two_lengths_or_two_codings_are_an_error() {
    for (field, misuse) in [
        (("content-length", "5"), Misuse::DuplicateContentLength),
        (
            ("transfer-encoding", "chunked"),
            Misuse::InvalidTransferEncoding,
        ),
    ] {
        let mut out = Vec::new();
        assert_eq!(
            start(&mut after(GET), &mut out, 200, &[field, field]),
            Err(misuse)
        );
        assert!(out.is_empty());
    }
}

#[test]
fn the_connection_ends_when_either_side_wants_it() {
    let length = ("content-length", "2");
    assert_eq!(
        answer(CLOSE, 200, &[length], &["ok"]),
        closed("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
    );
    assert_eq!(
        answer(GET, 200, &[("Connection", "Close"), length], &["ok"]),
        closed("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        "said once"
    );
    assert_eq!(
        answer(GET, 200, &[("connection", "keep-alive"), length], &["ok"]),
        kept("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok")
    );
    assert_eq!(
        answer(CLOSE, 200, &[("connection", "keep-alive"), length], &["ok"]),
        closed("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"),
        "the application cannot promise what the client refused"
    );
    assert_eq!(
        answer(
            GET,
            426,
            &[
                ("connection", "upgrade, close"),
                ("upgrade", "websocket"),
                length
            ],
            &["no"]
        ),
        closed(
            "HTTP/1.1 426 Upgrade Required\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
        )
    );
    let mut http = after(GET);
    http.close_after();
    let mut out = Vec::new();
    start(&mut http, &mut out, 200, &[length]).unwrap();
    assert!(out.ends_with(b"connection: close\r\n\r\n"));
    assert!(!http.is_closing(), "the body is still to come");
    http.body(2, false).unwrap();
    assert!(http.is_closing());
}

#[test]
fn preset_lines_come_first_and_yield_to_the_application() {
    let preset = Preset {
        date: b"date: D\r\n".into(),
        server: b"server: S\r\n".into(),
        extra: b"x-e: 1\r\n".into(),
    };
    let head = |fields: Fields| {
        let mut http = after(GET);
        let mut out = b"...".to_vec();
        let mut writer = http.respond(200, &mut out, &preset).unwrap();
        for (name, value) in fields {
            writer.field(name.as_bytes(), value.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix("...HTTP/1.1 200 OK\r\n")
            .unwrap()
            .strip_suffix("\r\n")
            .unwrap()
            .to_owned()
    };
    let length = ("content-length", "0");
    assert_eq!(
        head(&[length]),
        "date: D\r\nserver: S\r\nx-e: 1\r\ncontent-length: 0\r\n"
    );
    assert_eq!(
        head(&[("Date", "mine"), length]),
        "server: S\r\nx-e: 1\r\ndate: mine\r\ncontent-length: 0\r\n"
    );
    assert_eq!(
        head(&[length, ("SERVER", "mine")]),
        "date: D\r\nx-e: 1\r\ncontent-length: 0\r\nserver: mine\r\n"
    );
    assert_eq!(
        head(&[
            ("server", "m"),
            length,
            ("date", "m"),
            ("transfer-encoding", "chunked")
        ]),
        "x-e: 1\r\nserver: m\r\ndate: m\r\ntransfer-encoding: chunked\r\n"
    );
}

#[test]
fn messages_out_of_order_are_errors_that_change_nothing() {
    let mut out = Vec::new();
    let preset = Preset::default();
    let mut http = Http1::new();
    assert_eq!(
        start(&mut http, &mut out, 200, &[]),
        Err(Misuse::Complete(Verb::Start)),
        "nobody asked"
    );
    let mut http = after(GET);
    assert_eq!(http.body(1, true), Err(Misuse::StartExpected(Verb::Body)));
    assert_eq!(
        http.trailers(&mut out).err(),
        Some(Misuse::StartExpected(Verb::Trailers))
    );
    for status in [0, 99, 100, 101, 103, 199, 600, 1000] {
        assert_eq!(
            http.respond(status, &mut out, &preset).err(),
            Some(Misuse::InvalidStatus(status))
        );
    }
    for status in [99, 100, 101, 200] {
        assert_eq!(
            http.informational(status, &mut out).err(),
            Some(Misuse::InvalidStatus(status))
        );
    }
    drop(http.respond(200, &mut out, &preset).unwrap());
    assert!(
        out.is_empty(),
        "a head that was not finished was never begun"
    );
    assert!(!http.response_started());
    start(&mut http, &mut out, 200, &[]).unwrap();
    assert_eq!(
        start(&mut http, &mut out, 200, &[]),
        Err(Misuse::BodyExpected(Verb::Start))
    );
    assert_eq!(
        http.informational(103, &mut out).err(),
        Some(Misuse::BodyExpected(Verb::Informational))
    );
    assert_eq!(
        http.trailers(&mut out).err(),
        Some(Misuse::BodyExpected(Verb::Trailers))
    );
    http.body(0, false).unwrap();
    assert_eq!(http.body(0, false), Err(Misuse::Complete(Verb::Body)));
    assert_eq!(
        start(&mut http, &mut out, 200, &[]),
        Err(Misuse::Complete(Verb::Start))
    );
    assert!(
        !http.fail(&mut out, &preset),
        "a response that is complete stays so"
    );
    assert!(http.keep_alive());
    let texts = [
        (
            Misuse::StartExpected(Verb::Body),
            "Expected ASGI message 'http.response.start', but got 'http.response.body'.",
        ),
        (
            Misuse::BodyExpected(Verb::Start),
            "Expected ASGI message 'http.response.body', but got 'http.response.start'.",
        ),
        (
            Misuse::Complete(Verb::Body),
            "Unexpected ASGI message 'http.response.body' sent, after response already completed.",
        ),
        (
            Misuse::ContentTooLong,
            "Response content longer than Content-Length",
        ),
        (
            Misuse::ContentTooShort,
            "Response content shorter than Content-Length",
        ),
    ];
    for (misuse, text) in texts {
        assert_eq!(misuse.to_string(), text);
    }
}

#[test]
fn trailers_follow_the_last_chunk_if_the_client_keeps_them() {
    let send = |request: &[u8], fields: Fields| {
        let mut http = after(request);
        let mut out = Vec::new();
        http.expect_trailers();
        start(&mut http, &mut out, 200, fields).unwrap();
        write_part(&mut http, &mut out, b"hello", false).unwrap();
        assert!(!http.response_complete());
        assert_eq!(
            http.body(1, false),
            Err(Misuse::TrailersExpected(Verb::Body))
        );
        let mut writer = http.trailers(&mut out).unwrap();
        writer.field(b"X-Sum", b"1").unwrap();
        assert_eq!(
            writer.field(b"Content-Length", b"1"),
            Err(Misuse::ForbiddenField)
        );
        assert_eq!(writer.field(b"x", b"\n"), Err(Misuse::InvalidFieldValue));
        writer.finish().unwrap();
        assert!(http.response_complete());
        String::from_utf8(out)
            .unwrap()
            .split_once("\r\n\r\n")
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(send(TRAILERS, &[]), "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
    assert_eq!(send(GET, &[]), "5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(send(TRAILERS, &[("content-length", "5")]), "hello");
    assert_eq!(send(GET10, &[]), "hello");
    assert_eq!(send(HEAD, &[]), "");
}

#[test]
fn early_hints_come_before_the_response_and_not_to_1_0() {
    let mut http = after(GET);
    let mut out = Vec::new();
    let mut writer = http.informational(103, &mut out).unwrap();
    writer.field(b"Link", b"</a>; rel=preload").unwrap();
    assert_eq!(
        writer.field(b"content-length", b"1"),
        Err(Misuse::ForbiddenField)
    );
    writer.finish().unwrap();
    assert!(
        http.informational(103, &mut out)
            .unwrap()
            .field(b"x", b"\r")
            .is_err()
    );
    assert_eq!(
        out,
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"
    );
    assert!(!http.response_started());
    let mut http = after(GET10);
    let mut out = Vec::new();
    http.informational(103, &mut out).unwrap().finish().unwrap();
    assert!(out.is_empty());
}

#[test]
fn b46_continue_is_sent_once_and_only_while_it_is_due() {
    let request =
        b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let mut http = after(request);
    let mut out = Vec::new();
    assert!(http.wants_continue());
    http.send_continue(&mut out);
    http.send_continue(&mut out);
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(!http.wants_continue());
    start(&mut http, &mut out, 200, &[]).unwrap();
    assert!(http.keep_alive(), "the body is on its way");

    let mut http = after(request);
    feed(&mut http, b"he");
    assert!(!http.wants_continue(), "the client does not wait");

    let mut http = after(request);
    start(&mut http, &mut out, 200, &[("content-length", "0")]).unwrap();
    assert!(!http.wants_continue(), "never after the final head");
    assert!(!http.keep_alive(), "whether a body follows is unknown");
    http.body(0, false).unwrap();
    assert!(http.is_closing());
    let evil = b"GET /evil HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(feed(&mut http, evil), evil.len(), "thrown away");
}

#[test]
fn b40_a_request_of_which_too_much_is_missing_ends_the_connection() {
    for (length, missing, keep) in [
        (65_536, 65_536, true),
        (65_537, 65_537, false),
        (70_000, 4_464, true),
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n");
        let mut http = after(head.as_bytes());
        feed(&mut http, &vec![b'x'; length - missing]);
        let mut out = Vec::new();
        start(&mut http, &mut out, 200, &[("content-length", "0")]).unwrap();
        assert_eq!(
            out.ends_with(b"connection: close\r\n\r\n"),
            !keep,
            "{missing} missing"
        );
        http.body(0, false).unwrap();
        assert_eq!(http.is_closing(), !keep);
        let rest = vec![b'x'; missing];
        assert_eq!(feed(&mut http, &rest), missing, "thrown away");
        assert_eq!(http.exchange_complete(), keep);
    }
    let mut http = after(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    start(&mut http, &mut Vec::new(), 200, &[]).unwrap();
    http.body(0, false).unwrap();
    for _ in 0..6 {
        assert!(!http.is_closing());
        feed(&mut http, &b"10\r\n0123456789abcdef\r\n".repeat(500));
    }
    feed(&mut http, &b"10\r\n0123456789abcdef\r\n".repeat(500));
    assert!(
        http.is_closing(),
        "a rest without end is not read to its end"
    );
}

#[test]
fn every_refusal_is_a_complete_response_that_names_the_fault() {
    let preset = Preset {
        date: b"date: D\r\n".into(),
        server: b"server: S\r\n".into(),
        ..Preset::default()
    };
    for &fault in Fault::ALL.iter().filter(|fault| !fault.is_silent()) {
        let mut http = Http1::new();
        let mut out = Vec::new();
        http.refuse(fault, &mut out, &preset);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with(&format!("HTTP/1.1 {} ", fault.status())),
            "{text}"
        );
        let phrase = text.lines().next().unwrap().rsplit_once(' ').unwrap().1;
        assert!(!phrase.is_empty(), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(
                "\r\ndate: D\r\nserver: S\r\ncontent-type: text/plain; charset=utf-8\r\n"
            )
        );
        assert!(head.contains("\r\nconnection: close"));
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        assert_eq!(
            head.contains("\r\nretry-after: 1"),
            fault == Fault::Overloaded
        );
        assert_eq!(
            head.contains(
                "\r\nsec-websocket-version: 13\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            ),
            fault == Fault::WebSocketVersion
        );
        assert_eq!(body, fault.reason());
        assert!(http.is_closing());
    }
}

#[test]
fn a_refusal_in_a_response_writes_nothing_and_cuts() {
    let mut http = after(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n");
    let mut out = Vec::new();
    start(&mut http, &mut out, 200, &[]).unwrap();
    let before = out.clone();
    http.refuse(Fault::BodyTimeout, &mut out, &Preset::default());
    assert_eq!(out, before);
    assert!(http.is_closing());
    assert!(!http.response_complete());
}

#[test]
fn an_application_that_fails_gives_500_once() {
    let mut http = after(HEAD);
    let mut out = Vec::new();
    assert!(http.fail(&mut out, &Preset::default()));
    assert!(!http.fail(&mut out, &Preset::default()));
    assert_eq!(
        out,
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\nconnection: close\r\n\r\n"
    );
    assert!(http.is_closing());
    let mut out = Vec::new();
    assert!(after(GET).fail(&mut out, &Preset::default()));
    assert!(out.ends_with(b"\r\n\r\nInternal Server Error"));
}

#[test]
fn exchanges_follow_each_other_and_nothing_is_carried_over() {
    let mut http = Http1::new();
    let mut out = Vec::new();
    for request in [
        KEEP10,
        TRAILERS,
        HEAD,
        GET,
        b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx",
    ] {
        assert!(http.is_idle());
        feed(&mut http, request);
        assert!(http.request_complete());
        assert_eq!(feed(&mut http, b"GET"), 0, "the next request waits");
        http.next_exchange();
        assert!(!http.is_idle(), "not before the response");
        out.clear();
        start(&mut http, &mut out, 200, &[("content-length", "1")]).unwrap();
        write_part(&mut http, &mut out, b"x", false).unwrap();
        assert!(http.exchange_complete() && http.keep_alive());
        http.next_exchange();
    }
    assert_eq!(out, b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
}

#[test]
fn the_end_of_input_means_what_the_state_says() {
    assert_eq!(Http1::new().handle_eof(false), Eof::Idle);
    assert_eq!(Http1::new().handle_eof(true), Eof::MidHead);
    let mut http = after(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nabc");
    assert_eq!(http.handle_eof(false), Eof::MidBody);
    assert!(http.is_closing());
    let mut http = after(GET);
    assert_eq!(http.handle_eof(true), Eof::AfterRequest);
    let mut out = Vec::new();
    start(&mut http, &mut out, 200, &[("content-length", "0")]).unwrap();
    assert!(http.keep_alive(), "another request is buffered");
    let mut http = after(GET);
    assert_eq!(http.handle_eof(false), Eof::AfterRequest);
    start(&mut http, &mut out, 200, &[("content-length", "0")]).unwrap();
    assert!(!http.keep_alive());
    http.body(0, false).unwrap();
    assert!(http.is_closing());
}

#[test]
fn b48_a_websocket_candidate_is_recognised() {
    let mut input = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n".to_vec();
    let step = Http1::new()
        .handle_bytes(&mut input, &mut Vec::new(), &Limits::default())
        .unwrap();
    let Some(Event::Request(head)) = step.event else {
        panic!("a request")
    };
    assert_eq!(head.upgrade, ferricorn_proto::Upgrade::WebSocket);
}

#[test]
fn what_the_floor_above_wants_to_know_is_told() {
    let told = |line: &str| {
        let mut input = format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n").into_bytes();
        let step = Http1::new()
            .handle_bytes(&mut input, &mut Vec::new(), &Limits::default())
            .unwrap();
        let Some(Event::Request(head)) = step.event else {
            panic!("a request")
        };
        (head.trailers, head.forwarded)
    };
    assert_eq!(told("TE: gzip;q=0.5, Trailers"), (true, false));
    assert_eq!(told("TE: gzip"), (false, false));
    assert_eq!(told("X-Forwarded-For: 1.2.3.4"), (false, true));
    assert_eq!(told("Forwarded: for=1.2.3.4"), (false, true));
    assert_eq!(told("X_Forwarded_For: 1.2.3.4"), (false, false));
}

#[test]
fn a_connection_that_is_idle_costs_little() {
    assert!(size_of::<Http1>() <= 80, "{}", size_of::<Http1>());
}
