"""TCP ports: is this one free, and find some that are."""

import random
import socket
from contextlib import ExitStack

from infra.errors import AppError

# Below the ports that Linux and macOS hand to outgoing connections: there, a client that calls a
# stopped server again and again can be given the server's own port and end up talking to itself.
_LOWEST, _HIGHEST = 20_000, 32_000


class PortTaken(AppError):
    """Another program listens on the port, or it cannot be had."""

    code = "port_taken"

    def __init__(self, *, host: str, port: int, setting: str, reason: str) -> None:
        super().__init__(
            f"Port {port} on {host} cannot be used ({reason}): stop the program that uses it, "
            f"or set {setting} to another port."
        )


def require_free(host: str, port: int, *, setting: str) -> None:
    """Make sure that a server could listen on the port now.

    Raises:
        PortTaken: it could not.
    """
    try:
        _listen(host, port).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PortTaken(host=host, port=port, setting=setting, reason=reason) from error


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port on loopback now."""
    try:
        _listen("127.0.0.1", port).close()
    except (OSError, OverflowError):
        return False
    return True


def pick_free(count: int) -> list[int]:
    """Find `count` different ports that are free on loopback now."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - spread, not secrecy
            try:
                held.enter_context(_listen("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
        return ports


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        # Servers set it too; without it, connections that ended a moment ago would count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
