import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import type { Child } from "../support/child.ts";
import { isExpected } from "../load/answer.ts";
import { KEY_LENGTH } from "../load.ts";
import type { Peer } from "./peer.ts";

const PROBE_DEADLINE_MS = 5_000;

/**
 * Waits for `peer` and asks it once, through grpc-js' own client: the generator cannot read statuses, so a peer that would
 * refuse is told here, and why.
 */
export async function untilAnswering(server: Child, peer: Peer): Promise<void> {
  const { message, keyAt } = peer.request;
  const key = Buffer.from(`probe${peer.name}`.padEnd(KEY_LENGTH, "-").slice(0, KEY_LENGTH));
  const request = Buffer.from(message);
  key.copy(request, keyAt);
  await server.untilReady(async () => {
    const answer = await call(peer, request);
    if (answer === "not listening") return false;
    if (isExpected(peer.expected, answer, 0, answer.length, key)) return true;
    throw new Error(`${peer.name} did not allow the bench's request: ${answer.toString("latin1")}`);
  });
}

function call(peer: Peer, request: Buffer): Promise<Buffer | "not listening"> {
  const client = new Client(`127.0.0.1:${peer.port}`, credentials.createInsecure());
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(peer.metadata)) metadata.set(name, value);
  const options = { deadline: new Date(performance.timeOrigin + performance.now() + PROBE_DEADLINE_MS) };
  return new Promise<Buffer | "not listening">((resolve, reject) => {
    client.makeUnaryRequest(peer.path, asIs, asIs, request, metadata, options, (error, answer) => {
      if (error?.code === status.UNAVAILABLE) resolve("not listening");
      else if (error !== null) reject(new Error(`${peer.name} refused the bench's request: ${error.message}`));
      else resolve(answer!);
    });
  }).finally(() => client.close());
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
