"""Where a page is served: the socket, its address as others write it, and how many may connect."""

import asyncio
import errno
import socket

from aiohttp import web

from edgesdk.errors import ServeError


class Doorman:
    """Makes the protocol of each connection; what is too many is hung up on.

    Args:
        server: that answers.
        most: connections at once.
    """

    def __init__(self, server: web.Server, most: int) -> None:
        self._server, self._most = server, most
        self._arriving = 0  # of one burst, all are let in before the first of them counts as a connection

    def __call__(self) -> asyncio.BaseProtocol:
        """A protocol for one more connection."""
        if len(self._server.connections) + self._arriving >= self._most:
            return _Full()
        self._arriving += 1
        asyncio.get_running_loop().call_later(0.1, self._arrived)
        protocol: asyncio.BaseProtocol = self._server()
        return protocol

    def _arrived(self) -> None:
        self._arriving -= 1


class _Full(asyncio.Protocol):
    """Hangs up at once: connections that say nothing must not use up the process's descriptors."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        ServeError: if the port is taken or the host is not this machine's.
    """
    try:
        if ":" in host:
            both = host == "::" and socket.has_dualstack_ipv6()
            return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=both)
        return socket.create_server((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServeError(
                f"port {port} is taken by another program: stop it, or name another port, such as {port + 1}"
            ) from error
        raise ServeError(
            f"cannot serve on {host}:{port}: {error.strerror or error}; name a free port and an address of this "
            "machine, or 0.0.0.0 for all of them"
        ) from error


def reachable(host: str) -> str:
    """The host as another machine on the network would write it in an address."""
    if host in ("0.0.0.0", "::", ""):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which way a packet would leave
                host = probe.getsockname()[0]
            except OSError:
                host = socket.gethostname()
    return f"[{host}]" if ":" in host else host
