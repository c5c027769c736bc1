import type { DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { AdminService } from "../../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { SessionService } from "../../../gen/datacrawl/authz/v1/session_service_pb.ts";
import type { AccountOperations } from "../../admin/accounts.ts";
import type { BypassOperations } from "../../admin/bypass.ts";
import type { CallFacts, CallTrail } from "../../admin/call-trail.ts";
import { actorOf } from "../../admin/caller.ts";
import type { DecisionSearch } from "../../admin/decision-search.ts";
import type { AdminOperations } from "../../admin/operations.ts";
import type { Sessions } from "../../admin/sessions.ts";
import type { Micros } from "../../clock.ts";
import { Fault } from "../../fault.ts";
import { connectError } from "../status.ts";
import { type AdminMethod, checkAccess } from "./access.ts";
import { agentMethods } from "./agents.ts";
import { bypassMethods } from "./bypass.ts";
import { circuitMethods, type ListCircuits } from "./circuits.ts";
import { decisionMethods } from "./decisions.ts";
import { type Door, fromOf, identify, refuseCrossSite } from "./door.ts";
import type { AdminMethods } from "./methods.ts";
import { operatorMethods } from "./operators.ts";
import { type SessionMethods, sessionMethods } from "./sessions.ts";

/** Everything that operators can do. */
export interface Admin {
  readonly operations: AdminOperations;
  readonly search: DecisionSearch;
  readonly bypass: BypassOperations;
  readonly circuits: ListCircuits;
  readonly accounts: AccountOperations;
  readonly sessions: Sessions;
  readonly trail: CallTrail;
  readonly now: () => Micros;
}

/** A method and what answers it; rejects with ConnectErrors. The request is read when it is known who calls. */
export interface AdminRpc<M extends DescMethodUnary = DescMethodUnary> {
  readonly method: M;
  readonly handle: (
    read: () => MessageShape<M["input"]>,
    context: HandlerContext,
  ) => Promise<MessageInitShape<M["output"]>>;
}

/** AdminService and SessionService as one door serves them. */
export function adminRpcs(admin: Admin, door: Door): AdminRpc[] {
  const methods: AdminMethods = {
    ...agentMethods(admin.operations, admin.bypass),
    ...bypassMethods(admin.bypass),
    ...circuitMethods(admin.circuits),
    ...decisionMethods(admin.operations, admin.search),
    ...operatorMethods(admin.accounts),
  };
  const sessions = sessionMethods(admin.sessions, door);
  return [
    ...Object.values(AdminService.method).map((method) => operatorRpc(method, methods, admin, door)),
    ...Object.values(SessionService.method).map((method) => sessionRpc(method, sessions, admin, door)),
  ];
}

/** `identify → may they? → do`, for every method alike. */
function operatorRpc(method: DescMethodUnary, methods: AdminMethods, admin: Admin, door: Door): AdminRpc {
  const name = method.localName as AdminMethod;
  return recorded(method, admin, door, async (read, context, tell) => {
    const caller = await identify(context, door, admin.sessions);
    const actor = actorOf(caller);
    tell({ actor });
    refuseCrossSite(context, door);
    const request = read();
    tell({ subject: subjectOf(request) });
    checkAccess(name, caller, admin.now());
    return await methods[name](request as never, { caller, actor, context });
  });
}

/** For whoever it may be: these methods find out. */
function sessionRpc(method: DescMethodUnary, methods: SessionMethods, admin: Admin, door: Door): AdminRpc {
  const name = method.localName as keyof SessionMethods;
  return recorded(method, admin, door, async (read, context, tell) => {
    refuseCrossSite(context, door);
    return await methods[name](read() as never, { context, tell });
  });
}

type Tell = (facts: Partial<Pick<CallFacts, "actor" | "subject">>) => void;
type Work<M extends DescMethodUnary> = (
  read: () => MessageShape<M["input"]>,
  context: HandlerContext,
  tell: Tell,
) => Promise<MessageInitShape<M["output"]>>;

/** INVARIANT: whatever comes of the call, it is in the trail before it is answered, or it fails. */
function recorded<M extends DescMethodUnary>(method: M, admin: Admin, door: Door, work: Work<M>): AdminRpc<M> {
  const name = `${method.parent.name}.${method.name}`;
  return {
    method,
    handle: async (read, context) => {
      let facts: Omit<CallFacts, "outcome"> = { method: name, from: fromOf(context, door), actor: null, subject: null };
      try {
        const [result] = await Promise.allSettled([work(read, context, (more) => (facts = { ...facts, ...more }))]);
        const outcome = result.status === "fulfilled" ? "ok" : Fault.from(result.reason).code;
        await admin.trail.record({ ...facts, outcome });
        if (result.status === "fulfilled") return result.value;
        throw result.reason;
      } catch (error) {
        throw connectError(Fault.from(error));
      }
    },
  };
}

/** What a request is about: the first of its ids. */
const SUBJECTS = ["agentId", "decisionId", "reviewId", "name"] as const;

function subjectOf(request: object): string | null {
  const fields = request as Readonly<Record<string, unknown>>;
  const subject = SUBJECTS.map((field) => fields[field]).find((value) => typeof value === "string" && value !== "");
  return typeof subject === "string" ? subject : null;
}
