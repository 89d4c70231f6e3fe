//! An error of the server's own ends one connection.

use ferricorn_engine::{Data, Flow};

use crate::harness::{Payload, Seen, Server, get, options};

#[test]
fn a_payload_that_cannot_be_looked_at_ends_its_own_connection() {
    let mut server = Server::new(options());
    let mut broken = server.connect();
    broken.send(get("/broken"));
    let broken_exchange = server.request().exchange;
    let mut sound = server.connect();
    sound.send(get("/sound"));
    let sound_exchange = server.request().exchange;

    let payload = Payload::new(vec![0; 50_000]);
    let switch = payload.switch();
    server.start(broken_exchange, Some(100_000));
    let flow = server
        .reactor
        .body(broken_exchange, Data::Payload(payload), true);
    assert_eq!(flow.unwrap(), Flow::Ready);
    switch.set(true);
    server.answer(sound_exchange, b"fine");
    server.settle();

    assert_eq!(server.reactor.stats().panics, 1);
    assert_eq!(server.count(&Seen::Disconnected(broken_exchange)), 1);
    assert_eq!(server.count(&Seen::Closed(broken_exchange.session)), 1);
    server.end_of(&mut broken);
    assert_eq!(server.response(&mut sound).1, b"fine");
    assert_eq!(server.reactor.connections(), 1);
    sound.send(get("/again"));
    assert_eq!(server.request().path, "/again");
}

#[test]
fn what_was_queued_is_handed_back() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    let payload = Payload::new(vec![0; 50_000]);
    let switch = payload.switch();
    server.start(exchange, Some(50_000));
    let data = Data::Payload(payload);
    server.reactor.body(exchange, data, false).unwrap();
    switch.set(true);
    server.flush();
    assert_eq!(server.reactor.stats().panics, 1);
    assert_eq!(server.reactor.take_spent().len(), 1);
    assert!(!server.reactor.has_dirty());
}
