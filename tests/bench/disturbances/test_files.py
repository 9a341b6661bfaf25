"""Answers are compared with the known ones of their files."""

import io
import json
import zipfile

import pytest

from bench.disturbances.files import File, KnownAnswers, Verdict, archive, radiographs

A, B = File(b"a", "a"), File(b"b", "b")


def answer(score: float, request_id: str = "1") -> bytes:
    return json.dumps({"request_id": request_id, "timings_ms": {}, "score": score}).encode()


@pytest.fixture
def known() -> KnownAnswers:
    made = KnownAnswers()
    made.add(A, answer(0.1))
    made.add(B, answer(0.2))
    return made


def test_an_answer_is_right_whatever_its_request_and_timings(known: KnownAnswers) -> None:
    assert known.judge("a", json.loads(answer(0.1, request_id="2"))) is Verdict.RIGHT


def test_the_answer_of_another_file_is_mixed_up_and_any_other_is_wrong(known: KnownAnswers) -> None:
    assert known.judge("a", json.loads(answer(0.2))) is Verdict.MIXED_UP
    assert known.judge("a", json.loads(answer(0.1001))) is Verdict.WRONG


def test_files_that_could_not_be_told_apart_are_refused(known: KnownAnswers) -> None:
    with pytest.raises(ValueError, match="same answer"):
        known.add(File(b"c", "c"), answer(0.1, request_id="9"))


def test_radiographs_differ_and_are_packed_in_order_without_the_time() -> None:
    files = radiographs(12)
    packed_at = {entry.date_time for entry in zipfile.ZipFile(io.BytesIO(archive(files))).filelist}
    assert packed_at == {(1980, 1, 1, 0, 0, 0)}
    assert len({file.sha256 for file in files}) == 12
    with zipfile.ZipFile(io.BytesIO(archive(files))) as packed:
        assert [packed.read(name) for name in sorted(packed.namelist())] == [
            file.data for file in files
        ]
