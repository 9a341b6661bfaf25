"""Former findings, minimised: small files that once broke a rule, and now belong to the seeds."""

from pathlib import Path

ROOT = Path(__file__).parents[1] / "corpus"


def corpus(name: str) -> list[bytes]:
    """Return the findings of a harness, in the order of their names."""
    return [file.read_bytes() for file in sorted((ROOT / name).glob("*"))]
