"""Who may see the page: nobody but this machine, or who has the token; and no other site in a visitor's browser."""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlsplit

from aiohttp import web

from edgesdk_device.app.settings import LOOPBACK

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "edgesdk",
}


class Guard:
    """Lets a request through, or answers it with one sentence.

    On loopback everybody on the machine may see the page, but only under a name of loopback: otherwise any web site
    could have its own name point here and read along. Elsewhere a token is asked for, once as `?token=`, from then on
    a cookie. Everything but the page's own address must be asked for by the page itself, or by what is no browser.

    Args:
        host: that the server is bound to.
        token: to ask for elsewhere than on loopback; a random one if None.
        secure: whether the server speaks HTTPS.

    Attributes:
        token: "" on loopback.
    """

    def __init__(self, host: str, port: int, token: str | None = None, *, secure: bool = False) -> None:
        self.token = "" if host in LOOPBACK else token or secrets.token_urlsafe(16)
        self._secure = secure
        self._cookie = f"edgesdk_{port}"  # a browser sends the cookies of a host to all its ports

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let it through to `handler`, or raise the answer that it gets instead."""
        if not self.token and host_name(request.host) not in LOOPBACK:
            raise web.HTTPForbidden(text="This page answers to http://localhost only.\n")
        if request.path != "/" and not same_origin(request):
            raise web.HTTPForbidden(text="This came from another site.\n")
        if not self.token or self._equal(request.cookies.get(self._cookie, "")):
            return await handler(request)
        if not self._equal(request.query.get("token", "")):
            raise web.HTTPUnauthorized(text="Open the address with ?token=... that edgesdk printed when it started.\n")
        if request.path != "/":
            return await handler(request)
        entered = web.HTTPSeeOther("/")
        # A QR code is followed from another app, and Strict would hold the cookie back just then.
        same_site = "Lax" if self._secure else "Strict"
        month_s = 30 * 24 * 3600
        entered.set_cookie(
            self._cookie, self.token, httponly=True, secure=self._secure, samesite=same_site, max_age=month_s
        )
        raise entered

    @property
    def query(self) -> str:
        """What the address of the page ends with; "" on loopback."""
        return f"?token={quote(self.token, safe='')}" if self.token else ""

    def _equal(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self.token.encode())


def same_origin(request: web.Request) -> bool:
    """Whether a request comes from the page itself, or from something that is no browser."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
    return origin.partition("://")[2] == request.host


def host_name(host: str) -> str:
    """The name in a Host header, without its port; "" where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """What every response carries."""
    response.headers.update(HEADERS)
