/**
 * Healthy calls from one process, with the library or with a bare grpc-js stub: `node caller.ts SPEC`, a {@link CallerSpec} as
 * JSON. Prints a {@link CallerResult}.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import {
  AuthorizeRequestSchema,
  AuthorizeResponseSchema,
} from "@datacrawl/proto/datacrawl/authz/v1/authorize_service_pb";
import { Decision } from "@datacrawl/proto/datacrawl/authz/v1/decision_pb";
import { DataCrawl } from "@datacrawl/client";
import { AUTHORIZE_PATH, QUESTION } from "../peers/question.ts";
import { quantile } from "../support/statistics.ts";
import { API_KEY } from "./parts.ts";

export interface CallerSpec {
  readonly with: "library" | "stub";
  readonly port: number;
  readonly inFlight: number;
  readonly journalDir: string;
  readonly warmupMs: number;
  readonly measureMs: number;
}

export interface CallerResult {
  readonly answered: number;
  readonly p50Us: number;
  /** User and system time of the calling process. */
  readonly cpuUsPerCall: number;
}

/** Resolves if the call is allowed, else rejects. */
type Call = (idempotencyKey: string) => Promise<void>;

async function measure(spec: CallerSpec): Promise<CallerResult> {
  const { call, close } = spec.with === "library" ? library(spec) : stub(spec);
  let latencies: number[] = [];
  let made = 0;
  let isRunning = true;
  const caller = async (): Promise<void> => {
    while (isRunning) {
      const startedAt = performance.now();
      await call(`key-${made++}`);
      latencies.push(performance.now() - startedAt);
    }
  };
  const callers = Promise.all(Array.from({ length: spec.inFlight }, caller));
  await Promise.race([callers, sleep(spec.warmupMs)]);
  latencies = [];
  const before = process.cpuUsage();
  await Promise.race([callers, sleep(spec.measureMs)]);
  const { user, system } = process.cpuUsage(before);
  const measured = Float64Array.from(latencies).toSorted();
  isRunning = false;
  await callers;
  await close();
  const answered = measured.length;
  return { answered, p50Us: quantile(measured, 0.5) * 1000, cpuUsPerCall: (user + system) / answered };
}

function library({ port, journalDir }: CallerSpec): { call: Call; close: () => Promise<void> } {
  const dc = new DataCrawl({ url: `http://127.0.0.1:${port}`, apiKey: API_KEY, journalDir });
  return {
    async call(idempotencyKey) {
      const { decision, message } = await dc.authorize({ ...QUESTION, idempotencyKey });
      if (decision !== "allow") throw new Error(message);
    },
    close: () => dc.close(),
  };
}

/** What a generated stub does, with a deadline and a credential, and without a look at anything but the decision. */
function stub({ port }: CallerSpec): { call: Call; close: () => Promise<void> } {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${API_KEY}`);
  const encode = (idempotencyKey: string): Buffer =>
    Buffer.from(toBinary(AuthorizeRequestSchema, create(AuthorizeRequestSchema, { ...QUESTION, idempotencyKey })));
  const decode = (bytes: Buffer) => fromBinary(AuthorizeResponseSchema, bytes);
  return {
    call: (idempotencyKey) =>
      new Promise((resolve, reject) => {
        const deadline = performance.timeOrigin + performance.now() + 5000;
        client.makeUnaryRequest(
          AUTHORIZE_PATH,
          encode,
          decode,
          idempotencyKey,
          metadata,
          { deadline },
          (error, answer) => {
            if (answer?.decision === Decision.ALLOW) resolve();
            else reject(error ?? new Error("not allowed"));
          },
        );
      }),
    close: async () => client.close(),
  };
}

process.stdout.write(`${JSON.stringify(await measure(JSON.parse(process.argv[2]!)))}\n`);
