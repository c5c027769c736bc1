import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@datacrawl/proto/google/rpc/error_details_pb";

type Call = (request: object, options: { signal: AbortSignal }) => Promise<unknown> | AsyncIterable<unknown>;

/** `ok`, or why the call was refused: the reason that it tells, or else its code. Of a stream the first message counts. */
export async function outcomeOfCall(method: DescMethod, transport: Transport, request: object): Promise<string> {
  const client = createClient(method.parent, transport) as unknown as Record<string, Call>;
  const stop = new AbortController();
  try {
    const answer = client[method.localName]?.(request, { signal: stop.signal });
    if (answer !== undefined && Symbol.asyncIterator in answer) await answer[Symbol.asyncIterator]().next();
    else await answer;
    return "ok";
  } catch (error) {
    const refused = ConnectError.from(error);
    return refused.findDetails(ErrorInfoSchema)[0]?.reason ?? Code[refused.code];
  } finally {
    stop.abort();
  }
}
