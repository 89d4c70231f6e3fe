"""The documentation's examples, as the tests run them: copies, with ports of the system's choice.

`PENDING` is the one place for options that the documentation describes before they exist: a command
with one is skipped until it does. It is to be empty.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.server import ROOT

from ferricorn.cli import PARAMETERS

DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"

PENDING = {
    "--ws-max-connections",
    "--ws-close-timeout",
    "--ws-send-high-water",
    "--ws-deflate-window-bits",
    "--ws-deflate-takeover",
    "--ws-deflate-min-size",
}

FLAGS = {flag for parameter in PARAMETERS for flag in parameter.opts}


def copied(to: Path) -> Path:
    """Copy the examples to a folder where they may write, and return it."""
    folder = to / "examples"
    shutil.copytree(EXAMPLES, folder)
    for path in folder.glob("*.py"):
        path.write_text(path.read_text().replace("8000", "0"))
    return folder


def commands() -> list[list[str]]:
    """Return the words of each command line."""
    text = (EXAMPLES / "commands.sh").read_text().replace("\\\n", "")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def skip_if_pending(words: list[str]) -> None:
    """Skip a test of a command whose options are still to come."""
    if missing := PENDING.intersection(words) - FLAGS:
        pytest.skip(f"{', '.join(missing)} is still to come")


def check(words: list[str], folder: Path) -> None:
    """Have ferricorn load what the command would serve."""
    program, *arguments = words
    assert program.rpartition("/")[2] == "ferricorn"
    skip_if_pending(words)
    ran = subprocess.run(
        [sys.executable, "-m", "ferricorn", *arguments, "--check-config"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search("The configuration is valid|^option +value", ran.stdout)
