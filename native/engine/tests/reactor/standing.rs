//! What connections are about that hold a server without its application.

use ferricorn_engine::Wait;

use crate::harness::{Server, get, options, post};

fn waits(server: &mut Server) -> Vec<Wait> {
    let standing = server.with(|reactor, _| reactor.standing());
    standing.iter().map(|each| each.wait).collect()
}

#[test]
fn who_is_idle_or_waits_for_the_application_is_left_out() {
    let mut server = Server::new(options());
    let (mut used, mut asking) = (server.connect(), server.connect());
    used.send(get("/"));
    let exchange = server.request().exchange;
    server.answer(exchange, b"");
    server.response(&mut used);
    asking.send(get("/"));
    server.until("asked", |server| server.requests().count() == 2);
    assert_eq!(waits(&mut server), []);
}

#[test]
fn half_a_head_is_one_and_its_client_is_named() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send("GET / HTT");
    server.until("read", |server| !waits(server).is_empty());
    let standing = server.with(|reactor, _| reactor.standing());
    assert_eq!(standing[0].wait, Wait::Head);
    assert!(standing[0].peer.is_some());
}

#[test]
fn the_rest_of_a_body_that_nobody_wants_is_one() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(post(10));
    let exchange = server.request().exchange;
    server.answer(exchange, b"early");
    server.response(&mut client);
    assert_eq!(waits(&mut server), [Wait::Body]);
}

#[test]
fn who_does_not_read_the_response_is_one() {
    let mut server = Server::narrow(options());
    let mut client = server.connect_narrow();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.answer(exchange, &vec![0; 1 << 20]);
    server.idle();
    assert_eq!(waits(&mut server), [Wait::Reader]);
}
