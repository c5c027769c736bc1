"""A client of MCP's SDK for Python. `client.py VERSION URL` or `client.py VERSION COMMAND ARGS…`: prints what it gets, as JSON."""

import asyncio
import json
import os
import sys

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CreateMessageResult, ElicitResult, ListRootsResult, Root, TextContent

version, target, *args = sys.argv[1:]


async def elicited(context, params):
    return ElicitResult(action="accept", content={"name": "ann"})


async def sampled(context, params):
    return CreateMessageResult(role="assistant", model="m", content=TextContent(type="text", text="tea"))


async def rooted(context):
    return ListRootsResult(roots=[Root(uri="file:///home")])


async def main() -> None:
    env = {name: value for name, value in os.environ.items() if name.startswith("DATACRAWL_")}
    server = target if target.startswith("http:") else StdioServerParameters(command=target, args=args, env=env)
    mode = version if version >= "2026" else "legacy"
    callbacks = {"elicitation_callback": elicited, "sampling_callback": sampled, "list_roots_callback": rooted}
    async with Client(server, mode=mode, **callbacks) as client:

        async def call(name, progress=None):
            result = await client.call_tool(name, progress_callback=progress)
            return ("error: " if result.is_error else "") + result.content[0].text

        tools = [tool.name for tool in (await client.list_tools()).tools]
        results = []
        for amount in (50, 250, 6000):
            result = await client.call_tool("refund", {"amount": amount, "currency": "EUR"})
            results.append({"isError": bool(result.is_error), "text": result.content[0].text})

        progress = []

        async def note(done, total, message):
            progress.append(message)
            if message == "step 2":
                await call("enough")

        counted = await call("count", note)
        left = None
        with anyio.CancelScope() as scope:

            async def leave(done, total, message):
                scope.cancel()

            left = await call("wait", leave)
        said = {
            "version": client.protocol_version,
            "tools": tools,
            "results": results,
            "asked": await call("ask"),
            "progress": [*progress, counted],
            "cancelled": [left or "left", await call("ended")],
            "dropped": await call("drop"),
            "read": [
                str((await client.list_resources()).resources[0].uri),
                (await client.read_resource("note://one")).contents[0].text,
                (await client.list_prompts()).prompts[0].name,
                (await client.get_prompt("greet", {"name": "ann"})).messages[0].content.text,
            ],
        }
        print(json.dumps(said))


asyncio.run(main())
