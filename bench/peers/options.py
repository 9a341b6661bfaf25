"""What every peer is started with."""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PeerOptions:
    """One peer.

    Attributes:
        folder: of the version that it serves.
        port: on 127.0.0.1.
        threads: of the machine that it may use in all.
        batch: largest batch; 1 is none, and then there is one worker for each thread.
        encoder_only: leave out the part of the trunk that findings do not read.
    """

    folder: Path
    port: int
    threads: int
    batch: int
    encoder_only: bool = False

    @property
    def workers(self) -> int:
        """Processes that infer."""
        return 1 if self.batch > 1 else self.threads

    @property
    def threads_each(self) -> int:
        """Threads within one graph, so that the workers share what there is."""
        return self.threads // self.workers

    @classmethod
    def read(cls, description: str | None) -> "PeerOptions":
        """From the command line."""
        parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
        parser.add_argument("folder", type=Path, help="of one model version")
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--threads", type=int, default=1)
        parser.add_argument("--batch", type=int, default=1)
        parser.add_argument("--encoder-only", action="store_true")
        return cls(**vars(parser.parse_args()))
