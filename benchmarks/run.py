"""Compare this project with other servers under load: `make bench`, or this file for a part of it.

    benchmarks/run.py --rows hello,post --servers ferricorn,peregrine --rounds 3 --seconds 3

Each server runs on core 0 and the client on core 1. Servers take turns within a round, in the
reverse order every other round, and start afresh each time. What counts is the CPU time of the
server for each request, against another server's in the same round: the requests per second of the
fastest are what the client can do, and absolute times are the machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from chart import chart
from measure import measure
from process import MeasurementError
from report import Rounds, failed, table
from rows import ROWS, Row
from servers import FLOOR, HERE, MESSENGER, PEERS, Server, catalogue, ferricorn
from setting import describe, prepare
from verdict import verdicts


def main() -> int:
    """Measure what the command line asks for, print it and write it down."""
    options = _options()
    servers = catalogue()
    for also in options.also:
        name, _, path = also.partition("=")
        servers[name] = ferricorn(name, str(Path(path).resolve()))
        options.servers.append(name)
    chosen = [servers[name] for name in options.servers]
    rows = [row for row in ROWS if row.name in options.rows]
    _check_ground()

    prepare()
    setting = describe([server.package for server in chosen if server.package])
    setting["measured"] = f"{options.rounds} rounds of {options.seconds:g} s"
    heading = "".join(f"{name}: {value}\n" for name, value in setting.items())
    print(heading, end="", flush=True)
    rounds: Rounds = {}
    for row in rows:
        rounds[row.name] = {}
        _measure(row, chosen, options, rounds[row.name])
        print(table(rounds, [row], options.servers), end="", flush=True)
    judged = verdicts(rounds)
    conclusion = "".join(f"{verdict.line()}\n" for verdict in judged)
    print(f"\n{conclusion}", end="")

    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = f"{heading}{table(rounds, rows, options.servers)}\n{conclusion}"
    options.out.with_suffix(".txt").write_text(text)
    if any(row.interface == "asgi" for row in rows):
        options.out.with_suffix(".svg").write_text(chart(rounds, rows))
    record = {
        "setting": setting,
        "rows": rounds,
        "verdicts": [{"line": verdict.line().strip(), "kept": verdict.kept} for verdict in judged],
    }
    options.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    return 0


def _measure(
    row: Row,
    servers: list[Server],
    options: argparse.Namespace,
    found: dict[str, list[dict[str, float]] | str],
) -> None:
    # Memory is the same each time, and a start is over soon and varies.
    rounds = {"idle": 1, "quiet": 1, "start": 4 * options.rounds}.get(row.kind, options.rounds)
    for number in range(rounds):
        for server in servers if number % 2 == 0 else reversed(servers):
            if not _takes_part(server, row) or failed({"": found}, "", server.name):
                continue
            try:
                sample = measure(server, row, options.seconds, options.warm_up).as_dict()
            except MeasurementError as failure:
                found[server.name] = str(failure)
                continue
            so_far = found.setdefault(server.name, [])
            assert not isinstance(so_far, str)
            so_far.append(sample)


def _takes_part(server: Server, row: Row) -> bool:
    return row.interface in server.interfaces and (row.floor or server.name != "floor")


def _check_ground() -> None:
    """Say in one sentence what is missing, and compile what is in C."""
    if not (PEERS / "python").exists():
        sys.exit("benchmarks: no environment with the peers; `make bench` makes it")
    for tool in ("wrk", "taskset", "cc"):
        if shutil.which(tool) is None:
            sys.exit(f"benchmarks: {tool} is needed; on Debian, it comes with wrk, util-linux, gcc")
    if (os.cpu_count() or 1) < 2:
        sys.exit("benchmarks: two cores are needed, one for the server and one for the client")
    FLOOR.parent.mkdir(exist_ok=True)
    for program in (FLOOR, MESSENGER):
        source = HERE / f"{program.name}.c"
        subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)


def _options() -> argparse.Namespace:
    names = [row.name for row in ROWS]
    known = list(catalogue())
    parser = argparse.ArgumentParser(
        description="CPU time, rate, latency and memory of ASGI and WSGI servers, compared."
    )
    parser.add_argument("--rows", default=",".join(names), help=f"of: {', '.join(names)}")
    parser.add_argument("--servers", default=",".join(known), help=f"of: {', '.join(known)}")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--seconds", type=float, default=8, help="of a round (default 8)")
    parser.add_argument("--warm-up", type=float, default=1, help="seconds before it (default 1)")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="another build of this project, whose package `ferricorn` lies in DIR",
    )
    parser.add_argument(
        "--quick", action="store_true", help="2 rounds of 3 s: a look, not a result"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PREFIX",
        help="where .txt, .json and .svg go (default: latest in benchmarks/results if all is"
        " measured, else partial)",
    )
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 2, 3.0
    options.rows = _listed(parser, options.rows, names)
    options.servers = _listed(parser, options.servers, known)
    whole = set(options.rows) == set(names) and set(options.servers) == set(known)
    if options.out is None:
        published = whole and not options.quick
        options.out = HERE / "results" / ("latest" if published else "partial")
    return options


def _listed(parser: argparse.ArgumentParser, text: str, known: list[str]) -> list[str]:
    chosen = [name for name in text.split(",") if name]
    for name in chosen:
        if name not in known:
            parser.error(f"{name!r} is not one of {', '.join(known)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
