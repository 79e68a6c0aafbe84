"""A server that speaks as much of the Hub as loading a model asks of it, with the faults a test orders."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Repositories by name, each a mapping of files; `faults` by file, with or without its repository."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.faults: dict[str, str] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.sent = 0
        self.tokens: list[tuple[str, str | None]] = []
        self.url = ""

    def paths(self, method: str = "GET") -> list[str]:
        return [path for how, path, _ in self.requests if how == method]


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def refuse(self, status: int, code: str = "", **headers: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, *, body: bool) -> None:
        hub = self.hub
        hub.requests.append((self.command, self.path, self.headers.get("Range")))
        hub.tokens.append((self.headers.get("Host", ""), self.headers.get("Authorization")))
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("cdn/"):
            path = path.removeprefix("cdn/")
            repository, _, name = path.partition("/resolve/main/")
            return self.send(hub.files[repository][name], body=body, fault="")
        repository, found, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        fault = hub.faults.get(f"{repository}/{name}", hub.faults.get(name, ""))
        if not found:
            return self.refuse(404)
        if fault == "gated":
            return self.refuse(401, "GatedRepo")
        if repository not in hub.files:
            return self.refuse(401, "RepoNotFound")
        if revision not in ("main", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        if name not in hub.files[repository]:
            return self.refuse(404, "EntryNotFound")
        if fault.isdecimal():
            return self.refuse(int(fault))
        if fault == "loop":
            return self.refuse(302, Location=self.path)
        if fault == "redirect":
            other = hub.url.replace("127.0.0.1", "localhost")
            return self.refuse(302, Location=f"{other}/cdn/{repository}/resolve/main/{name}", X_Repo_Commit=COMMIT)
        return self.send(hub.files[repository][name], body=body, fault=fault)

    def send(self, data: bytes, *, body: bool, fault: str) -> None:
        wanted = self.headers.get("Range") if fault != "no range" else None
        first, last = 0, len(data) - 1
        if wanted:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(last, int(end or last))
            if first > len(data) - 1:
                return self.refuse(416)
        part = data[first : last + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        if fault == "endless":
            self.end_headers()
            return self.pour()
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if not body:
            return None
        if fault == "truncated":
            part = part[: len(part) // 2]
            self.close_connection = True
        if fault == "slow":
            self.write(part[:10])
            time.sleep(30)
            return None
        self.write(part)
        return None

    def pour(self) -> None:
        for _ in range(10_000):
            if not self.write(b" " * 65536):
                return

    def write(self, data: bytes) -> bool:
        try:
            self.wfile.write(data)
        except OSError:
            return False
        self.hub.sent += len(data)
        return True


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    server.block_on_close = False
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
