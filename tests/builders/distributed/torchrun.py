"""Two processes on this machine, as torchrun starts them."""

import socket
import sys


def torchrun() -> list[str]:
    """Return the command that starts two processes; a program is to be appended."""
    address = ["--master-addr", "127.0.0.1", "--master-port", str(_free_port())]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *address]


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
