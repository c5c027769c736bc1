import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { ARGS, sent } from "../../examples/app/email.ts";
import { allowing, API_KEY, denied, reply, serveGrpc } from "../../../test/support/service.ts";

const ROOT = join(import.meta.dirname, "../../../../..");

/** The code that a page of docs/integrations/ shows is the example, and the example runs. */
export function testExample(framework: string): void {
  const source = readFileSync(join(ROOT, "clients/typescript/frameworks/examples", `${framework}.ts`), "utf8");

  test(`docs/integrations/${framework}.md shows the example`, () => {
    const page = readFileSync(join(ROOT, "docs/integrations", `${framework}.md`), "utf8");
    expect(page).toContain(`\`\`\`ts\n${source}\`\`\`\n`);
  });

  test(`the example of ${framework} asks the service about each call, and runs what it allows`, async () => {
    const ids = (n: number): string => `0198c0de-0000-7000-8000-${String(n).padStart(12, "0")}`;
    const service = await serveGrpc(({ stream, request, number }) => {
      const isAllowed = request.tool === "send_email" && request.payload?.["to"] === ARGS.to;
      reply(stream, allowing(request, { decisionId: ids(number), ...(!isAllowed && denied) }));
    });
    vi.stubEnv("DATACRAWL_URL", service.url.origin);
    vi.stubEnv("DATACRAWL_API_KEY", API_KEY);
    try {
      await import(`../../examples/${framework}.ts`);
      expect(sent).toEqual([ARGS]);
      expect(service.requests.map(({ tool }) => tool)).toEqual(["datacrawl_self_test", "send_email", "send_email"]);
    } finally {
      vi.unstubAllEnvs();
      await service.stop();
    }
  });
}
