import { Server, ServerCredentials } from "@grpc/grpc-js";
import { AUTHORIZE_PATH } from "./question.ts";

type Reply = (error: Error | null, response?: Buffer) => void;
export type Answer = (request: Buffer, reply: Reply) => void;

/** The method's definition for grpc-js, with messages left as bytes. */
const AUTHORIZE = {
  path: AUTHORIZE_PATH,
  requestStream: false,
  responseStream: false,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};

/** Serves AuthorizeService.Authorize on grpc-js, bytes in and bytes out, at 127.0.0.1:`port`. */
export async function serveRaw(port: number, answer: Answer): Promise<void> {
  const server = new Server();
  server.addService(
    { authorize: AUTHORIZE },
    { authorize: (call: { request: Buffer }, reply: Reply) => answer(call.request, reply) },
  );
  await new Promise<void>((resolve, reject) => {
    const listening = (error: Error | null) => (error === null ? resolve() : reject(error));
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), listening);
  });
  process.once("SIGTERM", () => process.exit(0));
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
