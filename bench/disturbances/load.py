"""Clients of the service during a disturbance: requests and jobs, each answer judged.

request client: file -> 200 (judged), a refusal, or no response; again, until told to stop
job client: archive and key -> 202; without a response the same is sent again, as a client should
settle: every accepted job must finish, and every item have the known answer of its file
"""

import http.client
import itertools
import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.disturbances.files import MEDIA_TYPE, PATH, TASKS, File, KnownAnswers, Verdict, archive
from bench.disturbances.subject import Response, Subject

_ITEMS = 4
_PAUSE_S = 0.05
_ACCEPTED = (200, 202)
_REFUSALS = (408, 429, 499, 503, 504, 507)
_NO_RESPONSE = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Sent:
    """A job that was answered with 202 or 200.

    Attributes:
        path: path of the job.
        key: its idempotency key.
        files: its files in order.
    """

    path: str
    key: str
    files: tuple[File, ...]


@dataclass
class Tally:
    """Counts of one run. Every count from `lost` on must be 0.

    Attributes:
        requests: requests that were sent.
        answered: requests with the right answer.
        refused: requests and jobs that were refused for load or storage.
        broken: requests and jobs without a response, as the service was down.
        jobs: jobs that were accepted.
        lost: jobs or items that were accepted and are gone, or never finished.
        doubled: items that a job has twice, and keys with two jobs.
        mixed_up: answers that belong to another file.
        wrong: other wrong answers, and sound files that were refused as faulty.
        unhinted: refusals with 503 that lack Retry-After.
    """

    requests: int = 0
    answered: int = 0
    refused: int = 0
    broken: int = 0
    jobs: int = 0
    lost: int = 0
    doubled: int = 0
    mixed_up: int = 0
    wrong: int = 0
    unhinted: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, note: str = "") -> None:
        """Count one event."""
        with self.lock:
            setattr(self, name, getattr(self, name) + 1)
            if note:
                self.notes[note] += 1

    def judged(self, verdict: Verdict, note: str) -> None:
        """Count one answer."""
        names = {Verdict.RIGHT: "answered", Verdict.MIXED_UP: "mixed_up", Verdict.WRONG: "wrong"}
        self.add(names[verdict], "" if verdict is Verdict.RIGHT else note)

    def absorb(self, other: "Tally") -> None:
        """Add the counts of another run."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.notes += other.notes

    def faults(self) -> int:
        """Return the number of events that must not happen."""
        return self.lost + self.doubled + self.mixed_up + self.wrong + self.unhinted


COUNTS = tuple(name for name in Tally.__annotations__ if name not in ("notes", "lock"))


class Load:
    """Clients in threads.

    Args:
        subject: the service.
        files: files that are sent in turns.
        known: the known answers.
        clients: number of clients that send requests.
        senders: number of clients that send jobs.
    """

    def __init__(
        self,
        subject: Subject,
        files: Sequence[File],
        known: KnownAnswers,
        clients: int,
        senders: int,
    ) -> None:
        self.tally = Tally()
        self.sent: list[Sent] = []
        self.files, self.clients = tuple(files), clients
        self._subject, self._known = subject, known
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target, args=(number,), daemon=True)
            for target, count in ((self._request, clients), (self._send_jobs, senders))
            for number in range(count)
        ]

    def start(self) -> None:
        """Start the clients."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each client finish what it is doing."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _request(self, number: int) -> None:
        start = number % len(self.files)
        for file in itertools.cycle((*self.files[start:], *self.files[:start])):
            if self._stop.is_set():
                return
            self.tally.add("requests")
            try:
                response = self._subject.ask("POST", PATH, file.data, {"Content-Type": MEDIA_TYPE})
            except _NO_RESPONSE:
                self.tally.add("broken")
                time.sleep(_PAUSE_S)
                continue
            if response.status == http.HTTPStatus.OK:
                verdict = self._known.judge(file.sha256, response.json())
                self.tally.judged(verdict, f"request: {verdict}")
            else:
                self._refused(response, "request")

    def _send_jobs(self, number: int) -> None:
        chosen = random.Random(number)  # noqa: S311 - repeatable, not secret
        while not self._stop.is_set():
            files = tuple(chosen.sample(list(self.files), min(_ITEMS, len(self.files))))
            key = uuid.uuid4().hex
            # The same key makes it safe to send a job again.
            while not self._stop.is_set() and self.offer(files, key) not in _ACCEPTED:
                time.sleep(_PAUSE_S)

    def offer(self, files: tuple[File, ...], key: str) -> int:
        """Send a job once, and return the status of the answer, or 0 if there was none."""
        headers = {"Content-Type": "application/zip", "Idempotency-Key": key}
        path = f"/v1/jobs?tasks={TASKS}"
        try:
            response = self._subject.ask("POST", path, archive(files), headers)
        except _NO_RESPONSE:
            self.tally.add("broken")
            return 0
        if response.status in _ACCEPTED:
            self.tally.add("jobs")
            self.sent.append(Sent(response.headers["location"], key, files))
        else:
            self._refused(response, "job")
        return response.status

    def _refused(self, response: Response, what: str) -> None:
        kind = json.loads(response.body or b"{}").get("type", "").rpartition(":")[2]
        note = f"{what}: {response.status} {kind}"
        if response.status not in _REFUSALS:
            self.tally.add("wrong", note)
            return
        self.tally.add("refused", note)
        if response.status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            if "retry-after" not in response.headers:
                self.tally.add("unhinted", note)
            time.sleep(_PAUSE_S)


class Settlement:
    """Judgement of all accepted jobs, once the service is undisturbed again.

    Args:
        subject: the service.
        known: the known answers.
        tally: counts to add to.
    """

    def __init__(self, subject: Subject, known: KnownAnswers, tally: Tally) -> None:
        self._subject, self._known, self._tally = subject, known, tally

    def settle(self, sent: Sequence[Sent], limit_s: float) -> None:
        """Wait for the jobs, and count what was lost, doubled, mixed up or wrong."""
        end = time.monotonic() + limit_s
        for job in sent:
            while (state := self._state(job)) in ("queued", "running") and time.monotonic() < end:
                time.sleep(0.2)
            if state != "finished":
                self._tally.add("lost", f"job: {state}")
                continue
            listed = self._subject.ask("GET", "/v1/jobs", headers={"Idempotency-Key": job.key})
            paths = [f"/v1/jobs/{found['id']}" for found in listed.json()["jobs"]]
            if paths != [job.path]:
                self._tally.add("doubled", "job: another job has its key")
            self.judge(job, self._subject.ask("GET", f"{job.path}/results").json()["items"])

    def judge(self, job: Sent, items: Sequence[Mapping[str, Any]]) -> None:
        """Count the items of one finished job."""
        numbers = Counter(item["number"] for item in items)
        for number, file in enumerate(job.files, 1):
            if numbers[number] == 0:
                self._tally.add("lost", "item: gone")
            for _ in range(numbers[number] - 1):
                self._tally.add("doubled", "item: twice")
            for item in items:
                if item["number"] == number:
                    self._judge_item(file, item)

    def _judge_item(self, file: File, item: Mapping[str, Any]) -> None:
        if item["result"] is None:
            problem = item["problem"]
            self._tally.add("wrong", f"item: {problem['status']} {problem['type']}")
            return
        verdict = self._known.judge(file.sha256, item["result"])
        if verdict is not Verdict.RIGHT:
            self._tally.judged(verdict, f"item: {verdict}")

    def _state(self, job: Sent) -> str:
        try:
            response = self._subject.ask("GET", job.path)
        except _NO_RESPONSE:
            return "queued"
        if response.status == http.HTTPStatus.OK:
            return str(response.json()["state"])
        return "queued" if response.status in _REFUSALS else f"answered with {response.status}"
