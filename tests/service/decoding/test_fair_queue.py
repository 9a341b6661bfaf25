"""Fair queue: clients take turns, whatever one of them has sent before."""

import threading

from service.decoding.fair_queue import FairQueue


def filled(**jobs: int) -> FairQueue[int]:
    queue: FairQueue[int] = FairQueue()
    for client, count in jobs.items():
        for number in range(count):
            queue.put(client, number)
    return queue


def taken(queue: FairQueue[int], count: int) -> list[tuple[str, int] | None]:
    return [queue.get() for _ in range(count)]


def test_jobs_of_one_client_keep_their_order() -> None:
    assert taken(filled(a=3), 3) == [("a", 0), ("a", 1), ("a", 2)]


def test_a_late_client_does_not_wait_for_all_of_an_earlier_one() -> None:
    queue = filled(a=9)
    assert taken(queue, 2) == [("a", 0), ("a", 1)]  # two decoders
    queue.put("b", 0)
    queue.done("a")
    assert queue.get() == ("b", 0)


def test_clients_share_the_decoders_equally() -> None:
    queue = filled(a=50, b=2, c=2)
    running = [client for client, _ in filter(None, taken(queue, 4))]
    assert sorted(running) == ["a", "a", "b", "c"]
    for client in running:
        queue.done(client)
    assert sorted(client for client, _ in filter(None, taken(queue, 3))) == ["a", "b", "c"]


def test_one_client_alone_has_every_decoder() -> None:
    assert len(taken(filled(a=4), 4)) == 4


def test_a_closed_queue_is_emptied_and_then_ends() -> None:
    queue = filled(a=1, b=1)
    queue.close()
    assert [item and item[0] for item in taken(queue, 3)] == ["a", "b", None]


def test_a_waiting_thread_is_woken_by_a_job_and_by_the_end() -> None:
    queue: FairQueue[int] = FairQueue()
    found: list[tuple[str, int] | None] = []
    thread = threading.Thread(target=lambda: found.extend(taken(queue, 2)))
    thread.start()
    queue.put("a", 7)
    queue.close()
    thread.join(60)
    assert found == [("a", 7), None]


def test_a_client_that_left_is_forgotten() -> None:
    queue = filled(a=1)
    queue.get()
    queue.done("a")
    assert not queue._running
    assert not queue._waiting
