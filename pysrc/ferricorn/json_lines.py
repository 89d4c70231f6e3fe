"""Log records as objects of JSON, one on a line.

Whatever a record holds, its line can be parsed (RFC 8259) and is ASCII: a stream's encoding changes
nothing in it, and nothing in it moves a terminal's cursor. Access lines come made from the native
floor and are only passed on.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timezone
from typing import Any

# What every record has, and what is only for terminals: the rest came by `extra`.
_USUAL = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", "color_message"}


class JSONFormatter(logging.Formatter):
    """Shows time, level, logger, message, what callers gave as `extra`, and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        line: str | None = record.__dict__.get("access_line")
        if line is not None:
            return line
        time = datetime.fromtimestamp(record.created, timezone.utc)
        fields: dict[str, Any] = {
            "time": time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        elif record.exc_text:
            fields["traceback"] = record.exc_text
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        for name, value in record.__dict__.items():
            if name not in _USUAL:
                fields.setdefault(name, value)
        pairs = [f"{_dump(str(name))}:{_dump(value)}" for name, value in fields.items()]
        return "{" + ",".join(pairs) + "}"


def _dump(value: Any) -> str:
    """Return the value in JSON, or what `repr` says of it."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except Exception:  # Callers may hand over anything, and methods of theirs run here.
        try:
            shown = repr(value)
        except Exception:
            shown = object.__repr__(value)
        text = json.dumps(shown, ensure_ascii=False)
    # Lone surrogates are none of Unicode's characters, and many parsers refuse them.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return re.sub(r"[^ -~]+", _as_units, text)


def _as_units(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
