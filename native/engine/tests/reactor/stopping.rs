//! A graceful end serves whom it has, and takes nobody else.

use ferricorn_engine::{Data, Flow, Reactor};

use crate::harness::{Client, End, Seen, Server, get, options, post};

fn assert_refuses_connections(server: &Server) {
    let address = server.address().as_socket().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn who_is_idle_is_closed() {
    let mut server = Server::new(options());
    server.echo = true;
    let mut used = server.connect();
    used.send(get("/"));
    server.response(&mut used);
    let mut fresh = server.connect();
    server.until("accepted", |server| server.reactor.connections() == 2);
    server.with(Reactor::stop);
    assert_refuses_connections(&server);
    assert_eq!(server.end_of(&mut used), End::Closed);
    assert_eq!(server.end_of(&mut fresh), End::Closed);
    assert!(used.received.is_empty() && fresh.received.is_empty());
    assert_eq!(server.reactor.connections(), 0);
}

fn assert_last_answer(server: &mut Server, client: &mut Client, wanted: &str) {
    let (head, body) = server.response(client);
    assert_eq!(body, wanted.as_bytes());
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(server.end_of(client), End::Closed);
}

#[test]
fn who_waits_for_an_answer_gets_it() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.with(Reactor::stop);
    server.idle();
    server.answer(exchange, b"answer");
    assert_last_answer(&mut server, &mut client, "answer");
    assert_eq!(server.reactor.connections(), 0);
}

#[test]
fn who_has_asked_and_was_not_read_is_served() {
    let mut server = Server::new(options());
    server.echo = true;
    let mut waiting: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send(get("/backlog"));
    }
    let mut kept = server.connect();
    kept.send(get("/1"));
    server.response(&mut kept);
    kept.send(get("/2"));
    server.with(Reactor::stop);
    assert_last_answer(&mut server, &mut kept, "/2");
    for client in &mut waiting {
        assert_eq!(server.response(client).1, b"/backlog");
        assert_eq!(server.end_of(client), End::Closed);
    }
    assert_eq!(server.reactor.connections(), 0);
}

#[test]
fn who_has_sent_half_a_request_may_end_it() {
    let mut server = Server::new(options());
    server.echo = true;
    let mut client = server.connect();
    client.send("GET /half HTTP/1.1\r\n");
    server.until("read", |server| server.reactor.stats().bytes_in > 0);
    server.with(Reactor::stop);
    server.idle();
    client.send("host: a\r\n\r\n");
    assert_last_answer(&mut server, &mut client, "/half");
}

#[test]
fn who_sends_a_body_may_end_it() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send([&post(10), "half,"].concat());
    let exchange = server.request().exchange;
    server.with(Reactor::stop);
    server.idle();
    client.send("whole");
    server.until("the whole body", |server| server.body(exchange).1);
    server.answer(exchange, b"thanks");
    assert_last_answer(&mut server, &mut client, "thanks");
}

/// Its head is out and says that the connection is kept: it is closed all the same.
#[test]
fn a_response_that_has_begun_is_ended() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, Some(9));
    let flow = server.reactor.body(exchange, Data::Copy(b"first"), true);
    assert_eq!(flow.unwrap(), Flow::Ready);
    server.turn();
    server.with(Reactor::stop);
    server.idle();
    let flow = server.reactor.body(exchange, Data::Copy(b"last"), false);
    assert_eq!(flow.unwrap(), Flow::Ready);
    assert_eq!(server.response(&mut client).1, b"firstlast");
    assert_eq!(server.end_of(&mut client), End::Closed);
    assert_eq!(server.reactor.connections(), 0);
}

/// More was waiting than a turn reads: who said nothing is still found to be idle.
#[test]
fn who_is_idle_is_closed_though_others_were_busy() {
    let mut server = Server::new(options());
    let mut upload = post(60_000).into_bytes();
    upload.resize(upload.len() + 60_000, b'x');
    let mut busy: Vec<_> = (0..6).map(|_| server.connect()).collect();
    let mut idle: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.until("accepted", |server| server.reactor.connections() == 9);
    for client in &mut busy {
        assert_eq!(client.send_some(&upload), upload.len());
    }
    server.with(Reactor::stop);
    for client in &mut idle {
        assert_eq!(server.end_of(client), End::Closed);
    }
    for _ in &busy {
        let request = server.request();
        server.until("the whole body", |server| server.body(request.exchange).1);
        server.answer(request.exchange, b"thanks");
    }
    for client in &mut busy {
        assert_last_answer(&mut server, client, "thanks");
    }
}

/// The second request will not be served; that must not cost the answer to the first.
#[test]
fn who_pipelines_gets_the_answers_that_were_begun() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/1"));
    let exchange = server.request().exchange;
    server.with(Reactor::stop);
    client.send(get("/2"));
    server.idle();
    server.answer(exchange, b"answer");
    server.idle();
    assert_last_answer(&mut server, &mut client, "answer");
    assert_eq!(server.requests().count(), 1);
}

#[test]
fn a_second_stop_changes_nothing() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.with(Reactor::stop);
    server.with(Reactor::stop);
    server.answer(exchange, b"answer");
    assert_last_answer(&mut server, &mut client, "answer");
}

#[test]
fn an_abort_cuts_everybody() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    let mut idle = server.connect();
    server.until("accepted", |server| server.reactor.connections() == 2);
    server.with(Reactor::abort);
    assert_eq!(server.reactor.connections(), 0);
    assert_eq!(server.reactor.fd(), None);
    assert_eq!(server.count(&Seen::Disconnected(exchange)), 1);
    assert_eq!(server.count(&Seen::Closed(exchange.session)), 1);
    assert_refuses_connections(&server);
    server.end_of(&mut client);
    server.end_of(&mut idle);
}

#[test]
fn a_response_that_has_begun_can_be_ended_where_it_is() {
    for length in [None, Some(5)] {
        let mut server = Server::new(options());
        let mut client = server.connect();
        client.send(get("/"));
        let exchange = server.request().exchange;
        server.start(exchange, length);
        let part = Data::Copy(b"part");
        assert_eq!(server.reactor.body(exchange, part, true), Ok(Flow::Ready));
        assert_eq!(server.reactor.complete(exchange), length.is_none());
        if length.is_none() {
            server.until("the last chunk", |_| {
                client.read();
                client.text().ends_with("4\r\npart\r\n0\r\n\r\n")
            });
        }
    }
}
