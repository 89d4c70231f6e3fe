//! WebSockets as the floor above has them: verbs, messages, back-pressure, deadlines, the end.

use ferricorn_engine::{Data, ExchangeId, Flow, Options, WebSocketOptions};
use ferricorn_proto::ws::{self, Kind};
use ferricorn_proto::{Misuse, WsLimits};

use crate::harness::{Client, End, Payload, Seen, Server, find, get, options};

const SOON: u64 = 40;
const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn sockets() -> WebSocketOptions {
    WebSocketOptions {
        limits: WsLimits::default(),
        queue: 32,
        deflate: None,
        ping_interval: 0,
        ping_timeout: 0,
        close_timeout: 0,
        connections: None,
        high_water: 64 * 1024,
    }
}

fn with(websocket: WebSocketOptions) -> Options {
    Options {
        websocket: Some(websocket),
        ..options()
    }
}

/// A frame as a client sends it, with a mask of zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0x80 | 0x7e);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn close_frame(code: u16) -> Vec<u8> {
    frame(8, &code.to_be_bytes())
}

/// Waits for the client to have received these bytes, and takes them.
fn receives(server: &mut Server, client: &mut Client, wanted: &[u8]) {
    server.until("bytes", |_| {
        client.read();
        client.received.len() >= wanted.len()
    });
    let rest = client.received.split_off(wanted.len());
    assert_eq!(std::mem::replace(&mut client.received, rest), wanted);
}

/// Opens the WebSocket that a request asks for.
fn accept(server: &mut Server, client: &mut Client) -> ExchangeId {
    client.send(HANDSHAKE);
    let exchange = server.request().exchange;
    let head = server.reactor.open_socket(exchange).unwrap();
    head.expect("a client that listens").finish();
    server.reactor.socket_opened(exchange);
    server.until("the 101", |_| {
        client.read();
        client.text().contains("\r\n\r\n")
    });
    assert!(
        client.text().starts_with("HTTP/1.1 101 "),
        "{}",
        client.text()
    );
    client.received.clear();
    exchange
}

fn opened(websocket: WebSocketOptions) -> (Server, Client, ExchangeId) {
    let mut server = Server::new(with(websocket));
    let mut client = server.connect();
    let exchange = accept(&mut server, &mut client);
    (server, client, exchange)
}

fn text(exchange: ExchangeId, data: &[u8]) -> Seen {
    Seen::Message {
        exchange,
        kind: Kind::Text,
        data: data.to_vec(),
    }
}

fn say(server: &mut Server, exchange: ExchangeId, words: &[u8]) -> Result<Flow, Misuse> {
    server
        .reactor
        .send_message(exchange, Kind::Text, Data::Copy(words))
}

#[test]
fn messages_go_both_ways() {
    let (mut server, mut client, exchange) = opened(sockets());
    client.send(frame(1, b"hello"));
    server.until("a message", |server| server.has(&text(exchange, b"hello")));
    assert_eq!(say(&mut server, exchange, b"you"), Ok(Flow::Ready));
    receives(&mut server, &mut client, b"\x81\x03you");
    assert_eq!(server.reactor.sockets(), 1);
}

#[test]
fn a_large_message_is_sent_from_where_it_lies() {
    let (mut server, mut client, exchange) = opened(sockets());
    let payload = Payload::new(vec![b'x'; 70_000]);
    let sent = server
        .reactor
        .send_message(exchange, Kind::Binary, Data::Payload(payload));
    assert_eq!(sent, Ok(Flow::Ready));
    let mut wanted = vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70];
    wanted.resize(wanted.len() + 70_000, b'x');
    receives(&mut server, &mut client, &wanted);
}

#[test]
fn verbs_of_a_plain_request_are_misuse() {
    let mut server = Server::new(with(sockets()));
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    assert!(matches!(
        server.reactor.open_socket(exchange),
        Err(Misuse::NotWebSocket)
    ));
    assert_eq!(say(&mut server, exchange, b"x"), Err(Misuse::NotWebSocket));
    let closed = server.reactor.close_socket(exchange, 1000, "");
    assert_eq!(closed, Err(Misuse::NotWebSocket));
    server.answer(exchange, b"plain");
    assert_eq!(server.response(&mut client).1, b"plain");
}

#[test]
fn a_stale_socket_is_gone() {
    let (mut server, client, exchange) = opened(sockets());
    client.reset();
    server.until("the end", |server| {
        server.has(&Seen::Closed(exchange.session))
    });
    assert_eq!(say(&mut server, exchange, b"x"), Ok(Flow::Gone));
    let closed = server.reactor.close_socket(exchange, 1000, "");
    assert_eq!(closed, Ok(Flow::Gone));
    assert!(server.reactor.open_socket(exchange).unwrap().is_none());
    assert_eq!(server.reactor.sockets(), 0);
}

#[test]
fn a_queue_that_is_full_stops_reading() {
    let (mut server, mut client, exchange) = opened(WebSocketOptions {
        queue: 2,
        ..sockets()
    });
    for word in [b"1", b"2", b"3", b"4"] {
        client.send(frame(1, word));
    }
    server.until("two messages", |server| server.has(&text(exchange, b"2")));
    server.idle();
    assert!(!server.has(&text(exchange, b"3")));
    server.reactor.message_taken(exchange, 1);
    server.until("the third", |server| server.has(&text(exchange, b"3")));
    server.idle();
    assert!(!server.has(&text(exchange, b"4")));
    server.reactor.message_taken(exchange, 1);
    server.reactor.message_taken(exchange, 1);
    server.until("the fourth", |server| server.has(&text(exchange, b"4")));
}

#[test]
fn who_does_not_read_blocks_the_sender() {
    let mut server = Server::narrow(with(sockets()));
    let mut client = server.connect_narrow();
    let exchange = accept(&mut server, &mut client);
    let mut flow = Flow::Ready;
    let mut sent = 0;
    while flow == Flow::Ready {
        flow = say(&mut server, exchange, &[b'x'; 1000]).unwrap();
        sent += 1;
        server.turn();
        assert!(sent < 100_000, "nothing ever blocks");
    }
    assert_eq!(flow, Flow::Blocked);
    let mut received = 0;
    server.until("room", |server| {
        received += client.read_once();
        server.has(&Seen::Writable(exchange))
    });
    server.until("all", |_| {
        received += client.read_once();
        received == sent * 1004
    });
}

/// A sender that is never done, to a client that is slower, leaves no moment without output.
#[test]
fn a_slow_reader_gets_its_pong_before_the_output_ends() {
    const PONG: &[u8] = b"\x8a\x06there?";
    let mut server = Server::narrow(with(sockets()));
    let mut client = server.connect_narrow();
    let exchange = accept(&mut server, &mut client);
    let fill = |server: &mut Server| {
        while say(server, exchange, &[b'x'; 1000]) == Ok(Flow::Ready) {
            server.settle();
        }
    };
    fill(&mut server);
    client.send(frame(9, b"there?"));
    let (mut room, mut received) = (0, 0);
    server.until("the pong", |server| {
        let seen = client.received.len().saturating_sub(PONG.len());
        client.received.drain(..seen);
        received += client.read_once();
        assert!(received < 8 * 1024 * 1024, "no pong in all that");
        let told = server.count(&Seen::Writable(exchange));
        if told > std::mem::replace(&mut room, told) {
            fill(server);
        }
        find(&client.received, PONG).is_some()
    });
}

#[test]
fn the_peer_closes() {
    let (mut server, mut client, exchange) = opened(sockets());
    client.send(close_frame(1001));
    receives(&mut server, &mut client, b"\x88\x02\x03\xe9");
    assert_eq!(server.end_of(&mut client), End::Closed);
    let told = Seen::SocketClosed {
        exchange,
        code: 1001,
        reason: String::new(),
    };
    assert_eq!(server.count(&told), 1);
    assert_eq!(say(&mut server, exchange, b"x"), Ok(Flow::Gone));
}

#[test]
fn the_application_closes_and_hears_no_more() {
    let (mut server, mut client, exchange) = opened(sockets());
    let closed = server.reactor.close_socket(exchange, 1003, "no");
    assert_eq!(closed, Ok(Flow::Ready));
    receives(&mut server, &mut client, b"\x88\x04\x03\xebno");
    client.send(frame(1, b"late"));
    client.send(close_frame(1003));
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert!(!server.has(&text(exchange, b"late")));
    assert!(server.has(&Seen::Closed(exchange.session)));
}

#[test]
fn a_close_code_that_is_none_leaves_the_socket_open() {
    let (mut server, mut client, exchange) = opened(sockets());
    let closed = server.reactor.close_socket(exchange, 1006, "");
    assert_eq!(closed, Err(Misuse::InvalidCloseCode(1006)));
    assert_eq!(say(&mut server, exchange, b"on"), Ok(Flow::Ready));
    receives(&mut server, &mut client, b"\x81\x02on");
}

#[test]
fn who_does_not_answer_a_close_is_cut() {
    let (mut server, mut client, exchange) = opened(WebSocketOptions {
        close_timeout: SOON,
        ..sockets()
    });
    let _ = server.reactor.close_socket(exchange, 1000, "");
    server.end_of(&mut client);
    assert_eq!(server.reactor.connections(), 0);
}

#[test]
fn who_does_not_answer_a_ping_is_told_and_cut() {
    let (mut server, mut client, exchange) = opened(WebSocketOptions {
        ping_interval: SOON,
        ping_timeout: SOON,
        ..sockets()
    });
    server.end_of(&mut client);
    assert!(client.received.starts_with(b"\x89\x04\0\0\0\x01"));
    let last = &client.received[6..];
    assert!(last.starts_with(b"\x88") && last.ends_with(b"keepalive ping timeout"));
    let told = Seen::SocketClosed {
        exchange,
        code: 1011,
        reason: "keepalive ping timeout".to_owned(),
    };
    assert_eq!(server.count(&told), 1);
}

#[test]
fn who_answers_pings_stays() {
    let (mut server, mut client, exchange) = opened(WebSocketOptions {
        ping_interval: SOON,
        ping_timeout: 100 * SOON,
        ..sockets()
    });
    for number in 1..=3_u32 {
        receives(
            &mut server,
            &mut client,
            &[b"\x89\x04", &number.to_be_bytes()[..]].concat(),
        );
        client.send(frame(10, &number.to_be_bytes()));
    }
    client.send(frame(1, b"here"));
    server.until("a message", |server| server.has(&text(exchange, b"here")));
}

#[test]
fn one_more_than_allowed_is_refused() {
    let (mut server, _client, _) = opened(WebSocketOptions {
        connections: Some(1),
        ..sockets()
    });
    let mut other = server.connect();
    other.send(HANDSHAKE);
    let (head, _) = server.response(&mut other);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
}

#[test]
fn the_end_of_the_server_closes_some_and_then_all() {
    let (mut server, mut client, exchange) = opened(sockets());
    let mut other = server.connect();
    let second = accept(&mut server, &mut other);
    server.with(|reactor, batch| reactor.close_sockets(1, batch));
    let told = |exchange| Seen::SocketClosed {
        exchange,
        code: 1012,
        reason: String::new(),
    };
    assert_eq!(
        server.count(&told(exchange)) + server.count(&told(second)),
        1
    );
    server.with(ferricorn_engine::Reactor::stop);
    server.until("both told", |server| {
        server.has(&told(exchange)) && server.has(&told(second))
    });
    receives(&mut server, &mut client, b"\x88\x02\x03\xf4");
    receives(&mut server, &mut other, b"\x88\x02\x03\xf4");
}

#[test]
fn compressed_messages_are_handed_up_inflated() {
    let deflate = ws::DeflateSettings {
        min_size: 0,
        ..ws::DeflateSettings::default()
    };
    let mut server = Server::new(with(WebSocketOptions {
        deflate: Some(deflate),
        ..sockets()
    }));
    let mut client = server.connect();
    let offer = "sec-websocket-extensions: permessage-deflate\r\n\r\n";
    client.send(HANDSHAKE.replacen("\r\n\r\n", &format!("\r\n{offer}"), 1));
    let exchange = server.request().exchange;
    let head = server.reactor.open_socket(exchange).unwrap();
    head.expect("a client that listens").finish();
    server.reactor.socket_opened(exchange);
    // "Hello", compressed: RFC 7692 section 7.2.3.1.
    let mut hello = frame(1, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    hello[0] |= 0x40;
    client.send(hello);
    server.until("a message", |server| server.has(&text(exchange, b"Hello")));
}
