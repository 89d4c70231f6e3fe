//! Neither side is made to hold what the other does not take.

use ferricorn_engine::{Data, Flow};
use ferricorn_proto::limits::{BODY_HIGH_WATER, WRITE_HIGH_WATER};

use crate::harness::{Payload, Seen, Server, get, options, post};

/// What one read takes at most.
const READ: usize = 65_536;

#[test]
fn a_body_that_nobody_asks_for_stays_in_the_kernel() {
    const LENGTH: usize = 4_000_000;
    let mut server = Server::narrow(options());
    let mut client = server.connect();
    client.send(post(LENGTH));
    let exchange = server.request().exchange;
    let upload = vec![b'x'; LENGTH];
    let mut sent = 0;
    let mut quiet = 0;
    while quiet < 20 {
        let before = (sent, server.reactor.stats().bytes_in);
        sent += client.send_some(&upload[sent..]);
        server.turn();
        let moved = (sent, server.reactor.stats().bytes_in) != before;
        quiet = if moved { 0 } else { quiet + 1 };
    }
    let held = server.body(exchange).0.len();
    assert!(
        held >= BODY_HIGH_WATER,
        "{held} bytes are enough for the application to work on"
    );
    assert!(
        held < BODY_HIGH_WATER + READ,
        "{held} bytes are held for nobody"
    );
    assert!(sent < LENGTH, "the client feels it");

    // The application takes some, and reading goes on when less than the mark is left.
    let mut taken = held - BODY_HIGH_WATER;
    server.reactor.consumed(exchange, taken);
    assert!(!server.reactor.has_ready());
    server.reactor.consumed(exchange, 1);
    assert!(server.reactor.has_ready());
    taken += 1;
    server.until("the rest of the body", |server| {
        sent += client.send_some(&upload[sent..]);
        let (body, end) = server.body(exchange);
        assert!(body.len() - taken < BODY_HIGH_WATER + READ);
        server.reactor.consumed(exchange, body.len() - taken);
        taken = body.len();
        end
    });
    assert_eq!(server.body(exchange).0.len(), LENGTH);
    server.answer(exchange, b"");
    server.response(&mut client);
}

#[test]
fn a_body_that_nobody_reads_is_thrown_away_after_the_answer() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    let mut upload = post(100_000).into_bytes();
    upload.resize(upload.len() + 100_000, b'x');
    client.send(&upload);
    let request = server.request();
    server.until("as much as may be held", |server| {
        server.body(request.exchange).0.len() >= BODY_HIGH_WATER
    });
    server.answer(request.exchange, b"early");
    let (head, body) = server.response(&mut client);
    assert_eq!(body, b"early");
    assert!(!head.contains("connection: close"), "{head}");
    client.send(get("/next"));
    assert_eq!(server.request().path, "/next");
}

#[test]
fn a_sender_waits_for_a_reader_that_is_slower() {
    let mut server = Server::narrow(options());
    let mut client = server.connect_narrow();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, None);
    let piece = vec![b'x'; 20_000];
    let mut sent = 0;
    let mut flow = Flow::Ready;
    while flow == Flow::Ready {
        assert!(sent < 100, "a client that reads nothing has an end");
        let data = if sent % 2 == 0 {
            Data::Copy(piece.as_slice())
        } else {
            Data::Payload(Payload::new(piece.clone()))
        };
        flow = server.reactor.body(exchange, data, true).unwrap();
        server.settle();
        sent += 1;
    }
    assert_eq!(flow, Flow::Blocked);
    assert!(server.reactor.is_full(exchange));
    server.idle();
    assert!(!server.has(&Seen::Writable(exchange)));

    server.until("room", |server| {
        client.read_once();
        server.has(&Seen::Writable(exchange))
    });
    assert!(!server.reactor.is_full(exchange));
    let flow = server.reactor.body(exchange, Data::Copy(b"end"), false);
    assert_eq!(flow.unwrap(), Flow::Ready);
    server.until("the end of the response", |_| {
        client.read();
        client.received.ends_with(b"0\r\n\r\n")
    });
    let text = client.text();
    assert_eq!(text.matches('x').count(), sent * piece.len());
    assert_eq!(server.count(&Seen::Writable(exchange)), 1);
}

#[test]
fn a_fast_stream_is_written_while_it_is_made() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, None);
    let piece = vec![b'x'; 50_000];
    let mut sent = 0;
    // The application never waits for the loop: only what the socket takes at once can leave.
    for _ in 0..20 {
        sent += piece.len();
        if server
            .reactor
            .body(exchange, Data::Copy(&piece), true)
            .unwrap()
            == Flow::Blocked
        {
            break;
        }
        client.read();
    }
    assert!(client.received.len() > WRITE_HIGH_WATER, "nothing has left");
    let flow = server.reactor.body(exchange, Data::Copy(b""), false);
    assert_eq!(flow.unwrap(), Flow::Ready);
    server.until("the end of the response", |_| {
        client.read();
        client.received.ends_with(b"0\r\n\r\n")
    });
    assert_eq!(client.text().matches('x').count(), sent);
    assert_eq!(
        server.reactor.stats().bytes_out,
        client.received.len() as u64,
        "every byte is counted"
    );
}

/// One response of many pieces, more than a single call can take, with copied bytes between.
#[test]
fn pieces_and_copies_keep_their_order() {
    let mut server = Server::narrow(options());
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, Some(100 * 1005));
    let mut wanted = Vec::new();
    for number in 0..100 {
        let small = format!("<{number:03}>");
        let large = vec![b'a' + number % 26; 1000];
        wanted.extend_from_slice(small.as_bytes());
        wanted.extend_from_slice(&large);
        let reactor = &mut server.reactor;
        reactor
            .body(exchange, Data::Copy(small.as_bytes()), true)
            .unwrap();
        let piece = Data::Payload(Payload::new(large));
        reactor.body(exchange, piece, number < 99).unwrap();
    }
    assert_eq!(server.response(&mut client).1, wanted);
}
