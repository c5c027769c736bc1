import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import type { Caller } from "../../admin/caller.ts";
import type { AdminMethod } from "./access.ts";

/** A call whose caller is known and may make it. */
export interface AdminCall {
  readonly caller: Caller;
  /** The caller, as the audit trail names it. */
  readonly actor: string;
  readonly context: HandlerContext;
}

type Methods = typeof AdminService.method;

type Answer<M extends AdminMethod> = Methods[M]["methodKind"] extends "server_streaming"
  ? AsyncIterable<MessageInitShape<Methods[M]["output"]>>
  : Promise<MessageInitShape<Methods[M]["output"]>>;

/** What answers each method; rejects with Faults. A stream ends with the signal of its call's context. */
export type AdminMethods = {
  readonly [M in AdminMethod]: (request: MessageShape<Methods[M]["input"]>, call: AdminCall) => Answer<M>;
};
