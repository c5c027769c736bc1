/**
 * The bare echo: a grpc-js server that does nothing but answer with the same bytes. It is the least that any service on
 * grpc-js costs. `node echo-server.ts PORT`.
 */
import { authorizeResponse } from "./question.ts";
import { serveRaw } from "./raw-server.ts";

const response = authorizeResponse();
await serveRaw(Number(process.argv[2]), (_request, reply) => reply(null, response));
