"""A model hub on loopback with one repository at one revision, as far as `huggingface_hub` asks for it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

LARGE = (".safetensors", ".bin")
"""Files that a hub keeps outside git, with their SHA-256 as name."""


class FakeHub:
    """`url`, and the names of the files that were fetched."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fetched: list[str] = []


@contextmanager
def fake_hub(repository: str, revision: str, files: Mapping[str, bytes]) -> Iterator[FakeHub]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = unquote(self.path.partition("?")[0])
            if path.startswith(f"/api/models/{repository}/"):
                self._send(json.dumps(_about(repository, revision, files, path)).encode(), {}, body)
            elif path.startswith(f"/{repository}/resolve/{revision}/"):
                self._file(path.partition(f"/resolve/{revision}/")[2], body)
            else:
                self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, body, status=404)

        def _file(self, name: str, body: bool) -> None:
            if name not in files:
                self._send(b"", {"X-Error-Code": "EntryNotFound"}, body, status=404)
                return
            content = files[name]
            digest = hashlib.sha256(content).hexdigest() if name.endswith(LARGE) else hashlib.sha1(content).hexdigest()
            if body:
                hub.fetched.append(name)
            self._send(content, {"ETag": f'"{digest}"', "X-Repo-Commit": revision}, body)

        def _send(self, content: bytes, headers: Mapping[str, str], body: bool, status: int = 200) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = FakeHub(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _about(repository: str, revision: str, files: Mapping[str, bytes], path: str) -> Any:
    if "/tree/" in path:
        return [
            {"type": "file", "path": name, "size": len(content), "oid": "0" * 40} for name, content in files.items()
        ]
    return {"id": repository, "sha": revision, "siblings": [{"rfilename": name} for name in files]}
