"""Certificates for tests: an authority, and keys with certificates that it has signed."""

import subprocess
from pathlib import Path


class Authority:
    """An authority in a folder: `certificate` is its own, in PEM; `sign` makes another's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._run("req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
        self.certificate = folder / "ca.pem"

    def sign(self, name: str) -> tuple[Path, Path]:
        """Returns the files (key, certificate) of `name`, good for localhost, too."""
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        (self.folder / "extensions").write_text(f"subjectAltName = DNS:localhost, DNS:{name}\n")
        self._run("req", *KEY, "-keyout", key.name, "-out", "request", "-subj", f"/CN={name}")
        self._run(
            "x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "extensions", "-out", certificate.name,
        )  # fmt: skip
        return key, certificate

    def _run(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def ssl_config(
    path: Path, key: Path | str = "", certificate: Path | str = "", authority: Path | str = "", verify: bool = False
) -> Path:
    """Writes a text `tensorflow.serving.SSLConfig` with the contents of those files, or with those texts; returns its path."""
    content = lambda value: (value.read_text() if isinstance(value, Path) else value).replace("\n", "\\n")
    fields = {"server_key": key, "server_cert": certificate, "custom_ca": authority}
    lines = [f'{name}: "{content(value)}"' for name, value in fields.items() if value]
    path.write_text("\n".join([*lines, f"client_verify: {str(verify).lower()}", ""]))
    return path
