import { Worker } from "node:worker_threads";
import { inspectFiles, type PolicyFile, type PolicyInput } from "./bundle.ts";
import { type Trial, tryPolicy } from "./rule-view.ts";
import { formatProblem } from "./yaml.ts";

export interface ApartRequest {
  readonly files: readonly PolicyFile[];
  readonly request: PolicyInput;
}

export type ApartResult = { readonly trial: Trial } | { readonly problems: readonly string[] };

const PATIENCE_MS = 5000;
const MEMORY_MIB = 128;
const MAX_PROBLEMS = 100;

/**
 * Evaluates a request under given rule files in a thread of its own: an operator's test must not keep decisions waiting
 * while text is compiled.
 *
 * @throws if it took too long, or too much memory
 */
export async function tryApart(request: ApartRequest): Promise<ApartResult> {
  // In the published package this file is JavaScript, and so is its neighbour.
  const file = import.meta.url.endsWith(".ts") ? "./apart-worker.ts" : "./apart-worker.js";
  const resourceLimits = { maxOldGenerationSizeMb: MEMORY_MIB };
  const worker = new Worker(new URL(file, import.meta.url), { workerData: request, resourceLimits, stderr: true });
  const { promise, resolve, reject } = Promise.withResolvers<ApartResult>();
  const timer = setTimeout(() => reject(new Error("the rules took too long")), PATIENCE_MS);
  worker.once("message", resolve).once("error", reject);
  worker.once("exit", () => reject(new Error("the thread ended without an answer")));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

/** The same in the calling thread. */
export function tryFiles({ files, request }: ApartRequest): ApartResult {
  const { bundle, problems } = inspectFiles(files);
  if (bundle === null) return { problems: problems.slice(0, MAX_PROBLEMS).map(formatProblem) };
  return { trial: tryPolicy(bundle, request) };
}
