import json
from pathlib import Path

from bench.servers.subjects import multipart, v2_request


def test_bodies_of_peers_hold_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"\xff\xd8bytes")
    assert b"\r\n\r\n\xff\xd8bytes\r\n--" in multipart(path)
    assert json.loads(v2_request(path))["inputs"][0]["data"] == ["/9hieXRlcw=="]
