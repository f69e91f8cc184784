"""The page of a study that is still being made, served to this machine alone: it asks for news and shows them.

Whoever knows the address may read: it holds a random token. Requests that name another host are refused, so that no
page of another site can ask in a browser's name (DNS rebinding).
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from isoflop.errors import IsoflopError
from isoflop.report.analysis import Analysis, analyse
from isoflop.report.page.document import Content, content, document
from isoflop.report.page.rows import read_rows
from isoflop.runs import RunStore

_EVERY = 2.0
"""Seconds between two looks at the store."""
_HOST = "127.0.0.1"


class Live:
    """What the page of a store says now.

    Args:
        store: that is written to.
        compute: the budget to plan for; None for some ten times that of the largest run.
        level: of the intervals.
    """

    def __init__(self, store: RunStore, *, compute: str | float | None = None, level: float) -> None:
        self._store, self._compute, self._level = store, compute, level
        self._seen = ""
        self._fitted: frozenset[str] = frozenset()
        self._analysis: Analysis | None = None
        self._unfitted = "the runs are being read"
        self._now: tuple[int, Content] = 0, content(store, [], None, self._unfitted)

    @property
    def now(self) -> tuple[int, Content]:
        """The version of what is shown, which rises, and that."""
        return self._now

    def look(self) -> None:
        """Read the store again; laws are fitted again where another run has ended."""
        rows = read_rows(self._store)
        if (seen := repr(rows)) == self._seen:
            return
        fitted = frozenset(row.id for row in rows if row.fitted)
        if fitted != self._fitted:
            self._analysis, self._unfitted = self._analysed()
        elif not fitted:
            self._unfitted = "no run that laws are fitted to has finished"
        self._now = self._now[0] + 1, content(self._store, rows, self._analysis, self._unfitted)
        self._seen, self._fitted = seen, fitted

    def _analysed(self) -> tuple[Analysis | None, str]:
        try:
            return analyse(self._store, compute=self._compute, level=self._level), ""
        except IsoflopError as error:
            return None, error.message


class LiveServer(ThreadingHTTPServer):
    """Serves one store's page on a free port of 127.0.0.1; ``url`` has the token.

    >>> with LiveServer(Live(store, compute=1e15, level=0.95)) as server:
    ...     print(server.url)
    ...     server.serve_forever()
    """

    daemon_threads = True

    def __init__(self, live: Live) -> None:
        super().__init__((_HOST, 0), _Handler)
        self.live, self.token, self._stop = live, secrets.token_urlsafe(24), threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.server_port}/?token={self.token}"

    def server_close(self) -> None:
        """Look no more."""
        self._stop.set()
        super().server_close()

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self.live.look()
            except IsoflopError as error:  # a store that cannot be read now may be read at the next look
                sys.stderr.write(f"error: {error}\n")
            self._stop.wait(_EVERY)


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = parse_qs(asked.query)
        token = query.get("token", [""])[0]
        hosts = {f"{name}:{self.server.server_port}" for name in (_HOST, "localhost")}
        if self.headers.get("Host") not in hosts or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "refused: use the address that isoflop printed\n")
            return
        version, said = self.server.live.now
        if asked.path == "/":
            self._answer(HTTPStatus.OK, "text/html", document(said, version))
        elif asked.path == "/news" and query.get("since") == [str(version)]:
            self._answer(HTTPStatus.NO_CONTENT, "application/json", "")
        elif asked.path == "/news":
            news: dict[str, Any] = {"version": version, "sections": said.sections, "data": said.data}
            self._answer(HTTPStatus.OK, "application/json", json.dumps(news, allow_nan=False))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is one page: /\n")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request: the terminal shows the address."""
