"""gunicorn's configuration in the tests: a line in the log for each hook that a worker has."""

from __future__ import annotations

from typing import Any


def worker_int(worker: Any) -> None:
    worker.log.info("hook worker_int %s", worker.pid)


def worker_abort(worker: Any) -> None:
    worker.log.info("hook worker_abort %s", worker.pid)
