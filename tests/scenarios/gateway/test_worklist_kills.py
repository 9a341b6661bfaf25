"""A gateway that is killed while it performs workitems loses none and performs none twice."""

import signal
import sys
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom")

from tests.builders.dicomweb import server as dicomweb_server
from tests.builders.gateway import running
from tests.builders.gateway.archive import archive
from tests.builders.gateway.fake_service import fake_service
from tests.builders.gateway.ports import free_port
from tests.builders.gateway.radiographs import ROOT, radiograph
from tests.builders.gateway.results import result_uid
from tests.builders.gateway.worklist_server import WorklistServer, input_item, worklist_server
from tests.builders.pacs.restarts import Program

WORKITEMS = 12
KILLS = (2, 5, 9)
"""The gateway is killed once so many workitems were claimed."""
CONFIGURATION = """
folder = "{folder}/gateway"
min_free_bytes = 0
[listen]
port = {listen}
[web]
port = {web}
[service]
url = "{service}"
[[rules]]
name = "chest"
peers = ["archive"]
[[peers]]
name = "archive"
protocol = "dimse"
host = "127.0.0.1"
port = {archive}
ae_title = "ARCHIVE"
objects = ["seg", "sr"]
retry = {{ first_s = 0.1, longest_s = 1 }}
[[worklists]]
name = "ris"
url = "{worklist}"
station = {{ value = "G2D-1", scheme = "99TEST", meaning = "Radiograph service" }}
procedures = [{{ value = "CXR-AI", scheme = "99TEST", meaning = "Analysis" }}]
servers_file = "{folder}/servers.toml"
server = "pacs"
poll_s = 0.1
retry = {{ first_s = 0.1, longest_s = 1 }}
"""


def claimed_at_least(worklist: WorklistServer, count: int) -> bool:
    return len(worklist.transactions) >= count


def test_every_workitem_is_completed_once(tmp_path: Path) -> None:
    with (
        fake_service() as service,
        archive() as pacs,
        dicomweb_server.running() as sources,
        worklist_server() as worklist,
    ):
        uids = [f"1.2.3.{number}" for number in range(1, WORKITEMS + 1)]
        for number, uid in enumerate(uids, 1):
            names = (f"{ROOT}.2.{number}", f"{ROOT}.3.{number}", f"{ROOT}.1.{number}")
            sources.instances[names] = radiograph(number)
            worklist.schedule(uid, input_item(*names))
        (tmp_path / "servers.toml").write_text(f'[servers.pacs]\nurl = "{sources.url}"\n')
        text = CONFIGURATION.format(
            folder=tmp_path,
            listen=free_port(),
            web=free_port(),
            service=service.url,
            archive=pacs.port,
            worklist=worklist.url,
        )
        (tmp_path / "gateway.toml").write_text(text)
        command = [sys.executable, "-m", "g2d", "gateway", "--file"]
        gateway = Program([*command, str(tmp_path / "gateway.toml")], tmp_path / "gateway.log")
        gateway.start()
        try:
            for claimed in KILLS:
                running.wait_until(partial(claimed_at_least, worklist, claimed), 120)
                gateway.end(signal.SIGKILL)
                gateway.start()
            done = {"COMPLETED"}
            running.wait_until(lambda: {worklist.state(uid) for uid in uids} == done, 240)
        finally:
            gateway.end(signal.SIGTERM)
        states = {uid: [one for one in worklist.history[uid] if not one.isdigit()] for uid in uids}
        assert set(map(tuple, states.values())) == {("SCHEDULED", "IN PROGRESS", "COMPLETED")}
        made = {result_uid(f"{ROOT}.1.{n}", kind) for n in range(1, 13) for kind in ("seg", "sr")}
        assert set(pacs.stored) == made
        for uid in uids:  # each names its own results, once
            named = worklist.performed(uid)["00404033"]["Value"]
            assert len(named) == 2
        assert worklist.violations == []
