/**
 * The conformance kit: a server that answers wrongly in every way, its cases, and a runner that puts them to a client.
 *
 * ```ts
 * const server = await serveConformance({ grpcAddr: "127.0.0.1:0", connectAddr: "127.0.0.1:0", clock: systemClock });
 * const adapter = startAdapter("node my-client.js", process.env, process.cwd());
 * ```
 */
export { systemClock } from "@datacrawl/core/clock";
export { type Adapter, startAdapter } from "./adapter.ts";
export { type Case, LEVELS, TRANSPORTS, type Transport } from "./case.ts";
export { CASES } from "./catalogue.ts";
export { type Report, summarize } from "./report.ts";
export { type Result, run, type RunOptions } from "./runner.ts";
export { type Directory, type HostileServer, serveConformance, type ServeOptions } from "./serve.ts";
