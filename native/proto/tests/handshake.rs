//! The opening handshake of a WebSocket: what is accepted, what is refused, what is answered.

mod support;

use ferricorn_proto::ws::{DeflateSettings, Handshake};
use ferricorn_proto::{Fault, Misuse, Preset};
use support::ws::{KEY, handshake};

const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

fn fault(lines: &str) -> Option<Fault> {
    handshake(lines, Some(&DeflateSettings::default())).err()
}

fn answer(handshake: &Handshake) -> String {
    let mut out = Vec::new();
    let preset = Preset::default();
    handshake.respond(&mut out, &preset).finish();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_answer_is_that_of_the_rfc() {
    assert_eq!(
        answer(&handshake(KEY, None).unwrap()),
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[test]
fn b50_a_key_is_sixteen_bytes_in_base64_and_is_there_once() {
    for key in ["AQIDBAUGBwgJCgsMDQ4PEC==", "++++++++++//////////AA=="] {
        let lines = format!("{VERSION}Sec-WebSocket-Key: {key}\r\n");
        assert_eq!(fault(&lines), None, "{key}");
    }
    for key in [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub2 jZQ==",
        "dGhlIHNhbXBsZSBub25j-_==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let lines = format!("{VERSION}Sec-WebSocket-Key: {key}\r\n");
        assert_eq!(fault(&lines), Some(Fault::InvalidWebSocketKey), "{key}");
    }
    assert_eq!(fault(VERSION), Some(Fault::InvalidWebSocketKey));
    let twice = format!("{KEY}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    assert_eq!(fault(&twice), Some(Fault::InvalidWebSocketKey));
}

#[test]
fn b50_another_version_is_answered_426() {
    let key = KEY.strip_prefix(VERSION).unwrap();
    for version in [
        "",
        "Sec-WebSocket-Version: 8\r\n",
        "Sec-WebSocket-Version: 11\r\n",
        "Sec-WebSocket-Version: 013\r\n",
        "Sec-WebSocket-Version: 13, 8\r\n",
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n",
        "Sec-WebSocket-Version:\r\n",
    ] {
        let fault = fault(&format!("{version}{key}"));
        assert_eq!(fault, Some(Fault::WebSocketVersion), "{version}");
    }
    assert_eq!(Fault::WebSocketVersion.status(), 426);
    // Before it is known which version is spoken, the key means nothing.
    assert_eq!(fault(""), Some(Fault::WebSocketVersion));
}

#[test]
fn b50_subprotocols_are_tokens() {
    for (value, good) in [
        ("chat", true),
        ("chat, superchat", true),
        ("chat,,superchat,", true),
        ("", true),
        ("graphql-transport-ws", true),
        ("a b", false),
        ("chat, b/c", false),
        ("\"chat\"", false),
        ("ch\u{e4}t", false),
    ] {
        let lines = format!("{KEY}Sec-WebSocket-Protocol: {value}\r\n");
        let expected = (!good).then_some(Fault::InvalidSubprotocol);
        assert_eq!(fault(&lines), expected, "{value}");
    }
}

#[test]
fn extensions_are_a_list_or_the_request_is_refused() {
    for (value, good) in [
        ("", true),
        ("foo", true),
        ("foo; bar", true),
        ("foo; bar=baz;qux=\"quux\" , permessage-deflate", true),
        ("foo; bar=\"a\\b\"", true),
        ("foo;", false),
        ("foo; =a", false),
        ("foo; a=", false),
        ("foo; a=\"\"", false),
        ("foo; a=\"b", false),
        ("foo; a=\"b c\"", false),
        ("foo; a=b=c", false),
        ("f/oo", false),
        ("=", false),
        (";", false),
        ("permessage-deflate, foo bar", false),
    ] {
        let lines = format!("{KEY}Sec-WebSocket-Extensions: {value}\r\n");
        let expected = (!good).then_some(Fault::InvalidExtensions);
        assert_eq!(fault(&lines), expected, "{value}");
        // Whether compression is configured makes no difference.
        assert_eq!(handshake(&lines, None).err(), expected, "{value}");
    }
}

/// The answer's `sec-websocket-extensions`, without `permessage-deflate` and its spaces.
fn agreed(lines: &str, settings: &DeflateSettings) -> Option<String> {
    let handshake = handshake(&format!("{KEY}{lines}"), Some(settings)).unwrap();
    let text = answer(&handshake);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-extensions: permessage-deflate"));
    assert_eq!(line.is_some(), handshake.deflate.is_some());
    line.map(|line| line.replace(' ', ""))
}

const ALONE: &str = ";server_no_context_takeover;client_no_context_takeover";

#[test]
fn b55_the_first_offer_that_can_be_met_is_accepted() {
    let settings = DeflateSettings::default();
    let offer = |value: &str| {
        let lines = format!("Sec-WebSocket-Extensions: {value}\r\n");
        agreed(&lines, &settings)
    };
    let alone = |more: &str| Some(format!("{ALONE}{more}"));
    for (value, expected) in [
        ("permessage-deflate", alone("")),
        ("Permessage-Deflate", alone("")),
        ("permessage-deflate; client_max_window_bits", alone("")),
        (
            "permessage-deflate; client_max_window_bits=10",
            alone(";client_max_window_bits=10"),
        ),
        (
            "permessage-deflate; client_max_window_bits=8",
            alone(";client_max_window_bits=8"),
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            alone(";server_max_window_bits=15"),
        ),
        (
            "permessage-deflate; server_max_window_bits = \"9\"",
            alone(";server_max_window_bits=9"),
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            alone(""),
        ),
        // What zlib cannot do, what is unknown, repeated or out of place.
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=09", None),
        ("permessage-deflate; server_max_window_bits=+9", None),
        ("permessage-deflate; server_max_window_bits=100", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=x", None),
        ("permessage-deflate; client_max_window_bits=\"1\\0\"", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_no_context_takeover=true", None),
        (
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            None,
        ),
        (
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            None,
        ),
        (
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
            None,
        ),
        (
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
            None,
        ),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; SERVER_NO_CONTEXT_TAKEOVER", None),
        ("x-webkit-deflate-frame", None),
        ("permessage-bzip2, foo", None),
        // The next one is tried.
        (
            "foo, permessage-deflate; unknown, permessage-deflate; server_max_window_bits=8, \
             permessage-deflate; server_max_window_bits=10, permessage-deflate",
            alone(";server_max_window_bits=10"),
        ),
    ] {
        assert_eq!(offer(value), expected, "{value}");
    }
    let two = "Sec-WebSocket-Extensions: foo, permessage-deflate; bar\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n";
    assert_eq!(agreed(two, &settings), alone(";server_max_window_bits=9"));
    let none = handshake(&format!("{KEY}{two}"), None).unwrap();
    assert_eq!(none.deflate, None);
    assert!(!answer(&none).contains("extensions"));
}

#[test]
fn what_the_server_wants_is_part_of_the_answer() {
    let settings = DeflateSettings {
        window_bits: 12,
        takeover: true,
        ..DeflateSettings::default()
    };
    for (offer, expected) in [
        ("", ";server_max_window_bits=12"),
        (
            "; client_max_window_bits",
            ";server_max_window_bits=12;client_max_window_bits=12",
        ),
        (
            "; client_max_window_bits=9; server_max_window_bits=14",
            ";server_max_window_bits=12;client_max_window_bits=9",
        ),
        (
            "; server_no_context_takeover",
            ";server_no_context_takeover;server_max_window_bits=12",
        ),
        (
            "; client_no_context_takeover; server_max_window_bits=10",
            ";client_no_context_takeover;server_max_window_bits=10",
        ),
    ] {
        let lines = format!("Sec-WebSocket-Extensions: permessage-deflate{offer}\r\n");
        assert_eq!(agreed(&lines, &settings).unwrap(), expected, "{offer}");
    }
}

const PROTOCOLS: &str = "Sec-WebSocket-Protocol: chat, v2\r\nSec-WebSocket-Protocol: ,v3\r\n";

#[test]
fn a_subprotocol_is_one_of_those_that_the_client_offered() {
    let preset = Preset::default();
    let asked = handshake(&format!("{KEY}{PROTOCOLS}"), None).unwrap();
    for good in ["chat", "v2", "v3"] {
        let mut out = Vec::new();
        let mut writer = asked.respond(&mut out, &preset);
        writer.subprotocol(good.as_bytes()).unwrap();
        let again = writer.subprotocol(b"chat");
        assert_eq!(again, Err(Misuse::UnexpectedSubprotocol));
        writer.finish();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(&format!("\r\nsec-websocket-protocol: {good}\r\n")));
    }
    let mut out = Vec::new();
    let mut writer = asked.respond(&mut out, &preset);
    for (bad, misuse) in [
        (&b"v4"[..], Misuse::UnexpectedSubprotocol),
        (b"CHAT", Misuse::UnexpectedSubprotocol),
        (b"", Misuse::InvalidSubprotocol),
        (b"chat,v2", Misuse::InvalidSubprotocol),
        (b"chat\r\nx: y", Misuse::InvalidSubprotocol),
    ] {
        assert_eq!(writer.subprotocol(bad), Err(misuse));
        assert_eq!(writer.field(b"Sec-WebSocket-Protocol", bad), Err(misuse));
    }
    writer.field(b"Sec-WebSocket-Protocol", b"v2").unwrap();
    drop(writer);
    let asked = handshake(KEY, None).unwrap();
    let unasked = asked.respond(&mut out, &preset).subprotocol(b"chat");
    assert_eq!(unasked, Err(Misuse::UnexpectedSubprotocol));
    assert_eq!(out, b"");
}

#[test]
fn the_applications_fields_go_with_the_answer_and_the_handshakes_are_its_own() {
    let preset = Preset {
        date: b"date: D\r\n".to_vec(),
        server: b"server: S\r\n".to_vec(),
        extra: b"x-extra: E\r\n".to_vec(),
    };
    let asked = handshake(KEY, None).unwrap();
    let mut out = b"before".to_vec();
    let mut writer = asked.respond(&mut out, &preset);
    for name in [
        "upgrade",
        "Connection",
        "sec-websocket-accept",
        "Sec-WebSocket-Extensions",
        "content-length",
        "transfer-encoding",
    ] {
        let outcome = writer.field(name.as_bytes(), b"x");
        assert_eq!(outcome, Err(Misuse::ForbiddenField), "{name}");
    }
    assert_eq!(writer.field(b"x y", b""), Err(Misuse::InvalidFieldName));
    assert_eq!(
        writer.field(b"date", b"\r\n"),
        Err(Misuse::InvalidFieldValue)
    );
    writer.field(b"Set-Cookie", b"a=b").unwrap();
    writer.finish();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("beforeHTTP/1.1 101 Switching Protocols\r\n"));
    for line in ["date: D", "server: S", "x-extra: E", "set-cookie: a=b"] {
        assert_eq!(
            text.matches(&format!("\r\n{line}\r\n")).count(),
            1,
            "{line}"
        );
    }
    assert!(text.ends_with("\r\n\r\n"));
    assert_eq!(text.matches("\r\n\r\n").count(), 1);

    let mut out = Vec::new();
    let mut writer = asked.respond(&mut out, &preset);
    writer.field(b"Date", b"mine").unwrap();
    writer.field(b"SERVER", b"mine").unwrap();
    writer.finish();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\r\ndate: mine\r\nserver: mine\r\n"));
    assert!(!text.contains("date: D") && !text.contains("server: S"));

    let mut out = b"before".to_vec();
    let mut writer = asked.respond(&mut out, &preset);
    writer.field(b"a", b"b").unwrap();
    drop(writer);
    assert_eq!(out, b"before", "what is not finished was not said");
}

#[test]
fn the_offered_subprotocols_are_told_in_order() {
    let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{PROTOCOLS}\r\n");
    let (mut input, mut fields) = (text.into_bytes(), Vec::new());
    ferricorn_proto::Http1::new()
        .handle_bytes(&mut input, &mut fields, &ferricorn_proto::Limits::default())
        .unwrap();
    let offered: Vec<_> = ferricorn_proto::ws::subprotocols(&fields, &input).collect();
    assert_eq!(offered, [&b"chat"[..], b"v2", b"v3"]);
}
