"""Answers that were lost, doubled, mixed up or wrong are counted as such."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bench.disturbances.files import File, KnownAnswers
from bench.disturbances.load import Load, Sent, Settlement, Tally
from bench.disturbances.subject import Response, Subject

FILES = (File(b"a", "a"), File(b"b", "b"))
JOB = Sent("/v1/jobs/1", "key", FILES)
PROBLEM = {"status": 400, "type": "urn:g2d:problem:malformed-input"}


class Scripted(Subject):
    """A service that answers each path with a script of the test."""

    def __init__(self, answers: Mapping[str, tuple[int, Any]]) -> None:
        self._answers = answers

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 0,
    ) -> Response:
        status, answer = self._answers[path.partition("?")[0]]
        return Response(status, answer.get("headers", {}), json.dumps(answer).encode())


@pytest.fixture
def known() -> KnownAnswers:
    made = KnownAnswers()
    for number, file in enumerate(FILES):
        made.add(file, json.dumps({"score": number}).encode())
    return made


def item(number: int, score: int | None) -> dict[str, Any]:
    result = None if score is None else {"score": score}
    return {"number": number, "result": result, "problem": PROBLEM if result is None else None}


ITEMS: dict[str, tuple[list[dict[str, Any]], dict[str, int]]] = {
    "right": ([item(1, 0), item(2, 1)], {}),
    "gone": ([item(2, 1)], {"lost": 1}),
    "twice": ([item(1, 0), item(1, 0), item(2, 1)], {"doubled": 1}),
    "swapped": ([item(1, 1), item(2, 0)], {"mixed_up": 2}),
    "changed": ([item(1, 7), item(2, 1)], {"wrong": 1}),
    "refused": ([item(1, None), item(2, 1)], {"wrong": 1}),
}


@pytest.mark.parametrize("case", ITEMS)
def test_the_items_of_a_job_are_judged(known: KnownAnswers, case: str) -> None:
    items, expected = ITEMS[case]
    subject = Scripted(
        {
            "/v1/jobs": (200, {"jobs": [{"id": "1"}]}),
            JOB.path: (200, {"state": "finished"}),
            f"{JOB.path}/results": (200, {"items": items}),
        }
    )
    tally = Tally()
    Settlement(subject, known, tally).settle([JOB], limit_s=0)
    faults = ("lost", "doubled", "mixed_up", "wrong")
    assert {name: getattr(tally, name) for name in faults if getattr(tally, name)} == expected
    assert tally.faults() == sum(expected.values())


@pytest.mark.parametrize(
    "state", [(404, {}), (200, {"state": "queued"}), (503, {})], ids=["gone", "stuck", "refused"]
)
def test_a_job_that_is_gone_or_never_finishes_is_lost(
    known: KnownAnswers, state: tuple[int, Any]
) -> None:
    tally = Tally()
    Settlement(Scripted({JOB.path: state}), known, tally).settle([JOB], limit_s=0)
    assert (tally.lost, tally.faults()) == (1, 1)


def test_a_key_with_two_jobs_is_doubled(known: KnownAnswers) -> None:
    subject = Scripted(
        {
            "/v1/jobs": (200, {"jobs": [{"id": "1"}, {"id": "2"}]}),
            JOB.path: (200, {"state": "finished"}),
            f"{JOB.path}/results": (200, {"items": [item(1, 0), item(2, 1)]}),
        }
    )
    tally = Tally()
    Settlement(subject, known, tally).settle([JOB], limit_s=0)
    assert (tally.doubled, tally.faults()) == (1, 1)


@pytest.mark.parametrize(
    ("status", "headers", "count"),
    [
        (503, {"retry-after": "1"}, "refused"),
        (507, {}, "refused"),
        (503, {}, "unhinted"),
        (400, {}, "wrong"),
        (500, {}, "wrong"),
    ],
)
def test_refusals_are_told_from_faults(
    known: KnownAnswers, status: int, headers: dict[str, str], count: str
) -> None:
    answer = {"type": "urn:g2d:problem:x", "headers": headers}
    load = Load(Scripted({"/v1/jobs": (status, answer)}), FILES, known, 0, 0)
    assert load.offer(FILES, "key") == status
    assert getattr(load.tally, count) == 1
    assert load.sent == []
    assert (load.tally.faults() == 0) == (count == "refused")
