import { expect, test } from "vitest";
import { serverNameOf, serverNameProblem } from "../../src/mcp/server-name.ts";

test.each(["github", "a", "my-server_2", "A9"])("%j names a server", (name) => {
  expect(serverNameProblem(name)).toBeNull();
});

test.each(["", "a.b", "-a", "a-", "a b", "ä", "a\n", "a".repeat(65)])("%j does not name a server", (name) => {
  expect(serverNameProblem(name)).not.toBeNull();
});

test.each([
  ["github-mcp-server", "github-mcp-server"],
  ["server.py", "server"],
  ["Mail.EXE", "Mail"],
])("a server is named by its program: %s", (file, name) => {
  expect(serverNameOf(file)).toBe(name);
});

test.each(["npx", "node", "UVX", "python3", "docker", "python3.12", "my server", ""])(
  "a program that starts any server names none: %j",
  (file) => {
    expect(serverNameOf(file)).toBeNull();
  },
);
