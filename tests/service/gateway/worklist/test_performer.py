"""A workitem is claimed, performed and reported, once, whatever happens in between."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import Response

from service.gateway.gateway import Gateway
from tests.builders.dicomweb.server import DicomwebServer
from tests.builders.gateway import running
from tests.builders.gateway.archive import AE_TITLE, Archive
from tests.builders.gateway.fake_service import FakeService
from tests.builders.gateway.radiographs import ROOT, radiograph
from tests.builders.gateway.results import result_uid
from tests.builders.gateway.stow_server import stow_server
from tests.builders.gateway.worklist_server import (
    PROCEDURE,
    STATION,
    DataSet,
    WorklistServer,
    coded,
    element,
    input_item,
)
from tests.service.gateway.worklist.conftest import Configure

ITEM = "1.2.3.1"
KINDS = ("seg", "sr")


def radiograph_of(number: int, url: str | None = None) -> DataSet:
    """Return an input that is one radiograph."""
    return input_item(f"{ROOT}.2.{number}", f"{ROOT}.3.{number}", f"{ROOT}.1.{number}", url)


def results_of(*numbers: int) -> dict[str, int]:
    """Return the results of radiographs, each stored once."""
    return {result_uid(f"{ROOT}.1.{number}", kind): 1 for number in numbers for kind in KINDS}


def wait_for_state(worklist: WorklistServer, state: str, *uids: str) -> None:
    running.wait_until(lambda: all(worklist.state(uid) == state for uid in uids or (ITEM,)), 60.0)


def outputs(worklist: WorklistServer, uid: str = ITEM) -> set[str]:
    """Return the SOP Instance UIDs of the results that a workitem names."""
    items = worklist.performed(uid)["00404033"].get("Value", [])
    return {
        reference["00081155"]["Value"][0]
        for item in items
        for reference in item["00081199"]["Value"]
    }


def reason(worklist: WorklistServer, uid: str = ITEM) -> tuple[str, str]:
    """Return code and text of a cancellation."""
    item = worklist.progress(uid)
    (code,) = item["0074100E"]["Value"]
    return code["00080100"]["Value"][0], item["00741238"]["Value"][0]


def once(*places: tuple[str, str]) -> Callable[[str, str], Response | None]:
    """Return a hook that answers 500 to the first request of each method and end of a path."""
    left = list(places)

    def hook(method: str, path: str) -> Response | None:
        for place in left:
            if method == place[0] and path.endswith(place[1]):
                left.remove(place)
                return Response(status_code=500)
        return None

    return hook


def counts(gateway: Gateway) -> dict[str, int]:
    """Return the number of workitems by state."""
    return {state: count for (_, state), count in gateway.journal.counts().workitems.items()}


def test_a_workitem_is_performed_and_its_results_are_named(
    configure: Configure, worklist: WorklistServer, pacs: Archive, service: FakeService
) -> None:
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()) as gateway:
        wait_for_state(worklist, "COMPLETED")
        running.wait_until(lambda: counts(gateway) == {"completed": 1})
    assert pacs.stored == results_of(1)
    assert service.requests == {f"{ROOT}.1.1": 1}
    item = worklist.performed(ITEM)
    assert item["00404028"] == coded(STATION)
    assert item["00404019"] == coded(PROCEDURE)
    start, end = (item[tag]["Value"][0] for tag in ("00404050", "00404051"))
    assert start <= end
    assert start.endswith("+0000")
    assert outputs(worklist) == set(results_of(1))
    for output in item["00404033"]["Value"]:
        assert output["0020000D"] == element("UI", f"{ROOT}.2.1")
        (uid,) = (one["00081155"]["Value"][0] for one in output["00081199"]["Value"])
        series = {
            result_uid(f"{ROOT}.1.1", kind): result_uid(f"{ROOT}.1.1", f"series {kind}")
            for kind in KINDS
        }
        assert output["0020000E"] == element("UI", series[uid])
        assert output["0040E021"] == element("SQ", {"00080054": element("AE", AE_TITLE)})
    states = [entry for entry in worklist.history[ITEM] if not entry.isdigit()]
    assert states == ["SCHEDULED", "IN PROGRESS", "COMPLETED"]
    percent = [int(entry) for entry in worklist.history[ITEM] if entry.isdigit()]
    assert percent == sorted(set(percent))
    assert all(0 <= value < 100 for value in percent)


def test_results_that_were_stored_by_stow_are_named_with_their_address(
    configure: Configure, worklist: WorklistServer
) -> None:
    with stow_server() as archive:
        peer = {"name": "archive", "protocol": "stow", "url": archive.url, "objects": ["seg"]}
        configured = configure(token_file=None)
        configured = configured.model_copy(
            update={
                "peers": type(configured)
                .model_validate(configured.model_dump() | {"peers": [peer]})
                .peers
            }
        )
        worklist.schedule(ITEM, radiograph_of(1))
        with running.running(configured):
            wait_for_state(worklist, "COMPLETED")
    (output,) = worklist.performed(ITEM)["00404033"]["Value"]
    series = result_uid(f"{ROOT}.1.1", "series seg")
    address = f"{archive.url}/studies/{ROOT}.2.1/series/{series}"
    assert output["0040E025"] == element("SQ", {"00081190": element("UR", address)})
    assert outputs(worklist) == {result_uid(f"{ROOT}.1.1", "seg")}


def test_a_study_is_asked_for_its_radiographs(
    configure: Configure, worklist: WorklistServer, sources: DicomwebServer, pacs: Archive
) -> None:
    for number in (4, 5, 6):
        instance = f"{ROOT}.1.{number}"
        key = (f"{ROOT}.2.9", f"{ROOT}.3.{number}", instance)
        sources.instances[key] = radiograph(number, StudyInstanceUID=f"{ROOT}.2.9")
    sources.modalities[f"{ROOT}.1.6"] = "SEG"
    url = f"{sources.url}/studies/{ROOT}.2.9"
    worklist.schedule(ITEM, input_item(f"{ROOT}.2.9", url=url))
    with running.running(configure(server=None)):
        wait_for_state(worklist, "COMPLETED")
    assert pacs.stored == results_of(4, 5)
    assert outputs(worklist) == set(results_of(4, 5))


def test_workitems_for_others_are_left_alone(
    configure: Configure, worklist: WorklistServer
) -> None:
    other = {"value": "OTHER", "scheme": "99TEST", "meaning": "Another"}
    homonym = STATION | {"scheme": "99OTHER"}
    left: dict[str, dict[str, Any]] = {
        "1.2.3.2": {"t00404025": coded(other)},
        "1.2.3.3": {"t00404025": coded(homonym)},
        "1.2.3.4": {"t00404018": coded(other)},
        "1.2.3.5": {"t00404041": element("CS", "UNREADY")},
        "1.2.3.6": {"t00404025": None},
    }
    for uid, replaced in left.items():
        worklist.schedule(uid, radiograph_of(2), **replaced)
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()):
        wait_for_state(worklist, "COMPLETED")
    assert {worklist.state(uid) for uid in left} == {"SCHEDULED"}


def test_the_highest_priority_comes_first(configure: Configure, worklist: WorklistServer) -> None:
    for number, priority in enumerate(("LOW", "MEDIUM", "HIGH"), 1):
        item = radiograph_of(number)
        worklist.schedule(f"1.2.3.{number}", item, t00741200=element("CS", priority))
    with running.running(configure(workitems=1)):
        wait_for_state(worklist, "COMPLETED", "1.2.3.1", "1.2.3.2", "1.2.3.3")
    claims = [path for method, path in worklist.requests if method == "PUT"]
    claimed = list(dict.fromkeys(path.split("/")[2] for path in claims))
    assert claimed == ["1.2.3.3", "1.2.3.2", "1.2.3.1"]


def test_no_more_workitems_are_held_than_configured(
    configure: Configure, worklist: WorklistServer, service: FakeService
) -> None:
    service.problems += [503] * 30
    for number in (1, 2, 3):
        worklist.schedule(f"1.2.3.{number}", radiograph_of(number))
    with running.running(configure(workitems=2)):
        running.wait_until(lambda: len(worklist.transactions) == 2)
        service.problems.clear()
        wait_for_state(worklist, "COMPLETED", "1.2.3.1", "1.2.3.2", "1.2.3.3")
    assert len(set(worklist.transactions.values())) == 3


def test_a_workitem_that_another_claims_is_not_performed(
    configure: Configure, each_worklist: WorklistServer, service: FakeService, pacs: Archive
) -> None:
    worklist = each_worklist
    worklist.schedule(ITEM, radiograph_of(1))

    def claim(method: str, path: str) -> None:
        if method == "PUT" and worklist.state(ITEM) == "SCHEDULED":
            worklist.set_state(ITEM, "IN PROGRESS")

    worklist.before = claim  # another performer is faster
    with running.running(configure()) as gateway:
        running.wait_until(lambda: counts(gateway) == {"lost": 1})
    assert worklist.state(ITEM) == "IN PROGRESS"
    assert not service.requests
    assert not pacs.stored
    assert [method for method, _ in worklist.requests].count("PUT") == 1


def test_a_claim_whose_answer_was_lost_is_ours(
    configure: Configure, each_worklist: WorklistServer, pacs: Archive
) -> None:
    each_worklist.after = once(("PUT", "/state"))
    each_worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()):
        wait_for_state(each_worklist, "COMPLETED")
    assert pacs.stored == results_of(1)


def test_a_claim_of_another_whose_refusal_was_lost_is_not_ours(
    configure: Configure, each_worklist: WorklistServer, service: FakeService
) -> None:
    worklist, lost = each_worklist, once(("PUT", "/state"))
    worklist.schedule(ITEM, radiograph_of(1))

    def claim(method: str, path: str) -> Response | None:
        answer = lost(method, path)
        if answer is not None:
            worklist.set_state(ITEM, "IN PROGRESS")
        return answer

    worklist.before = claim
    with running.running(configure()) as gateway:
        running.wait_until(lambda: counts(gateway) == {"lost": 1})
    assert not service.requests


@pytest.mark.parametrize("hook", ["before", "after"])
def test_errors_of_the_worklist_lose_and_double_nothing(
    configure: Configure,
    each_worklist: WorklistServer,
    pacs: Archive,
    service: FakeService,
    hook: str,
) -> None:
    places = [("GET", "/workitems"), ("GET", ITEM), ("POST", ITEM), ("PUT", "/state")] * 3
    setattr(each_worklist, hook, once(*places))
    each_worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()) as gateway:
        wait_for_state(each_worklist, "COMPLETED")
        running.wait_until(lambda: counts(gateway) == {"completed": 1})
    assert pacs.stored == results_of(1)
    assert service.requests == {f"{ROOT}.1.1": 1}
    assert outputs(each_worklist) == set(results_of(1))


def test_a_worklist_that_is_away_is_asked_again(
    configure: Configure, worklist: WorklistServer
) -> None:
    worklist.before = lambda *_: Response(status_code=503)
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()):
        running.wait_until(lambda: len(worklist.requests) >= 3)
        worklist.before = lambda *_: None
        wait_for_state(worklist, "COMPLETED")


def test_a_radiograph_that_is_known_is_not_analysed_again(
    configure: Configure, worklist: WorklistServer, pacs: Archive, service: FakeService
) -> None:
    configured = configure()
    with running.running(configured):
        running.send(configured.listen.port, radiograph(1))
        pacs.wait_for(2)
        worklist.schedule(ITEM, radiograph_of(1))
        wait_for_state(worklist, "COMPLETED")
    assert service.requests == {f"{ROOT}.1.1": 1}
    assert pacs.stored == results_of(1)
    assert outputs(worklist) == set(results_of(1))


@pytest.mark.parametrize("state", ["claimed", "performing", "completing"])
def test_a_gateway_that_ended_goes_on_where_it_was(
    configure: Configure,
    each_worklist: WorklistServer,
    sources: DicomwebServer,
    service: FakeService,
    pacs: Archive,
    state: str,
) -> None:
    worklist, configured = each_worklist, configure()
    away: Any = lambda *_: Response(status_code=503)  # noqa: E731
    if state == "claimed":
        sources.answer = lambda _: away()
    elif state == "performing":
        service.problems += [503] * 1000
    else:
        worklist.before = lambda method, path: (
            away() if method == "PUT" and worklist.state(ITEM) == "IN PROGRESS" else None
        )
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configured) as gateway:
        running.wait_until(lambda: counts(gateway) == {state: 1})
    sources.answer, worklist.before = (lambda _: None), (lambda *_: None)
    service.problems.clear()
    with running.running(configured):
        wait_for_state(worklist, "COMPLETED")
    assert pacs.stored == results_of(1)
    assert len(worklist.transactions) == 1
    assert outputs(worklist) == set(results_of(1))


def test_a_workitem_that_is_refused_for_good_is_a_dead_letter_and_can_be_sent_again(
    configure: Configure, worklist: WorklistServer, pacs: Archive
) -> None:
    worklist.before = lambda method, path: (
        Response(status_code=422)
        if method == "PUT" and worklist.state(ITEM) == "IN PROGRESS"
        else None
    )
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure()) as gateway:
        running.wait_until(lambda: counts(gateway) == {"dead": 1})
        letters = gateway.journal.dead_letters()
        assert [(one.place, one.reason) for one in letters] == [("hospital", "http_422")]
        worklist.before = lambda *_: None
        gateway.journal.revive(letters)
        wait_for_state(worklist, "COMPLETED")
    assert pacs.stored == results_of(1)


def test_the_token_is_sent_and_the_state_is_counted(
    configure: Configure, worklist: WorklistServer, tmp_path: Any
) -> None:
    token = tmp_path / "token"
    token.write_text("not-a-secret\n")
    worklist.schedule(ITEM, radiograph_of(1))
    with running.running(configure(token_file=token)) as gateway:
        wait_for_state(worklist, "COMPLETED")
        running.wait_until(lambda: counts(gateway) == {"completed": 1})
        gateway.refresh_metrics()
        text = gateway.metrics.render()[0].decode()
    assert set(worklist.authorizations) == {"Bearer not-a-secret"}
    assert 'g2d_gateway_workitems{state="completed",worklist="hospital"} 1.0' in text
    for outcome in ("claimed", "completed"):
        labels = f'outcome="{outcome}",worklist="hospital"'
        assert f"g2d_gateway_workitem_events_total{{{labels}}} 1.0" in text
