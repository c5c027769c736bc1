import { createRequire } from "node:module";

/** The part of OpenTelemetry's API that is used here. */
interface OpenTelemetry {
  readonly trace: {
    getActiveSpan(): undefined | { spanContext(): { traceId: string; spanId: string; traceFlags: number } };
  };
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

let api: OpenTelemetry | null | undefined;

/**
 * The W3C `traceparent` of a call, or null: the given one if it is well-formed, else that of the active span where OpenTelemetry's
 * API is installed.
 *
 * @see https://www.w3.org/TR/trace-context/#traceparent-header
 */
export function traceparentOf(given: string | undefined): string | null {
  if (given !== undefined) return TRACEPARENT.test(given) ? given : null;
  const span = openTelemetry()?.trace.getActiveSpan()?.spanContext();
  if (span === undefined) return null;
  const traceparent = `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, "0")}`;
  return TRACEPARENT.test(traceparent) ? traceparent : null;
}

/** Loaded with the first call, since a process that does not trace need not have it. */
function openTelemetry(): OpenTelemetry | null {
  if (api !== undefined) return api;
  try {
    api = createRequire(import.meta.url)("@opentelemetry/api") as OpenTelemetry;
  } catch {
    api = null;
  }
  return api;
}
