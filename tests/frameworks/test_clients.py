"""The clients that users have, each against the same FastAPI application: aiohttp, curl, a browser.

What is asked for here is what only such a client sees: that its connection is kept, that it is told
when to send its body, that it can leave.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import pytest
from tests.frameworks.conftest import Serve
from tests.support.server import PATIENCE, Server

PICTURE = bytes(range(256)) * 1024
IDENTITY = {"accept-encoding": "identity"}
LINES = "".join(f"line {number}\n" for number in range(1000)).encode()


@pytest.fixture
def shop(serve: Serve) -> Server:
    return serve("fastapi_shop")


# aiohttp


@asynccontextmanager
async def session(shop: Server, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session that counts in `.opened` and `.kept` how its requests found a connection."""
    count = SimpleNamespace(opened=0, kept=0)

    async def opened(*_: Any) -> None:
        count.opened += 1

    async def kept(*_: Any) -> None:
        count.kept += 1

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(opened)
    trace.on_connection_reuseconn.append(kept)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    connector = aiohttp.TCPConnector(**options)
    async with aiohttp.ClientSession(
        shop.url, timeout=timeout, connector=connector, trace_configs=[trace]
    ) as made:
        made.count = count  # type: ignore[attr-defined]
        yield made


def test_aiohttp_keeps_its_connection(shop: Server) -> None:
    async def talk() -> None:
        async with session(shop, limit=1) as client:
            for number in range(1, 11):
                order = {"item": "nail", "count": number}
                async with client.post(f"/orders/{number}", json=order) as response:
                    assert (await response.json())["count"] == number
                async with client.get("/file") as response:
                    assert await response.read() == PICTURE
                async with client.get("/stream") as response:
                    assert response.headers["content-encoding"] == "gzip"
                    assert await response.read() == LINES
                # A compressed one has no length, and aiohttp then awaits the connection's end.
                async with client.head("/docs", headers=IDENTITY) as response:
                    assert response.status == 200
                async with client.get("/nowhere") as response:
                    assert await response.json() == {"detail": "Not Found"}
            assert vars(client.count) == {"opened": 1, "kept": 49}  # type: ignore[attr-defined]

    asyncio.run(talk())


@pytest.mark.parametrize("expect", [False, True])
def test_aiohttp_uploads_in_chunks(shop: Server, expect: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield bytes(number)
            if number % 100 == 0:
                await asyncio.sleep(0)

    async def talk() -> None:
        async with session(shop, limit=1) as client:
            for _ in range(3):
                async with client.post("/upload/raw", data=pieces(), expect100=expect) as response:
                    assert (await response.json())["size"] == sum(range(1000))
            assert client.count.opened == 1  # type: ignore[attr-defined]

    asyncio.run(talk())


def test_aiohttp_uploads_a_form(shop: Server) -> None:
    async def talk() -> None:
        form = aiohttp.FormData({"note": "by aiohttp"})
        form.add_field("file", PICTURE, filename="picture.bin")
        async with session(shop) as client, client.post("/upload", data=form) as response:
            assert await response.json() == {
                "name": "picture.bin",
                "size": len(PICTURE),
                "sum": sum(PICTURE),
                "note": "by aiohttp",
            }

    asyncio.run(talk())


def test_aiohttp_downloads_a_stream_in_pieces(shop: Server) -> None:
    async def talk() -> None:
        async with session(shop) as client:
            async with client.get("/stream", headers=IDENTITY) as response:
                lines = [line async for line in response.content]
                assert b"".join(lines) == LINES
            async with client.get("/file", headers=IDENTITY) as response:
                pieces = [piece async for piece in response.content.iter_chunked(5000)]
                assert b"".join(pieces) == PICTURE

    asyncio.run(talk())


def test_aiohttp_may_leave_a_stream(shop: Server) -> None:
    async def talk() -> None:
        async with session(shop) as client:
            async with client.get("/journal"):
                pass
            async with client.get("/stream/endless") as response:
                assert await response.content.readline()
            async with client.get("/journal?until=stream%20closed") as response:
                assert "stream closed" in await response.text()

    asyncio.run(talk())


def test_aiohttp_asks_for_much_at_once(shop: Server) -> None:
    async def talk() -> None:
        async with session(shop, limit=30) as client:

            async def ask(number: int) -> Any:
                if number % 3 == 0:
                    data = bytes(number * 1000)
                    async with client.post("/upload/raw", data=data) as response:
                        return (await response.json())["size"] == len(data)
                if number % 3 == 1:
                    async with client.get("/stream") as response:
                        return await response.read() == LINES
                headers = {"x-customer": str(number)}
                async with client.get("/customer/thread", headers=headers) as response:
                    return await response.json() == str(number)

            assert all(await asyncio.gather(*(ask(number) for number in range(1, 100))))

    asyncio.run(talk())


# curl


@dataclass
class Talk:
    """What curl got: all bodies, all heads (interim ones too), and a report on each request."""

    body: bytes
    heads: list[str]
    reports: list[dict[str, Any]]


Curl = Callable[..., Talk]


@pytest.fixture
def curl(shop: Server, tmp_path: Path) -> Curl:
    """Run curl with arguments of the test's, some of which are paths of the server."""
    dumped = tmp_path / "heads"
    common = ["--silent", "--show-error", "--noproxy", "*", "--max-time", str(PATIENCE)]
    common += [
        "--dump-header",
        str(dumped),
        "--write-out",
        "%{stderr}%{json}\n",
        "--no-progress-meter",
    ]

    def run(*arguments: str, given: bytes = b"") -> Talk:
        urls = [shop.url + each if each.startswith("/") else each for each in arguments]
        ran = subprocess.run(
            ["curl", *common, *urls], input=given, capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        heads = dumped.read_text().replace("\r", "").split("\n\n")
        reports = [json.loads(line) for line in ran.stderr.splitlines()]
        return Talk(ran.stdout, [head.lower() for head in heads if head], reports)

    return run


def test_curl_gets_over_one_connection(curl: Curl) -> None:
    talk = curl("/stream", "/file", "/nowhere", "/thread")
    assert talk.body == LINES + PICTURE + b'{"detail":"Not Found"}{"main":false}'
    assert [each["response_code"] for each in talk.reports] == [200, 200, 404, 200]
    assert [each["num_connects"] for each in talk.reports] == [1, 0, 0, 0]
    assert {each["http_version"] for each in talk.reports} == {"1.1"}


def test_curl_gets_in_parallel(curl: Curl) -> None:
    talk = curl("--parallel", "--parallel-max", "8", *["/stream"] * 30)
    assert [each["size_download"] for each in talk.reports] == [len(LINES)] * 30


def test_curl_sends_its_body_when_it_is_told_to(curl: Curl) -> None:
    body = bytes(3_000_000)
    told = ["-H", "Expect: 100-continue", "--expect100-timeout", str(PATIENCE)]
    talk = curl(*told, "--data-binary", "@-", "/upload/raw", given=body)
    assert json.loads(talk.body)["size"] == len(body)
    assert [head.split()[1] for head in talk.heads] == ["100", "200"]


def test_curl_keeps_its_body_when_it_is_refused(curl: Curl) -> None:
    told = ["-H", "Expect: 100-continue", "--expect100-timeout", str(PATIENCE)]
    talk = curl(*told, "--data-binary", "@-", "/refused", given=bytes(3_000_000))
    assert [head.split()[1] for head in talk.heads] == ["405"]
    assert talk.reports[0]["size_upload"] == 0


def test_curl_uploads_a_form(curl: Curl) -> None:
    talk = curl("-F", "note=by curl", "-F", "file=@-;filename=a.bin", "/upload", given=PICTURE)
    assert json.loads(talk.body) == {
        "name": "a.bin",
        "size": len(PICTURE),
        "sum": sum(PICTURE),
        "note": "by curl",
    }


@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_curl_uploads_in_chunks(curl: Curl, expect: str) -> None:
    given = bytes(3_000_000)
    talk = curl("-T", "-", "-X", "POST", "-H", expect, "/upload/raw", given=given)
    assert json.loads(talk.body)["size"] == len(given)


def test_curl_speaks_http_1_0(curl: Curl) -> None:
    talk = curl("--http1.0", "/stream")
    assert talk.body == LINES
    (head,) = talk.heads
    assert "transfer-encoding" not in head
    assert "content-length" not in head
    talk = curl("--http1.0", "--data-binary", "@-", "/upload/raw", given=PICTURE)
    assert json.loads(talk.body)["size"] == len(PICTURE)


def test_curl_asks_for_heads(curl: Curl) -> None:
    talk = curl("--head", "/docs", "/docs")
    assert len(talk.heads) == 2
    assert [each["num_connects"] for each in talk.reports] == [1, 0]
    assert [each["size_download"] for each in talk.reports] == [0, 0]
    length = re.search(r"content-length: (\d+)", talk.heads[0])
    assert length
    assert int(length[1]) == len(curl("/docs").body)


def test_curl_undoes_the_compression(curl: Curl) -> None:
    talk = curl("--compressed", "/large", "/stream")
    assert (
        talk.body == json.dumps({"text": "large " * 10000}, separators=(",", ":")).encode() + LINES
    )
    assert all("content-encoding: gzip" in head for head in talk.heads)
    assert talk.reports[0]["size_download"] < 10_000


def test_curl_asks_for_a_range(curl: Curl) -> None:
    talk = curl("--range", "1000-1999", "/file")
    assert talk.body == PICTURE[1000:2000]
    assert talk.reports[0]["response_code"] == 206


# A browser, at the interactive documentation


@pytest.fixture
def browser(shop: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    """Return a client that says what browsers say."""
    client = browse(shop)
    client.headers = httpx.Headers(
        {
            "host": f"127.0.0.1:{shop.port}",
            "connection": "keep-alive",
            "cache-control": "max-age=0",
            "sec-ch-ua": '"Chromium";v="130", "Not?A_Brand";v="99"',
            "sec-ch-ua-mobile": "?0",
            "sec-ch-ua-platform": '"Linux"',
            "upgrade-insecure-requests": "1",
            "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/130.0.0.0 Safari/537.36",
            "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            "sec-fetch-site": "none",
            "sec-fetch-mode": "navigate",
            "sec-fetch-user": "?1",
            "sec-fetch-dest": "document",
            "accept-encoding": "gzip, deflate",
            "accept-language": "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
            "dnt": "1",
        }
    )
    return client


def from_page(shop: Server, **more: str) -> dict[str, str]:
    """Return what a browser says otherwise when a page's script asks."""
    return {
        "accept": "application/json,*/*",
        "referer": f"{shop.url}/docs",
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "cors",
        "sec-fetch-dest": "empty",
        **more,
    }


def test_a_browser_uses_the_documentation(shop: Server, browser: httpx.Client) -> None:
    page = browser.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    found = re.search(r"url: '([^']+)'", page.text)
    assert found
    assert browser.get("/favicon.ico", headers=from_page(shop)).status_code == 404
    described = browser.get(found[1], headers=from_page(shop)).json()["paths"]
    assert {"/orders/{number}", "/upload"} <= described.keys()
    # "Try it out", "Execute"
    order = {"item": "nail", "count": 3}
    answer = browser.post("/orders/7", json=order, headers=from_page(shop, origin=shop.url))
    assert answer.json() == {"number": 7, "express": False, **order}
    # The page again, in its old tab
    assert browser.get("/docs").content == page.content


def test_a_browsers_connections_are_kept(shop: Server, browser: httpx.Client) -> None:
    paths = ["/docs", "/openapi.json", "/file", "/large", "/stream", "/favicon.ico"]

    def ask_at_once() -> set[int]:
        """Have all the answers begin before the first is read, and return the clients' ports."""
        with ExitStack() as stack:
            answers = [stack.enter_context(browser.stream("GET", path)) for path in paths]
            for answer in answers:
                assert answer.read()
            streams = [answer.extensions["network_stream"] for answer in answers]
            return {each.get_extra_info("client_addr")[1] for each in streams}

    ports = ask_at_once()
    assert len(ports) == len(paths)
    for _ in range(5):
        assert ask_at_once() == ports


def test_a_browser_asks_from_several_tabs(shop: Server, browser: httpx.Client) -> None:
    described = browser.get("/openapi.json").json()

    def open_tab(number: int) -> bool:
        page = browser.get("/docs").text
        order = {"item": "nail", "count": number}
        answer = browser.post(f"/orders/{number}", json=order, headers=from_page(shop))
        return (
            "/openapi.json" in page
            and browser.get("/openapi.json", headers=from_page(shop)).json() == described
            and answer.json()["count"] == number
        )

    with ThreadPoolExecutor(6) as tabs:
        assert all(tabs.map(open_tab, range(1, 31)))


def test_a_browser_keeps_its_cookies(browser: httpx.Client) -> None:
    first = browser.get("/visits")
    assert first.json() == {}
    assert [each.split(";")[0] for each in first.headers.get_list("set-cookie")] == [
        "visits=1",
        "last=visits",
    ]
    assert browser.get("/visits").json() == {"visits": "1", "last": "visits"}
    assert browser.get("/visits").json() == {"visits": "2", "last": "visits"}
