"""aiobotocore: asks STS who it is."""

import asyncio

from aiobotocore.session import get_session


async def main() -> None:
    """Print the answer."""
    async with get_session().create_client("sts") as sts:
        print((await sts.get_caller_identity())["Arn"])


asyncio.run(main())
