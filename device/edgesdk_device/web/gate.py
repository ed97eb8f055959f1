"""Who may use the phone's page: each address opens it for one browser, which is known by a cookie from then on."""

import hmac
import secrets
from collections.abc import Callable
from html import escape

from aiohttp import web

from edgesdk_device.app.guard import HEADERS, Handler, same_origin
from edgesdk_device.web.site import PAGE_POLICY

MOST_PHONES = 16


class Gate:
    """Lets a request through, or answers it with one sentence.

    Args:
        port: of the server; a browser sends the cookies of a host to all its ports.
        joined: is told a browser's name when it used the token, and that the token is a new one.

    Attributes:
        token: opens the page once.
    """

    def __init__(self, port: int, joined: Callable[[str], None]) -> None:
        self.token = secrets.token_urlsafe(12)
        self._used: set[str] = set()
        self._sessions: dict[str, str] = {}
        self._cookie, self._joined = f"edgesdk_phone_{port}", joined

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let it through to `handler`, or raise the answer that it gets instead."""
        if request.method != "GET" and not same_origin(request):
            raise web.HTTPForbidden(text="This came from another site.\n")
        given = request.query.get("token", "")
        if not self.phone(request):
            raise self._enter(given)
        if given:
            raise web.HTTPSeeOther("/")
        return await handler(request)

    def phone(self, request: web.Request) -> str:
        """Which phone sent this; "" for none that was let in."""
        return self._sessions.get(request.cookies.get(self._cookie, ""), "")

    def _enter(self, given: str) -> web.HTTPException:
        if given in self._used:
            return page_error(401, "This address was used already: it opens the page once. Scan the newest code.")
        if not hmac.compare_digest(given.encode(errors="replace"), self.token.encode()):
            return page_error(401, "Scan the code that edgesdk shows, or type its whole address with ?token=…")
        if len(self._sessions) >= MOST_PHONES:
            return page_error(503, f"{MOST_PHONES} browsers were let in already: start edgesdk phone again.")
        self._used.add(self.token)
        self.token, cookie = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
        self._sessions[cookie] = name = f"phone {len(self._sessions) + 1}"
        self._joined(name)
        entered = web.HTTPSeeOther("/")
        # Lax, because the code is followed from another app, and Strict would hold the cookie back just then.
        entered.set_cookie(self._cookie, cookie, httponly=True, secure=True, samesite="Lax")
        return entered


def page_error(status: int, sentence: str) -> web.HTTPException:
    """An answer that a person can read on a phone."""
    kind = {401: web.HTTPUnauthorized, 503: web.HTTPServiceUnavailable}[status]
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="color-scheme" content="light dark"><title>edgesdk</title><h1>Not let in</h1><p>{escape(sentence)}'
    )
    return kind(text=text, content_type="text/html")


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """What every response carries; isolation from other sites gives the page threads."""
    kept = response.headers.get("Cache-Control", HEADERS["Cache-Control"])
    response.headers.update(HEADERS | {"Cache-Control": kept})
    response.headers["Content-Security-Policy"] = f"{PAGE_POLICY}; frame-ancestors 'none'"
    response.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
    response.headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=()"
