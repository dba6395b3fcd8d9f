"""A stand-in of the Hugging Face hub's endpoint on this machine: what its client asks for repositories and files."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from trainer.data.download import git_blob


class Hub(ThreadingHTTPServer):
    """`repositories`: {"owner/name": {revision: {file name: content}}}; what it was asked is in `requests`."""

    daemon_threads = True

    def __init__(self, repositories):
        super().__init__(("localhost", 0), Handler)
        self.repositories, self.requests = repositories, []
        self.refused = {}  # path -> status; what else goes wrong: `tampered`, `broken` (bytes that come in the first answer)
        self.tampered, self.broken = set(), {}
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
                found = [self.entry(file, content) for file, content in files.items()]
            else:
                found = {"id": name, "sha": commit(revision), "siblings": [{"rfilename": file} for file in files]}
            return self.send(200, {}, json.dumps(found).encode(), head)
        name, revision, files = self.find(path[1:])
        file = path.rpartition("/")[2]
        if not files or file not in files:
            return self.send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit(revision or "")}, b"", head)
        content = files[file]
        own = {"X-Repo-Commit": commit(revision), "ETag": f'"{etag(file, content)}"'}
        if file in hub.tampered:
            content = content[::-1]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            own["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(206 if start else 200, own, content[start:], head, None if head else hub.broken.pop(file, None))
        return None

    def find(self, path):
        """Returns (name, revision, {file: content}) of OWNER/NAME[/revision|tree|resolve/REVISION[/...]]."""
        for name, revisions in self.server.repositories.items():
            if path == name or path.startswith(f"{name}/"):
                rest = path.removeprefix(name).strip("/").partition("/")[2]
                known = {key: key for key in revisions} | {commit(key): key for key in revisions}
                found = next(
                    (key for key in known if rest == key or rest.startswith(f"{key}/")), None if rest else "main"
                )
                return name, known.get(found), revisions.get(known.get(found))
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
