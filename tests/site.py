"""An HTTP server on this machine that behaves as servers and lines do on bad days."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site(ThreadingHTTPServer):
    """Serves `content` at every address; `answers` says how, one after the other, the last one from then on.

    right         whole, or from where the request says (Range)
    whole         whole, whatever the request says
    cut N         as right, but the connection breaks off after N bytes
    short N       whole, but so long only, and without saying how long it should be
    stall N       as right, but nothing comes after N bytes
    other         other content of the same length
    shifted       as right, but from ten bytes further on
    rubbish       no HTTP
    503 5         this status, and Retry-After
    302 ADDRESS   a redirection
    """

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("localhost", 0), Handler)
        self.content, self.answers, self.requests, self.over = content, ["right"], [], threading.Event()
        self.address = f"http://localhost:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site, asked = self.server, self.headers.get("Range", "")
        site.requests.append((self.path, asked))
        what, _, more = (site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]).partition(" ")
        if what == "rubbish":
            self.wfile.write(b"\x00\x01 no HTTP\r\n\r\n")
            return
        if what.isdecimal():
            self.send_response(int(what))
            for name in {"3": ["Location"], "5": ["Retry-After"], "4": []}[what[0]] if more else []:
                self.send_header(name, more)
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and what not in ("whole", "short") else 0
        start += 10 * (what == "shifted")
        if start >= len(site.content):
            self.send_response(416)
            self.end_headers()
            return
        body = (site.content[::-1] if what == "other" else site.content)[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        if what != "short":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: int(more)] if more else body)
        self.wfile.flush()
        if what == "stall":
            site.over.wait(30)

    def log_message(self, *_):
        pass


@contextmanager
def running(server):
    """Yields a server that runs, in a thread of this process."""
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def site(content):
    """Yields a `Site` that runs."""
    with running(Site(content)) as server:
        try:
            yield server
        finally:
            server.over.set()
