import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { QueryClient } from "@tanstack/react-query";
import { AdminService } from "../../gen/datacrawl/authz/v1/admin_service_pb.ts";

const listeners = new Set<() => void>();

/** Calls `listener` whenever the service says that nobody is signed in; returns what stops that. */
export function onSignedOut(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const noticeSignedOut: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) for (const listener of listeners) listener();
    throw error;
  }
};

/** The service that this page came from. The session is a cookie that scripts cannot read. */
export const transport = createConnectTransport({
  baseUrl: "/",
  defaultTimeoutMs: 10_000,
  interceptors: [noticeSignedOut],
});

/** The same without a time limit: a stream lives as long as its page. */
export const streams = createClient(
  AdminService,
  createConnectTransport({ baseUrl: "/", interceptors: [noticeSignedOut] }),
);

export const queries = new QueryClient({
  defaultOptions: {
    // The live stream says when something changed; nothing polls.
    queries: { retry: 1, staleTime: 15_000, refetchOnWindowFocus: true },
    mutations: { retry: false },
  },
});
