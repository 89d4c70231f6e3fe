"""The documentation's examples, as the tests run them: copies, on ports that the kernel chose."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.server import ROOT

from ferricorn.cli import PARAMETERS

DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"

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


def check(words: list[str], folder: Path) -> None:
    """Have ferricorn load what the command would serve."""
    program, *arguments = words
    assert program.rpartition("/")[2] == "ferricorn"
    ran = subprocess.run(
        [sys.executable, "-m", "ferricorn", *arguments, "--check-config"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search("The configuration is valid|^option +value", ran.stdout)
