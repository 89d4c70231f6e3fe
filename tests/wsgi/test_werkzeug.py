"""Werkzeug's own application, a page that shows the whole environment."""

from __future__ import annotations

import html

import pytest
from tests.wsgi.conftest import Serve


@pytest.mark.parametrize("interface", ["auto", "wsgi"])
def test_it_shows_the_environment(served: Serve, interface: str) -> None:
    # Its signature is that of the function inside, which takes a request.
    server = served("werkzeug.testapp:test_app", interface=interface)
    with server.connect() as client:
        for number in range(3):
            response = client.get(f"/a%20b?number={number}", ("X-Shown", f"<{number}>"))
            assert response.status == 200
            assert response["content-type"] == "text/html; charset=utf-8"
            page = html.unescape(response.text)
            assert f"number={number}" in page
            assert f"'<{number}>'" in page
            for name in ("wsgi.input", "wsgi.errors", "wsgi.multithread", "REMOTE_ADDR"):
                assert name in page
    assert not server.lines("Traceback")
