//! However the bytes of a request arrive, the same is handed up.

use crate::harness::{Seen, Server, get, options, post};

const UPLOAD: &[u8] =
    b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
      4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n";

fn assert_is_the_upload(server: &mut Server) {
    let request = server.request();
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/a")
    );
    let fields: Vec<_> = request
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let wanted = [
        ("host", "x"),
        ("x-one", "1"),
        ("transfer-encoding", "chunked"),
    ];
    assert_eq!(fields, wanted);
    server.until("the whole body", |server| server.body(request.exchange).1);
    assert_eq!(server.body(request.exchange).0, b"Wikipedia");
    assert_eq!(server.reactor.stats().requests, 1);
    assert_eq!(server.reactor.stats().bytes_in, UPLOAD.len() as u64);
}

#[test]
fn in_one_piece() {
    let mut server = Server::new(options());
    server.connect().send(UPLOAD);
    assert_is_the_upload(&mut server);
}

#[test]
fn byte_by_byte() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    for (sent, byte) in UPLOAD.iter().enumerate() {
        client.send([*byte]);
        server.until("the byte to be read", |server| {
            server.reactor.stats().bytes_in == sent as u64 + 1
        });
    }
    assert_is_the_upload(&mut server);
}

#[test]
fn split_in_two_at_each_place() {
    for at in 1..UPLOAD.len() {
        let mut server = Server::new(options());
        let mut client = server.connect();
        client.send(&UPLOAD[..at]);
        server.until("the first part to be read", |server| {
            server.reactor.stats().bytes_in == at as u64
        });
        client.send(&UPLOAD[at..]);
        assert_is_the_upload(&mut server);
    }
}

#[test]
fn one_request_after_the_other_on_one_connection() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    for turn in 1..=5 {
        client.send(get(&format!("/{turn}")));
        let request = server.request();
        assert_eq!(request.path, format!("/{turn}"));
        server.answer(request.exchange, request.path.as_bytes());
        assert_eq!(server.response(&mut client).1, request.path.as_bytes());
    }
    let opened = server
        .seen
        .iter()
        .filter(|seen| matches!(seen, Seen::Opened { .. }));
    assert_eq!(opened.count(), 1);
}

/// A read that fills its window leaves the question open whether there is more: sizes around it.
#[test]
fn a_body_as_long_as_a_read_or_nearly() {
    for excess in [-1_isize, 0, 1] {
        for reads in 1..=2 {
            let mut server = Server::new(options());
            let mut client = server.connect();
            let total = (reads * 65_536_usize).checked_add_signed(excess).unwrap();
            // The length of the length has an influence of its own.
            let length = (0..total)
                .rev()
                .find(|length| post(*length).len() + length <= total)
                .unwrap();
            let mut upload = post(length).into_bytes();
            upload.resize(upload.len() + length, b'x');
            server.send(&mut client, &upload);
            let request = server.request();
            server.until("the whole body", |server| {
                let (body, end) = server.body(request.exchange);
                server.reactor.consumed(request.exchange, body.len());
                end
            });
            assert_eq!(server.body(request.exchange).0.len(), length);
            server.answer(request.exchange, b"thanks");
            server.response(&mut client);
            client.send(get("/next"));
            assert_eq!(server.request().path, "/next");
        }
    }
}

#[test]
fn many_large_uploads_at_once_share_a_turn() {
    let mut server = Server::new(options());
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let mut upload = post(60_000).into_bytes();
    upload.resize(upload.len() + 60_000, b'x');
    for client in &mut clients {
        assert_eq!(client.send_some(&upload), upload.len());
    }
    server.gather();
    assert!(
        server.reactor.stats().bytes_in <= 4 * 80 * 1024,
        "one turn reads no more than its arena holds"
    );
    for _ in &clients {
        let request = server.request();
        server.until("the whole body", |server| server.body(request.exchange).1);
        assert_eq!(server.body(request.exchange).0.len(), 60_000);
        server.answer(request.exchange, b"");
    }
    for client in &mut clients {
        server.response(client);
    }
}
