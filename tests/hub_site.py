"""A local stand-in for the Hugging Face hub's endpoint: the requests of its client for repositories and files."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from trainer.data.download import git_blob


class Hub(ThreadingHTTPServer):
    """Serves `repositories`, {"owner/name": {revision: {file name: content}}}; lists its requests in `requests`."""

    daemon_threads = True

    def __init__(self, repositories):
        super().__init__(("localhost", 0), Handler)
        self.repositories, self.requests = repositories, []
        self.refused = {}  # {part of a path: (status, headers)}
        self.tampered = set()  # files that are sent altered
        self.broken = {}  # {file: bytes of it that the first answer sends}
        self.address = f"http://localhost:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(head=True)

    def do_GET(self):
        self.answer()

    def answer(self, head=False):
        hub, path = self.server, unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        for part, (status, headers) in hub.refused.items():
            if part in path:
                return self.send(status, headers, b"<html>log in</html>", head)
        if path.startswith("/api/models/"):
            name, revision, files = self.find(path.removeprefix("/api/models/"))
            if name is None:
                return self.send(404, {"X-Error-Code": "RepoNotFound"}, b"{}", head)
            if files is None:
                return self.send(404, {"X-Error-Code": "RevisionNotFound"}, b"{}", head)
            if f"{name}/tree/" in path:
                answer = [self.entry(file, content) for file, content in files.items()]
            else:
                answer = {"id": name, "sha": commit(revision), "siblings": [{"rfilename": file} for file in files]}
            return self.send(200, {}, json.dumps(answer).encode(), head)
        name, revision, files = self.find(path[1:])
        file = path.rpartition("/")[2]
        if not files or file not in files:
            return self.send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit(revision or "")}, b"", head)
        content = files[file]
        headers = {"X-Repo-Commit": commit(revision), "ETag": f'"{etag(file, content)}"'}
        if file in hub.tampered:
            content = content[::-1]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(206 if start else 200, headers, content[start:], head, None if head else hub.broken.pop(file, None))
        return None

    def find(self, path):
        """Returns (name, revision, {file: content}) of OWNER/NAME[/revision|tree|resolve/REVISION[/...]]."""
        for name, revisions in self.server.repositories.items():
            if path == name or path.startswith(f"{name}/"):
                suffix = path.removeprefix(name).strip("/").partition("/")[2]
                known = {key: key for key in revisions} | {commit(key): key for key in revisions}
                default = None if suffix else "main"
                requested = next((key for key in known if suffix == key or suffix.startswith(f"{key}/")), default)
                return name, known.get(requested), revisions.get(known.get(requested))
        return None, None, None

    def entry(self, file, content):
        entry = {"type": "file", "path": file, "size": len(content), "oid": git_blob(content)}
        if is_large(file):
            entry["lfs"] = {"oid": etag(file, content), "size": len(content), "pointerSize": 134}
        return entry

    def send(self, status, headers, body, head, cut=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_):
        pass


def commit(revision):
    return hashlib.sha1(revision.encode()).hexdigest()


def is_large(file):
    return file.endswith((".safetensors", ".bin", ".ckpt.index")) or ".data-" in file


def etag(file, content):
    return hashlib.sha256(content).hexdigest() if is_large(file) else git_blob(content)
