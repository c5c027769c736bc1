import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { freePort, waitUntil } from "./net.ts";
import { ownProcess } from "./owned.ts";
import { cleanEnv, type Env, tempDir } from "./service.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");

/** A real `datacrawl sidecar` in a process of its own. */
export interface SidecarProcess {
  readonly child: ChildProcess;
  readonly connectUrl: string;
  readonly grpcPort: number;
  readonly journalDir: string;
  /** Its log so far. */
  readonly output: () => string;
  readonly kill: (signal: NodeJS.Signals) => Promise<{ code: number | null; signal: string | null }>;
}

export async function startSidecar(serviceGrpcPort: number, apiKey: string, env: Env = {}): Promise<SidecarProcess> {
  const [grpcPort, connectPort] = [await freePort(), await freePort()];
  const journalDir = env["DATACRAWL_SIDECAR_JOURNAL_DIR"] ?? tempDir();
  const child = ownProcess(
    spawn(process.execPath, [MAIN, "sidecar"], {
      env: cleanEnv({
        DATACRAWL_URL: `http://127.0.0.1:${serviceGrpcPort}`,
        DATACRAWL_API_KEY: apiKey,
        DATACRAWL_SIDECAR_GRPC_ADDR: `127.0.0.1:${grpcPort}`,
        DATACRAWL_SIDECAR_CONNECT_ADDR: `127.0.0.1:${connectPort}`,
        DATACRAWL_SIDECAR_JOURNAL_DIR: journalDir,
        ...env,
      }),
      stdio: ["ignore", "ignore", "pipe"],
    }),
  );
  let printed = "";
  child.stderr.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const connectUrl = `http://127.0.0.1:${connectPort}`;
  const listens = async (): Promise<boolean> =>
    (await fetch(`${connectUrl}/healthz`).catch(() => null))?.status === 200;
  await waitUntil(listens, 30_000, "the sidecar did not start");
  return {
    child,
    connectUrl,
    grpcPort,
    journalDir,
    output: () => printed,
    kill: (signal) => {
      child.kill(signal);
      return exited;
    },
  };
}
