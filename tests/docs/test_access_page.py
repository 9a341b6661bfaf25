"""docs/access.md: its configurations of proxies can be read, and its settings exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.settings import OPTIONS, PREFIX
from tests.builders.service.http import certificates

TEXT = (Path(__file__).parents[2] / "docs/access.md").read_text()
NGINX = shutil.which("nginx")
CADDY = shutil.which("caddy")


def block(beginning: str) -> str:
    """Return the fenced block that begins with a line."""
    (found,) = re.findall(rf"^```\w*\n({beginning}.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def test_every_setting_that_is_named_exists() -> None:
    named = {name.lower() for name in re.findall(rf"{PREFIX}(\w+)", TEXT)}
    assert {"keys_file", "oidc_issuer", "tls_key_file"} <= named
    assert named - OPTIONS.keys() == set()


@pytest.mark.parametrize("beginning", [r"server \{", r"g2d\.example\.org \{"])
def test_the_configuration_of_a_proxy_is_balanced_and_leads_to_the_service(beginning: str) -> None:
    text = block(beginning)
    assert text.count("{") == text.count("}")
    assert "127.0.0.1:8000" in text


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian package `nginx-light`)")
def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    certificates.write(tmp_path, "g2d.example.org")
    server = block(r"server \{").replace("/etc/nginx/", f"{tmp_path}/")
    file = tmp_path / "nginx.conf"
    folders = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"pid {tmp_path}/pid;\nevents {{}}\n"
    file.write_text(f"{main}http {{\naccess_log off;\n{folders}{server}}}\n")
    command = [NGINX or "", "-t", "-p", str(tmp_path), "-c", str(file), "-e", "stderr"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(CADDY is None, reason="caddy is not installed (Debian package `caddy`)")
def test_caddy_accepts_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "Caddyfile"
    file.write_text(block(r"g2d\.example\.org \{"))
    command = [CADDY or "", "adapt", "--config", str(file), "--adapter", "caddyfile"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
