//! A reactor, a floor above it and its clients, all in one thread.
//!
//! [`Server`] turns a reactor by hand as a binding does (gather, serve, flush) and keeps what it
//! was handed up as [`Seen`], so that a test decides when what is answered. [`Client`] is a socket
//! that never waits. Nothing here measures time: a test turns [`Server::until`] what it expects
//! happens, and fails when it has not for a long while.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ferricorn_engine::{Address, Batch, Data, ExchangeId, Flow, Options, Reactor, SessionId, Work};
use ferricorn_proto::{Fault, Limits, ws};
use socket2::{Domain, SockAddr, Socket, Type};

/// How long anything may take before a test fails: long enough for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Flushes in a turn, as many as the binding makes.
const ROUNDS: usize = 32;

/// Body bytes, and a switch that makes looking at them panic.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    bytes: Vec<u8>,
    broken: Rc<Cell<bool>>,
}

impl Payload {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            broken: Rc::default(),
        }
    }

    pub fn switch(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.broken)
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        assert!(!self.broken.get(), "a payload that is broken on purpose");
        &self.bytes
    }
}

/// What was handed up, with bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Opened {
        session: SessionId,
        peer: Address,
        local: Address,
    },
    Request(Request),
    Body {
        exchange: ExchangeId,
        data: Vec<u8>,
        end: bool,
    },
    Message {
        exchange: ExchangeId,
        kind: ws::Kind,
        data: Vec<u8>,
    },
    SocketClosed {
        exchange: ExchangeId,
        code: u16,
        reason: String,
    },
    Disconnected(ExchangeId),
    Writable(ExchangeId),
    Refused(Fault),
    Output(SessionId, Vec<u8>),
    Reading(SessionId, bool),
    Finished(SessionId),
    Closed(SessionId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub exchange: ExchangeId,
    pub method: String,
    pub path: String,
    pub fields: Vec<(String, String)>,
}

/// Settings without deadlines, and without headers that differ between runs.
pub fn options() -> Options {
    Options {
        keep_alive: 0,
        request_head: 0,
        request_body: 0,
        write: 0,
        server: None,
        date: false,
        headers: Vec::new(),
        proxy: None,
        limits: Limits::default(),
        websocket: None,
    }
}

pub struct Server {
    pub reactor: Reactor<Payload>,
    pub seen: Vec<Seen>,
    /// Answer each request with its path as soon as it is seen.
    pub echo: bool,
    batch: Batch,
    address: Option<SockAddr>,
    /// Requests that [`Server::request`] has given already.
    taken: usize,
}

impl Server {
    /// A server on a TCP port of its own.
    pub fn new(options: Options) -> Self {
        Self::on(
            options,
            &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into(),
            |_| (),
        )
    }

    /// A server on `address`, with a listening socket that was set up by `prepare`.
    pub fn on(options: Options, address: &SockAddr, prepare: impl FnOnce(&Socket)) -> Self {
        let mut server = Self::over(Reactor::new(options, true).unwrap());
        let listening = Socket::new(address.domain(), Type::STREAM, None).unwrap();
        prepare(&listening);
        listening.bind(address).unwrap();
        listening.listen(1024).unwrap();
        server.address = Some(listening.local_addr().unwrap());
        server.reactor.listen(OwnedFd::from(listening)).unwrap();
        server
    }

    /// A server with buffers as small as the kernel gives: peers soon feel each other's pace.
    pub fn narrow(options: Options) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
        Self::on(options, &address, |socket| {
            socket.set_send_buffer_size(4096).unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
        })
    }

    /// A server for connections that the test drives.
    pub fn host(options: Options) -> Self {
        Self::over(Reactor::new(options, false).unwrap())
    }

    fn over(reactor: Reactor<Payload>) -> Self {
        Self {
            reactor,
            seen: Vec::new(),
            echo: false,
            batch: Batch::default(),
            address: None,
            taken: 0,
        }
    }

    pub fn address(&self) -> &SockAddr {
        self.address.as_ref().expect("a server that listens")
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address(), |_| ())
    }

    /// A client with a receive buffer as small as the kernel gives.
    pub fn connect_narrow(&self) -> Client {
        Client::connect(self.address(), |socket| {
            socket.set_recv_buffer_size(4096).unwrap();
        })
    }

    /// Calls the reactor with the batch and takes in what it finds.
    pub fn with<T>(&mut self, act: impl FnOnce(&mut Reactor<Payload>, &mut Batch) -> T) -> T {
        let result = act(&mut self.reactor, &mut self.batch);
        self.serve();
        result
    }

    pub fn gather(&mut self) {
        self.with(|reactor, batch| reactor.gather(batch, true));
    }

    /// Flushes once.
    pub fn flush(&mut self) {
        self.with(Reactor::flush);
    }

    /// Flushes until nothing is left to flush, as far as a turn goes.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS {
            if !self.reactor.has_dirty() {
                break;
            }
            self.flush();
        }
        drop(self.reactor.take_spent());
    }

    pub fn turn(&mut self) {
        self.settle();
        self.gather();
        self.settle();
    }

    /// Turns until `done`.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "{what}: has not happened; seen so far: {:#?}",
                self.seen.iter().rev().take(20).rev().collect::<Vec<_>>()
            );
            self.turn();
            if !self.reactor.has_ready() && !self.reactor.has_dirty() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Turns often enough for anything that is going to happen without the clock's help.
    pub fn idle(&mut self) {
        for _ in 0..20 {
            self.turn();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The next request that was not given yet, waiting for it.
    pub fn request(&mut self) -> Request {
        let index = self.taken;
        self.until("a request", |server| server.requests().count() > index);
        self.taken += 1;
        let request = self.requests().nth(index).cloned();
        request.expect("the request that was waited for")
    }

    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.seen.iter().filter_map(|seen| match seen {
            Seen::Request(request) => Some(request),
            _ => None,
        })
    }

    /// The body bytes of an exchange so far, and whether they are all.
    pub fn body(&self, wanted: ExchangeId) -> (Vec<u8>, bool) {
        let mut whole = (Vec::new(), false);
        for seen in &self.seen {
            if let Seen::Body {
                exchange,
                data,
                end,
            } = seen
                && *exchange == wanted
            {
                whole.0.extend_from_slice(data);
                whole.1 |= end;
            }
        }
        whole
    }

    pub fn count(&self, wanted: &Seen) -> usize {
        self.seen.iter().filter(|seen| *seen == wanted).count()
    }

    pub fn has(&self, wanted: &Seen) -> bool {
        self.count(wanted) > 0
    }

    /// Queues a whole response.
    pub fn answer(&mut self, exchange: ExchangeId, body: &[u8]) {
        self.start(exchange, Some(body.len()));
        let flow = self.reactor.body(exchange, Data::Copy(body), false);
        assert_eq!(flow.unwrap(), Flow::Ready);
    }

    /// Queues a response head.
    pub fn start(&mut self, exchange: ExchangeId, length: Option<usize>) {
        let head = self.reactor.respond(exchange, 200).unwrap();
        let mut head = head.expect("a client that listens");
        if let Some(length) = length {
            let length = length.to_string();
            head.field(b"content-length", length.as_bytes()).unwrap();
        }
        head.finish().unwrap();
    }

    /// Turns until `client` has received a whole response with a `content-length`, and gives its
    /// head and its body.
    pub fn response(&mut self, client: &mut Client) -> (String, Vec<u8>) {
        self.until("a response", |_| {
            client.read();
            client.whole_response().is_some()
        });
        let (head, whole) = client.whole_response().expect("what was waited for");
        let rest = client.received.split_off(whole);
        let mut response = std::mem::replace(&mut client.received, rest);
        let body = response.split_off(head);
        (String::from_utf8(response).unwrap(), body)
    }

    /// Turns until the connection of `client` has ended, and gives how.
    pub fn end_of(&mut self, client: &mut Client) -> End {
        self.until("the connection's end", |_| {
            client.read();
            client.end.is_some()
        });
        client.end.expect("what was waited for")
    }

    /// Sends all of `bytes`, turning while the kernel takes no more.
    pub fn send(&mut self, client: &mut Client, bytes: &[u8]) {
        let mut sent = 0;
        self.until("all bytes sent", |_| {
            sent += client.send_some(&bytes[sent..]);
            sent == bytes.len()
        });
    }

    fn serve(&mut self) {
        let mut requests = Vec::new();
        for work in std::mem::take(&mut self.batch.work) {
            let seen = own(work, &self.batch);
            if let Seen::Request(request) = &seen
                && self.echo
            {
                requests.push(request.clone());
            }
            self.seen.push(seen);
        }
        self.batch.clear();
        for request in requests {
            self.answer(request.exchange, request.path.as_bytes());
        }
    }
}

fn own(work: Work, batch: &Batch) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match work {
        Work::Opened {
            session,
            peer,
            local,
        } => Seen::Opened {
            session,
            peer,
            local,
        },
        Work::Request {
            exchange,
            base,
            head,
        } => {
            let input = &batch.bytes()[base as usize..];
            let range = head.fields.start as usize..head.fields.end as usize;
            let fields = batch.fields()[range].iter();
            Seen::Request(Request {
                exchange,
                method: text(head.method.of(input)),
                path: text(head.path.of(input)),
                fields: fields
                    .map(|field| (text(field.name.of(input)), text(field.value.of(input))))
                    .collect(),
            })
        }
        Work::Body {
            exchange,
            data,
            end,
        } => Seen::Body {
            exchange,
            data: data.of(batch.bytes()).to_vec(),
            end,
        },
        Work::Message {
            exchange,
            kind,
            data,
        } => Seen::Message {
            exchange,
            kind,
            data: match data {
                ws::Data::Here(span) => span.of(batch.bytes()).to_vec(),
                ws::Data::Made(bytes) => bytes,
            },
        },
        Work::SocketClosed {
            exchange,
            code,
            reason,
        } => Seen::SocketClosed {
            exchange,
            code,
            reason,
        },
        Work::Disconnected { exchange } => Seen::Disconnected(exchange),
        Work::Writable { exchange } => Seen::Writable(exchange),
        Work::Refused { fault, .. } => Seen::Refused(fault),
        Work::Output { session, bytes } => Seen::Output(session, bytes),
        Work::Reading { session, wanted } => Seen::Reading(session, wanted),
        Work::Finished { session } => Seen::Finished(session),
        Work::Closed { session, .. } => Seen::Closed(session),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order, after everything that was sent.
    Closed,
    Reset,
}

pub struct Client {
    socket: Socket,
    pub received: Vec<u8>,
    pub end: Option<End>,
}

impl Client {
    pub fn connect(address: &SockAddr, prepare: impl FnOnce(&Socket)) -> Self {
        let socket = Socket::new(address.domain(), Type::STREAM, None).unwrap();
        prepare(&socket);
        socket.connect(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        if address.domain() != Domain::UNIX {
            socket.set_tcp_nodelay(true).unwrap();
        }
        Self {
            socket,
            received: Vec::new(),
            end: None,
        }
    }

    pub fn address(&self) -> SocketAddr {
        let address = self.socket.local_addr().unwrap();
        address.as_socket().expect("a TCP socket")
    }

    /// Sends a few bytes, which the kernel takes at once.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        assert_eq!(self.socket.write(bytes).unwrap(), bytes.len());
    }

    /// Sends what the kernel takes.
    pub fn send_some(&mut self, bytes: &[u8]) -> usize {
        match self.socket.write(bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("sending: {error}"),
        }
    }

    /// Reads everything that is there.
    pub fn read(&mut self) {
        while self.read_once() > 0 {}
    }

    /// Reads once and gives the number of bytes.
    pub fn read_once(&mut self) -> usize {
        let mut buffer = vec![0; 64 * 1024];
        if self.end.is_some() {
            return 0;
        }
        match self.socket.read(&mut buffer) {
            Ok(0) => self.end = Some(End::Closed),
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                return count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.end = Some(End::Reset);
            }
            Err(error) => panic!("receiving: {error}"),
        }
        0
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Says that it sends no more.
    pub fn shut(&self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Leaves without a farewell.
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// The length of the first response's head, and of all of it.
    fn whole_response(&self) -> Option<(usize, usize)> {
        let head = find(&self.received, b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&self.received[..head]).unwrap();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        (self.received.len() >= head + length).then_some((head, head + length))
    }
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// A request without a body.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
}

/// A request head that announces a body.
pub fn post(length: usize) -> String {
    format!("POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n")
}
