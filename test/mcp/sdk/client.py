"""A client of MCP's SDK for Python. `client.py VERSION URL` or `client.py VERSION COMMAND ARGS…`: prints what it gets, as JSON."""

import asyncio
import json
import os
import sys

from mcp import Client
from mcp.client.stdio import StdioServerParameters

version, target, *args = sys.argv[1:]


async def main() -> None:
    env = {name: value for name, value in os.environ.items() if name.startswith("DATACRAWL_")}
    server = target if target.startswith("http:") else StdioServerParameters(command=target, args=args, env=env)
    async with Client(server, mode=version if version >= "2026" else "legacy") as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        results = []
        for amount in (50, 250, 6000):
            result = await client.call_tool("refund", {"amount": amount, "currency": "EUR"})
            results.append({"isError": bool(result.is_error), "text": result.content[0].text})
        print(json.dumps({"version": client.protocol_version, "tools": tools, "results": results}))


asyncio.run(main())
