"""Many clients at once, as when a cluster's worth of processes starts."""

from __future__ import annotations

import asyncio
import json

from support import wire

HERD = 200
PATIENCE = 20.0
ROLES = "/latest/meta-data/iam/security-credentials/"


async def test_a_herd_of_clients_is_answered(served):
    """Two hundred clients that start together each get a token, the list and the document of the one session."""
    address = served.address
    documents = await asyncio.gather(*(_load_credentials(address) for _ in range(HERD)))
    assert {document["Code"] for document in documents} == {"Success"}
    assert {document["AccessKeyId"] for document in documents} == {served.status()["roles"][0]["access_key_id"]}


async def _load_credentials(address: tuple[str, int]) -> dict[str, str]:
    """Do what an SDK does, with a connection for each request."""
    token = await _ask(address, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
    headers = {"X-aws-ec2-metadata-token": token}
    role = await _ask(address, "GET", ROLES, headers)
    return json.loads(await _ask(address, "GET", ROLES + role, headers))


async def _ask(address: tuple[str, int], method: str, path: str, headers: dict[str, str]) -> str:
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(wire.request(method, path, headers))
            reply = wire.Reply(await reader.read())
        finally:
            writer.close()
    assert reply.status == 200, reply.raw
    return reply.body.decode()
