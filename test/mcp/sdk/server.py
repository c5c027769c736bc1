"""A server of MCP's SDK for Python. `server.py stdio FILE` or `server.py PORT FILE`: each call of its tool is a line in the file."""

import sys

from mcp.server import MCPServer

transport, file = sys.argv[1:]
server = MCPServer("shop")


@server.tool()
def refund(amount: int, currency: str) -> str:
    """Refunds."""
    with open(file, "a") as calls:
        calls.write(f"{amount} {currency}\n")
    return f"refunded {amount} {currency}"


if transport == "stdio":
    server.run("stdio")
else:
    server.run("streamable-http", host="127.0.0.1", port=int(transport))
