const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?$/;

/** Programs that start any server: their names say nothing of which. */
const LAUNCHERS = new Set(
  "bash bun bunx cmd deno docker dotnet env go java node nodejs npm npx php pipx pnpm podman python python3 ruby sh ssh tsx uv uvx yarn".split(
    " ",
  ),
);

/**
 * Why text cannot name a server, as the end of a sentence; null if it can. Without a dot: the first one in the name of a tool ends the
 * server's, so that no server's tool can be taken for another's.
 */
export function serverNameProblem(text: string): string | null {
  return NAME.test(text)
    ? null
    : "must be 1 to 64 letters, digits, hyphens and underscores, without a mark at its ends";
}

/**
 * The name of a server that is started by the program `file`; null if that does not say which server it is.
 *
 * Not what the server calls itself (`serverInfo`): a server could take the name of another, and with it the rules for that one.
 */
export function serverNameOf(file: string): string | null {
  const name = file.replace(/\.(?:exe|cmd|bat|[cm]?js|ts|py|sh|rb|jar)$/i, "");
  return serverNameProblem(name) === null && !LAUNCHERS.has(name.toLowerCase()) ? name : null;
}
