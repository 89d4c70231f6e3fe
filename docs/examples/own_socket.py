"""A server on a socket that the program has bound itself."""

import socket

import ferricorn

if __name__ == "__main__":
    sock = socket.create_server(("127.0.0.1", 8000))
    ferricorn.Server(ferricorn.Config("hello:app")).run(sockets=[sock])
