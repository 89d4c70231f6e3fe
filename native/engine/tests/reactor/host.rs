//! Connections that the floor above drives: bytes in by call, bytes out as work.

use std::time::Duration;

use ferricorn_engine::{Data, Flow, Options, Reactor, SessionId};
use ferricorn_proto::Fault;
use ferricorn_proto::limits::BODY_HIGH_WATER;

use crate::harness::{Payload, Seen, Server, get, options, post};

fn feed(server: &mut Server, session: SessionId, bytes: impl AsRef<[u8]>) {
    server.with(|reactor, batch| reactor.feed(session, bytes.as_ref(), batch));
    server.settle();
}

fn feed_eof(server: &mut Server, session: SessionId) {
    server.with(|reactor, batch| reactor.feed_eof(session, batch));
    server.settle();
}

/// A turn of a reactor that has no sockets.
fn turn(server: &mut Server) {
    server.settle();
    server.with(|reactor, batch| reactor.gather(batch, false));
    server.settle();
}

/// Everything that was written to a connection.
fn output(server: &Server, wanted: SessionId) -> Vec<u8> {
    let mut whole = Vec::new();
    for seen in &server.seen {
        if let Seen::Output(session, bytes) = seen
            && *session == wanted
        {
            whole.extend_from_slice(bytes);
        }
    }
    whole
}

fn text(server: &Server, session: SessionId) -> String {
    String::from_utf8(output(server, session)).unwrap()
}

/// Whether the connection is to be read from at present.
fn reads(server: &Server, wanted: SessionId) -> bool {
    let last = server.seen.iter().rev().find_map(|seen| match seen {
        Seen::Reading(session, reading) if *session == wanted => Some(*reading),
        _ => None,
    });
    last.unwrap_or(true)
}

#[test]
fn bytes_go_in_and_come_out() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    for number in 1..=3 {
        for byte in get(&format!("/{number}")).bytes() {
            feed(&mut server, session, [byte]);
        }
        let request = server.request();
        assert_eq!(request.path, format!("/{number}"));
        server.answer(request.exchange, request.path.as_bytes());
        server.settle();
        assert!(text(&server, session).ends_with(&request.path));
        assert!(reads(&server, session), "the next request is welcome");
    }
    assert_eq!(server.reactor.connections(), 1);
    server.with(|reactor, batch| reactor.lost(session, batch));
    assert_eq!(server.count(&Seen::Closed(session)), 1);
    assert_eq!(server.reactor.connections(), 0);
}

#[test]
fn pipelined_requests_are_answered_in_one_piece() {
    let mut server = Server::host(options());
    server.echo = true;
    let session = server.reactor.open_host();
    feed(
        &mut server,
        session,
        [get("/1"), get("/2"), get("/3")].concat(),
    );
    let outputs = server
        .seen
        .iter()
        .filter(|seen| matches!(seen, Seen::Output(..)));
    assert_eq!(outputs.count(), 1);
    let text = text(&server, session);
    assert_eq!(text.matches("HTTP/1.1 200").count(), 3);
}

#[test]
fn a_body_that_nobody_asks_for_stops_the_reading() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    feed(&mut server, session, post(3 * BODY_HIGH_WATER));
    let exchange = server.request().exchange;
    assert!(reads(&server, session));
    let mut fed = 0;
    while reads(&server, session) {
        assert!(fed < 2 * BODY_HIGH_WATER);
        feed(&mut server, session, [0; 1000]);
        fed += 1000;
    }
    assert!(fed >= BODY_HIGH_WATER);
    server.reactor.consumed(exchange, fed);
    turn(&mut server);
    assert!(reads(&server, session));
    feed(&mut server, session, vec![0; 3 * BODY_HIGH_WATER - fed]);
    assert!(server.body(exchange).1);
    assert_eq!(server.body(exchange).0.len(), 3 * BODY_HIGH_WATER);
}

#[test]
fn what_is_fed_though_reading_was_stopped_is_not_lost() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    feed(&mut server, session, post(4 * BODY_HIGH_WATER));
    let exchange = server.request().exchange;
    for _ in 0..3 {
        feed(&mut server, session, vec![0; BODY_HIGH_WATER]);
    }
    assert!(!reads(&server, session));
    feed(&mut server, session, vec![0; BODY_HIGH_WATER]);
    feed(&mut server, session, get("/next"));
    server.reactor.consumed(exchange, 4 * BODY_HIGH_WATER);
    turn(&mut server);
    assert_eq!(server.body(exchange).0.len(), 4 * BODY_HIGH_WATER);
    server.answer(exchange, b"");
    turn(&mut server);
    assert_eq!(server.request().path, "/next");
}

#[test]
fn a_pile_of_requests_stops_the_reading_until_they_are_answered() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    let pile = get("/x").repeat(100);
    feed(&mut server, session, &pile);
    while reads(&server, session) {
        assert!(server.reactor.stats().bytes_in < 1_000_000);
        feed(&mut server, session, &pile);
    }
    let fed = server.reactor.stats().bytes_in;
    server.echo = true;
    let first = server.request();
    server.answer(first.exchange, b"");
    while server.reactor.has_dirty() || server.reactor.has_ready() {
        turn(&mut server);
    }
    assert!(reads(&server, session));
    let requests = fed / get("/x").len() as u64;
    assert_eq!(server.reactor.stats().requests, requests);
}

#[test]
fn a_transport_that_is_full_is_not_written_to() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    feed(&mut server, session, get("/"));
    let exchange = server.request().exchange;
    server.reactor.set_writable(session, false);
    server.start(exchange, Some(100_005));
    let piece = Data::Payload(Payload::new(vec![b'x'; 100_000]));
    let flow = server.reactor.body(exchange, piece, true).unwrap();
    assert_eq!(flow, Flow::Blocked);
    turn(&mut server);
    assert_eq!(output(&server, session), []);
    assert!(!server.has(&Seen::Writable(exchange)));

    server.reactor.set_writable(session, true);
    turn(&mut server);
    assert!(server.has(&Seen::Writable(exchange)));
    let flow = server.reactor.body(exchange, Data::Copy(b"last!"), false);
    assert_eq!(flow.unwrap(), Flow::Ready);
    turn(&mut server);
    assert!(text(&server, session).ends_with("xxxlast!"));
}

#[test]
fn a_sender_hears_at_once_that_a_transport_takes_more() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    feed(&mut server, session, get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, None);
    for sent in 1..=10 {
        let piece = Data::Payload(Payload::new(vec![b'x'; 100_000]));
        let flow = server.reactor.body(exchange, piece, true).unwrap();
        assert_eq!(flow, Flow::Blocked);
        server.settle();
        assert_eq!(server.count(&Seen::Writable(exchange)), sent);
    }
}

#[test]
fn a_file_is_read_into_the_output() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    feed(&mut server, session, get("/"));
    let exchange = server.request().exchange;
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    server.start(exchange, Some(600_000));
    let part = Data::File {
        file,
        offset: 100,
        length: 600_000,
    };
    server.reactor.body(exchange, part, false).unwrap();
    // Each flush takes a portion, so that one download does not hold the others up.
    server.flush();
    assert!(server.reactor.has_dirty());
    server.settle();
    let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(output(&server, session).ends_with(&whole[100..600_100]));
}

#[test]
fn the_end_of_input_after_a_request_waits_for_the_answer() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    feed(&mut server, session, get("/"));
    let exchange = server.request().exchange;
    feed_eof(&mut server, session);
    assert!(server.has(&Seen::Disconnected(exchange)));
    assert_eq!(server.reactor.connections(), 1);
    server.answer(exchange, b"answer");
    server.settle();
    assert!(text(&server, session).ends_with("answer"));
    assert_eq!(server.seen.last(), Some(&Seen::Closed(session)));
    assert_eq!(server.reactor.connections(), 0);
}

#[test]
fn the_end_of_input_between_requests_closes() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    feed_eof(&mut server, session);
    assert_eq!(server.seen, [Seen::Closed(session)]);
}

#[test]
fn a_client_that_is_lost_is_told_of_once() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    feed(&mut server, session, get("/"));
    let exchange = server.request().exchange;
    for _ in 0..2 {
        server.with(|reactor, batch| reactor.lost(session, batch));
    }
    feed(&mut server, session, "too late");
    feed_eof(&mut server, session);
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
    assert_eq!(server.count(&Seen::Closed(session)), 1);
    let flow = server.reactor.body(exchange, Data::Copy(b"late"), false);
    assert_eq!(flow.unwrap(), Flow::Gone);
}

#[test]
fn a_refusal_is_written_before_the_connection_is_closed() {
    let mut server = Server::host(options());
    let session = server.reactor.open_host();
    feed(&mut server, session, "nonsense\r\n\r\n");
    assert!(text(&server, session).starts_with("HTTP/1.1 400 "));
    assert_eq!(server.seen.last(), Some(&Seen::Finished(session)));
    // Closing at once would reset a client that is still sending, and with it the answer.
    feed(&mut server, session, "more nonsense");
    server.with(|reactor, batch| reactor.feed_eof(session, batch));
    assert_eq!(server.seen.last(), Some(&Seen::Closed(session)));
}

#[test]
fn who_says_nothing_is_closed() {
    let mut server = Server::host(Options {
        request_head: 20,
        ..options()
    });
    let session = server.reactor.open_host();
    assert!(server.reactor.next_deadline().is_some_and(|at| at <= 20));
    server.until("closed", |server| server.reactor.connections() == 0);
    assert_eq!(server.seen, [Seen::Closed(session)]);
}

#[test]
fn who_sends_half_a_head_is_refused() {
    let mut server = Server::host(Options {
        request_head: 20,
        ..options()
    });
    let session = server.reactor.open_host();
    feed(&mut server, session, "GET / HT");
    server.until("closed", |server| server.reactor.connections() == 0);
    assert!(server.has(&Seen::Refused(Fault::HeadTimeout)));
    assert!(text(&server, session).starts_with("HTTP/1.1 408 "));
    assert_eq!(server.seen.last(), Some(&Seen::Closed(session)));
}

/// A loop that was busy elsewhere has not had the time to bring what arrived.
#[test]
fn what_the_loop_brings_late_is_not_the_clients_fault() {
    let mut server = Server::host(Options {
        request_head: 20,
        ..options()
    });
    let session = server.reactor.open_host();
    std::thread::sleep(Duration::from_millis(40));
    turn(&mut server);
    feed(&mut server, session, get("/"));
    assert_eq!(server.request().path, "/");
}

#[test]
fn a_graceful_end_closes_who_is_idle_and_serves_who_is_not() {
    let mut server = Server::host(options());
    let idle = server.reactor.open_host();
    let busy = server.reactor.open_host();
    feed(&mut server, busy, get("/"));
    let exchange = server.request().exchange;
    server.with(Reactor::stop);
    server.settle();
    assert!(server.has(&Seen::Closed(idle)));
    assert!(!server.has(&Seen::Closed(busy)));
    server.answer(exchange, b"answer");
    server.settle();
    assert!(text(&server, busy).contains("connection: close"));
    assert!(server.has(&Seen::Closed(busy)));
}
