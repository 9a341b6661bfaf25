"""The poller goes on after a failure, and never polls without an interval."""

import logging
import threading

import pytest

from service.registry.poller import RepositoryPoller


def test_the_poller_polls_again_after_a_poll_that_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    polls = threading.Semaphore(0)

    def poll() -> None:
        polls.release()
        raise OSError("gone")

    poller = RepositoryPoller(poll, interval_s=0.001)
    with caplog.at_level(logging.ERROR, "g2d.watching"):
        poller.start()
        assert all(polls.acquire(timeout=60) for _ in range(3))
        poller.stop()
    assert "polling the model repository failed" in caplog.text


def test_the_poller_never_polls_without_an_interval() -> None:
    poller = RepositoryPoller(lambda: pytest.fail("polled"), interval_s=0)
    poller.start()
    poller.stop()


def test_stopping_waits_for_a_poll_that_is_under_way() -> None:
    begun, go = threading.Event(), threading.Event()
    ended: list[str] = []

    def poll() -> None:
        begun.set()
        assert go.wait(60)
        ended.append("poll")

    poller = RepositoryPoller(poll, interval_s=0.001)
    poller.start()
    assert begun.wait(60)

    def stop() -> None:
        poller.stop()
        ended.append("stop")

    stopping = threading.Thread(target=stop)
    stopping.start()
    go.set()
    stopping.join(60)
    assert ended[-1] == "stop"
    assert "poll" in ended
