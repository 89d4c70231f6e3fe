"""A server as a program: blocks until SIGINT or SIGTERM."""

import ferricorn

if __name__ == "__main__":
    ferricorn.run("hello:app", port=8000, log_level="info")
