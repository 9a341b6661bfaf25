"""Servers as processes: what they have used so far."""

import sys
import time

from bench.servers.process import Server, free_port

_USE_CPU = """
import signal, subprocess, sys, time
spin = "import time\\nwhile time.process_time() < 0.2: pass"
child = subprocess.Popen([sys.executable, "-c", spin + "\\nimport signal; signal.pause()"])
exec(spin)
signal.pause()
"""


def test_the_cpu_time_is_that_of_a_server_and_its_children() -> None:
    server = Server([sys.executable, "-c", _USE_CPU], free_port(), "/")
    try:
        end = time.monotonic() + 60
        while server.cpu_s() < 0.3 and time.monotonic() < end:
            assert server.alive()
        assert server.cpu_s() >= 0.3  # each uses 0.2
        assert server.pss_mib() > 5
    finally:
        server.stop()
