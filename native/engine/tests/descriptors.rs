//! Descriptors: none is lost, and running out of them is survived.
//!
//! A program of its own, with one test: descriptors and their limit belong to the whole process.

#[path = "reactor/harness.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod harness;

use std::fs::File;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Server, get, options};

/// Open descriptors, as far as they are below 1000.
fn open() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

#[test]
fn descriptors_are_given_back_and_their_want_is_survived() {
    none_is_lost();
    running_out_pauses_accepting();
}

fn none_is_lost() {
    let start = open();
    let mut server = Server::new(options());
    server.echo = true;
    let with_server = open();
    for number in 0..300 {
        let mut client = server.connect();
        client.send(get("/"));
        match number % 4 {
            0 => client.reset(),
            1 => drop(server.response(&mut client)),
            2 => client.send("nonsense\r\n\r\n"),
            _ => client.shut(),
        }
    }
    server.until("closed", |server| server.reactor.connections() == 0);
    assert_eq!(open(), with_server);
    drop(server);
    assert_eq!(open(), start);
}

fn running_out_pauses_accepting() {
    let mut server = Server::new(options());
    server.echo = true;
    let mut early = server.connect();
    early.send(get("/early"));
    server.response(&mut early);

    // The clients have their descriptors; none is left for the server's ends.
    let mut late: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut late {
        client.send(get("/late"));
    }
    let before = getrlimit(Resource::Nofile);
    let current = Some(before.current.map_or(256, |limit| limit.min(256)));
    let lowered = Rlimit {
        current,
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, lowered).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    server.until("a pause", |server| server.reactor.stats().accept_pauses > 0);
    assert_eq!(server.reactor.connections(), 1);
    assert!(!server.reactor.has_ready(), "a pause that spins is none");
    assert!(server.reactor.next_deadline().is_some_and(|at| at > 0));
    early.send(get("/still"));
    assert_eq!(server.response(&mut early).1, b"/still");

    // One connection that ends makes room for one that waits.
    drop(early);
    server.until("one more", |server| server.reactor.stats().accepted > 1);
    hoard.clear();
    for client in &mut late {
        assert_eq!(server.response(client).1, b"/late");
    }
    setrlimit(Resource::Nofile, before).unwrap();
}
