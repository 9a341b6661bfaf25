"""Version swaps: an alias moved back and forth under load, without a failed or mixed answer.

    published version --copied twice, one threshold changed--> temporary repository (1, 2)
    closed loop | alias -> 2, version 2 answers | alias -> 1, version 1 answers | ...

Aliases are moved with PUT if the service offers that, otherwise in `aliases.json`, which the
service watches.
"""

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load.generator import GeneratorProcess, Load, identity_of
from bench.load.statistics import Outcome, percentile
from bench.reporting.checks import Check, at_most, none_of, not_measured
from bench.scenarios.memory import FLAT_PERCENT, flat
from bench.servers.ours import Ours, targets
from bench.servers.process import Server, serving
from radiograph.manifest import MANIFEST_NAME, ModelManifest, Task
from radiograph.repository.repository import Repository, digest_files

CLIENTS = 4
ALIAS = "stable"
TIMEOUT_S = 60.0
MARGIN = 0.0625
ROLLBACKS = 12
ROLLBACK_S = 1.0
# Appends a field to an ONNX file: ModelProto.doc_string (field 6, one byte, "2").
_COMMENT = b"\x32\x012"


class SwapFailed(Exception):
    """The service did not follow the alias."""


@dataclass(frozen=True)
class Swap:
    """One move of the alias.

    Attributes:
        seconds: time until the other version was ready to answer.
        pss_mib: memory of the service afterwards.
    """

    seconds: float
    pss_mib: float


@dataclass(frozen=True)
class Moves:
    """Several moves of the alias under load.

    Attributes:
        swaps: moves that the service followed.
        outcomes: outcomes of every request meanwhile.
        over_http: True if the alias was moved with PUT.
        reason: reason for an early end, or "".
    """

    swaps: Sequence[Swap]
    outcomes: Sequence[Outcome]
    over_http: bool = True
    reason: str = ""


def two_versions(source: Path, root: Path) -> str:
    """Publish a version twice into a new repository, the second time with other thresholds.

    The second version also has a trunk file that differs by a comment, so that a swap builds and
    frees sessions instead of sharing them.

    Returns:
        The name of the model; `ALIAS` points to version 1.
    """
    manifest = ModelManifest.from_json((source / MANIFEST_NAME).read_bytes())
    stage = root / ".stage"
    shutil.copytree(source, stage, ignore=shutil.ignore_patterns(MANIFEST_NAME))
    repository = Repository(root)
    repository.publish(manifest.name, stage, lambda number: _numbered(manifest, number), ALIAS)
    with (stage / manifest.trunk.file).open("ab") as trunk:
        trunk.write(_COMMENT)
    if manifest.golden.answers is not None:
        (stage / manifest.golden.answers).unlink()
    files = digest_files(stage)
    moved = _moved(manifest).model_copy(update={"files": files})
    repository.publish(manifest.name, stage, lambda number: _numbered(moved, number))
    shutil.rmtree(stage)
    return manifest.name


def _numbered(manifest: ModelManifest, number: int) -> ModelManifest:
    return manifest.model_copy(update={"version": number})


def _moved(manifest: ModelManifest) -> ModelManifest:
    """Return the version with the threshold of every finding that it answers moved by `MARGIN`.

    It has no golden answers, which hold the decisions of the version that was published.
    """
    heads = dict(manifest.heads)
    for name, head in manifest.heads_for(Task.CLASSIFY).items():
        labels = tuple(
            label
            if label.withheld
            else label.model_copy(update={"threshold": abs(label.threshold - MARGIN)})
            for label in head.labels
        )
        heads[name] = head.model_copy(update={"labels": labels})
    golden = manifest.golden.model_copy(update={"answers": None})
    return manifest.model_copy(update={"heads": heads, "golden": golden})


class Switch:
    """Moves an alias of a running service.

    Args:
        server: the service.
        root: folder of its repository.
        model: model whose alias is moved.
        token: administration token of the service.
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
        """Move the alias and wait until the service follows.

        Raises:
            SwapFailed: the service refused, or did not follow in time.
        """
        started = time.perf_counter()
        if self.over_http:
            self._put(version)
        else:
            self._repository.set_alias(self._model, ALIAS, version)
        while self._answering() != version:
            if time.perf_counter() - started > TIMEOUT_S:
                raise SwapFailed(f"version {version} did not answer within {TIMEOUT_S:g} s")
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
            raise SwapFailed(f"PUT was answered with {status}: {content[:200].decode()}")

    def _answering(self) -> int | None:
        """Return the version of the alias, or None while it is not ready."""
        status, content = self._server.get(f"/v1/models/{self._model}/versions/{ALIAS}")
        if status != 200:
            return None
        detail = json.loads(content)
        return int(detail["version"]) if detail["state"] == "ready" else None


def measure(
    ours: Ours, source: Path, files: Sequence[Path], count: int, work: Path
) -> tuple[list[Check], dict[str, Any]]:
    """Move the alias `count` times, then a few times between versions that stay loaded."""
    root = work / "swaps"
    root.mkdir()
    model = two_versions(source, root)
    expected = identities(root, model)
    cold = _moves(ours, root, model, files, count, kept=0)
    warm = _moves(ours, root, model, files, min(count, ROLLBACKS), kept=1)
    figures = {
        "over_http": cold.over_http,
        "swap_s": [swap.seconds for swap in cold.swaps],
        "pss_mib": [swap.pss_mib for swap in cold.swaps],
        "rollback_s": [swap.seconds for swap in warm.swaps[1:]],
    }
    return [*checks(count, cold, expected), rollback(warm)], figures


def _moves(
    ours: Ours, root: Path, model: str, files: Sequence[Path], count: int, kept: int
) -> Moves:
    """Move the alias back and forth while several clients send requests.

    Args:
        ours: the service.
        root: folder of its repository.
        model: model whose alias is moved.
        files: files that the clients send.
        count: number of moves.
        kept: number of versions that stay loaded without an alias.
    """
    token = secrets.token_urlsafe(32)
    settings = {
        "G2D_DEFAULT_MODEL": model,
        "G2D_ADMIN_TOKEN": token,
        "G2D_WATCH_INTERVAL_S": "0.1",
        "G2D_KEEP_RETIRED": str(kept),
    }
    Repository(root).set_alias(model, ALIAS, 1)
    swaps: list[Swap] = []
    reason = ""
    with serving(ours.start(root, **settings)) as (server, _):
        switch = Switch(server, root, model, token)
        asked = targets(["/v1/classify"], files)
        generator = GeneratorProcess(
            Load(server.port, asked, clients=CLIENTS, seconds=3600, identify=True)
        )
        try:
            for i in range(count):
                swap = switch.move(2 - i % 2)
                swaps.append(swap)
        except SwapFailed as error:
            reason = f"after {len(swaps)} swaps: {error}"
        outcomes = generator.outcomes(stop=True)
    return Moves(swaps, outcomes, switch.over_http, reason)


def checks(count: int, moves: Moves, expected: frozenset[str]) -> list[Check]:
    """Check that no request failed, no answer mixed two versions, and memory did not grow.

    Args:
        count: number of moves.
        moves: moves and outcomes.
        expected: identities of the versions (`identity_of`).
    """
    name = f"{count} swaps under load"
    memory = f"memory over {count} swaps"
    if moves.reason:
        return [
            not_measured(name, "no failed or mixed answer", moves.reason),
            not_measured(memory, f"at most {FLAT_PERCENT:g}%", moves.reason),
        ]
    outcomes = moves.outcomes
    failed = [outcome for outcome in outcomes if not outcome.answered]
    reasons = "; ".join(sorted({f"{o.status} {o.note}".strip() for o in failed})[:3])
    waits = [swap.seconds for swap in moves.swaps]
    pace = (
        f"{CLIENTS} clients, every swap loads one version and frees the other; it took "
        f"{percentile(waits, 50):.2f} s at the median, {max(waits):.2f} s at most"
    )
    answers = [outcome.note for outcome in outcomes if outcome.answered]
    mixed = sum(note not in expected for note in answers)
    both = f"{len(expected & set(answers))} versions answered"
    warm = max(2, count // 10)
    weights = [swap.pss_mib for swap in moves.swaps]
    return [
        none_of(f"{name}: failures", "failed request", len(failed), len(outcomes), reasons or pace),
        none_of(f"{name}: mixed answers", "mixed answer", mixed, len(answers), both),
        flat(memory, weights[warm:] or weights[-1:]),
    ]


def rollback(moves: Moves) -> Check:
    """Check the time until the previous version, which is still loaded, answers again."""
    name = "roll-back to a loaded version, longest"
    waits = [swap.seconds for swap in moves.swaps[1:]]  # the first move loads a version
    if moves.reason or not waits:
        return not_measured(name, f"at most {ROLLBACK_S:g} s", moves.reason or "too few swaps")
    return at_most(name, max(waits), ROLLBACK_S, "s", f"{len(waits)} of them, {CLIENTS} clients")


def identities(root: Path, model: str) -> frozenset[str]:
    """Return the identities that the answers of each version may have."""
    repository = Repository(root)
    found = set()
    for version in repository.versions(model):
        heads = repository.load_manifest(model, version).heads_for(Task.CLASSIFY).values()
        thresholds = {
            label.name: label.threshold
            for head in heads
            for label in head.labels
            if not label.withheld
        }
        named = f"{model}/{version}"
        digest = repository.digest(model, version)
        found.add(identity_of(named, named, digest, thresholds))
    return frozenset(found)
