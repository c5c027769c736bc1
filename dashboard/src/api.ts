import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { QueryClient } from "@tanstack/react-query";
import { ErrorInfoSchema } from "@datacrawl/proto/google/rpc/error_details_pb";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";

/** Why somebody has to sign in: nobody is signed in any more, or the last sign-in is too old for what was to be done. */
export type SignInNeed = "ended" | "too old";

const listeners = new Set<(need: SignInNeed) => void>();

/** Calls `listener` whenever the service says that somebody has to sign in; returns what stops that. */
export function onSignInNeeded(listener: (need: SignInNeed) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const noticeSignIn: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    const need = signInNeed(ConnectError.from(error));
    if (need !== null) for (const listener of listeners) listener(need);
    throw error;
  }
};

function signInNeed(error: ConnectError): SignInNeed | null {
  if (error.code === Code.Unauthenticated) return "ended";
  return error.findDetails(ErrorInfoSchema).some(({ reason }) => reason === "SIGN_IN_NOT_FRESH") ? "too old" : null;
}

/** Whether the service has answered for good, so that the same question gets the same answer. */
export function isFinal(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.NotFound || code === Code.InvalidArgument || code === Code.PermissionDenied;
}

/** The service that this page came from. The session is a cookie that scripts cannot read. */
export const transport = createConnectTransport({
  baseUrl: "/",
  defaultTimeoutMs: 10_000,
  interceptors: [noticeSignIn],
});

/** The same without a time limit: a stream lives as long as its page. */
export const streams = createClient(
  AdminService,
  createConnectTransport({ baseUrl: "/", interceptors: [noticeSignIn] }),
);

export const queries = new QueryClient({
  defaultOptions: {
    // The live stream says when something changed; nothing polls.
    queries: {
      retry: (failures, error) => failures < 1 && !isFinal(error),
      staleTime: 15_000,
      refetchOnWindowFocus: true,
    },
    mutations: { retry: false },
  },
});
