import { type Client, createClient, createRouterTransport, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { createConnection } from "node:net";
import { AdminService } from "../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { type DataConfig, loadDataConfig } from "../config.ts";
import { adminRpcs } from "../server/admin/service.ts";
import { systemClock } from "../clock.ts";
import { openAdmin } from "../server/admin/operations.ts";
import { openTrail } from "../server/trail.ts";
import { openStore } from "../store/open.ts";
import type { Io } from "./io.ts";

/** Runs `work` with AdminService: the running service's, through its socket, or else on the store itself. */
export async function withAdmin<Result>(
  io: Io,
  work: (admin: Client<typeof AdminService>) => Promise<Result>,
): Promise<Result> {
  const config = loadDataConfig(io.env, io.cwd);
  if (await somebodyListens(config.adminSocket)) {
    const baseUrl = "http://admin.sock";
    const overSocket = createConnectTransport({
      baseUrl,
      httpVersion: "1.1",
      nodeOptions: { socketPath: config.adminSocket },
    });
    return await work(createClient(AdminService, overSocket));
  }
  return await withOwnStore(config, io, (transport) => work(createClient(AdminService, transport)));
}

async function withOwnStore<Result>(
  config: DataConfig,
  io: Io,
  work: (transport: Transport) => Promise<Result>,
): Promise<Result> {
  const store = await openStore(config, (error) => io.err(`datacrawl: ${error.message}\n`));
  try {
    const now = (): number => systemClock.now();
    const admin = openAdmin(store, await openTrail(config, store, now), now);
    const transport = createRouterTransport((router) => {
      for (const rpc of adminRpcs(admin, { kind: "socket" })) {
        if ("handle" in rpc) router.rpc(rpc.method, (request, context) => rpc.handle(() => request, context));
        else router.rpc(rpc.method, (request, context) => rpc.stream(() => request, context));
      }
    });
    return await work(transport);
  } finally {
    await store.close();
  }
}

function somebodyListens(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
