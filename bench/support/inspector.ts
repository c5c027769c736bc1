import { setTimeout as sleep } from "node:timers/promises";

/** V8's CPU profile, as the inspector's protocol gives it; only the fields used here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  /** In microseconds, like all times here. */
  readonly startTime: number;
  readonly endTime: number;
  /** The node that was running at each sample, and the time since the sample before it. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const SAMPLING_INTERVAL_US = 250;

/** Samples the process that listens with `--inspect` on 127.0.0.1:`port`, for `durationMs`. */
export async function profileProcess(port: number, durationMs: number): Promise<CpuProfile> {
  const response = await fetch(`http://127.0.0.1:${port}/json/list`);
  const [target]: { webSocketDebuggerUrl: string }[] = JSON.parse(await response.text());
  const socket = new WebSocket(target!.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => reject(new Error("the inspector does not answer")));
  });
  await send(socket, 1, "Profiler.enable");
  await send(socket, 2, "Profiler.setSamplingInterval", { interval: SAMPLING_INTERVAL_US });
  await send(socket, 3, "Profiler.start");
  await sleep(durationMs);
  const { profile }: { profile: CpuProfile } = JSON.parse(await send(socket, 4, "Profiler.stop"));
  socket.close();
  return profile;
}

/** One command of the protocol; resolves with its result as JSON. */
function send(socket: WebSocket, id: number, method: string, params: object = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const onMessage = ({ data }: MessageEvent): void => {
      const message: { id?: number; result?: unknown; error?: { message: string } } = JSON.parse(String(data));
      if (message.id !== id) return;
      socket.removeEventListener("message", onMessage);
      if (message.error === undefined) resolve(JSON.stringify(message.result));
      else reject(new Error(`${method}: ${message.error.message}`));
    };
    socket.addEventListener("message", onMessage);
    socket.send(JSON.stringify({ id, method, params }));
  });
}
