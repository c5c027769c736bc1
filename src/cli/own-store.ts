import { createRouterTransport, type Interceptor, type Transport } from "@connectrpc/connect";
import { systemClock } from "../core/clock.ts";
import type { DataConfig } from "../config.ts";
import { openAdmin } from "../server/admin/operations.ts";
import { adminRpcs } from "../server/admin/service.ts";
import { openTrail } from "../server/lifecycle/trail.ts";
import { openRepositories } from "../server/repositories.ts";
import { openStore } from "../store/open.ts";

/** Runs `work` with AdminService on the store itself, in this process. */
export async function withOwnStore<Result>(
  config: DataConfig,
  onError: (error: Error) => void,
  interceptors: Interceptor[],
  work: (transport: Transport) => Promise<Result>,
): Promise<Result> {
  const store = await openStore(config, onError);
  try {
    const now = (): number => systemClock.now();
    const repositories = openRepositories(store);
    const admin = openAdmin(store, repositories, await openTrail(config, repositories, now), now);
    const transport = createRouterTransport(
      (router) => {
        for (const rpc of adminRpcs(admin, { kind: "socket" })) {
          if ("handle" in rpc) router.rpc(rpc.method, (request, context) => rpc.handle(() => request, context));
          else router.rpc(rpc.method, (request, context) => rpc.stream(() => request, context));
        }
      },
      { transport: { interceptors } },
    );
    return await work(transport);
  } finally {
    await store.close();
  }
}
