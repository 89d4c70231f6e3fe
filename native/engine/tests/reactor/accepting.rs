//! Connections come in over each kind of socket, and their ends are told.

use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use ferricorn_engine::{Address, Reactor};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::harness::{Payload, Seen, Server, get, options};

/// The ends of the first connection that was opened.
fn ends(server: &Server) -> (Address, Address) {
    let opened = server.seen.iter().find_map(|seen| match seen {
        Seen::Opened { peer, local, .. } => Some((peer.clone(), local.clone())),
        _ => None,
    });
    opened.expect("an opened connection")
}

fn serves_over_inet(address: SocketAddr) {
    let mut server = Server::on(options(), &address.into(), |_| ());
    let mut client = server.connect();
    client.send(get("/here"));
    let request = server.request();
    assert_eq!(request.path, "/here");
    let local = server.address().as_socket().unwrap();
    assert_eq!(
        ends(&server),
        (Address::Inet(client.address()), Address::Inet(local))
    );
    server.answer(request.exchange, b"there");
    assert_eq!(server.response(&mut client).1, b"there");
}

#[test]
fn over_ipv4() {
    serves_over_inet(SocketAddr::from(([127, 0, 0, 1], 0)));
}

#[test]
fn over_ipv6() {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    // A machine may be without.
    if std::net::TcpListener::bind(address).is_ok() {
        serves_over_inet(address);
    }
}

#[test]
fn over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("ferricorn-accepting-{}", std::process::id()));
    let address = SockAddr::unix(&path).unwrap();
    let mut server = Server::on(options(), &address, |_| ());
    let mut client = server.connect();
    std::fs::remove_file(&path).unwrap();
    client.send(get("/here"));
    let request = server.request();
    assert_eq!(
        ends(&server),
        (Address::Unix(None), Address::Unix(Some(path)))
    );
    server.answer(request.exchange, b"there");
    assert_eq!(server.response(&mut client).1, b"there");
    drop(client);
    server.until("the end", |server| server.reactor.connections() == 0);
    assert!(server.has(&Seen::Closed(request.exchange.session)));
}

#[test]
fn what_is_no_stream_socket_is_not_listened_on() {
    let mut reactor = Reactor::<Payload>::new(options(), true).unwrap();
    let datagrams = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    assert!(reactor.listen(OwnedFd::from(datagrams)).is_err());
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    assert!(reactor.listen(OwnedFd::from(file)).is_err());
}

#[test]
fn without_a_poller_nothing_is_listened_on() {
    let mut reactor = Reactor::<Payload>::new(options(), false).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    assert!(reactor.listen(OwnedFd::from(socket)).is_err());
    assert_eq!(reactor.fd(), None);
}

#[test]
fn a_crowd_is_accepted_over_several_turns() {
    let mut server = Server::new(options());
    server.echo = true;
    let mut clients: Vec<_> = (0..150).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/{number}")));
    }
    server.gather();
    let first = server.reactor.connections();
    assert!(first < 150, "a turn has an end");
    assert!(server.reactor.has_ready(), "the others are not forgotten");
    for (number, client) in clients.iter_mut().enumerate() {
        let (_, body) = server.response(client);
        assert_eq!(body, format!("/{number}").as_bytes());
    }
    assert_eq!(server.reactor.connections(), 150);
    assert_eq!(server.reactor.stats().accepted, 150);
}

#[test]
fn a_connection_that_never_speaks_is_never_told() {
    let mut server = Server::new(options());
    let client = server.connect();
    server.until("accepted", |server| server.reactor.connections() == 1);
    drop(client);
    server.until("closed", |server| server.reactor.connections() == 0);
    assert_eq!(server.seen, []);
}
