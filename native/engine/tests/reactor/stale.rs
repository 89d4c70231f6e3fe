//! An id that outlived its exchange reaches nobody.

use ferricorn_engine::{Data, ExchangeId, Flow};

use crate::harness::{Seen, Server, get, options};

fn assert_gone(server: &mut Server, exchange: ExchangeId) {
    let reactor = &mut server.reactor;
    assert!(matches!(reactor.respond(exchange, 200), Ok(None)));
    assert!(matches!(reactor.inform(exchange, 103), Ok(None)));
    assert!(matches!(reactor.trailers(exchange), Ok(None)));
    let flow = reactor.body(exchange, Data::Copy(b"stale"), false);
    assert_eq!(flow.unwrap(), Flow::Gone);
    assert!(!reactor.fail(exchange));
    assert!(!reactor.is_full(exchange));
    reactor.ask(exchange);
    reactor.end(exchange);
    reactor.expect_trailers(exchange);
    reactor.consumed(exchange, 1_000_000);
}

#[test]
fn after_its_answer() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let first = server.request();
    server.answer(first.exchange, b"first");
    server.response(&mut client);
    assert_gone(&mut server, first.exchange);
}

#[test]
fn after_the_next_request() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send([get("/1"), get("/2")].concat());
    let first = server.request();
    server.answer(first.exchange, b"first");
    let second = server.request();
    assert_eq!(second.exchange.session, first.exchange.session);
    assert_gone(&mut server, first.exchange);
    server.answer(second.exchange, b"second");
    assert_eq!(server.response(&mut client).1, b"first");
    assert_eq!(server.response(&mut client).1, b"second");
}

#[test]
fn after_its_slot_is_used_again() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/1"));
    let first = server.request();
    client.reset();
    server.until("closed", |server| server.reactor.connections() == 0);
    assert_gone(&mut server, first.exchange);

    let mut client = server.connect();
    client.send(get("/2"));
    let second = server.request();
    assert_eq!(second.exchange.session.slot, first.exchange.session.slot);
    assert_ne!(second.exchange, first.exchange);
    assert_gone(&mut server, first.exchange);
    server.idle();
    assert!(!server.has(&Seen::Closed(second.exchange.session)));
    server.answer(second.exchange, b"second");
    assert_eq!(server.response(&mut client).1, b"second");
}
