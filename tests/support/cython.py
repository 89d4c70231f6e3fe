"""Modules for tests that Cython compiles."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def compiled(source: Path, directory: Path) -> str:
    """Compile a module into a directory, and return that directory."""
    shutil.copy(source, directory)
    ran = subprocess.run(
        [sys.executable, "-m", "Cython.Build.Cythonize", "--inplace", source.name],
        cwd=directory,
        env={**os.environ, "CFLAGS": "-O0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return str(directory)
