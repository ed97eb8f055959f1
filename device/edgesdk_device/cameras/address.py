"""Addresses as they may be shown."""

from urllib.parse import urlsplit


def without_password(source: str) -> str:
    """A source's text fit for a log: an address loses its user name and password."""
    try:
        parts = urlsplit(source)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:  # no address, whatever it is
        return source
    return parts._replace(netloc=host).geturl() if "@" in parts.netloc else source
