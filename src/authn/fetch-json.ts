const TIMEOUT_MS = 5000;
const MAX_BYTES = 512 * 1024;

/** An issuer did not answer with what it has to; `message` says which URL answered what. */
export class IssuerError extends Error {
  override readonly name = "IssuerError";
}

/** Fetches a small JSON document. Redirects are not followed: the source of keys is configured, and no answer may change it. */
export async function fetchJson(url: string): Promise<unknown> {
  const response = await fetch(url, {
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: { accept: "application/json" },
  });
  if (!response.ok || response.body === null) throw new IssuerError(`${url} answered ${response.status}.`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body) {
    length += chunk.length;
    if (length > MAX_BYTES) throw new IssuerError(`${url} answered more than ${MAX_BYTES} bytes.`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8")) as unknown;
  } catch {
    // Not the parser's words: they quote the text.
    throw new IssuerError(`${url} did not answer with JSON.`);
  }
}
