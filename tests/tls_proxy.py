"""A real nginx with TLS, with the configuration that docs/nginx.conf shows, before a server in production."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.serving import ROOT, Server, free_port, until_port_answers

DOCUMENTED = ROOT / "docs" / "nginx.conf"


class ProductionServer(Server):
    """The lobby as it is outside DEBUG, with its static files collected; it is reached through a proxy."""

    def __init__(
        self, folder: Path, policy: dict[str, Any] | None = None, command: Sequence[str] = ("serve",)
    ) -> None:
        super().__init__(folder, policy, command)
        self._environment |= {"DEBUG": "0", "PLAIN_HTTP": "0", "STATIC_ROOT": str(folder / "static")}
        self.manage("collectstatic", "--no-input", "--verbosity", "0")


class Nginx:
    """nginx before a server; it ends with the ``with`` statement.

    Attributes:
        url: Where it serves over TLS.
        plain_url: Where it serves without.
        trust: A context for clients that know its certificate, and no other.
    """

    def __init__(self, folder: Path, server: Server) -> None:
        port, plain_port = free_port(), free_port()
        self.url = f"https://127.0.0.1:{port}"
        self.plain_url = f"http://127.0.0.1:{plain_port}"
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        certificate, key = _self_signed(folder)
        self.trust = ssl.create_default_context(cafile=str(certificate))
        site = _with(
            DOCUMENTED.read_text(),
            {
                "server 127.0.0.1:8000;": f"server 127.0.0.1:{server.port};",
                "server 127.0.0.1:8001;": "",
                "server 127.0.0.1:8002;": "",
                "server 127.0.0.1:8003;": "",
                "listen 80;": f"listen 127.0.0.1:{plain_port};",
                "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
                "/etc/ssl/certs/example.com.pem": str(certificate),
                "/etc/ssl/private/example.com.key": str(key),
            },
        )
        (folder / "lobby.conf").write_text(site)
        (folder / "nginx.conf").write_text(_around(folder))

    def __enter__(self) -> Self:
        program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert program, "there is no nginx: scripts/need nginx"
        with (self._folder / "nginx.log").open("wb") as output:
            self._process = subprocess.Popen(
                [program, "-p", self._folder, "-c", self._folder / "nginx.conf", "-e", "stderr"],
                stdout=output,
                stderr=output,
            )
        until_port_answers(self._port, self._process, self.output)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def output(self) -> str:
        """Return all that it has logged so far."""
        return (self._folder / "nginx.log").read_text()


def _with(text: str, ours: dict[str, str]) -> str:
    """Return a configuration with what a test must have its own way; all else stays as it is shown."""
    for shown, put in ours.items():
        assert text.count(shown) == 1, f"{DOCUMENTED.name} says {shown!r} {text.count(shown)} times"
        text = text.replace(shown, put)
    return text


def _around(folder: Path) -> str:
    """Return what Debian's own nginx.conf has around a site, with everything in a folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"    {kind}_temp_path {folder}/{kind};" for kind in kinds)
    return f"""
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
{temporary}
    include {folder}/lobby.conf;
}}
"""


def _self_signed(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
