"""TLS: what the server's file may say, who gets in, and the line for each mistake."""

import shutil
import subprocess

import grpc
import numpy as np
import pytest

from serving.client import Client, Tls, command
from tests.conftest import ROOT, Server, free_port
from tests.serving.certificates import Authority, ssl_config
from tests.serving.saved import save_half_plus_two

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="openssl, which makes the certificates, is not there"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates") / "good")


@pytest.fixture(scope="module")
def pair(authority):
    return authority.sign("server")


@pytest.fixture(scope="module")
def server(authority, pair, tmp_path_factory):
    """A server that lets in only clients with a certificate of the authority."""
    folder = tmp_path_factory.mktemp("tls")
    save_half_plus_two(folder / "model" / "1")
    config = ssl_config(folder / "ssl.config", *pair, authority.certificate, verify=True)
    server = Server(
        f"--model_base_path={folder / 'model'}", f"--ssl_config_file={config}", f"--grpc_socket_path={folder}/s"
    )
    server.socket = f"unix:{folder}/s"
    yield server
    assert server.stop() == 0, server.log


def half_plus_two(**arguments):
    client = Client(**{"timeout": 10} | arguments)
    return client.predict("default", {"x": np.float32([2.0])})["y"].tolist()


def test_mutual_tls(server, authority, tmp_path):
    key, certificate = authority.sign("client")
    tls = {"ca": authority.certificate, "key": key, "cert": certificate}
    assert half_plus_two(server=server.address, tls=Tls(**tls)) == [3.0]
    assert half_plus_two(server=server.socket, tls=Tls(**tls)) == [3.0]
    other = Authority(tmp_path / "other")
    stranger = dict(zip(("key", "cert"), other.sign("client"), strict=True))
    for wrong in (
        None,  # in plain
        Tls(authority.certificate),  # nameless
        Tls(authority.certificate, **stranger),
        Tls(**tls | {"ca": other.certificate}),  # an authority that has not signed the server's
    ):
        with pytest.raises(grpc.RpcError) as caught:
            half_plus_two(server=server.address, retries=0, tls=wrong)
        assert caught.value.code().name == "UNAVAILABLE"


@pytest.fixture(scope="module")
def wrong(authority, pair, tmp_path_factory):
    """Returns {name: (arguments of `ssl_config`, text of the error)}."""
    folder = tmp_path_factory.mktemp("wrong")
    key, certificate = pair
    other, _ = authority.sign("other")
    locked = folder / "locked.key"
    command = ["openssl", "ec", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    return {
        "no key": (("", certificate), "expected server_key, found none"),
        "no certificate": ((key,), "expected server_cert, found none"),
        "no authority": ((key, certificate, "", True), "expected custom_ca, whose clients client_verify lets in, found none"),
        "certificate for a key": ((certificate, certificate), "server_key: expected a private key in PEM, found -----BEGIN CERTIFICATE"),
        "key for a certificate": ((key, key), "server_cert: expected certificates in PEM, found -----BEGIN PRIVATE KEY"),
        "no PEM": ((key, "nonsense"), "server_cert: expected certificates in PEM, found 8 characters that do not begin with"),
        "cut off": ((key, certificate.read_text()[:99]), "server_cert: expected certificates in PEM, found -----BEGIN CERTIFICATE"),
        "authority": ((key, certificate, "nonsense"), "custom_ca: expected certificates in PEM, found 8 characters"),
        "another's": ((other, certificate), "server_key: expected the key of the certificate, found that of another"),
        "locked": ((locked, certificate), "server_key: expected a private key without a password, found one with it"),
    }  # fmt: skip


def test_wrong_files(wrong, tmp_path):
    from serving.pem import Wrong
    from serving.server.transport.tls import credentials

    for name, (arguments, text) in wrong.items():
        path = ssl_config(tmp_path / "wrong.config", *arguments)
        with pytest.raises(Wrong) as caught:
            credentials(str(path))
        assert text in str(caught.value) and str(caught.value).startswith(f"{path}: "), (name, caught.value)
        assert "\n" not in str(caught.value), name
    (tmp_path / "wrong.config").write_text("server_kex: 1")
    for path, text in ((tmp_path / "wrong.config", "Error parsing text-format tensorflow.serving.SSLConfig: 1:1"), (tmp_path, "cannot be read")):  # fmt: skip
        with pytest.raises(Wrong, match=text):
            credentials(str(path))


def test_the_command(server, authority, tmp_path, capsys):
    key, certificate = authority.sign("client")
    flags = {"tls_ca": authority.certificate, "tls_key": key, "tls_cert": certificate}

    def ask(**changed):
        flags_now = [f"--{name}={value}" for name, value in (flags | changed).items() if value]
        try:
            command.main(["status", "default", "--json", f"--server={server.address}", *flags_now])
            return 0, *capsys.readouterr()
        except SystemExit as stop:
            return stop.code, *capsys.readouterr()

    assert ask()[:2] == (
        0,
        '{"model": "default", "versions": [{"version": 1, "state": "AVAILABLE", "code": "OK", "error": ""}]}\n',
    )
    for changed, text in (
        ({"tls_cert": ""}, "TLS: expected the client's key and certificate, received only"),
        ({"tls_key": certificate}, "expected a private key in PEM, found -----BEGIN CERTIFICATE-----"),
        ({"tls_ca": key}, "expected certificates in PEM, found -----BEGIN PRIVATE KEY-----"),
        ({"tls_ca": tmp_path / "none"}, "none: cannot be read (No such file or directory)"),
    ):
        status, out, err = ask(**changed)
        assert (status, out, err.count("\n")) == (2, "", 1) and text in err, err


def test_a_server_with_a_wrong_file_ends_with_one_line(tmp_path):
    flags = ("--model_base_path=/nowhere", f"--ssl_config_file={tmp_path / 'none'}", f"--port={free_port()}")
    result = subprocess.run([*Server.COMMAND, *flags], cwd=ROOT, capture_output=True, text=True)
    expected = f"python -m serving.server: --ssl_config_file: {tmp_path / 'none'}: cannot be read (No such file or directory)\n"
    assert (result.returncode, result.stderr) == (2, expected)
