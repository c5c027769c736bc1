import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type status } from "@grpc/grpc-js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
  RetryInfoSchema,
  StatusSchema,
} from "@datacrawl/proto/google/rpc/error_details_pb";
import type { Fault, FaultStatus } from "../../core/fault.ts";

/** `google.rpc.ErrorInfo.domain`: whose reasons these are. */
const DOMAIN = "datacrawl";

/** A status travels in headers, which clients limit to 8 KiB in all; a character may take nine bytes there. */
const MESSAGE_CHARACTERS = 300;
const FIELD_CHARACTERS = 200;

/** gRPC's numbers, which Connect shares. */
const CODES = {
  canceled: Code.Canceled,
  invalid_argument: Code.InvalidArgument,
  deadline_exceeded: Code.DeadlineExceeded,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  permission_denied: Code.PermissionDenied,
  resource_exhausted: Code.ResourceExhausted,
  failed_precondition: Code.FailedPrecondition,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
  unavailable: Code.Unavailable,
  unauthenticated: Code.Unauthenticated,
} as const satisfies Record<FaultStatus, Code>;

/** How grpc-js wants a status; `metadata` becomes the trailers. */
export interface GrpcStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

interface Detail {
  readonly desc: DescMessage;
  readonly value: MessageInitShape<DescMessage>;
}

/** `fault` for grpc-js, with the details that every gRPC library looks for. Its cause stays here. */
export function grpcStatus(fault: Fault): GrpcStatus {
  const code: number = CODES[fault.status];
  const message = messageOf(fault);
  const details = detailsOf(fault).map(({ desc, value }) => anyPack(desc, create(desc, value)));
  const metadata = new Metadata();
  const bytes = toBinary(StatusSchema, create(StatusSchema, { code, message, details }));
  metadata.set("grpc-status-details-bin", Buffer.from(bytes));
  return { code, details: message, metadata };
}

/** `fault` for Connect, with the same details. It is also the error's cause, which is logged and not sent. */
export function connectError(fault: Fault): ConnectError {
  return new ConnectError(messageOf(fault), CODES[fault.status], headersOf(fault), detailsOf(fault), fault);
}

/** For callers that know HTTP alone; whole seconds, as HTTP has it. */
function headersOf({ retryAfterMs }: Fault): Record<string, string> {
  return retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterMs / 1000)) };
}

function detailsOf(fault: Fault): Detail[] {
  const details: Detail[] = [{ desc: ErrorInfoSchema, value: { reason: fault.code, domain: DOMAIN } }];
  if (fault.field !== undefined) {
    const field = excerpt(fault.field, FIELD_CHARACTERS);
    details.push({ desc: BadRequestSchema, value: { fieldViolations: [{ field, description: messageOf(fault) }] } });
  }
  if (fault.retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: durationOf(fault.retryAfterMs) } });
  }
  if (fault.requestId !== undefined) details.push({ desc: RequestInfoSchema, value: { requestId: fault.requestId } });
  return details;
}

function durationOf(milliseconds: number): { seconds: bigint; nanos: number } {
  const whole = Math.floor(milliseconds / 1000);
  return { seconds: BigInt(whole), nanos: Math.round((milliseconds - whole * 1000) * 1_000_000) };
}

function messageOf(fault: Fault): string {
  return excerpt(fault.message, MESSAGE_CHARACTERS);
}

/** Messages name members of payloads, so they may hold any text: well-formed and short, or it could not be sent. */
function excerpt(text: string, characters: number): string {
  const short = text.length <= characters ? text : `${text.slice(0, characters)}…`;
  return short.toWellFormed();
}
