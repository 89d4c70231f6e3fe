//! Requests that come before the answer to the one before them.

use ferricorn_proto::limits::WRITE_HIGH_WATER;

use crate::harness::{Server, find, get, options, post};

#[test]
fn answers_of_one_turn_leave_together_and_in_order() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send([get("/1"), get("/2"), get("/3")].concat());
    for path in ["/1", "/2", "/3"] {
        let request = server.request();
        assert_eq!(request.path, path);
        assert_eq!(
            server.reactor.stats().bytes_out,
            0,
            "held while another can be served"
        );
        server.answer(request.exchange, path.as_bytes());
        server.flush();
    }
    server.until("bytes", |_| client.read_once() > 0);
    let whole = client.text();
    assert_eq!(
        whole.matches("HTTP/1.1 200").count(),
        3,
        "in one read: {whole}"
    );
    let places = ["\r\n\r\n/1", "\r\n\r\n/2", "\r\n\r\n/3"]
        .map(|body| find(whole.as_bytes(), body.as_bytes()).unwrap());
    assert!(places.is_sorted());
}

#[test]
fn an_answer_does_not_wait_for_one_that_takes_longer() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send([get("/quick"), get("/slow")].concat());
    let quick = server.request();
    server.answer(quick.exchange, b"quick");
    assert_eq!(server.response(&mut client).1, b"quick");
    let slow = server.request();
    server.answer(slow.exchange, b"slow");
    assert_eq!(server.response(&mut client).1, b"slow");
}

#[test]
fn a_request_waits_for_the_answer_to_the_one_before() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send(get("/1"));
    let first = server.request();
    client.send(get("/2"));
    server.idle();
    assert_eq!(server.requests().count(), 1);
    server.answer(first.exchange, b"");
    assert_eq!(server.request().path, "/2");
}

/// What arrives while nobody reads is reported once: the rest of what was read already must be
/// looked for without another report.
#[test]
fn the_rest_of_a_head_that_came_during_the_answer_is_read() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    let second = get("/2");
    let (begin, rest) = second.split_at(10);
    client.send([&get("/1"), begin].concat());
    let first = server.request();
    client.send(rest);
    server.idle();
    server.answer(first.exchange, b"");
    assert_eq!(server.request().path, "/2");
}

#[test]
fn the_rest_of_a_body_that_came_during_the_answer_is_read() {
    let mut server = Server::new(options());
    let mut client = server.connect();
    client.send([&get("/1"), &post(6), "abc"].concat());
    let first = server.request();
    client.send("def");
    server.idle();
    server.answer(first.exchange, b"");
    let second = server.request();
    server.until("the whole body", |server| server.body(second.exchange).1);
    assert_eq!(server.body(second.exchange).0, b"abcdef");
}

#[test]
fn a_pipeline_longer_than_any_buffer_is_answered_whole() {
    const COUNT: usize = 5000;
    let mut server = Server::new(options());
    server.echo = true;
    let mut client = server.connect();
    let pipeline: String = (0..COUNT)
        .map(|number| get(&format!("/{number:05}")))
        .collect();
    let mut sent = 0;
    let mut answers = 0;
    server.until("all answers", |_| {
        sent += client.send_some(&pipeline.as_bytes()[sent..]);
        client.read();
        while let Some(at) = find(&client.received, b"\r\n\r\n/") {
            let body = at + 4..at + 10;
            if client.received.len() < body.end {
                break;
            }
            assert_eq!(
                client.received[body.clone()],
                *format!("/{answers:05}").as_bytes()
            );
            client.received.drain(..body.end);
            answers += 1;
        }
        answers == COUNT
    });
}

#[test]
fn who_does_not_read_answers_gets_few() {
    let mut server = Server::narrow(options());
    server.echo = true;
    let mut client = server.connect_narrow();
    let path = format!("/{}", "x".repeat(1000));
    let pipeline = get(&path).repeat(4000);
    let mut sent = 0;
    // Nothing is read until neither side moves any more.
    let mut quiet = 0;
    while quiet < 20 {
        let before = (sent, server.reactor.stats().requests);
        sent += client.send_some(&pipeline.as_bytes()[sent..]);
        server.turn();
        let moved = (sent, server.reactor.stats().requests) != before;
        quiet = if moved { 0 } else { quiet + 1 };
    }
    let served = server.reactor.stats().requests;
    assert!(sent < pipeline.len(), "the server stops reading");
    assert!(
        served < 4 * WRITE_HIGH_WATER as u64 / 1000,
        "{served} answers wait for a client that reads none"
    );
    // It goes on when the client does.
    let mut answers = 0;
    server.until("the other answers", |_| {
        sent += client.send_some(&pipeline.as_bytes()[sent..]);
        client.read();
        while let Some(at) = find(&client.received, path.as_bytes()) {
            client.received.drain(..at + path.len());
            answers += 1;
        }
        answers == 4000
    });
}
