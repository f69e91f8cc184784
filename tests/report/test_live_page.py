"""The served page follows its store, and answers nobody who lacks its address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from isoflop.report.page.live import Live, LiveServer
from isoflop.runs import RunStore
from report.browser import Browser
from report.made import HOSTILE, SIZES, TOKENS, record_finished


@pytest.fixture
def empty(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "sweep")


@pytest.fixture
def server(empty: RunStore) -> Iterator[LiveServer]:
    with LiveServer(Live(empty, compute="1e13 FLOP", level=0.95)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def asked(server: LiveServer, path: str, **headers: str) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def record_study(store: RunStore) -> None:
    noise = np.random.default_rng(0)
    for n in SIZES:
        for d in TOKENS:
            record_finished(store, n, d, noise)


def test_only_this_machine_can_reach_it_and_tokens_are_never_the_same(server: LiveServer, empty: RunStore) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with LiveServer(Live(empty, compute="1e13 FLOP", level=0.95)) as other:
        assert other.token != server.token
    assert len(server.token) >= 32


@pytest.mark.parametrize("path", ["/", "/news?since=0", "/?token=", "/?token=guess", "/news?token=guess&since=0"])
def test_who_lacks_the_token_is_refused(server: LiveServer, path: str) -> None:
    answer, text = asked(server, path)
    assert answer.status == 403
    assert server.token not in text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}"])
def test_another_host_is_refused(server: LiveServer, host: str) -> None:
    path = f"/?token={server.token}"
    assert asked(server, path)[0].status == 200
    assert asked(server, path, Host=host.format(port=server.server_port))[0].status == 403


def test_there_is_one_page_and_nothing_is_kept_of_it(server: LiveServer) -> None:
    answer, _ = asked(server, urlsplit(server.url)._replace(scheme="", netloc="").geturl())
    assert answer.headers["Cache-Control"] == "no-store"
    assert asked(server, f"/etc/passwd?token={server.token}")[0].status == 404


def test_a_look_at_a_store_that_has_not_changed_brings_nothing(empty: RunStore) -> None:
    live = Live(empty, compute="1e13 FLOP", level=0.95)
    record_study(empty)
    live.look()
    before = live.now
    live.look()
    assert live.now is before
    record_finished(empty, 5e5, 3e6, np.random.default_rng(2))
    live.look()
    version, said = live.now
    assert version == before[0] + 1
    assert said.data["figures"] != before[1].data["figures"]


def test_news_are_what_came_since(server: LiveServer) -> None:
    server.live.look()
    version, said = server.live.now
    old, text = asked(server, f"/news?token={server.token}&since={version - 1}")
    assert (old.status, json.loads(text)["sections"]) == (200, said.sections)
    assert asked(server, f"/news?token={server.token}&since={version}")[0].status == 204


def test_an_open_page_shows_what_a_sweep_adds_and_keeps_what_was_asked(
    server: LiveServer, empty: RunStore, browser: Browser
) -> None:
    browser.open(server.url)
    assert "No law yet" in browser.run("return document.getElementById('summary').textContent")
    assert browser.run("return document.getElementById('planner').hidden")
    record_study(empty)
    browser.until("!document.getElementById('planner').hidden && document.querySelectorAll('.main-svg').length")
    browser.until("document.getElementById('shown').textContent === '15 of 15 runs'")
    browser.set("compute", "3e14")
    before = browser.run("return document.querySelector('[data-quantity=n]').cells[2].textContent")
    record_finished(empty, 1e6, 6.4e6, np.random.default_rng(3), name=HOSTILE)
    browser.until("document.getElementById('shown').textContent === '16 of 16 runs'")
    browser.until("document.querySelector('#runs small')")
    assert browser.run("return document.querySelector('#runs small').textContent") == HOSTILE
    assert browser.run("return document.getElementById('compute').value") == "3e14"
    assert browser.run("return document.querySelector('[data-quantity=n]').cells[2].textContent") != before
    assert browser.errors() == []
    host = server.url.partition("?")[0]
    assert all(url.startswith((host, "blob:", "data:")) for url in browser.requests())
