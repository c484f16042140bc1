"""The servers that ours is held against; they answer the very bytes that ours answered.

- ``bare asyncio``: a protocol that looks at one byte and writes; what the event loop allows, no HTTP at all.
- ``bare aiohttp``: ``web.Server`` with one handler.
- ``ordinary aiohttp app``: an Application with routes, a middleware that checks the token, and handlers.
- ``eager``: the ordinary app that imports boto3 and assumes its role before it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

BACKLOG = 1024
TOKEN_PATH = "/latest/api/token"
LIST_PATH = "/latest/meta-data/iam/security-credentials/"


class Bare(asyncio.Protocol):
    """Writes one of the recorded answers; a request is taken to arrive in one piece."""

    def __init__(self, recorded: dict[str, bytes]) -> None:
        self._recorded = recorded

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer by the method and by where the path ends."""
        if data.startswith(b"PUT"):
            name = "token"
        elif data.startswith(b"GET /v2"):
            name = "container"
        else:
            name = "list" if data[len(LIST_PATH) + 4 :].startswith(b" ") else "role"
        self._transport.write(self._recorded[name])
        if name != "container":
            self._transport.close()


async def bare_asyncio(recorded: dict[str, bytes]):
    """Return the factory of ``bare asyncio``."""
    return lambda: Bare(recorded)


async def bare_aiohttp(recorded: dict[str, bytes]):
    """Return the factory of ``bare aiohttp``."""
    from aiohttp import web  # noqa: PLC0415 - not before it is wanted

    parts = {name: _split(raw) for name, raw in recorded.items()}

    async def handle(request: web.BaseRequest) -> web.Response:
        path = request.path
        if request.method == "PUT":
            name = "token"
        elif path.startswith("/v2"):
            name = "container"
        else:
            name = "list" if path == LIST_PATH else "role"
        return _response(web, parts[name])

    return web.Server(handle, access_log=None)


async def ordinary_app(recorded: dict[str, bytes]):
    """Return the factory of ``ordinary aiohttp app``."""
    from aiohttp import web  # noqa: PLC0415 - likewise

    parts = {name: _split(raw) for name, raw in recorded.items()}
    tokens = {parts["token"][1].decode()}

    @web.middleware
    async def check(request: web.Request, handler):
        metadata = request.path.startswith("/latest/meta-data/")
        if metadata and request.headers.get("X-aws-ec2-metadata-token") not in tokens:
            raise web.HTTPUnauthorized
        return await handler(request)

    def answer(name: str):
        async def handler(_request: web.Request) -> web.Response:
            return _response(web, parts[name])

        return handler

    app = web.Application(middlewares=[check])
    app.router.add_put(TOKEN_PATH, answer("token"))
    app.router.add_get(LIST_PATH, answer("list"))
    app.router.add_get(LIST_PATH + "{role}", answer("role"))
    app.router.add_get("/v2/credentials/{id}", answer("container"))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    return runner.server


async def eager(recorded: dict[str, bytes]):
    """Assume the role first, then return the factory of the ordinary app."""
    import boto3  # noqa: PLC0415 - what is measured

    client = boto3.client("sts", region_name="eu-west-1", aws_access_key_id="AKIA", aws_secret_access_key="made-up")
    client.assume_role(RoleArn="arn:aws:iam::111122223333:role/app", RoleSessionName="bench")
    return await ordinary_app(recorded)


KINDS = {
    "bare asyncio": bare_asyncio,
    "bare aiohttp": bare_aiohttp,
    "ordinary aiohttp app": ordinary_app,
    "eager": eager,
}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answers", type=Path, required=True, help="what ours answered, as JSON")
    parser.add_argument("--uvloop", action="store_true")
    arguments = parser.parse_args()
    answers = {name: text.encode("latin-1") for name, text in json.loads(arguments.answers.read_text()).items()}

    async def serve() -> None:
        factory = await KINDS[arguments.kind](answers)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(factory, "127.0.0.1", arguments.port, backlog=BACKLOG)
        await server.serve_forever()

    if arguments.uvloop:
        import uvloop  # noqa: PLC0415 - optional

        factory = uvloop.new_event_loop
    else:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve())


def _split(raw: bytes) -> tuple[dict[str, str], bytes]:
    """Return the headers that an application sets itself, and the body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
    headers.pop("Content-Length", None)
    return headers, body


def _response(web, parts: tuple[dict[str, str], bytes]):
    headers, body = parts
    response = web.Response(body=body, headers=headers)
    if "Connection" in headers:
        response.force_close()
    return response


if __name__ == "__main__":
    sys.exit(main())
