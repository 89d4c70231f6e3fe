"""A server beside other tasks, in a loop that runs already."""

import asyncio
import contextlib

import ferricorn


async def tick():
    while True:
        await asyncio.sleep(1)


async def main():
    other = asyncio.create_task(tick())
    server = ferricorn.Server(ferricorn.Config("hello:app", port=8000))
    await server.serve()  # Returns after SIGINT, SIGTERM or `server.should_exit = True`.
    other.cancel()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Raised again by `serve`, if it was Ctrl+C.
        asyncio.run(main())
