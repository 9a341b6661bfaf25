"""Command-line options of every peer."""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PeerOptions:
    """Options of one peer.

    Attributes:
        folder: folder of the model version that it serves.
        port: port on 127.0.0.1.
        threads: number of threads that it may use in all.
        batch: largest batch; 1 does not batch and starts one worker for each thread.
        encoder_only: leave out the decoder of the trunk, which findings do not read.
    """

    folder: Path
    port: int
    threads: int
    batch: int
    encoder_only: bool = False

    @property
    def workers(self) -> int:
        """Number of worker processes."""
        return 1 if self.batch > 1 else self.threads

    @property
    def threads_each(self) -> int:
        """Number of threads of each worker."""
        return self.threads // self.workers

    @classmethod
    def read(cls, description: str | None) -> "PeerOptions":
        """Parse the command line."""
        parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
        parser.add_argument("folder", type=Path, help="folder of a model version")
        parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
        parser.add_argument("--threads", type=int, default=1, help="threads in all")
        parser.add_argument("--batch", type=int, default=1, help="largest batch")
        parser.add_argument("--encoder-only", action="store_true", help="leave out the decoder")
        return cls(**vars(parser.parse_args()))
