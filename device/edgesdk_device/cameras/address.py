"""Addresses as they may be shown."""

import re


def without_password(source: str) -> str:
    """A source's text fit for a log: addresses, also those in a pipeline, lose their user name and password."""
    return re.sub(r"://[^/?#\s]*@", "://", source)
