"""A server of MCP's SDK for Python. `server.py stdio FILE` or `server.py PORT FILE`: each refund is a line in the file."""

import sys
from typing import Annotated

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp.server.streamable_http import EventMessage, EventStore
from mcp_types import CreateMessageResult, ListRootsResult, SamplingMessage, TextContent
from pydantic import BaseModel

transport, file = sys.argv[1:]
server = MCPServer("shop")
cancelled = False
counted = anyio.Event()


class Person(BaseModel):
    name: str


async def who() -> Elicit[Person]:
    return Elicit("Who?", Person)


async def what() -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text="What?"))], max_tokens=10)


async def where() -> ListRoots:
    return ListRoots()


@server.tool()
def refund(amount: int, currency: str) -> str:
    """Refunds."""
    with open(file, "a") as calls:
        calls.write(f"{amount} {currency}\n")
    return f"refunded {amount} {currency}"


# Before 2026-07-28 the SDK asks the client by requests of the server's.
@server.tool()
async def ask(
    person: Annotated[Person, Resolve(who)],
    said: Annotated[CreateMessageResult, Resolve(what)],
    roots: Annotated[ListRootsResult, Resolve(where)],
) -> str:
    """Asks back."""
    return f"{person.name} {said.content.text} {roots.roots[0].uri}"


@server.tool()
async def count(ctx: Context) -> str:
    """Counts."""
    for step in (1, 2):
        await ctx.report_progress(step, 2, f"step {step}")
    # Some clients forget the progress that comes together with the result.
    await counted.wait()
    return "counted"


@server.tool()
async def enough() -> str:
    """Ends the counting."""
    counted.set()
    return "ended"


@server.tool()
async def wait(ctx: Context) -> str:
    """Waits."""
    global cancelled
    try:
        await ctx.report_progress(1, 2, "step 1")
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        cancelled = True
        raise
    return "waited"


@server.tool()
async def ended() -> str:
    """Whether that has ended."""
    while not cancelled:
        await anyio.sleep(0.01)
    return "cancelled"


@server.tool()
async def drop(ctx: Context) -> str:
    """Drops its stream."""
    await ctx.close_sse_stream()
    return "resumed"


@server.tool()
def hidden() -> str:
    """No rule allows it."""
    return "ran"


@server.resource("note://one", mime_type="text/plain")
def note() -> str:
    return "a note"


@server.prompt()
def greet(name: str) -> str:
    return f"Hello {name}"


class Events(EventStore):
    """What was sent on streams, so that a client can resume them."""

    def __init__(self) -> None:
        self.events = []

    async def store_event(self, stream_id, message):
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id, send_callback):
        after = int(last_event_id)
        stream_id = self.events[after - 1][0]
        for at, (stream, message) in enumerate(self.events[after:], after):
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(at + 1)))
        return stream_id


if transport == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", host="127.0.0.1", port=int(transport), event_store=Events(), retry_interval=1)
