"""A page that talks over a WebSocket, and tells the server what it found."""

from __future__ import annotations

import json

from tests.apps.board import Receive, Routes, Scope, Send, note, read_body, respond
from tests.apps.sockets import accept, closes, echo

routes = Routes()
app = routes.app
routes(echo)
routes(closes)

PAGE = """<!doctype html>
<title>talks</title>
<script>
const found = [];
const base = location.origin.replace("http", "ws");

function talk(path, protocols, opened) {
  return new Promise(done => {
    const socket = new WebSocket(base + path, protocols);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      found.push(["open", socket.protocol, socket.extensions]);
      opened(socket);
    };
    socket.onmessage = event => {
      const binary = typeof event.data !== "string";
      found.push(binary ? ["binary", event.data.byteLength] : ["text", event.data]);
      if (socket.heard) socket.heard(event);
    };
    socket.onerror = () => found.push(["error"]);
    socket.onclose = event => {
      found.push(["close", event.code, event.reason, event.wasClean]);
      done();
    };
  });
}

async function main() {
  await talk("/echo", [], socket => {
    let messages = 0;
    socket.heard = () => { if (++messages == 4) socket.close(3001, "enough"); };
    socket.send("hello wörld");
    socket.send("");
    socket.send(new Uint8Array(100000));
    socket.send(new Blob(["blob"]));
  });
  await talk("/chooses", ["soap", "chat"], () => {});
  await talk("/closes?4000&bye", [], () => {});
  await talk("/refuses", [], () => {});
  await fetch("/found", { method: "POST", body: JSON.stringify(found) });
}
main();
</script>
"""


@routes
async def index(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, PAGE, headers=[(b"content-type", b"text/html; charset=utf-8")])


@routes
async def chooses(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send, subprotocol=scope["subprotocols"][-1])
    await send({"type": "websocket.send", "text": "a" * 1000})


@routes
async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})


@routes
async def found(scope: Scope, receive: Receive, send: Send) -> None:
    note("found", json.loads(await read_body(receive)))
    await respond(send)
