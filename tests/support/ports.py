"""Ports of this machine for what a test starts."""

import random
import socket

from ray_platform_sandbox.services.processes import port_is_free


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_port_base() -> int:
    """The first of twelve free ports, below those that the kernel gives to connections by itself.

    Of a port that the kernel names, the third above it may be some connection's by the time it is asked for.
    """
    while True:
        base = random.randrange(10_000, 32_000)  # noqa: S311  (no secret)
        if all(port_is_free(base + offset) for offset in range(12)):
            return base
