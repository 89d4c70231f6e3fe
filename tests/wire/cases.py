"""The reader of the case files; their format is described in README.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent


@dataclass
class Case:
    """What a client does, and what it gets."""

    name: str
    #: Bytes to send, "wait" for an answer, "eof" for the end of the client's side.
    acts: list[bytes | str] = field(default_factory=list)
    early: bool = False
    #: What becomes of the request, line by line.
    events: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    after: str = ""

    def act(self, act: bytes | str) -> None:
        """Add what the client does next; bytes join the bytes before them."""
        last = self.acts[-1] if self.acts else None
        if isinstance(act, bytes) and isinstance(last, bytes):
            self.acts[-1] = last + act
        else:
            self.acts.append(act)

    def seen_by_application(self) -> list[list[str]]:
        """The lines about each request that is completed, as `app.py` writes them."""
        fields = any(line.startswith("field ") for line in self.events)
        requests: list[list[str]] = []
        for line in self.events:
            word = line.partition(" ")[0]
            if word == "request":
                requests.append([line])
            elif requests and (word in ("body", "end") or (word == "field" and fields)):
                requests[-1].append(line)
        return requests if self.early else [lines for lines in requests if lines[-1] == "end"]


def unescape(text: str) -> bytes:
    r"""The bytes of `\r \n \t \\ \xNN` and `\(text*number)`."""

    def replace(match: re.Match[str]) -> str:
        escape = match[0]
        if escape.startswith("\\("):
            inside, _, count = escape[2:-1].rpartition("*")
            return unescape(inside).decode("latin-1") * int(count)
        if escape.startswith("\\x"):
            return chr(int(escape[2:], 16))
        return {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}[escape[1]]

    return re.sub(r"\\(\([^)]*\)|x..|.)", replace, text).encode("latin-1")


def escape(data: bytes) -> str:
    """Bytes as the lines about events have them."""
    named = {0x0D: "\\r", 0x0A: "\\n", 0x09: "\\t", 0x5C: "\\\\"}
    return "".join(
        named.get(byte, chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in data
    )


def as_lines(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], body: bytes
) -> list[str]:
    """A request that was completed, as `app.py` writes it."""
    lines = [f"request {escape(method)} {escape(target)} 1.1"]
    lines += [f"field {escape(name)}: {escape(value)}" for name, value in fields]
    lines += [f"body {escape(body)}"] if body else []
    return [*lines, "end"]


def read(path: Path) -> list[Case]:
    """The cases of a file."""
    cases: list[Case] = []
    for line in path.read_text(encoding="ascii").splitlines():
        word, _, rest = line.partition(" ")
        if not line or word == "#":
            continue
        if word == "==":
            cases.append(Case(rest))
            continue
        case = cases[-1]
        if word == ">":
            case.act(unescape(rest))
        elif word in (">wait", ">eof"):
            case.act(word[1:])
        elif word == "app":
            case.early = rest == "early"
        elif word == "status":
            case.statuses = [int(status) for status in rest.split()]
        elif word == "after":
            case.after = rest
        else:
            case.events.append(escape(unescape(line)))
    return cases


def all_cases() -> dict[str, Case]:
    """Every case, under its file and name."""
    found: dict[str, Case] = {}
    for path in sorted(HERE.glob("*.wire")):
        for case in read(path):
            key = f"{path.stem}: {case.name}"
            assert key not in found, f"two cases {key}"
            found[key] = case
    return found
