"""A local HTTP server that fails as servers and connections do."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site(ThreadingHTTPServer):
    """Serves `content` at every path, each time as the next of `answers` says; the last one is repeated.

    right         whole, or the requested Range
    whole         whole, whatever the Range
    cut N         as right, but the connection closes after N bytes
    short N       the first N bytes, without a Content-Length
    stall N       as right, but stops after N bytes
    other         different content of the same length
    shifted       as right, but ten bytes further on
    rubbish       not HTTP
    503 5         this status, and Retry-After
    302 ADDRESS   a redirect
    """

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("localhost", 0), Handler)
        self.content, self.answers, self.requests, self.over = content, ["right"], [], threading.Event()
        self.address = f"http://localhost:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site, requested = self.server, self.headers.get("Range", "")
        site.requests.append((self.path, requested))
        kind, _, argument = (site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]).partition(" ")
        if kind == "rubbish":
            self.wfile.write(b"\x00\x01 no HTTP\r\n\r\n")
            return
        if kind.isdecimal():
            self.send_response(int(kind))
            for name in {"3": ["Location"], "5": ["Retry-After"], "4": []}[kind[0]] if argument else []:
                self.send_header(name, argument)
            self.end_headers()
            return
        start = (
            int(requested.removeprefix("bytes=").partition("-")[0])
            if requested and kind not in ("whole", "short")
            else 0
        )
        start += 10 * (kind == "shifted")
        if start >= len(site.content):
            self.send_response(416)
            self.end_headers()
            return
        body = (site.content[::-1] if kind == "other" else site.content)[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        if kind != "short":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: int(argument)] if argument else body)
        self.wfile.flush()
        if kind == "stall":
            site.over.wait(30)

    def log_message(self, *_):
        pass


@contextmanager
def running(server):
    """Yields the server, running in a thread of this process."""
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def site(content):
    """Yields a running `Site`."""
    with running(Site(content)) as server:
        try:
            yield server
        finally:
            server.over.set()
