"""Swaps: an alias moved to and fro under load; every answer comes from one whole version.

    published version --copied twice, one threshold changed--> temporary repository (1, 2)
    closed loop | alias -> 2, seen to answer | alias -> 1, seen to answer | ...

Aliases are moved with PUT where the service offers that, otherwise in `aliases.json`, which
the service watches.
"""

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.checks import Check, none_of, not_measured
from bench.figures import Outcome, percentile
from bench.load import Load, Running, identity_of
from bench.memory import FLAT_PERCENT, flat
from bench.ours import Ours, targets
from bench.processes import Server, serving
from radiograph.manifest import MANIFEST_NAME, ModelManifest, Task
from radiograph.repository import Repository

CLIENTS = 4
ALIAS = "stable"
TIMEOUT_S = 20.0
MARGIN = 0.0625
_WARM_SWAPS = 4  # both versions were loaded and let go of before the first weighing


class NotTakenUp(Exception):
    """The service did not take up where the alias points."""


@dataclass(frozen=True)
class Swap:
    """One change of the alias.

    Attributes:
        seconds: until a new request was answered by the other version.
        pss_mib: of the service afterwards.
    """

    seconds: float
    pss_mib: float


def two_versions(source: Path, root: Path) -> str:
    """Publish a version twice into a new repository, the second time with other thresholds.

    Returns:
        the model's name; `ALIAS` points to version 1.
    """
    manifest = ModelManifest.from_json((source / MANIFEST_NAME).read_bytes())
    stage = root / ".stage"
    shutil.copytree(source, stage, ignore=shutil.ignore_patterns(MANIFEST_NAME))
    repository = Repository(root)

    def build(number: int) -> ModelManifest:
        numbered = manifest.model_copy(update={"version": number})
        return numbered if number == 1 else _moved(numbered)

    for alias in (ALIAS, None):
        repository.publish(manifest.name, stage, build, alias)
    shutil.rmtree(stage)
    return manifest.name


def _moved(manifest: ModelManifest) -> ModelManifest:
    """The same version with every threshold of its labels to classify a little off."""
    heads = dict(manifest.heads)
    for name, head in manifest.heads_for(Task.CLASSIFY).items():
        labels = tuple(
            label.model_copy(update={"threshold": abs(label.threshold - MARGIN)})
            for label in head.labels
        )
        heads[name] = head.model_copy(update={"labels": labels})
    return manifest.model_copy(update={"heads": heads})


class Switch:
    """Moves the alias of a running service.

    Args:
        server: the service.
        root: its repository.
        model: whose alias is moved.
        token: of the service's administration.
    """

    def __init__(self, server: Server, root: Path, model: str, token: str) -> None:
        self._server = server
        self._repository = Repository(root)
        self._model = model
        self._token = token
        self._path = f"/v1/models/{model}/aliases/{ALIAS}"
        addresses = json.loads(server.get("/openapi.json")[1])["paths"]
        self.over_http = any(
            "put" in methods and path.endswith("/aliases/{alias}")
            for path, methods in addresses.items()
        )

    def move(self, version: int) -> Swap:
        """Move it and wait until that version answers.

        Raises:
            NotTakenUp: it does not, or the service refused.
        """
        started = time.perf_counter()
        if self.over_http:
            self._put(version)
        else:
            self._repository.set_alias(self._model, ALIAS, version)
        while self._answering() != version:
            if time.perf_counter() - started > TIMEOUT_S:
                raise NotTakenUp(f"version {version} did not answer within {TIMEOUT_S:g} s")
            time.sleep(0.01)
        return Swap(time.perf_counter() - started, self._server.pss_mib())

    def _put(self, version: int) -> None:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "If-Match": f'"{self._repository.resolve(self._model, ALIAS)}"',
        }
        body = json.dumps({"version": version}).encode()
        status, content = self._server.ask("PUT", self._path, body, headers)
        if status != 200:
            raise NotTakenUp(f"PUT was answered with {status}: {content[:200].decode()}")

    def _answering(self) -> int | None:
        """The version that the alias stands for, once it is ready."""
        status, content = self._server.get(f"/v1/models/{self._model}/versions/{ALIAS}")
        if status != 200:
            return None
        detail = json.loads(content)
        return int(detail["version"]) if detail["state"] == "ready" else None


def measure(
    ours: Ours, source: Path, files: Sequence[Path], count: int, work: Path
) -> tuple[list[Check], dict[str, Any]]:
    """Move the alias `count` times while several clients ask all the while."""
    root = work / "swaps"
    root.mkdir()
    model = two_versions(source, root)
    token = secrets.token_urlsafe(32)
    settings = {
        "G2D_DEFAULT_MODEL": model,
        "G2D_ADMIN_TOKEN": token,
        "G2D_WATCH_INTERVAL_S": "0.1",
    }
    with serving(ours.start(root, **settings)) as (server, _):
        switch = Switch(server, root, model, token)
        asked = targets(["/v1/classify"], files)
        running = Running(Load(server.port, asked, clients=CLIENTS, seconds=3600, identify=True))
        swaps: list[Swap] = []
        reason = ""
        try:
            swaps.extend(switch.move(2 - i % 2) for i in range(count))
        except NotTakenUp as error:
            reason = str(error)
        outcomes = running.outcomes(stop=True)
    figures = {
        "over_http": switch.over_http,
        "swap_s": [swap.seconds for swap in swaps],
        "pss_mib": [swap.pss_mib for swap in swaps],
    }
    return checks(count, swaps, outcomes, identities(root, model), reason), figures


def checks(
    count: int,
    swaps: Sequence[Swap],
    outcomes: Sequence[Outcome],
    whole: frozenset[str],
    reason: str,
) -> list[Check]:
    """Nothing failed, nothing was mixed, memory stayed."""
    name = f"{count} swaps under load"
    memory = f"memory over {count} swaps"
    if reason:
        why = f"after {len(swaps)} swaps: {reason}"
        return [
            not_measured(name, "no failed or mixed answer", why),
            not_measured(memory, f"at most {FLAT_PERCENT:g}%", why),
        ]
    failed = [outcome for outcome in outcomes if not outcome.answered]
    reasons = "; ".join(sorted({f"{o.status} {o.note}".strip() for o in failed})[:3])
    waits = [swap.seconds for swap in swaps]
    pace = (
        f"{CLIENTS} clients; a swap took {percentile(waits, 50):.2f} s at the median, "
        f"{max(waits):.2f} s at most"
    )
    said = [outcome.note for outcome in outcomes if outcome.answered]
    mixed = sum(note not in whole for note in said)
    both = f"{len(whole & set(said))} versions answered"
    samples = [swap.pss_mib for swap in swaps[_WARM_SWAPS:]] or [swaps[-1].pss_mib]
    return [
        none_of(f"{name}: failures", "failed request", len(failed), len(outcomes), reasons or pace),
        none_of(f"{name}: mixed answers", "mixed answer", mixed, len(said), both),
        flat(memory, samples),
    ]


def identities(root: Path, model: str) -> frozenset[str]:
    """What the answers of each version may say of it, and nothing else."""
    repository = Repository(root)
    found = set()
    for version in repository.versions(model):
        heads = repository.load_manifest(model, version).heads_for(Task.CLASSIFY).values()
        thresholds = {label.name: label.threshold for head in heads for label in head.labels}
        named = f"{model}/{version}"
        digest = repository.digest(model, version)
        found.add(identity_of(named, named, digest, thresholds))
    return frozenset(found)
