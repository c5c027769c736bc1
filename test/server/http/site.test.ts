import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, brotliDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openAdminPort } from "../../../src/server/admin/listener.ts";
import type { Listener } from "../../../src/server/listen.ts";
import { openSite } from "../../../src/server/http/site.ts";
import { rawHttp } from "../../support/http.ts";
import { tempDir } from "../../support/service.ts";

const open: Listener[] = [];
const dir = tempDir();
const SCRIPT = "const shown = true;\n".repeat(50);
let url = "";

async function serve(built: string): Promise<string> {
  const address = { kind: "tcp", host: "127.0.0.1", port: 0, variable: "X" } as const;
  const listener = await openAdminPort({ address, tls: null, rpcs: [], pages: await openSite(built) });
  open.push(listener);
  if (listener.address.kind !== "tcp") throw new Error("no port");
  return `http://127.0.0.1:${listener.address.port}`;
}

beforeAll(async () => {
  mkdirSync(join(dir, "assets"));
  writeFileSync(join(dir, "index.html"), "<!doctype html><title>page</title>");
  writeFileSync(join(dir, "assets", "main-abc.js"), SCRIPT);
  writeFileSync(join(dir, "assets", "main-abc.js.br"), brotliCompressSync(SCRIPT));
  writeFileSync(join(dir, "secret.key"), "not to be served");
  url = await serve(dir);
});
afterAll(async () => {
  for (const listener of open) await listener.close({ drainMs: 0 });
  rmSync(dir, { recursive: true });
});

describe("the dashboard's files", () => {
  test("every path that is no file is the page, so that an address can be kept", async () => {
    for (const path of ["/", "/decisions/0195e0b2-7a3b-7c1d-8a2b-1234567890ab", "/agents?x=1", "/%00", "/secret.key"]) {
      const answer = await fetch(`${url}${path}`);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
      expect(answer.headers.get("cache-control")).toBe("no-cache");
      expect(await answer.text()).toContain("<title>page</title>");
    }
  });

  test("nothing outside of its folder is served", async () => {
    for (const path of ["/../package.json", "/assets/../../package.json", "/%2e%2e/package.json", "//etc/passwd"]) {
      expect(await rawHttp(url, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)).not.toContain(
        'datacrawl"',
      );
    }
  });

  test("every answer forbids foreign scripts, inline ones and framing", async () => {
    for (const path of ["/", "/assets/main-abc.js", "/assets/none.js"]) {
      const { headers } = await fetch(`${url}${path}`);
      const policy = headers.get("content-security-policy") ?? "";
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self';");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toContain("unsafe");
      expect(headers.get("x-frame-options")).toBe("DENY");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  test("files named by their digest are kept for ever, compressed, and never mistaken for a page", async () => {
    const answer = await fetch(`${url}/assets/main-abc.js`, { headers: { "accept-encoding": "identity" } });
    expect(answer.headers.get("cache-control")).toContain("immutable");
    expect(answer.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    const raw = await rawHttp(
      url,
      "GET /assets/main-abc.js HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: br\r\nConnection: close\r\n\r\n",
    );
    expect(raw).toContain("content-encoding: br");
    const body = Buffer.from(raw.slice(raw.indexOf("\r\n\r\n") + 4), "latin1");
    expect(brotliDecompressSync(body).toString()).toBe(await answer.text());
    expect((await fetch(`${url}/assets/none.js`)).status).toBe(404);
  });

  test("a known version is not sent again", async () => {
    const etag = (await fetch(url)).headers.get("etag") ?? "";
    const answer = await fetch(url, { headers: { "if-none-match": etag } });
    expect(answer.status).toBe(304);
  });

  test("only reading is answered", async () => {
    expect((await fetch(url, { method: "POST", body: "x" })).status).toBe(405);
    expect((await fetch(`${url}/datacrawl.authz.v1.AdminService/NoSuchMethod`)).status).toBe(404);
    const head = await fetch(url, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  test("a dashboard that was not built says how to build it", async () => {
    const answer = await fetch(await serve(join(dir, "nothing")));
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain("npm run build:dashboard");
  });
});
