import { createHash } from "node:crypto";
import { type RedisLink, Script } from "../circuit/redis-link.ts";

/** Where guards of one agent find an order that another one got. It vouches for nothing: tokens are verified by the keeper. */
export interface SharedGrants {
  /** Newest first, at most 4. Rejects soon if Redis does not answer. */
  read(): Promise<readonly string[]>;
  write(order: { readonly token: string; readonly epoch: number }): Promise<void>;
}

/** Orders live 24 hours at most. */
const LIFE_MS = 24 * 60 * 60 * 1000;

// By epoch, so that a guard that is behind does not hide a newer revocation; and more than one, so that a false epoch does not
// hide a true one.
const READ = new Script("return redis.call('ZRANGE', KEYS[1], 0, 3, 'REV')");
const WRITE = new Script(`
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -5)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
`);

/** @param service distinguishes services that share a Redis, such as by the service's URL */
export function redisGrants(link: Pick<RedisLink, "run">, service: string, agentId: string): SharedGrants {
  const name = createHash("sha256")
    .update(JSON.stringify([service, agentId]))
    .digest("hex")
    .slice(0, 32);
  const keys = [`datacrawl:grants:{${name}}`];
  return {
    async read() {
      const reply = await link.run(READ, keys, []);
      return Array.isArray(reply) ? reply.filter((token) => typeof token === "string") : [];
    },
    async write({ token, epoch }) {
      await link.run(WRITE, keys, [String(epoch), token, String(LIFE_MS)]);
    },
  };
}
