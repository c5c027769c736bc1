import { setTimeout as sleep } from "node:timers/promises";

/** V8's CPU profile, as the inspector's protocol gives it; only the fields used here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: CallFrame;
    readonly children?: readonly number[];
  }[];
  /** In microseconds, like all times here. */
  readonly startTime: number;
  readonly endTime: number;
  /** The node that was running at each sample, and the time since the sample before it. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

/** A function of V8's heap profile, with what it allocated itself and those that it called. */
export interface Allocations {
  readonly callFrame: CallFrame;
  /** Bytes. */
  readonly selfSize: number;
  readonly children: readonly Allocations[];
}

const SAMPLING_INTERVAL_US = 250;

const SAMPLING_INTERVAL_BYTES = 16 * 1024;

/** Samples what runs in the process that listens with `--inspect` on 127.0.0.1:`port`, for `durationMs`. */
export async function profileProcess(port: number, durationMs: number): Promise<CpuProfile> {
  return await inspect(port, async (call) => {
    await call("Profiler.enable");
    await call("Profiler.setSamplingInterval", { interval: SAMPLING_INTERVAL_US });
    await call("Profiler.start");
    await sleep(durationMs);
    const { profile }: { profile: CpuProfile } = JSON.parse(await call("Profiler.stop"));
    return profile;
  });
}

/** Samples what the process allocates, for `durationMs`: also what has been collected since. */
export async function profileAllocations(port: number, durationMs: number): Promise<Allocations> {
  return await inspect(port, async (call) => {
    await call("HeapProfiler.startSampling", {
      samplingInterval: SAMPLING_INTERVAL_BYTES,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    });
    await sleep(durationMs);
    const { profile }: { profile: { head: Allocations } } = JSON.parse(await call("HeapProfiler.stopSampling"));
    return profile.head;
  });
}

type Call = (method: string, params?: object) => Promise<string>;

async function inspect<T>(port: number, work: (call: Call) => Promise<T>): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${port}/json/list`);
  const [target]: { webSocketDebuggerUrl: string }[] = JSON.parse(await response.text());
  const socket = new WebSocket(target!.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => reject(new Error("the inspector does not answer")));
  });
  let calls = 0;
  try {
    return await work((method, params) => send(socket, ++calls, method, params));
  } finally {
    socket.close();
  }
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
