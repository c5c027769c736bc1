import { X509Certificate } from "node:crypto";
import { Metadata, type ServerInterceptor, status as GrpcStatusCode } from "@grpc/grpc-js";
import type { Call } from "../../authorize/call.ts";
import type { Clock } from "../../core/clock.ts";
import { Fault } from "../../core/fault.ts";
import type { Quota } from "../../core/quota.ts";
import { canceled, expired, tooLarge, unsupportedEncoding } from "../limits/bodies.ts";
import { LIMITS } from "../limits/limits.ts";
import type { Observer } from "../handlers.ts";
import { grpcStatus } from "../codec/status.ts";
import { type OpenStreams, settledUntil, yieldUntil } from "../limits/streams.ts";

type BaseCall = Parameters<ServerInterceptor>[1];
type Status = Parameters<BaseCall["sendStatus"]>[0];

interface Method<Body> {
  /** Reads a request. Throws a Fault naming the field. */
  decode(bytes: Buffer): Body;
}

export interface UnaryMethod<Body> extends Method<Body> {
  /** Answers with an encoded response, or rejects with a Fault. */
  answer(call: Call<Body>): Promise<Buffer>;
}

export interface StreamMethod<Body> extends Method<Body> {
  /** Answers with many encoded responses. Whatever it waits for must end with the call's signal. */
  stream(call: Call<Body>): AsyncIterable<Buffer>;
}

export type GrpcMethod<Body = unknown> = UnaryMethod<Body> | StreamMethod<Body>;

export interface UnaryPorts {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly bodies: Quota;
  readonly streams: OpenStreams;
}

const NO_METADATA = new Metadata();
const OK: Status = { code: GrpcStatusCode.OK, details: "OK", metadata: null };

/** Takes over a call with one request from grpc-js, from its headers on. */
export function serveUnary(base: BaseCall, called: Called, ports: UnaryPorts): void {
  new GrpcCall(base, called, ports).start();
}

interface Called {
  /** Such as `/package.Service/Method`. */
  readonly path: string;
  readonly method: GrpcMethod;
}

/**
 * One call, driven through the interface that grpc-js gives to interceptors.
 *
 * Its own driver for unary methods makes a Writable and an EventEmitter for each call, awaits the flush of the message before
 * it sends the status, waits for a body without a deadline, and answers some mistakes of callers with INTERNAL, which would
 * count as an outage.
 */
class GrpcCall implements Call<unknown> {
  readonly #base: BaseCall;
  readonly #path: string;
  readonly #method: GrpcMethod;
  readonly #ports: UnaryPorts;
  /** Expired: the caller has its answer, and the handler may not know yet. */
  #state: "receiving" | "working" | "answered" | "expired" = "receiving";
  #message: Buffer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #abort: AbortController | undefined;
  #gone = false;
  authorization: string | undefined;
  traceparent: string | undefined;
  deadlineAt = 0;
  /** Lets go of the bytes, which may be many more than what they say. */
  readonly readBody = () => {
    const bytes = this.#message!;
    this.#message = undefined;
    return this.#method.decode(bytes);
  };

  constructor(base: BaseCall, { path, method }: Called, ports: UnaryPorts) {
    this.#base = base;
    this.#path = path;
    this.#method = method;
    this.#ports = ports;
  }

  start(): void {
    const send = this.#base.sendStatus.bind(this.#base);
    // grpc-js sends refusals of its own through this method: expired, too large, bad gzip.
    this.#base.sendStatus = (status) => send(this.#state === "answered" ? status : this.#translate(status));
    this.#base.start(this);
  }

  onReceiveMetadata(metadata: Metadata): void {
    this.authorization = header(metadata, "authorization");
    this.traceparent = header(metadata, "traceparent");
    this.#setDeadline();
    try {
      this.#ports.bodies.hold();
    } catch (error) {
      this.#state = "working";
      return this.#refuse(Fault.from(error));
    }
    this.#base.startRead();
  }

  onReceiveMessage(message: Buffer): void {
    if (this.#state !== "receiving") return;
    if (this.#message !== undefined) return this.#refuse(malformed("holds more than one message"));
    this.#message = message;
    this.#base.startRead();
  }

  onReceiveHalfClose(): void {
    if (this.#state !== "receiving") return;
    if (this.#message === undefined) return this.#refuse(malformed("holds no complete message"));
    this.#received();
    if (this.deadlineAt <= this.#ports.clock.monotonic()) this.#refuse(expired());
    else if ("answer" in this.#method) void this.#work(this.#method);
    else void this.#stream(this.#method);
  }

  /** grpc-js calls this once, at the end of every call, whatever its end was. */
  onCancel(): void {
    clearTimeout(this.#timer);
    if (this.#state === "receiving") this.#received();
    this.#gone = this.#state !== "answered";
    if (this.#gone) this.#abort?.abort(canceled());
  }

  certificate(): X509Certificate | null {
    const { raw } = this.#base.getAuthContext().sslPeerCertificate ?? {};
    return raw === undefined ? null : new X509Certificate(raw);
  }

  /** Made when somebody asks: most calls end before anybody does. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#gone) this.#abort.abort(canceled());
    return this.#abort.signal;
  }

  /** grpc-js has a timer for the caller's deadline; the service's own is for callers without one, or with a distant one. */
  #setDeadline(defaultMs: number = LIMITS.defaultDeadlineMs, maxMs: number = LIMITS.maxDeadlineMs): void {
    const deadline = Number(this.#base.getDeadline());
    const left = deadline === Number.POSITIVE_INFINITY ? defaultMs : deadline - this.#ports.clock.now() / 1000;
    const ours = Math.max(0, Math.min(left, maxMs));
    this.deadlineAt = this.#ports.clock.monotonic() + ours;
    if (ours < left || deadline === Number.POSITIVE_INFINITY) this.#timer = setTimeout(expire, ours, this.#base);
  }

  #received(): void {
    this.#state = "working";
    this.#ports.bodies.release();
  }

  async #work(method: UnaryMethod<unknown>): Promise<void> {
    const { observer } = this.#ports;
    observer.onStart();
    try {
      this.#answer(await method.answer(this));
    } catch (error) {
      this.#refuse(Fault.from(error));
    } finally {
      observer.onEnd();
    }
  }

  /** A stream may last long; its request had to arrive as soon as any other. */
  async #stream(method: StreamMethod<unknown>): Promise<void> {
    clearTimeout(this.#timer);
    this.#setDeadline(LIMITS.maxStreamMs, LIMITS.maxStreamMs);
    const abort = (this.#abort ??= new AbortController());
    try {
      this.#ports.streams.add(abort);
      let isFirst = true;
      for await (const response of yieldUntil(method.stream(this), abort.signal)) {
        if (isFirst) this.#base.sendMetadata(NO_METADATA);
        isFirst = false;
        const { promise: sent, resolve } = Promise.withResolvers<void>();
        this.#base.sendMessage(response, resolve);
        // A caller that reads slowly is waited for, so that no more than one message of each stream waits here.
        await settledUntil(sent, abort.signal);
      }
      if (this.#state !== "working") return;
      this.#state = "answered";
      this.#base.sendStatus(OK);
    } catch (error) {
      this.#refuse(Fault.from(error));
    } finally {
      abort.abort();
    }
  }

  #answer(response: Buffer): void {
    if (this.#state !== "working") return;
    this.#state = "answered";
    this.#base.sendMetadata(NO_METADATA);
    this.#base.sendMessage(response, nothing);
    this.#base.sendStatus(OK);
  }

  #refuse(fault: Fault): void {
    if (this.#state === "receiving") this.#received();
    const method = this.#path.slice(this.#path.lastIndexOf("/") + 1);
    if (this.#state !== "working") return this.#ports.observer.onLateFault(fault, method);
    this.#state = "answered";
    this.#ports.observer.onFault(fault, method);
    this.#base.sendStatus(grpcStatus(fault));
  }

  /** A refusal of grpc-js' own in the words of the contract. */
  #translate(status: Status): Status {
    const receiving = this.#state === "receiving";
    if (receiving) this.#received();
    this.#state = status.code === GrpcStatusCode.DEADLINE_EXCEEDED ? "expired" : "answered";
    const fault = faultOf(status, receiving);
    if (fault === undefined) return status;
    this.#ports.observer.onFault(fault, this.#path.slice(this.#path.lastIndexOf("/") + 1));
    return grpcStatus(fault);
  }
}

/** @returns undefined for what stays as it is */
function faultOf(status: Status, receiving: boolean): Fault | undefined {
  if (status.code === GrpcStatusCode.DEADLINE_EXCEEDED) return expired();
  if (status.code === GrpcStatusCode.RESOURCE_EXHAUSTED) return tooLarge();
  if (status.code === GrpcStatusCode.UNIMPLEMENTED && receiving) return unsupportedEncoding(["gzip", "deflate"]);
  const isTheirs = status.code === GrpcStatusCode.INTERNAL && receiving;
  return isTheirs ? malformed("cannot be decompressed") : undefined;
}

/** One function for all timers, so that a call costs no closure. */
function expire(base: BaseCall): void {
  base.sendStatus({ code: GrpcStatusCode.DEADLINE_EXCEEDED, details: "Deadline exceeded" });
}

function malformed(problem: string): Fault {
  return new Fault("REQUEST_MALFORMED", `The request ${problem}.`);
}

function header(metadata: Metadata, name: string): string | undefined {
  const value = metadata.get(name)[0];
  return typeof value === "string" ? value : undefined;
}

function nothing(): void {}
