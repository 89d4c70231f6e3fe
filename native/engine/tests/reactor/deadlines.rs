//! Clients that keep a connection without using it lose it.
//!
//! Each deadline is some tens of milliseconds, and a test turns until it has done its work. That a
//! deadline does not strike is tested where it cannot, however long the test is kept waiting.

use std::time::{Duration, Instant};

use ferricorn_engine::{Data, Flow, Options};
use ferricorn_proto::Fault;

use crate::harness::{Client, End, Payload, Seen, Server, get, options, post};

const SOON: u64 = 40;

/// Turns until the clock has passed `SOON` twice.
fn let_pass(server: &mut Server) {
    let start = Instant::now();
    server.until("time", |_| {
        start.elapsed() > Duration::from_millis(2 * SOON)
    });
}

fn assert_answered_408(server: &mut Server, client: &mut Client) {
    let (head, _) = server.response(client);
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(server.end_of(client), End::Closed);
}

#[test]
fn who_says_nothing_is_closed_without_an_answer() {
    let mut server = Server::new(Options {
        request_head: SOON,
        ..options()
    });
    let mut client = server.connect();
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert!(client.received.is_empty());
    assert_eq!(server.seen, []);
    assert_eq!(server.reactor.connections(), 0);
}

#[test]
fn half_a_head_is_answered() {
    let mut server = Server::new(Options {
        request_head: SOON,
        ..options()
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n");
    assert_answered_408(&mut server, &mut client);
    assert!(server.has(&Seen::Refused(Fault::HeadTimeout)));
}

#[test]
fn bytes_that_trickle_in_do_not_extend_a_head() {
    let mut server = Server::new(Options {
        request_head: SOON,
        ..options()
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\n");
    server.until("refused", |server| {
        client.send_some(b"x");
        server.has(&Seen::Refused(Fault::HeadTimeout))
    });
}

#[test]
fn the_head_of_a_later_request_has_the_same_time() {
    let mut server = Server::new(Options {
        request_head: SOON,
        ..options()
    });
    server.echo = true;
    let mut client = server.connect();
    client.send(get("/"));
    server.response(&mut client);
    let_pass(&mut server);
    client.send("GET / HT");
    assert_answered_408(&mut server, &mut client);
}

#[test]
fn a_body_that_stops_is_refused() {
    let mut server = Server::new(Options {
        request_body: SOON,
        ..options()
    });
    let mut client = server.connect();
    client.send([&post(10), "half."].concat());
    let exchange = server.request().exchange;
    assert_answered_408(&mut server, &mut client);
    assert!(server.has(&Seen::Refused(Fault::BodyTimeout)));
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
}

#[test]
fn a_body_that_stops_during_its_answer_is_cut() {
    let mut server = Server::new(Options {
        request_body: SOON,
        ..options()
    });
    let mut client = server.connect();
    client.send([&post(10), "half."].concat());
    let exchange = server.request().exchange;
    server.start(exchange, Some(1000));
    server.end_of(&mut client);
    assert!(client.text().starts_with("HTTP/1.1 200 "));
    assert_eq!(client.text().matches("HTTP/").count(), 1);
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
    assert_eq!(server.count(&Seen::Closed(exchange.session)), 1);
}

#[test]
fn an_application_may_take_longer_than_any_client() {
    let mut server = Server::new(Options {
        request_head: SOON,
        request_body: SOON,
        keep_alive: SOON,
        write: SOON,
        ..options()
    });
    let mut client = server.connect();
    client.send([&post(5), "whole"].concat());
    let exchange = server.request().exchange;
    let_pass(&mut server);
    server.start(exchange, Some(6));
    let_pass(&mut server);
    let flow = server.reactor.body(exchange, Data::Copy(b"answer"), false);
    assert_eq!(flow.unwrap(), Flow::Ready);
    assert_eq!(server.response(&mut client).1, b"answer");
}

#[test]
fn an_idle_connection_is_closed() {
    let mut server = Server::new(Options {
        keep_alive: SOON,
        ..options()
    });
    server.echo = true;
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(get("/"));
        assert_eq!(server.response(&mut client).1, b"/");
    }
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert!(client.received.is_empty(), "{}", client.text());
    assert!(server.has(&Seen::Closed(
        server.requests().next().unwrap().exchange.session
    )));
}

/// The client's time begins when the application asks, however long ago the last turn was.
#[test]
fn who_waits_to_be_asked_has_all_the_time_from_then_on() {
    let mut server = Server::new(Options {
        request_body: SOON,
        keep_alive: SOON,
        ..options()
    });
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    let exchange = server.request().exchange;
    std::thread::sleep(Duration::from_millis(2 * SOON));
    server.reactor.ask(exchange);
    server.settle();
    server.gather();
    assert_eq!(server.reactor.connections(), 1);
    client.send("body");
    server.until("a body", |server| server.body(exchange).1);

    std::thread::sleep(Duration::from_millis(2 * SOON));
    server.answer(exchange, b"answer");
    server.settle();
    server.gather();
    assert_eq!(server.reactor.connections(), 1);
    client.read_once();
    assert!(
        client.text().starts_with("HTTP/1.1 100 "),
        "{}",
        client.text()
    );
}

/// What waits for a slow reader is less than what holds the next request up.
#[test]
fn the_rest_of_a_short_response_is_not_cut_by_the_idle_deadline() {
    let mut server = Server::narrow(Options {
        keep_alive: SOON,
        ..options()
    });
    let mut client = server.connect_narrow();
    client.send(get("/"));
    let exchange = server.request().exchange;
    let body = vec![b'x'; 60_000];
    server.answer(exchange, &body);
    let_pass(&mut server);
    assert_eq!(server.response(&mut client).1, body);
    assert_eq!(server.end_of(&mut client), End::Closed);
}

/// The loop was held up by an application while the next request arrived: its client is not late.
#[test]
fn a_request_that_arrived_in_time_is_served_though_it_is_seen_late() {
    let mut server = Server::new(Options {
        keep_alive: SOON,
        request_head: SOON,
        request_body: SOON,
        ..options()
    });
    server.echo = true;
    let mut kept = server.connect();
    kept.send(get("/first"));
    server.response(&mut kept);
    let mut fresh = server.connect();
    fresh.send("GET /fre");
    let mut upload = server.connect();
    upload.send([&post(10), "half,"].concat());
    server.echo = false;
    server.until("an upload", |server| server.reactor.stats().requests == 2);
    server.echo = true;
    server.until("half a head", |server| server.reactor.connections() == 3);

    kept.send(get("/second"));
    fresh.send("sh HTTP/1.1\r\nhost: a\r\n\r\n");
    upload.send("whole");
    std::thread::sleep(Duration::from_millis(2 * SOON));
    // Timers may come before sockets.
    server.with(|reactor, batch| reactor.gather(batch, false));
    server.settle();

    assert_eq!(server.response(&mut kept).1, b"/second");
    assert_eq!(server.response(&mut fresh).1, b"/fresh");
    let exchange = server
        .requests()
        .find(|request| request.method == "POST")
        .unwrap()
        .exchange;
    assert_eq!(server.body(exchange), (b"half,whole".to_vec(), true));
}

#[test]
fn who_does_not_read_is_cut() {
    let mut server = Server::narrow(Options {
        write: SOON,
        ..options()
    });
    let mut client = server.connect_narrow();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, Some(10_000_000));
    let piece = Data::Payload(Payload::new(vec![0; 1_000_000]));
    let flow = server.reactor.body(exchange, piece, true).unwrap();
    assert_eq!(flow, Flow::Blocked);
    server.until("closed", |server| server.reactor.connections() == 0);
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
    assert_eq!(server.count(&Seen::Closed(exchange.session)), 1);
    assert!(client.end.is_none());
}

/// Only a connection with nothing to send is idle.
#[test]
fn a_slow_reader_of_a_whole_response_is_not_idle() {
    let mut server = Server::narrow(Options {
        keep_alive: SOON,
        request_head: SOON,
        ..options()
    });
    let mut client = server.connect_narrow();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, Some(1_000_000));
    let piece = Data::Payload(Payload::new(vec![0; 1_000_000]));
    assert_eq!(
        server.reactor.body(exchange, piece, false).unwrap(),
        Flow::Ready
    );
    let_pass(&mut server);
    assert_eq!(server.response(&mut client).1.len(), 1_000_000);
    assert_eq!(server.end_of(&mut client), End::Closed);
}

#[test]
fn who_was_refused_and_stays_is_cut() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send("nonsense\r\n\r\n");
    assert!(server.response(&mut client).0.starts_with("HTTP/1.1 400 "));
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert_eq!(server.reactor.connections(), 1, "it is given time");
    server.until("closed", |server| server.reactor.connections() == 0);
}

#[test]
fn the_next_deadline_is_told() {
    let mut server = Server::new(Options {
        request_head: 1_000_000,
        ..options()
    });
    assert_eq!(server.reactor.next_deadline(), None);
    let client = server.connect();
    server.until("accepted", |server| server.reactor.connections() == 1);
    let next = server.reactor.next_deadline().unwrap();
    assert!((900_000..=1_000_000).contains(&next), "{next}");
    drop(client);
}
