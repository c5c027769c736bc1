import { create, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  type Session,
  SessionSchema,
  type SessionService,
} from "@datacrawl/proto/datacrawl/authz/v1/session_service_pb";
import { actorOf } from "../../admin/caller.ts";
import { claimedName, type Named } from "../../admin/sessions.ts";
import { Fault } from "../../core/fault.ts";
import { remoteAddressOf } from "../http/rpc.ts";
import { timestampOf } from "../codec/timestamp.ts";
import {
  type Ingress,
  originOf,
  setSessionCookie,
  type Identities,
  identify,
  sessionOf,
  clearSessionCookie,
} from "./ingress.ts";
import { ROLE_MESSAGE } from "./operators.ts";

type Methods = typeof SessionService.method;

/** A call whose caller is not known yet. */
export interface SessionCall {
  readonly context: HandlerContext;
  /** Says, for the trail, who it turned out to be, or whose name was claimed. */
  readonly note: (facts: { readonly actor?: string; readonly subject?: string }) => void;
}

/** What answers each method; rejects with Faults. */
export type SessionMethods = {
  readonly [M in keyof Methods]: (
    request: MessageShape<Methods[M]["input"]>,
    call: SessionCall,
  ) => Promise<MessageInitShape<Methods[M]["output"]>>;
};

export function sessionMethods({ sessions, tokens }: Identities, ingress: Ingress): SessionMethods {
  return {
    async signIn({ name, password, totpCode }, { context, note }) {
      note({ subject: claimedName(name) });
      const older = await sessionOf(context, ingress, sessions);
      const from = originOf(remoteAddressOf(context), ingress);
      const { caller, token } = await sessions.signIn({
        name,
        password,
        totpCode,
        from,
        replaces: older?.token ?? null,
        signal: context.signal,
      });
      note({ actor: actorOf(caller) });
      setSessionCookie(context, ingress, token);
      return { session: sessionMessage(caller) };
    },
    async signOut(_request, { context, note }) {
      const session = await sessionOf(context, ingress, sessions);
      clearSessionCookie(context, ingress);
      if (session === null) return {};
      note({ actor: actorOf(session.named) });
      await sessions.signOut(session.token, session.named);
      return {};
    },
    async getSession(_request, { context, note }) {
      const caller = await identify(context, ingress, { sessions, tokens });
      note({ actor: actorOf(caller) });
      if (caller.kind === "socket")
        throw new Fault(
          "CREDENTIAL_MISSING",
          "The socket has no session: sign in first (on the command line: --as NAME).",
        );
      return { session: sessionMessage(caller) };
    },
  };
}

function sessionMessage({ name, role, signedInAt, methods }: Named): Session {
  return create(SessionSchema, {
    name,
    role: ROLE_MESSAGE[role],
    methods: [...methods],
    ...(signedInAt === null ? {} : { signedInAt: timestampOf(signedInAt) }),
  });
}
