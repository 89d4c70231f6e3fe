"""A server in a thread, on a port that the system picks: for tests."""

import contextlib
import threading
import time
import urllib.request

import ferricorn


@contextlib.contextmanager
def serving(app, **options):
    """Serve for the length of the block, and give the server's address."""
    server = ferricorn.Server(ferricorn.Config(app, port=0, **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        if not server.started:
            raise RuntimeError("the server did not start")
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    with serving("hello:app", log_level="warning") as url:
        print(urllib.request.urlopen(url).read().decode())
