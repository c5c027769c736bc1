import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { PACKAGE_ROOT } from "../../package-root.ts";
import type { Pages } from "../admin/listener.ts";
import { type NodeRequest, type NodeResponse, pathOf, respond } from "./node-http.ts";

interface File {
  readonly type: string;
  readonly etag: string;
  /** Files whose name holds their digest never change. */
  readonly immutable: boolean;
  readonly bytes: Buffer;
  /** The same compressed, where the build left it beside the file. */
  readonly brotli: Buffer | null;
}

const TYPES: ReadonlyMap<string, string> = new Map([
  ["html", "text/html; charset=utf-8"],
  ["js", "text/javascript; charset=utf-8"],
  ["css", "text/css; charset=utf-8"],
  ["svg", "image/svg+xml"],
  ["woff2", "font/woff2"],
]);

/** Only this origin's files run and style; nothing is fetched from elsewhere; no page frames this one. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

/** Beside what every answer of the admin port carries. */
const SECURITY_HEADERS = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "cross-origin-opener-policy": "same-origin",
} as const;

/**
 * Answers with the pages and files of the dashboard as it was built, read once. Every other path is a page, which the
 * browser routes. Where it was not built, each page says how to build it.
 */
export async function openSite(dir: string = join(PACKAGE_ROOT, "dist/dashboard")): Promise<Pages> {
  const files = await readFiles(dir);
  const index = files.get("/index.html");
  return (request, response) => {
    const path = pathOf(request);
    const file = files.get(path) ?? (isAsset(path) ? undefined : index);
    if (isRpc(path)) return false;
    if (request.method !== "GET" && request.method !== "HEAD") refuse(response, 405, "use GET");
    else if (index === undefined) refuse(response, 503, "The dashboard is not built: run `npm run build:dashboard`.");
    else if (file === undefined) refuse(response, 404, "There is no such file.");
    else send(file, request, response);
    return true;
  };
}

async function readFiles(dir: string): Promise<ReadonlyMap<string, File>> {
  const names = await readdir(dir, { recursive: true }).catch(() => []);
  const known = names.filter((name) => TYPES.has(extensionOf(name)));
  return new Map(
    await Promise.all(known.map(async (name) => [`/${name}`, await readOne(join(dir, name), name)] as const)),
  );
}

async function readOne(path: string, name: string): Promise<File> {
  const bytes = await readFile(path);
  return {
    type: TYPES.get(extensionOf(name)) as string,
    etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`,
    immutable: isAsset(`/${name}`),
    bytes,
    brotli: await readFile(`${path}.br`).catch(() => null),
  };
}

/** A mistyped method is no page. */
function isRpc(path: string): boolean {
  return path.startsWith("/datacrawl.");
}

function isAsset(path: string): boolean {
  return path.startsWith("/assets/");
}

function extensionOf(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}

function send(file: File, request: NodeRequest, response: NodeResponse): void {
  const caching = file.immutable ? "public, max-age=31536000, immutable" : "no-cache";
  const headers = { ...SECURITY_HEADERS, "cache-control": caching, etag: file.etag, vary: "accept-encoding" };
  if (request.headers["if-none-match"] === file.etag) return respond(response, 304, headers);
  const compressed = /\bbr\b/.test(request.headers["accept-encoding"] ?? "") ? file.brotli : null;
  const bytes = compressed ?? file.bytes;
  const encoding = compressed === null ? {} : { "content-encoding": "br" };
  respond(
    response,
    200,
    { ...headers, ...encoding, "content-type": file.type, "content-length": bytes.length },
    request.method === "HEAD" ? "" : bytes,
  );
}

function refuse(response: NodeResponse, status: number, problem: string): void {
  respond(response, status, { ...SECURITY_HEADERS, "content-type": "text/plain; charset=utf-8" }, `${problem}\n`);
}
