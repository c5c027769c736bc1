/**
 * The floor for one durable decision at a time: an echo that first asks Redis for one key, then commits one row to
 * Postgres, and does nothing else. `node floor-server.ts PORT REDIS_URL DATABASE_URL`.
 */
import { Redis } from "ioredis";
import { Pool } from "pg";
import { KEY_LENGTH } from "../load.ts";
import { authorizeResponse } from "./question.ts";
import { serveRaw } from "./raw-server.ts";

const [port, redisUrl, databaseUrl] = process.argv.slice(2);
const redis = new Redis(redisUrl!);
const pool = new Pool({ connectionString: databaseUrl!, max: 2 });
await pool.query("CREATE TABLE answers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)");
const response = authorizeResponse();

await serveRaw(Number(port), (request, reply) => {
  void lookUpAndCommit(request).then(() => reply(null, response), reply);
});

async function lookUpAndCommit(request: Buffer): Promise<void> {
  await redis.getBuffer(request.subarray(-KEY_LENGTH));
  await pool.query({ name: "insert", text: "INSERT INTO answers (body) VALUES ($1)", values: [request] });
}
