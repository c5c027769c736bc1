import { Cluster, Redis } from "ioredis";

/**
 * Connections to Redis that fail instead of waiting. ioredis' defaults queue commands while the server is down and send
 * them again after it is back: a stall of seconds becomes a flood of stale writes, and a lookup hangs.
 */
const NEVER_WAIT = {
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  commandTimeout: 100,
  // A connection on which nothing arrives although something is asked is dead; the commands on it are given up.
  socketTimeout: 1000,
  connectTimeout: 1000,
  retryStrategy: (attempt: number) => Math.min(50 * 2 ** attempt, 1000),
} as const;

/**
 * Connects in the background; never throws for a server that is down.
 *
 * @param url one `redis://` or `rediss://` URL, or several, separated by commas, of one Redis Cluster
 * @param onError called for each failure of the connection; commands fail on their own besides
 */
export function openRedis(url: string, onError: (error: Error) => void): Redis | Cluster {
  const urls = url.split(",").map((part) => part.trim());
  const connection =
    urls.length === 1
      ? new Redis(urls[0] as string, NEVER_WAIT)
      : new Cluster(urls, {
          enableOfflineQueue: false,
          clusterRetryStrategy: NEVER_WAIT.retryStrategy,
          redisOptions: NEVER_WAIT,
        });
  connection.on("error", onError);
  return connection;
}
