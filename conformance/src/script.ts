/** What a server does on a connection, step by step. */
import type { Socket } from "node:net";
import type { Clock } from "@datacrawl/core/clock";
import type { Question } from "./question.ts";

export type Step =
  | { readonly do: "send"; readonly bytes: Uint8Array }
  /** Milliseconds. */
  | { readonly do: "wait"; readonly ms: number }
  /** Waits until this long after the moment at which the client says that it stops waiting. */
  | { readonly do: "outwait"; readonly ms: number }
  /** Nothing more, until the client gives up; then `rest`. */
  | { readonly do: "stall"; readonly rest: Uint8Array }
  /** Ends the connection in order (FIN), or with a TCP reset. */
  | { readonly do: "end" }
  | { readonly do: "reset" };

export const send = (bytes: Uint8Array | string): Step => ({
  do: "send",
  bytes: typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes,
});
export const wait = (ms: number): Step => ({ do: "wait", ms });
export const outwait = (ms: number): Step => ({ do: "outwait", ms });
export const STALL: Step = { do: "stall", rest: new Uint8Array() };
export const END: Step = { do: "end" };
export const RESET: Step = { do: "reset" };

/**
 * The first `at` bytes, and the others when the client has given up: it may ask its next question on the same connection,
 * where half a frame would spoil the answer to that one too.
 */
export function stallWithin(bytes: Uint8Array, at: number): Step[] {
  return [send(bytes.subarray(0, at)), { do: "stall", rest: bytes.subarray(at) }];
}

/** `bytes` in pieces of `size`, `ms` apart. */
export function* drip(bytes: Uint8Array, size: number, ms: number): Generator<Step> {
  for (let at = 0; at < bytes.length; at += size) {
    yield send(bytes.subarray(at, at + size));
    yield wait(ms);
  }
}

/** The way to the client. */
export interface Wire {
  write(bytes: Uint8Array): void;
  /** Ends the connection in order (FIN). */
  end(): void;
  /** Ends it with a TCP reset. */
  reset(): void;
  readonly open: boolean;
}

export function wireOf(socket: Socket): Wire {
  return {
    write: (bytes) => void socket.write(bytes),
    end: () => void socket.end(),
    reset: () => void socket.resetAndDestroy(),
    get open() {
      return socket.writable;
    },
  };
}

/** A client that sent no deadline is outwaited for this long: longer than any runner waits for an answer. */
const NO_DEADLINE_MS = 60_000;

/** Plays `steps`, and stops when the client goes away. Resolves to whether every step was played. Never rejects. */
export async function play(
  steps: Iterable<Step>,
  wire: Wire,
  q: Question,
  gone: AbortSignal,
  clock: Clock,
): Promise<boolean> {
  const startedAt = clock.monotonic();
  for (const step of steps) {
    if (gone.aborted || !wire.open) return false;
    switch (step.do) {
      case "send":
        wire.write(step.bytes);
        break;
      case "wait":
        await pause(step.ms, gone);
        break;
      case "outwait":
        await pause(startedAt + (q.deadlineMs ?? NO_DEADLINE_MS) + step.ms - clock.monotonic(), gone);
        break;
      case "stall":
        await pause(NO_DEADLINE_MS, gone);
        if (wire.open) wire.write(step.rest);
        return false;
      case "end":
        wire.end();
        return false;
      case "reset":
        // Bytes that the kernel has not sent yet would be lost with the reset, and they are a part of the case.
        await pause(20, gone);
        wire.reset();
        return false;
    }
  }
  return true;
}

function pause(ms: number, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (gone.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      gone.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms));
    gone.addEventListener("abort", done);
  });
}
