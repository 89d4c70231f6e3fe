//! Clients that leave: in order, by halves, or without a word.

use ferricorn_engine::{Data, Flow};
use socket2::SockAddr;

use crate::harness::{End, Seen, Server, get, options, post};

#[test]
fn who_says_that_it_sends_no_more_is_answered_and_closed() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    client.shut();
    let request = server.request();
    server.idle();
    assert_eq!(server.reactor.connections(), 1, "it may still listen");
    server.answer(request.exchange, b"answer");
    assert_eq!(server.response(&mut client).1, b"answer");
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert_eq!(server.count(&Seen::Disconnected(request.exchange)), 1);
    assert_eq!(server.count(&Seen::Closed(request.exchange.session)), 1);
    assert_eq!(server.reactor.connections(), 0);
}

#[test]
fn a_whole_pipeline_is_answered_to_who_sends_no_more() {
    let mut server = Server::new(options());
    server.echo = true;
    let mut client = server.connect();
    client.send([get("/1"), get("/2"), get("/3")].concat());
    client.shut();
    for path in ["/1", "/2", "/3"] {
        assert_eq!(server.response(&mut client).1, path.as_bytes());
    }
    assert_eq!(server.end_of(&mut client), End::Closed);
}

#[test]
fn a_reset_is_told_once_and_frees_the_slot() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    client.reset();
    server.until("closed", |server| server.reactor.connections() == 0);
    server.idle();
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
    assert_eq!(server.count(&Seen::Closed(exchange.session)), 1);
    let flow = server.reactor.body(exchange, Data::Copy(b"late"), false);
    assert_eq!(flow.unwrap(), Flow::Gone);
}

/// Its end is reported together with its request, and nothing more is.
#[test]
fn who_asks_and_resets_at_once_holds_no_connection() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    server.until("accepted", |server| server.reactor.connections() == 1);
    client.send(get("/"));
    client.reset();
    let exchange = server.request().exchange;
    server.until("closed", |server| server.reactor.connections() == 0);
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
}

#[test]
fn a_reset_in_the_middle_of_a_response_is_told() {
    let mut server = Server::narrow(options());
    let mut client = server.connect_narrow();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, None);
    let piece = vec![0; 200_000];
    while server
        .reactor
        .body(exchange, Data::Copy(&piece), true)
        .unwrap()
        == Flow::Ready
    {
        server.settle();
    }
    client.reset();
    server.until("closed", |server| server.reactor.connections() == 0);
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
    assert_eq!(server.count(&Seen::Closed(exchange.session)), 1);
    assert_eq!(server.count(&Seen::Writable(exchange)), 0);
}

#[test]
fn a_body_that_ends_too_early_is_no_whole_body() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send([&post(10), "half."].concat());
    let exchange = server.request().exchange;
    client.shut();
    server.until("told", |server| server.has(&Seen::Disconnected(exchange)));
    assert_eq!(server.body(exchange), (b"half.".to_vec(), false));
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
    assert_eq!(server.count(&Seen::Closed(exchange.session)), 1);
}

#[test]
fn who_leaves_in_the_middle_of_a_head_leaves_nothing() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nhos");
    client.shut();
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert!(client.received.is_empty());
    assert_eq!(server.seen, []);
    assert_eq!(server.reactor.connections(), 0);
}

#[test]
fn who_leaves_between_requests_is_let_go() {
    let mut server = Server::new(options());
    server.echo = true;
    let mut client = server.connect();
    client.send(get("/"));
    server.response(&mut client);
    drop(client);
    server.until("closed", |server| server.reactor.connections() == 0);
    let session = server.request().exchange.session;
    assert_eq!(server.count(&Seen::Closed(session)), 1);
    let gone = |seen: &&Seen| matches!(seen, Seen::Disconnected(_));
    assert_eq!(
        server.seen.iter().filter(gone).count(),
        0,
        "nobody was waiting"
    );
}

/// Bytes that came before the end count, however the end is reported.
#[test]
fn a_request_is_served_though_its_client_has_left() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    server.until("accepted", |server| server.reactor.connections() == 1);
    client.send(get("/last-words"));
    drop(client);
    assert_eq!(server.request().path, "/last-words");
}

/// A connection that the server ends with bytes unread would be reset, and a reset may destroy the
/// answer at the client.
#[test]
fn the_last_answer_reaches_who_went_on_sending() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let exchange = server.request().exchange;
    client.send(get("/too-late"));
    server.idle();
    server.answer(exchange, b"answer");
    server.idle();
    let (head, body) = server.response(&mut client);
    assert!(head.contains("connection: close"));
    assert_eq!(body, b"answer");
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert_eq!(server.requests().count(), 1);
    drop(client);
    server.until("closed", |server| server.reactor.connections() == 0);
}

#[test]
fn many_clients_that_come_and_go_share_few_slots() {
    let mut server = Server::new(options());
    server.echo = true;
    for number in 0..300 {
        let mut client = server.connect();
        client.send(get("/"));
        if number % 3 == 0 {
            client.reset();
        } else if number % 3 == 1 {
            server.response(&mut client);
        }
    }
    server.until("closed", |server| server.reactor.connections() == 0);
    let slots = server
        .requests()
        .map(|request| request.exchange.session.slot);
    assert!(slots.max().unwrap() < 10);
}

/// A Unix socket reports its peer's close while the peer's last words are still to be read.
#[test]
fn who_asks_over_a_unix_socket_and_leaves_at_once_is_heard() {
    let path = std::env::temp_dir().join(format!("ferricorn-leaving-{}", std::process::id()));
    let mut server = Server::on(options(), &SockAddr::unix(&path).unwrap(), |_| ());
    let mut client = server.connect();
    std::fs::remove_file(&path).unwrap();
    server.until("accepted", |server| server.reactor.connections() == 1);
    client.send([&post(10), "last words"].concat());
    drop(client);
    let exchange = server.request().exchange;
    assert_eq!(server.body(exchange), (b"last words".to_vec(), true));
    server.answer(exchange, b"to nobody");
    server.until("closed", |server| server.reactor.connections() == 0);
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
}
