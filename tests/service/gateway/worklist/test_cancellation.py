"""A cancellation is honoured while there is work left to drop, and what was made is named.

What cannot be performed is cancelled by the gateway, with its reason.
"""

import time

from service.gateway.storage.workitems import Workitems
from tests.builders.dicomweb.server import DicomwebServer
from tests.builders.gateway import running
from tests.builders.gateway.archive import Archive
from tests.builders.gateway.fake_service import FakeService
from tests.builders.gateway.radiographs import ROOT, radiograph
from tests.builders.gateway.worklist_server import WorklistServer
from tests.service.gateway.worklist.conftest import Configure
from tests.service.gateway.worklist.test_performer import (
    ITEM,
    counts,
    outputs,
    radiograph_of,
    reason,
    results_of,
    wait_for_state,
)

AWAY = [503] * 1000


def test_a_request_for_cancellation_is_honoured(
    configure: Configure, worklist: WorklistServer, service: FakeService, pacs: Archive
) -> None:
    service.problems += AWAY
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure(events=True)):
        running.wait_until(lambda: worklist.request_cancel(ITEM) == 202)
        wait_for_state(worklist, "CANCELED")
        service.problems.clear()
        worklist.schedule("1.2.3.2", radiograph_of(2))
        wait_for_state(worklist, "COMPLETED", "1.2.3.2")
    assert reason(worklist) == ("110513", "The cancellation was requested.")
    assert outputs(worklist) == set()
    assert pacs.stored == results_of(2)
    assert set(service.requests) == {f"{ROOT}.1.2"}


def test_a_request_that_comes_too_late_changes_nothing(
    configure: Configure, worklist: WorklistServer, pacs: Archive
) -> None:
    pacs.statuses += [0xA700] * 20  # the archive is busy: the results are made, but not stored
    worklist.schedule(ITEM, radiograph_of(1))
    peer = {"retry": {"first_s": 0.05, "longest_s": 0.1, "attempts": 100, "refusals": 3}}
    with running.running(configure(peer, events=True)) as gateway:
        running.wait_until(lambda: gateway.journal.counts().instances == {"done": 1})
        running.wait_until(lambda: worklist.request_cancel(ITEM) == 202)
        pacs.statuses.clear()
        wait_for_state(worklist, "COMPLETED")
    assert pacs.stored == results_of(1)


def test_a_workitem_that_the_worklist_ended_is_dropped(
    configure: Configure, worklist: WorklistServer, service: FakeService, pacs: Archive
) -> None:
    service.problems += AWAY
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()) as gateway:
        running.wait_until(lambda: counts(gateway) == {"performing": 1})
        worklist.set_state(ITEM, "CANCELED")
        running.wait_until(lambda: counts(gateway) == {"lost": 1})
        assert gateway.journal.counts().instances == {"suppressed": 1}
    assert worklist.history[ITEM][-1] == "CANCELED"
    assert not pacs.stored


def test_a_radiograph_that_the_pacs_sends_too_is_not_dropped(
    configure: Configure, worklist: WorklistServer, service: FakeService, pacs: Archive
) -> None:
    service.problems += AWAY
    configured = configure()
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configured) as gateway:
        running.wait_until(lambda: counts(gateway) == {"performing": 1})
        worklist.set_state(ITEM, "CANCELED")
        running.wait_until(lambda: counts(gateway) == {"lost": 1})
        assert running.send(configured.listen.port, radiograph(1)) == [0x0000]
        service.problems.clear()
        pacs.wait_for(2)
    assert pacs.stored == results_of(1)


def test_only_what_belongs_to_one_workitem_alone_is_dropped(
    configure: Configure, worklist: WorklistServer, service: FakeService, pacs: Archive
) -> None:
    service.problems += AWAY
    configured = configure()
    worklist.schedule(ITEM, radiograph_of(1), radiograph_of(2))
    with running.running(configured) as gateway:
        running.wait_until(lambda: counts(gateway) == {"performing": 1})
        worklist.schedule("1.2.3.2", radiograph_of(2))
        running.wait_until(lambda: counts(gateway) == {"performing": 2})
        workitems = Workitems(gateway.journal.database, "hospital")
        assert workitems.request_cancel(ITEM)
        running.wait_until(lambda: gateway.journal.counts().instances.get("suppressed") == 1)
        service.problems.clear()
        wait_for_state(worklist, "CANCELED")
        wait_for_state(worklist, "COMPLETED", "1.2.3.2")
    assert pacs.stored == results_of(2)
    assert outputs(worklist) == set(results_of(2))  # what was made of it is named


def test_a_channel_that_broke_is_opened_again(
    configure: Configure, worklist: WorklistServer, service: FakeService
) -> None:
    service.problems += AWAY
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure(events=True)):
        running.wait_until(lambda: bool(worklist.channels))
        worklist.break_channels()
        time.sleep(0.05)
        running.wait_until(lambda: worklist.request_cancel(ITEM) == 202)
        wait_for_state(worklist, "CANCELED")


def test_a_workitem_without_results_says_why(
    configure: Configure, worklist: WorklistServer, service: FakeService, pacs: Archive
) -> None:
    service.warnings = "lateral_view"
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()):
        wait_for_state(worklist, "CANCELED")
    assert reason(worklist)[0] == "110522"
    assert "lateral_view" in reason(worklist)[1]
    assert outputs(worklist) == set()
    assert not pacs.stored


def test_a_radiograph_that_the_service_refuses_cancels_the_workitem(
    configure: Configure, worklist: WorklistServer, service: FakeService
) -> None:
    service.problems += [422]
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()):
        wait_for_state(worklist, "CANCELED")
    assert reason(worklist) == ("110501", "A radiograph could not be analysed. (model-not-found)")


def test_a_result_that_the_archive_refuses_cancels_the_workitem(
    configure: Configure, worklist: WorklistServer, pacs: Archive
) -> None:
    pacs.statuses += [0x0000, *[0xA900] * 3]
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()):
        wait_for_state(worklist, "CANCELED")
    assert reason(worklist) == ("110501", "A result could not be stored.")
    assert len(outputs(worklist)) == 1  # what was stored is named all the same


def test_an_input_that_is_gone_cancels_the_workitem(
    configure: Configure, worklist: WorklistServer
) -> None:
    worklist.schedule(ITEM, radiograph_of(7))
    with running.running(configure()):
        wait_for_state(worklist, "CANCELED")
    assert reason(worklist) == ("110523", "The server of the inputs does not have one of them.")


def test_inputs_that_no_rule_takes_cancel_the_workitem(
    configure: Configure, worklist: WorklistServer, sources: DicomwebServer
) -> None:
    key = (f"{ROOT}.2.8", f"{ROOT}.3.8", f"{ROOT}.1.8")
    sources.instances[key] = radiograph(8, Modality="CT")
    worklist.schedule(ITEM, radiograph_of(8))
    with running.running(configure()):
        wait_for_state(worklist, "CANCELED")
    assert reason(worklist)[0] == "110522"
