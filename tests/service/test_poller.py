"""The poller goes on after a failure, and never polls without an interval."""

import logging
import threading

import pytest

from service.poller import Poller


def test_the_poller_polls_again_after_a_poll_that_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    polls = threading.Semaphore(0)

    def poll() -> None:
        polls.release()
        raise OSError("gone")

    poller = Poller("the files", poll, interval_s=0.001)
    with caplog.at_level(logging.ERROR, "g2d.watching"):
        poller.start()
        assert all(polls.acquire(timeout=60) for _ in range(3))
        poller.stop(60)
    assert "polling the files failed" in caplog.text


def test_the_poller_never_polls_without_an_interval() -> None:
    poller = Poller("the files", lambda: pytest.fail("polled"), interval_s=0)
    poller.start()
    poller.stop(60)


def test_stopping_leaves_a_poll_that_never_ends(caplog: pytest.LogCaptureFixture) -> None:
    begun, go = threading.Event(), threading.Event()

    def poll() -> None:
        begun.set()
        assert go.wait(600)

    poller = Poller("the files", poll, interval_s=0.001)
    poller.start()
    assert begun.wait(600)
    with caplog.at_level(logging.ERROR):
        poller.stop(0.01)
    go.set()
    assert "did not end within 0.01 s" in caplog.text


def test_stopping_waits_for_a_poll_that_is_under_way() -> None:
    begun, go = threading.Event(), threading.Event()
    ended: list[str] = []

    def poll() -> None:
        begun.set()
        assert go.wait(60)
        ended.append("poll")

    poller = Poller("the files", poll, interval_s=0.001)
    poller.start()
    assert begun.wait(60)

    def stop() -> None:
        poller.stop(60)
        ended.append("stop")

    stopping = threading.Thread(target=stop)
    stopping.start()
    go.set()
    stopping.join(60)
    assert ended[-1] == "stop"
    assert "poll" in ended
