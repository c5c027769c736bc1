import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A tool that the scripted model calls. */
export interface ScriptedCall {
  readonly name: string;
  /** The arguments; or what they are, made of what the calls before have given. */
  readonly input: object | ((results: readonly unknown[]) => object);
}

/** A call as it is sent, with a name of its own. */
export interface SentCall {
  readonly id: string;
  readonly name: string;
  readonly input: object;
}

/**
 * A stand-in for a model's API on this machine, for agents whose API can be set: a model that follows a script. It calls the tools of one turn
 * after the other, each turn when the results of the one before are there, and then says that it is done.
 */
export interface ScriptedModel<Result> {
  readonly url: string;
  /** The results that the agent has given back, in their order. */
  readonly results: readonly Result[];
  close(): void;
}

/** How an API asks its model, and how the model answers. */
export interface Dialect<Body, Result> {
  asks(path: string): boolean;
  /** What became of the calls so far. */
  results(body: Body): readonly Result[];
  /** Whether it is a question beside the conversation, such as for its title. */
  isBeside(body: Body): boolean;
  /** Without calls the model says that it is done. */
  answer(response: ServerResponse, calls: readonly SentCall[], body: Body): void;
}

export async function startScriptedModel<Body, Result>(
  turns: readonly (readonly ScriptedCall[])[],
  dialect: Dialect<Body, Result>,
): Promise<ScriptedModel<Result>> {
  let results: readonly Result[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      let text = "";
      for await (const part of request) text += String(part);
      const path = (request.url ?? "").split("?")[0] as string;
      if (request.method !== "POST" || !dialect.asks(path)) {
        response.writeHead(404, { "content-type": "application/json" });
        response.end('{"type":"error","error":{"type":"not_found_error","message":"not scripted"}}');
        return;
      }
      const body = JSON.parse(text) as Body;
      const given = dialect.results(body);
      if (given.length > results.length) results = given;
      const turn = dialect.isBeside(body) ? [] : (turns[turnsDone(turns, given.length)] ?? []);
      const calls = turn.map(({ name, input }, index) => ({
        id: `call_${given.length + index + 1}`,
        name,
        input: typeof input === "function" ? input(given) : input,
      }));
      dialect.answer(response, calls, body);
    })().catch(() => response.destroy());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get results() {
      return results;
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** How many turns have all their results, of the first `results`. */
function turnsDone(turns: readonly (readonly ScriptedCall[])[], results: number): number {
  let [done, left] = [0, results];
  for (const turn of turns) {
    if (left < turn.length) break;
    left -= turn.length;
    done += 1;
  }
  return done;
}

/** Answers with a stream of server-sent events, which is whole at once. */
export function sendEvents(response: ServerResponse, events: readonly Readonly<Record<string, unknown>>[]): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const event of events) {
    if (typeof event["type"] === "string") response.write(`event: ${event["type"]}\n`);
    response.write(`data: ${JSON.stringify(event)}\n\n`);
  }
  response.end();
}
