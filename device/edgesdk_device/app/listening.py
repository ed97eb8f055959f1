"""Where a page is served: the socket and its address as others write it."""

import errno
import socket

from edgesdk.errors import ServeError


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
        reason = (error.strerror or str(error)).partition(" (while ")[0]  # Python says the address once more
        raise ServeError(
            f"cannot serve on {host}:{port}: {reason}; name a free port and an address of this machine, or 0.0.0.0 for "
            "all of them"
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
