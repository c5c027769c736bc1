import type { Fault } from "../../core/fault.ts";
import type { Readiness } from "../lifecycle/health.ts";
import { type NodeRequest, type NodeResponse, respond } from "./node-http.ts";

/** What `/metrics` shows; prom-client's Registry is one. */
export interface MetricsPage {
  readonly contentType: string;
  readonly metrics: () => Promise<string>;
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

type PageMaker = () => Page | Promise<Page>;

/** Answers `/healthz` (the process lives), `/readyz` (it can decide; each check) and `/metrics`; returns whether it was one of them. */
export function createPages(readiness: Readiness, metrics: MetricsPage) {
  const pages: ReadonlyMap<string, PageMaker> = new Map<string, PageMaker>([
    ["/healthz", () => json(200, { alive: true })],
    ["/readyz", () => json(readiness.report.ready ? 200 : 503, readiness.report)],
    ["/metrics", async () => ({ status: 200, type: metrics.contentType, body: await metrics.metrics() })],
  ]);
  return (path: string, request: NodeRequest, response: NodeResponse): boolean => {
    const make = pages.get(path);
    if (make === undefined) return false;
    if (request.method !== "GET" && request.method !== "HEAD") send(response, json(405, { error: "use GET" }));
    else void show(make, response);
    return true;
  };
}

/** Answers a request that is no call with why the listener's rules refuse it, if they do; returns whether it did. */
export function refusePage(problem: Fault | null, response: NodeResponse): boolean {
  if (problem === null) return false;
  send(response, json(problem.status === "permission_denied" ? 403 : 400, { error: problem.message }));
  return true;
}

async function show(make: PageMaker, response: NodeResponse): Promise<void> {
  try {
    send(response, await make());
  } catch {
    send(response, json(500, { error: "the page could not be made" }));
  }
}

function json(status: number, value: object): Page {
  return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
}

function send(response: NodeResponse, { status, type, body }: Page): void {
  respond(
    response,
    status,
    { "content-type": type, "content-length": Buffer.byteLength(body), "cache-control": "no-store" },
    body,
  );
}
