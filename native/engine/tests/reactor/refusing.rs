//! Peers that err are told so, whatever they go on to send.

use ferricorn_proto::Fault;

use crate::harness::{End, Seen, Server, get, options, post};

#[test]
fn nonsense_is_answered_and_closed() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nno-colon\r\n\r\n");
    let (head, body) = server.response(&mut client);
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body, Fault::MissingColon.reason().as_bytes());
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert_eq!(server.seen, [Seen::Refused(Fault::MissingColon)]);
    let counted: Vec<_> = server.reactor.stats().refusals().collect();
    assert_eq!(counted, [(Fault::MissingColon, 1)]);
    drop(client);
    server.until("closed", |server| server.reactor.connections() == 0);
}

#[test]
fn the_answer_reaches_a_peer_that_sends_on() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    let mut flood = b"GET / HTTP/1.1\r\nno-colon\r\n\r\n".to_vec();
    flood.resize(3_000_000, b'x');
    server.send(&mut client, &flood);
    let (head, _) = server.response(&mut client);
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(
        server.end_of(&mut client),
        End::Closed,
        "in order, not by a reset"
    );
    drop(client);
    server.until("closed", |server| server.reactor.connections() == 0);
    assert_eq!(server.requests().count(), 0);
}

#[test]
fn an_upload_that_nobody_wants_is_answered_while_it_comes() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(post(3_000_000));
    let exchange = server.request().exchange;
    server.answer(exchange, b"too large");
    server.send(&mut client, &vec![b'x'; 3_000_000]);
    let (head, body) = server.response(&mut client);
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body, b"too large");
    assert_eq!(server.end_of(&mut client), End::Closed);
}

#[test]
fn a_body_that_errs_ends_its_exchange() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nno\r\n");
    let exchange = server.request().exchange;
    let (head, _) = server.response(&mut client);
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
    assert_eq!(server.body(exchange), (b"abc".to_vec(), false));
}

#[test]
fn what_was_right_before_is_answered_first() {
    let mut server = Server::new(options());
    server.echo = true;
    let mut client = server.connect();
    client.send([get("/right"), "wrong\r\n\r\n".into(), get("/unseen")].concat());
    assert_eq!(server.response(&mut client).1, b"/right");
    let (head, _) = server.response(&mut client);
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert_eq!(server.requests().count(), 1);
}

#[test]
fn an_expectation_that_cannot_be_met_costs_no_connection() {
    let mut server = Server::new(options());
    server.echo = true;
    let mut client = server.connect();
    let wish = "GET / HTTP/1.1\r\nhost: a\r\nexpect: wonders\r\n\r\n";
    client.send([wish, wish, &get("/plain")].concat());
    for _ in 0..2 {
        let (head, _) = server.response(&mut client);
        assert!(head.starts_with("HTTP/1.1 417 "), "{head}");
    }
    assert_eq!(server.response(&mut client).1, b"/plain");
}

#[test]
fn a_request_that_is_turned_away_is_answered() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.reactor.turn_away(exchange, Fault::Overloaded);
    let (head, _) = server.response(&mut client);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(server.end_of(&mut client), End::Closed);
}

#[test]
fn an_application_that_fails_is_answered_for() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    assert!(server.reactor.fail(exchange), "the client hears of it");
    let (head, _) = server.response(&mut client);
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    assert_eq!(server.end_of(&mut client), End::Closed);
}

#[test]
fn a_response_that_fails_in_the_middle_is_cut() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, None);
    server.turn();
    assert!(!server.reactor.fail(exchange));
    server.end_of(&mut client);
    assert!(client.text().starts_with("HTTP/1.1 200 "));
    assert!(!client.text().ends_with("0\r\n\r\n"), "no whole body");
}
