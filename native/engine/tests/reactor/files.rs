//! Parts of a response that the kernel sends from a file.

use std::fs::File;
use std::io::Write;

use ferricorn_engine::{Data, Flow, Piece};
use socket2::SockAddr;

use crate::harness::{Seen, Server, find, get, options};

/// A file of `length` bytes without a name, and its content.
fn file(name: &str, length: usize) -> (File, Vec<u8>) {
    let content: Vec<u8> = (0..=255).cycle().take(length).collect();
    let path = std::env::temp_dir().join(format!("ferricorn-{name}-{}", std::process::id()));
    let mut options = File::options();
    let mut file = options
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(&content).unwrap();
    (file, content)
}

fn serves(mut server: Server, name: &str) {
    let (file, content) = file(name, 300_000);
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, Some(5 + 200_000 + 5));
    let part = Data::File {
        file,
        offset: 50_000,
        length: 200_000,
    };
    for (data, more) in [
        (Data::Copy(&b"<<<<<"[..]), true),
        (part, true),
        (Data::Copy(b">>>>>"), false),
    ] {
        let flow = server.reactor.body(exchange, data, more).unwrap();
        assert_ne!(flow, Flow::Gone);
    }
    let (_, body) = server.response(&mut client);
    let wanted = [b"<<<<<", &content[50_000..250_000], b">>>>>"].concat();
    assert!(body == wanted);
    client.send(get("/next"));
    assert_eq!(server.request().path, "/next");
}

#[test]
fn a_part_of_a_file_lies_between_other_bytes() {
    serves(Server::new(options()), "tcp");
}

#[test]
fn a_slow_reader_gets_all_of_it() {
    serves(Server::narrow(options()), "slow");
}

#[test]
fn over_a_unix_socket_too() {
    let path = std::env::temp_dir().join(format!("ferricorn-files-{}", std::process::id()));
    let server = Server::on(options(), &SockAddr::unix(&path).unwrap(), |_| ());
    serves(server, "unix");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn as_a_chunk_of_a_body_without_length() {
    let mut server = Server::new(options());
    let (file, content) = file("chunk", 70_000);
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, None);
    let whole = Data::File {
        file,
        offset: 0,
        length: 70_000,
    };
    server.reactor.body(exchange, whole, false).unwrap();
    server.until("the end of the response", |_| {
        client.read();
        client.received.ends_with(b"0\r\n\r\n")
    });
    let body = find(&client.received, b"\r\n\r\n").unwrap() + 4;
    let wanted = [b"11170\r\n", &content[..], b"\r\n0\r\n\r\n"].concat();
    assert!(client.received[body..] == wanted);
}

#[test]
fn it_is_handed_back_when_it_was_sent() {
    let mut server = Server::new(options());
    let (file, _) = file("spent", 1000);
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, Some(1000));
    let whole = Data::File {
        file,
        offset: 0,
        length: 1000,
    };
    server.reactor.body(exchange, whole, false).unwrap();
    assert!(server.reactor.take_spent().is_empty());
    server.flush();
    let spent = server.reactor.take_spent();
    assert!(
        matches!(spent.as_slice(), [Piece::File { .. }]),
        "{spent:?}"
    );
    assert_eq!(server.response(&mut client).1.len(), 1000);
}

/// The client was promised more than there is: it must not take what it got for the whole.
#[test]
fn a_file_that_shrinks_ends_its_connection_and_no_other() {
    let mut server = Server::new(options());
    let (file, content) = file("shrinks", 1000);
    let mut other = server.connect();
    other.send(get("/other"));
    let other_exchange = server.request().exchange;
    let mut client = server.connect();
    client.send(get("/"));
    let exchange = server.request().exchange;
    server.start(exchange, Some(1000));
    file.set_len(600).unwrap();
    let whole = Data::File {
        file,
        offset: 0,
        length: 1000,
    };
    server.reactor.body(exchange, whole, false).unwrap();
    server.answer(other_exchange, b"fine");
    server.end_of(&mut client);
    let body = find(&client.received, b"\r\n\r\n").unwrap() + 4;
    assert!(client.received[body..] == content[..600]);
    assert_eq!(server.count(&Seen::Closed(exchange.session)), 1);
    assert_eq!(server.response(&mut other).1, b"fine");
}
