import { context, ProxyTracerProvider, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { AuthorizeHandler } from "../../authorize/call.ts";
import { Fault } from "../../core/fault.ts";

/**
 * A span for each request, under the caller's `traceparent`. Without an OpenTelemetry SDK in the process (loaded with
 * `node --import`) there are none, and nothing is spent on them.
 */
export function traced(authorize: AuthorizeHandler): AuthorizeHandler {
  const provider = trace.getTracerProvider();
  if (provider instanceof ProxyTracerProvider && provider.getDelegateTracer("datacrawl") === undefined)
    return authorize;
  const tracer = trace.getTracer("datacrawl");
  return async (call) => {
    const carrier = call.traceparent === undefined ? {} : { traceparent: call.traceparent };
    const parent = propagation.extract(context.active(), carrier);
    return await tracer.startActiveSpan("datacrawl.authorize", { kind: SpanKind.SERVER }, parent, async (span) => {
      try {
        const answer = await authorize(call);
        span.setAttributes({
          "datacrawl.decision": answer.decision,
          "datacrawl.reason": answer.reason,
          "datacrawl.decision_id": answer.decisionId,
          "datacrawl.agent_id": answer.agentId,
          "datacrawl.replayed": answer.replayed,
        });
        return answer;
      } catch (error) {
        span.setStatus({ code: SpanStatusCode.ERROR, message: Fault.from(error).code });
        throw error;
      } finally {
        span.end();
      }
    });
  };
}
