"""Django as a WSGI application, on SQLite and PostgreSQL: migrations, admin, ORM, files."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.conftest import StartServer
from tests.support.postgres import Cluster, find_programs
from tests.support.server import ROOT, Server

PROJECT = "tests.wsgi.apps.archive"
PROGRAMS = find_programs()


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a command of Django's on the project, and return what it wrote."""
    ran = subprocess.run(
        [sys.executable, "-m", "django", *arguments, "--settings", f"{PROJECT}.settings"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="session")
def postgres() -> Iterator[Path]:
    """Run a cluster, and return the folder of its socket."""
    assert PROGRAMS is not None
    with Cluster(PROGRAMS) as cluster:
        yield cluster.folder


NEEDS_POSTGRES = pytest.mark.skipif(PROGRAMS is None, reason="there is no PostgreSQL")


@pytest.fixture(
    scope="session", params=["sqlite", pytest.param("postgresql", marks=NEEDS_POSTGRES)]
)
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Make the database and an administrator, and return what the site is told of them."""
    folder = tmp_path_factory.mktemp(request.param)
    sqlite = folder / "archive.sqlite"
    database = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres")
    made = {"LIBRARY_DATABASE": str(database), "LIBRARY_MEDIA": str(folder / "media")}
    assert "Applying archive.0001_initial... OK" in manage(made, "migrate")
    manage(made, "makemigrations", "--check", "--dry-run")
    password = {"DJANGO_SUPERUSER_PASSWORD": "of a test"}
    words = ["createsuperuser", "--noinput", "--username", "ann", "--email", "ann@example.org"]
    manage({**made, **password}, *words)
    return made


@pytest.fixture
def site(shared_server: StartServer, environment: dict[str, str]) -> Server:
    return shared_server(f"{PROJECT}.wsgi:application", env=environment)


@pytest.fixture
def client(site: Server, browse: Callable[[Server], httpx.Client]) -> httpx.Client:
    return browse(site)


def token_in(page: httpx.Response) -> str:
    """Return what a form has to send with it."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found, page.text
    return found[1]


def log_in(client: httpx.Client, password: str = "of a test") -> httpx.Response:
    page = client.get("/admin/", follow_redirects=True)
    assert page.url.path == "/admin/login/"
    form = {
        "csrfmiddlewaretoken": token_in(page),
        "username": "ann",
        "password": password,
        "next": "/admin/",
    }
    return client.post("/admin/login/?next=/admin/", data=form, follow_redirects=True)


def test_the_admin_lets_in_who_knows_the_password(client: httpx.Client) -> None:
    page = log_in(client, "guessed")
    assert page.url.path == "/admin/login/"
    assert "Please enter the correct username and password" in page.text
    page = log_in(client)
    assert (page.status_code, page.url.path) == (200, "/admin/")
    assert "Site administration" in page.text
    assert "Shelfs" in page.text


def test_a_login_without_its_token_is_refused(client: httpx.Client) -> None:
    client.get("/admin/login/")
    response = client.post("/admin/login/", data={"username": "ann", "password": "of a test"})
    assert response.status_code == 403
    assert "CSRF" in response.text


def test_the_admin_keeps_what_is_entered(client: httpx.Client) -> None:
    log_in(client)
    form = {"name": "poetry & prose, é", "visits": "3"}
    page = client.get("/admin/archive/shelf/add/")
    form["csrfmiddlewaretoken"] = token_in(page)
    page = client.post("/admin/archive/shelf/add/", data=form, follow_redirects=True)
    assert page.url.path == "/admin/archive/shelf/"
    assert "was added successfully" in page.text
    assert "poetry &amp; prose, é" in page.text
    # Another session sees it, and one that is not logged in does not see the admin.
    listed = client.get("/shelves").json()["shelves"]
    assert {"name": "poetry & prose, é", "visits": 3, "books": []} in listed
    token = token_in(page)
    client.post("/admin/logout/", data={"csrfmiddlewaretoken": token})
    assert client.get("/admin/").status_code == 302


def test_the_database_is_the_one_that_was_named(
    client: httpx.Client, environment: dict[str, str]
) -> None:
    vendor = client.get("/shelves").json()["vendor"]
    assert vendor == ("sqlite" if "sqlite" in environment["LIBRARY_DATABASE"] else "postgresql")


def test_many_write_at_once(client: httpx.Client) -> None:
    with ThreadPoolExecutor(12) as threads:
        responses = list(threads.map(client.post, ["/visit/novels"] * 40))
    assert [each.status_code for each in responses] == [200] * 40
    assert client.post("/visit/novels").json() == {"visits": 41}


def test_what_fails_is_taken_back(site: Server, client: httpx.Client) -> None:
    assert client.post("/break/broken").status_code == 500
    site.wait_for("LookupError: no such shelf")
    assert "broken" not in [each["name"] for each in client.get("/shelves").json()["shelves"]]


@pytest.mark.parametrize("size", [0, 10, 99_999, 3_000_000])
def test_a_file_is_uploaded_and_sent(client: httpx.Client, size: int) -> None:
    client.get("/form")
    data = (bytes(range(256)) * (size // 256 + 1))[:size] or b"."
    fields = {"title": "Travels", "shelf": "scans"}
    files = {"scan": ("scan.bin", data)}
    assert client.post("/upload", data=fields, files=files).status_code == 403
    token = {"x-csrftoken": client.cookies["csrftoken"]}
    book = client.post("/upload", data=fields, files=files, headers=token).json()
    assert book["size"] == len(data)
    assert book["sha256"] == hashlib.sha256(data).hexdigest()
    response = client.get(f"/scan/{book['id']}")
    assert response.content == data
    assert response.headers["content-length"] == str(len(data))
    assert response.headers["content-disposition"].startswith("attachment; filename=")
    assert client.get("/scan/0").status_code == 404


def test_a_body_is_read(client: httpx.Client) -> None:
    assert client.post("/body", content=bytes(300_000)).json() == {"size": 300_000}


def test_a_body_in_chunks_is_read(client: httpx.Client) -> None:
    pieces = (bytes(1000) for _ in range(300))
    assert client.post("/body", content=pieces).json() == {"size": 300_000}


def test_rows_are_streamed(client: httpx.Client) -> None:
    for number in range(25):
        client.post(f"/visit/streamed{number:02}")
    names = client.get("/export").text.splitlines()
    assert [name for name in names if name.startswith("streamed")] == [
        f"streamed{number:02}" for number in range(25)
    ]


def test_a_host_that_is_not_ours_is_refused(client: httpx.Client) -> None:
    assert client.get("/form", headers={"host": "elsewhere"}).status_code == 400
    assert client.get("/nowhere").status_code == 404


def test_several_workers_share_the_database(
    server: StartServer,
    environment: dict[str, str],
    browse: Callable[[Server], httpx.Client],
) -> None:
    running = server(f"{PROJECT}.wsgi:application", env=environment, workers=2)
    client = browse(running)
    with ThreadPoolExecutor(12) as threads:
        responses = list(threads.map(client.post, ["/visit/shared"] * 40))
    assert max(each.json()["visits"] for each in responses) == 40
    assert client.get("/shelves").status_code == 200
