//! Listening sockets: adopt and accept.
//!
//! The floor above binds (it knows addresses, permissions and inheritance); a listener takes over a
//! duplicate of that descriptor. `TCP_NODELAY` is set on the listening socket, from which accepted
//! sockets inherit it, so that it costs no call for a connection.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use mio::net::{TcpListener, UnixListener};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket};

use crate::poller::Poller;
use crate::transport::Transport;
use crate::work::Address;

pub(crate) struct Listener {
    socket: ListeningSocket,
    /// The local address of every connection, or `None` where the socket is bound to a wildcard
    /// and each connection must be asked.
    local: Option<Address>,
    /// Connections may be waiting: edge-triggered readiness was seen and not used up.
    pub(crate) ready: bool,
}

enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Takes over a bound and listening stream socket.
    ///
    /// # Errors
    /// If the descriptor is no TCP or Unix stream socket.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        let domain = socket.domain()?;
        let bound = socket.local_addr()?;
        if domain == Domain::UNIX {
            let path = bound.as_pathname().map(PathBuf::from);
            let listener = UnixListener::from_std(OwnedFd::from(socket).into());
            return Ok(Self {
                socket: ListeningSocket::Unix(listener),
                local: Some(Address::Unix(path)),
                ready: true,
            });
        }
        let Some(bound) = bound.as_socket() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a TCP or Unix socket",
            ));
        };
        socket.set_tcp_nodelay(true)?;
        let local = (!bound.ip().is_unspecified()).then_some(Address::Inet(bound));
        let listener = TcpListener::from_std(OwnedFd::from(socket).into());
        Ok(Self {
            socket: ListeningSocket::Tcp(listener),
            local,
            ready: true,
        })
    }

    pub(crate) fn register(&mut self, poller: &Poller, token: usize) -> io::Result<()> {
        match &mut self.socket {
            ListeningSocket::Tcp(socket) => poller.add_listener(socket, token),
            ListeningSocket::Unix(socket) => poller.add_listener(socket, token),
        }
    }

    pub(crate) fn deregister(&mut self, poller: &Poller) {
        match &mut self.socket {
            ListeningSocket::Tcp(socket) => poller.remove(socket),
            ListeningSocket::Unix(socket) => poller.remove(socket),
        }
    }

    /// Whether a connection waits to be accepted.
    pub(crate) fn waits(&self) -> bool {
        let socket = match &self.socket {
            ListeningSocket::Tcp(socket) => socket.as_fd(),
            ListeningSocket::Unix(socket) => socket.as_fd(),
        };
        let mut polled = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
        // A look that failed is repeated.
        poll(&mut polled, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
    }

    /// The next waiting connection: its transport, its peer and its local address.
    pub(crate) fn accept(&self) -> io::Result<(Transport, Address, Address)> {
        match &self.socket {
            ListeningSocket::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                let local = match &self.local {
                    Some(address) => address.clone(),
                    None => Address::Inet(stream.local_addr()?),
                };
                Ok((Transport::Tcp(stream), Address::Inet(peer), local))
            }
            ListeningSocket::Unix(socket) => {
                let (stream, peer) = socket.accept()?;
                let peer = Address::Unix(peer.as_pathname().map(PathBuf::from));
                let local = self.local.clone().unwrap_or(Address::Unix(None));
                Ok((Transport::Unix(stream), peer, local))
            }
        }
    }
}
