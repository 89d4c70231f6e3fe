"""A PostgreSQL cluster of the tests' own, on a Unix socket in a temporary folder.

PostgreSQL refuses to run as root: there it runs as the user `postgres`, or as `nobody`. Nothing of
the cluster is kept, so nothing of it is written for sure.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

#: Whom the cluster belongs to, in its own terms.
USER = "archive"

_OPTIONS = "-c listen_addresses= -c fsync=off -c max_connections=50"


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`: Debian's newest, or one of the PATH."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3])
    )
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Cluster:
    """A running cluster; `folder` is that of its socket. A context manager that ends it."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # A socket's path must be short, and pytest's folders are closed to other users.
        self.folder = Path(tempfile.mkdtemp(prefix="ferricorn-postgres-"))
        self._data = self.folder / "data"
        self._as: dict[str, Any] = {"cwd": self.folder, "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def __enter__(self) -> Cluster:
        try:
            self._run("initdb", "--username", USER, "--auth=trust", "--no-sync", "--encoding=UTF8")
            options = f"{_OPTIONS} -c unix_socket_directories={self.folder}"
            self._run("pg_ctl", "start", "--wait", "-l", str(self.folder / "log"), "-o", options)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")
        self._remove()

    def _run(self, program: str, *arguments: str) -> None:
        # What it starts would keep a pipe open for as long as it runs.
        with tempfile.TemporaryFile("w+") as output:
            ran = subprocess.run(
                [self._programs / program, "-D", self._data, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **self._as,
            )
            output.seek(0)
            assert ran.returncode == 0, output.read()

    def _remove(self) -> None:
        shutil.rmtree(self.folder)


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
