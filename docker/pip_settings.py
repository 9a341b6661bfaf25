"""Write the pip settings of this machine to files that an image build can use as secrets.

    pip config + environment -> FOLDER/pip.conf  FOLDER/ca.crt

Only settings that a build elsewhere can use are written: index addresses that are not local paths,
trusted hosts, and the certificate bundle. Without settings, no file is written.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

CERTIFICATES_IN_BUILD = "/run/secrets/ca.crt"
BUILD_OPTIONS = (
    "index-url",
    "extra-index-url",
    "trusted-host",
    "proxy",
    "timeout",
    "default-timeout",
)


def pip_settings() -> dict[str, str]:
    """Return the output of `pip config list` by option; the environment overrides files."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    pairs = [line.partition("=") for line in listing.splitlines()]
    pairs.sort(key=lambda pair: pair[0].startswith(":env:"))
    return {key.rpartition(".")[2]: str(ast.literal_eval(value)) for key, _, value in pairs}


def without_local_paths(value: str) -> str:
    """Return the addresses of a setting that are not paths on this machine."""
    return " ".join(word for word in value.split() if not word.startswith("file:"))


def write_secrets(folder: Path) -> None:
    """Write `pip.conf` and `ca.crt`, each only if it has content."""
    settings = pip_settings()
    lines = [
        f"{key} = {without_local_paths(settings[key])}" for key in BUILD_OPTIONS if key in settings
    ]
    lines = [line for line in lines if not line.endswith("= ")]
    bundle = settings.get("cert") or os.environ.get("SSL_CERT_FILE", "")
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    if bundle and Path(bundle).is_file():
        (folder / "ca.crt").write_bytes(Path(bundle).read_bytes())
        lines.append(f"cert = {CERTIFICATES_IN_BUILD}")
    if lines:
        (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))


if __name__ == "__main__":
    write_secrets(Path(sys.argv[1]))
