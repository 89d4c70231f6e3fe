"""The Autobahn testsuite, run against the server: `make conformance`.

Each case is a conversation, and the testsuite says of it OK, NON-STRICT, INFORMATIONAL or FAILED.
Nothing may fail, and what is not OK must be listed here with its reason, so that a change of the
server which moves a case is seen.

    ci/conformance --cases '1.*' --drivers reactor
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.support.server import Server

CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.*", "13.*"]

# What is not plainly OK, and why that is right.
_AT_ONCE = "a peer that errs is failed before its earlier messages are answered"
_OPEN = "what the case asks is left open by RFC 6455"
ACCEPTED: dict[str, str] = {
    **dict.fromkeys(["3.2", "3.3", "4.1.3", "4.1.4", "4.2.3", "4.2.4", "5.15"], _AT_ONCE),
    **dict.fromkeys(["7.1.6", "7.13.1", "7.13.2"], _OPEN),
}

# `wstest` as a program, with packages that are not where Python 2.7 looks by itself.
_WSTEST = """
import site, sys
site.addsitedir(sys.argv.pop(1))
from autobahntestsuite import wstest
wstest.run()
"""


def main() -> int:
    """Run the cases on each driver; return 1 if one is not as it should be."""
    options = _options()
    bad = []
    for driver in options.drivers.split(","):
        found = _run(driver, options.cases or CASES)
        kinds = Counter(found.values()).items()
        print(f"{driver}: " + ", ".join(f"{count} {kind}" for kind, count in kinds))
        for case, behaviour in found.items():
            if behaviour != "OK" and (case not in ACCEPTED or behaviour == "FAILED"):
                bad.append(f"{driver} {case}: {behaviour}")
            elif behaviour != "OK":
                print(f"  {case} {behaviour}: {ACCEPTED[case]}")
    for line in bad:
        print(line)
    return 1 if bad else 0


def _run(driver: str, cases: list[str]) -> dict[str, str]:
    server = Server("tests.apps.sockets:app", driver=driver, ws_deflate_min_size=0)
    try:
        server.wait_until_ready()
        with tempfile.TemporaryDirectory() as folder:
            spec = {
                "outdir": folder,
                "servers": [{"agent": "ferricorn", "url": f"ws://127.0.0.1:{server.port}/echo"}],
                "cases": cases,
                "exclude-cases": [],
            }
            file = Path(folder) / "spec.json"
            file.write_text(json.dumps(spec))
            command = [os.environ["AUTOBAHN_PYTHON"], "-c", _WSTEST, os.environ["AUTOBAHN_HOME"]]
            run = subprocess.run(
                [*command, "-m", "fuzzingclient", "-s", str(file)],
                capture_output=True,
                text=True,
                check=False,
            )
            index = Path(folder) / "index.json"
            if not index.exists():
                sys.exit(f"wstest: {run.stdout[-2000:]}{run.stderr[-2000:]}")
            results = json.loads(index.read_text())["ferricorn"]
        server.check()
    finally:
        server.kill()
    # How the connection was closed counts as well.
    return {
        case: result["behavior"] if result["behaviorClose"] == "OK" else result["behaviorClose"]
        for case, result in sorted(results.items(), key=lambda item: _numbers(item[0]))
    }


def _numbers(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The Autobahn testsuite against the server.")
    parser.add_argument("--cases", action="append", help="such as '7.*'; default: all that apply")
    parser.add_argument("--drivers", default="reactor,protocol", help="default: both")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
