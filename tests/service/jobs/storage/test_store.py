"""The store, on SQLite and on a real PostgreSQL: leases, keys, and each answer taken once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text, update

from radiograph.manifest import Task
from service.errors import JobNotFound, JobsUnavailable, KeyReused
from service.jobs.job import (
    Claim,
    Completion,
    Contents,
    ItemAnswer,
    ItemState,
    JobQuery,
    JobState,
    NewJob,
    Piece,
)
from service.jobs.storage import schema
from service.jobs.storage.store import MAX_DELAY_S, Store
from service.storage.database import Database

QUERY = JobQuery(
    tasks=(Task.SEGMENT,),
    phrases=(),
    method=None,
    heatmap="png",
    overlay=False,
    model="tiny",
    version=1,
    digest="0" * 64,
)
ANSWER = ItemAnswer("a" * 64, b'{"masks":[]}', None)
LONG_S = 1000.0

Open = Callable[..., Store]


@pytest.fixture
def open_store(jobs_url: str) -> Iterator[Open]:
    """Open the database as another process would."""
    made: list[Store] = []

    def opened(lease_s: float = LONG_S, keep_s: float = LONG_S) -> Store:
        made.append(Store(Database(jobs_url, 8, schema.PURPOSE), lease_s, keep_s))
        made[-1].prepare()
        return made[-1]

    yield opened
    for store in made:
        store.close()


@pytest.fixture
def store(open_store: Open) -> Store:
    return open_store()


def new(name: str, items: int, key: str | None = None, fingerprint: str = "f") -> NewJob:
    piece = Piece(1, 0, 10, 10, False, None, "application/dicom", None)
    pieces = tuple(replace(piece, position=number) for number in range(1, items + 1))
    return NewJob(name, QUERY, Contents(pieces, skipped={"macos": 1}), key, fingerprint)


def claimed(store: Store) -> Claim:
    claim = store.claim()
    assert claim is not None
    return claim


def test_an_accepted_job_is_stored(store: Store) -> None:
    job = store.accept(new("j", 2))
    assert (job.state, job.counts.queued, job.query) == (JobState.QUEUED, 2, QUERY)
    assert (job.skipped, job.finished, job.eta_s) == ({"macos": 1}, None, None)
    assert store.job("j") == job
    assert store.latest(10) == [job]


def test_items_are_claimed_in_order_and_the_last_one_finishes_the_job(store: Store) -> None:
    store.accept(new("j", 2))
    first, second = claimed(store), claimed(store)
    assert (first.number, second.number, first.attempt) == (1, 2, 1)
    assert store.claim() is None
    assert store.succeed(second, ANSWER) == Completion(item=True, job=False)
    job = store.job("j")
    assert (job.state, job.counts.answered, job.counts.running) == (JobState.RUNNING, 1, 1)
    assert job.eta_s is not None
    assert store.fail(first, {"type": "t"}, None) == Completion(item=True, job=True)
    job = store.job("j")
    assert (job.state, job.counts.failed) == (JobState.FINISHED, 1)
    assert job.expires == pytest.approx((job.finished or 0) + LONG_S)
    failed, succeeded = store.items("j", 0, 10, None, answers=True)
    assert (failed.problem, failed.result) == ({"type": "t"}, None)
    assert (succeeded.problem, succeeded.result) == (None, ANSWER.json)


def test_jobs_take_turns(store: Store) -> None:
    store.accept(new("large", 4))
    store.accept(new("small", 2))
    assert [claimed(store).job for _ in range(4)] == ["large", "small"] * 2


def test_pages_contain_each_item_once(store: Store) -> None:
    store.accept(new("j", 5))
    pages = [store.items("j", after, 2, None) for after in (0, 2, 4, 5)]
    assert [[item.number for item in page] for page in pages] == [[1, 2], [3, 4], [5], []]
    assert store.items("j", 0, 10, ItemState.FAILED) == []
    with pytest.raises(JobNotFound):
        store.items("other", 0, 10, None)


def test_an_item_is_answered_once(store: Store) -> None:
    store.accept(new("j", 1))
    claim = claimed(store)
    assert store.succeed(claim, ANSWER).item
    assert not store.succeed(claim, ANSWER).item
    assert not store.fail(claim, {}, None).item


def test_an_item_of_a_lost_process_is_claimed_again_and_its_late_answer_dropped(
    open_store: Open,
) -> None:
    lost, other = open_store(lease_s=0.0), open_store()
    lost.accept(new("j", 1))
    late, fresh = claimed(lost), claimed(other)
    assert (fresh.number, fresh.attempt) == (late.number, 2)
    assert not lost.succeed(late, ANSWER).item
    lost.retry(late, 0.0)
    lost.renew([late])
    lost.release(late)
    assert other.succeed(fresh, ANSWER) == Completion(item=True, job=True)


def test_a_renewed_lease_keeps_its_item(open_store: Open) -> None:
    short, other = open_store(lease_s=0.0), open_store()
    short.accept(new("j", 1))
    claim = claimed(short)
    other.renew([claim])
    assert other.claim() is None


def test_a_retry_is_delayed_and_a_release_does_not_count_as_an_attempt(store: Store) -> None:
    store.accept(new("j", 1))
    store.retry(claimed(store), MAX_DELAY_S)
    assert store.claim() is None
    store.accept(new("k", 1))
    store.release(claimed(store))
    assert claimed(store).attempt == 1


def set_clock_back(jobs_url: str, days: float) -> None:
    """Move every stored time, as if the clock had been set back since it was written."""
    database = Database(jobs_url, 1, schema.PURPOSE)
    items, jobs = schema.items.c, schema.jobs.c
    with database.write() as connection:
        seconds = days * 86_400
        connection.execute(update(schema.items).values(due=items.due + seconds))
        times = {name: jobs[name] + seconds for name in ("created", "served", "started")}
        connection.execute(update(schema.jobs).values(**times))
    database.close()


def test_items_are_worked_on_after_the_clock_was_set_back(jobs_url: str, store: Store) -> None:
    store.accept(new("j", 3))
    store.retry(claimed(store), MAX_DELAY_S)
    assert (claimed(store).number, claimed(store).number) == (2, 3)
    set_clock_back(jobs_url, 16)
    job = store.job("j")
    assert [claimed(store).number for _ in range(3)] == [1, 2, 3]  # the queued, the leased
    assert job.eta_s is None or job.eta_s >= 0
    assert store.claim() is None


def test_an_old_job_keeps_its_turn_after_the_clock_was_set_back(
    jobs_url: str, store: Store
) -> None:
    store.accept(new("old", 2))
    set_clock_back(jobs_url, 16)
    store.accept(new("young", 2))
    assert [claimed(store).job for _ in range(4)] == ["old", "young"] * 2


def test_the_estimate_is_not_negative_after_the_clock_was_set_back(
    jobs_url: str, store: Store
) -> None:
    store.accept(new("j", 2))
    store.succeed(claimed(store), ANSWER)
    set_clock_back(jobs_url, 16)
    assert store.job("j").eta_s == 0.0


def test_two_processes_never_claim_the_same_item(open_store: Open) -> None:
    stores = [open_store(), open_store()]
    for name in ("a", "b", "c"):
        stores[0].accept(new(name, 12))
    answered: Counter[tuple[str, int]] = Counter()
    finished: Counter[str] = Counter()
    lock = threading.Lock()

    def work(store: Store) -> None:
        while (claim := store.claim()) is not None:
            completion = store.succeed(claim, ANSWER)
            with lock:
                answered[claim.job, claim.number] += completion.item
                finished[claim.job] += completion.job

    with ThreadPoolExecutor(6) as threads:
        for future in [threads.submit(work, stores[number % 2]) for number in range(6)]:
            future.result()
    assert set(answered.values()) == {1}
    assert (len(answered), finished) == (36, {"a": 1, "b": 1, "c": 1})


def test_the_same_key_and_request_return_the_same_job(store: Store) -> None:
    first = store.accept(new("a", 1, key="k"))
    assert store.accept(new("b", 1, key="k")).id == first.id
    assert store.by_key("k") == first
    assert store.by_key("other") is None
    with pytest.raises(KeyReused):
        store.accept(new("c", 1, key="k", fingerprint="other"))
    assert [job.id for job in store.latest(10)] == ["a"]


def test_simultaneous_duplicates_create_one_job(open_store: Open) -> None:
    stores = [open_store() for _ in range(4)]
    start = threading.Barrier(4)

    def send(number: int) -> str:
        start.wait(60)
        return stores[number].accept(new(f"job-{number}", 3, key="k")).id

    with ThreadPoolExecutor(4) as threads:
        ids = set(threads.map(send, range(4)))
    assert len(ids) == 1
    assert [job.id for job in stores[0].latest(10)] == list(ids)


def test_deleting_a_job_deletes_its_answers(store: Store) -> None:
    store.accept(new("j", 2))
    done, running = claimed(store), claimed(store)
    store.succeed(done, ItemAnswer("a" * 64, b"{}", b"picture"))
    assert store.overlay("j", 1) == b"picture"
    assert store.delete("j") == 2
    assert store.delete("j") is None
    assert not store.succeed(running, ANSWER).item
    assert store.overlay("j", 1) is None
    with pytest.raises(JobNotFound):
        store.job("j")


def test_a_job_expires_only_after_it_is_finished(open_store: Open) -> None:
    store = open_store(keep_s=-1.0)
    store.accept(new("j", 1))
    assert store.expired() == []
    assert store.open_jobs() == {"j"}
    store.succeed(claimed(store), ANSWER)
    assert store.expired() == ["j"]
    assert store.open_jobs() == set()


def test_the_jobs_of_one_owner_are_listed(store: Store) -> None:
    store.accept(new("a", 1))
    store.accept(replace(new("b", 1), owner="x" * 64))
    assert [job.id for job in store.latest(10)] == ["a"]
    assert [job.id for job in store.latest(10, "x" * 64)] == ["b"]
    assert (store.owner("a"), store.owner("b"), store.job("b").owner) == (None, "x" * 64, "x" * 64)
    assert {claim.job: claim.owner for claim in (claimed(store), claimed(store))} == {
        "a": None,
        "b": "x" * 64,
    }
    with pytest.raises(JobNotFound):
        store.owner("c")


@pytest.mark.parametrize("version", [1, 2])
def test_a_database_of_an_older_version_is_upgraded_once(
    jobs_url: str, store: Store, version: int
) -> None:
    store.accept(new("j", 2))
    database = Database(jobs_url, 1, schema.PURPOSE)
    with database.write() as connection:
        connection.execute(text("ALTER TABLE g2d_results DROP COLUMN objects"))
        if version == 1:
            connection.execute(text("ALTER TABLE g2d_jobs DROP COLUMN owner"))
        connection.execute(update(schema.schema).values(version=version))
    database.close()
    for name in ("k", "l"):
        upgraded = Store(Database(jobs_url, 1, schema.PURPOSE), LONG_S, LONG_S)
        upgraded.prepare()
        assert (upgraded.job("j").owner, upgraded.job("j").counts.queued) == (None, 2)
        upgraded.accept(replace(new(name, 1), owner="x" * 64))
        assert upgraded.owner(name) == "x" * 64
        assert upgraded.objects("j", 1) is None
        upgraded.close()


def test_a_database_of_another_version_is_refused(jobs_url: str, store: Store) -> None:
    database = Database(jobs_url, 1, schema.PURPOSE)
    with database.write() as connection:
        connection.execute(update(schema.schema).values(version=99))
    database.close()
    late = Store(Database(jobs_url, 1, schema.PURPOSE), LONG_S, LONG_S)
    with pytest.raises(JobsUnavailable, match="schema version 99"):
        late.prepare()
    late.close()
