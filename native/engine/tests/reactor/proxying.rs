//! Connections that begin with a PROXY header: whose they are, and who is not heard.

use std::net::SocketAddr;
use std::path::PathBuf;

use ferricorn_engine::{Address, Options, Peers, Reactor, SessionId};
use ferricorn_proto::Fault;

use crate::harness::{Seen, Server, get, options};

const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 4000 443\r\n";
const UNIX: &[u8; 16] = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8";

fn admitting(peers: &[&str]) -> Options {
    Options {
        proxy: Peers::parse(peers),
        ..options()
    }
}

fn inet(text: &str) -> Address {
    Address::Inet(text.parse::<SocketAddr>().unwrap())
}

/// Both ends as they were told upwards.
fn opened(server: &Server) -> Vec<(&Address, &Address)> {
    let ends = server.seen.iter().filter_map(|seen| match seen {
        Seen::Opened { peer, local, .. } => Some((peer, local)),
        _ => None,
    });
    ends.collect()
}

#[test]
fn the_ends_are_those_that_the_header_tells() {
    let mut server = Server::new(admitting(&["127.0.0.0/8"]));
    server.echo = true;
    let mut client = server.connect();
    client.send([LINE, &get("/first"), &get("/pipelined")].concat());
    assert_eq!(server.response(&mut client).1, b"/first");
    assert_eq!(server.response(&mut client).1, b"/pipelined");
    client.send(get("/kept"));
    assert_eq!(server.response(&mut client).1, b"/kept");
    assert_eq!(
        opened(&server),
        [(&inet("192.0.2.1:4000"), &inet("198.51.100.2:443"))]
    );
}

#[test]
fn the_header_may_come_in_two_pieces() {
    let whole = [LINE, &get("/")].concat();
    for cut in 1..whole.len() {
        let mut server = Server::new(admitting(&["*"]));
        server.echo = true;
        let mut client = server.connect();
        client.send(&whole[..cut]);
        server.until("accepted", |server| server.reactor.connections() == 1);
        assert_eq!(server.seen, []);
        client.send(&whole[cut..]);
        assert_eq!(server.response(&mut client).1, b"/", "{cut}");
        assert_eq!(opened(&server)[0].0, &inet("192.0.2.1:4000"));
    }
}

#[test]
fn who_speaks_for_nobody_is_the_client() {
    let mut server = Server::new(admitting(&["127.0.0.1/32"]));
    server.echo = true;
    let mut client = server.connect();
    client.send(["PROXY UNKNOWN\r\n", &get("/")].concat());
    assert_eq!(server.response(&mut client).1, b"/");
    let real = Address::Inet(client.address());
    assert_eq!(opened(&server)[0].0, &real);
}

#[test]
fn unix_sockets_are_told_by_their_names() {
    let mut server = Server::new(admitting(&["127.0.0.1/32"]));
    server.echo = true;
    let mut names = [0; 216];
    names[108..116].copy_from_slice(b"/run/web");
    let mut client = server.connect();
    client.send([UNIX, &names[..], get("/").as_bytes()].concat());
    assert_eq!(server.response(&mut client).1, b"/");
    let web = Address::Unix(Some(PathBuf::from("/run/web")));
    assert_eq!(opened(&server), [(&Address::Unix(None), &web)]);
}

#[test]
fn nobody_else_is_answered() {
    for (peers, sent, fault) in [
        (&["10.0.0.0/8"], LINE, Fault::ProxyPeer),
        (&["unix"], LINE, Fault::ProxyPeer),
        (
            &["*"],
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            Fault::ProxyMissing,
        ),
        (&["*"], "PROXY TCP4 1.2.3.4\r\n", Fault::ProxyLine),
    ] {
        let mut server = Server::new(admitting(peers));
        let mut client = server.connect();
        client.send([sent, &get("/")].concat());
        server.end_of(&mut client);
        assert_eq!(client.text(), "");
        assert_eq!(server.seen, [Seen::Refused(fault)]);
        assert_eq!(server.reactor.connections(), 0);
        let counted: Vec<_> = server.reactor.stats().refusals().collect();
        assert_eq!(counted, [(fault, 1)]);
    }
}

#[test]
fn a_second_header_is_a_bad_request() {
    let mut server = Server::new(admitting(&["*"]));
    let mut client = server.connect();
    client.send([LINE, LINE].concat());
    let (head, _) = server.response(&mut client);
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[test]
fn the_deadline_of_the_head_is_the_headers_too() {
    for (sent, seen) in [
        ("", vec![]),
        (&LINE[..20], vec![Seen::Refused(Fault::ProxyTimeout)]),
        (LINE, vec![]),
    ] {
        let mut server = Server::new(Options {
            request_head: 40,
            ..admitting(&["*"])
        });
        let mut client = server.connect();
        client.send(sent);
        server.end_of(&mut client);
        assert_eq!(client.text(), "", "{sent:?}");
        assert_eq!(server.seen, seen, "{sent:?}");
    }
}

#[test]
fn half_a_request_behind_the_header_is_answered_at_the_deadline() {
    let mut server = Server::new(Options {
        request_head: 40,
        ..admitting(&["*"])
    });
    let mut client = server.connect();
    client.send([LINE, "GET"].concat());
    let (head, _) = server.response(&mut client);
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
}

#[test]
fn who_leaves_in_the_middle_of_the_header_is_gone() {
    let mut server = Server::new(admitting(&["*"]));
    let mut client = server.connect();
    client.send(&LINE[..20]);
    server.until("accepted", |server| server.reactor.connections() == 1);
    client.shut();
    server.end_of(&mut client);
    assert_eq!(client.text(), "");
    assert_eq!(server.seen, []);
}

#[test]
fn a_graceful_end_waits_for_the_rest_of_a_header() {
    let mut server = Server::new(admitting(&["*"]));
    server.echo = true;
    let mut client = server.connect();
    client.send(&LINE[..20]);
    server.until("accepted", |server| server.reactor.connections() == 1);
    server.idle();
    server.with(Reactor::stop);
    server.idle();
    client.send([&LINE[20..], &get("/")].concat());
    let (head, _) = server.response(&mut client);
    assert!(head.contains("connection: close"), "{head}");
}

fn feed(server: &mut Server, session: SessionId, bytes: impl AsRef<[u8]>) {
    server.with(|reactor, batch| reactor.feed(session, bytes.as_ref(), batch));
    server.settle();
}

#[test]
fn host_connections_too() {
    let whole = [LINE, &get("/")].concat();
    for cut in 0..whole.len() {
        let mut server = Server::host(admitting(&["127.0.0.1/32"]));
        let session = server.reactor.open_host();
        server.with(|reactor, batch| {
            reactor.admit_host(session, &inet("[::ffff:127.0.0.1]:9"), batch);
        });
        feed(&mut server, session, &whole[..cut]);
        feed(&mut server, session, &whole[cut..]);
        assert_eq!(server.request().path, "/");
        assert_eq!(
            opened(&server),
            [(&inet("192.0.2.1:4000"), &inet("198.51.100.2:443"))]
        );
    }
}

#[test]
fn host_connections_of_strangers_end_at_once() {
    for peer in [inet("127.0.0.2:9"), Address::Unix(None)] {
        let mut server = Server::host(admitting(&["127.0.0.1/32"]));
        let session = server.reactor.open_host();
        server.with(|reactor, batch| reactor.admit_host(session, &peer, batch));
        assert_eq!(
            server.seen,
            [Seen::Refused(Fault::ProxyPeer), Seen::Closed(session)]
        );
        feed(&mut server, session, LINE);
        assert_eq!(server.seen.len(), 2);
    }
}

#[test]
fn a_host_connection_of_nobody_knows_whom_ends_without_a_line_in_the_log() {
    let mut server = Server::host(admitting(&["unix", "0.0.0.0/0", "::/0"]));
    let session = server.reactor.open_host();
    server.with(|reactor, batch| reactor.admit_host(session, &Address::Host, batch));
    assert_eq!(server.seen, [Seen::Closed(session)]);
}

#[test]
fn a_host_connection_that_speaks_for_nobody_keeps_its_ends() {
    let mut server = Server::host(admitting(&["unix"]));
    let session = server.reactor.open_host();
    server.with(|reactor, batch| reactor.admit_host(session, &Address::Unix(None), batch));
    feed(
        &mut server,
        session,
        ["PROXY UNKNOWN\r\n", &get("/")].concat(),
    );
    server.request();
    assert_eq!(opened(&server), [(&Address::Host, &Address::Host)]);
}
