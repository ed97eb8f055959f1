"""What every server of the page answers: its files, LiteRT.js, the models, and what it is told of them."""

from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from edgesdk.modelfile import ModelFile
from edgesdk_device.web import litertjs
from edgesdk_device.web.site import SITE_FILE, page_files

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".tflite": "application/octet-stream",
}


def page_routes(models: Sequence[ModelFile], runtime: Path, told: dict[str, object]) -> list[web.RouteDef]:
    """The routes.

    Args:
        models: what the page shows.
        runtime: the folder with LiteRT.js.
        told: what `describe` gives.
    """
    page = page_files()

    async def own(request: web.Request) -> web.Response:
        name = request.path.removeprefix("/") or "index.html"
        return web.Response(body=page[name], content_type=TYPES[Path(name).suffix], charset="utf-8")

    async def site(_: web.Request) -> web.Response:
        return web.json_response(told)

    async def model(request: web.Request) -> web.StreamResponse:
        file = models[int(Path(request.path).stem)]
        return web.FileResponse(file.path, headers={"Content-Type": TYPES[".tflite"]})

    async def runs(request: web.Request) -> web.StreamResponse:
        name = Path(request.path).name
        # A year: the address of another version is another one's page, and a reload should not take 10 MB again.
        headers = {"Content-Type": TYPES[Path(name).suffix], "Cache-Control": "private, max-age=31536000"}
        return web.FileResponse(runtime / name, headers=headers)

    return [
        web.get("/", own),
        web.get(f"/{SITE_FILE}", site),
        *(web.get(f"/{name}", own) for name in page),
        *(web.get(f"/models/{index}.tflite", model) for index in range(len(models))),
        *(web.get(f"/litertjs/{name}", runs) for name in litertjs.NAMES),
    ]
