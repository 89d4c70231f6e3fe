"""A handler of the log that holds whoever writes a warning."""

from __future__ import annotations

import logging
import sys

from tests.apps.wsgi import passed


class GatedHandler(logging.Handler):
    """Notes that a warning came, and lets its writer go on when a file is there."""

    def __init__(self, gate: str) -> None:
        super().__init__(logging.WARNING)
        self.gate = gate

    def emit(self, record: logging.LogRecord) -> None:
        print(f"NOTE warned {record.getMessage()}", file=sys.stderr, flush=True)
        passed(self.gate)
