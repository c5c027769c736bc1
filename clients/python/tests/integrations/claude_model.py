"""A stand-in for the model's API, on this machine, for the Claude Code that the SDK brings: it calls one tool, and then ends."""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any


class Model(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, call_id: str, tool: str, arguments: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.call = {"type": "tool_use", "id": call_id, "name": tool, "input": arguments}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def reply(self, body: Any) -> dict[str, Any]:
        contents = [message["content"] for message in body.get("messages", [])]
        blocks = [block for content in contents if isinstance(content, list) for block in content]
        if not body.get("tools") or any(block.get("type") == "tool_result" for block in blocks):
            return {"type": "text", "text": "done"}
        return self.call


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Model

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._send("application/json", "{}")

    def do_HEAD(self) -> None:
        self._send("application/json", "")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
            self._send("application/json", '{"input_tokens": 1}')
            return
        block = self.server.reply(body)
        stop = "tool_use" if block["type"] == "tool_use" else "end_turn"
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model"), "usage": usage}
        if not body.get("stream"):
            whole = {**message, "content": [block], "stop_reason": stop, "stop_sequence": None}
            self._send("application/json", json.dumps(whole))
            return
        if block["type"] == "tool_use":
            first = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        else:
            first, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
        empty = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": empty},
            {"type": "content_block_start", "index": 0, "content_block": first},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        self._send("text/event-stream", "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events))

    def _send(self, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
