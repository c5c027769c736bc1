import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { allowed, callAgent, newNonce } from "../support/agent-calls.ts";
import { type Cluster, makeCluster } from "../support/cluster.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { discard, type ServiceProcess, startService } from "../support/service.ts";

const DECISIONS = 60;
const RACERS = 3;

describe.skipIf(inject("postgresUrl") === null)(
  "executions while Postgres stops, and comes back on the same data",
  () => {
    let server: PostgresServer;
    let cluster: Cluster;
    let services: ServiceProcess[] = [];

    beforeAll(async () => {
      server = (await startPostgres()) as PostgresServer;
      cluster = (await makeCluster({}, server.url)) as Cluster;
      services = await Promise.all([startService(cluster.env), startService(cluster.env)]);
    });
    afterAll(async () => {
      await Promise.all(services.map(discard));
      await server?.stop();
    });

    test("are started once each, and what was answered is there", { timeout: 120_000 }, async () => {
      const url = (n: number): string => services[n % services.length]?.connectUrl as string;
      const decisions = await Promise.all(
        Array.from({ length: DECISIONS }, (_, n) => allowed(url(n), cluster.agentKey, `restart-${n}`)),
      );
      let [isBack, unanswered] = [false, 0];
      /** The state that a racer is answered in the end, who asks again with the same nonce as long as there is no answer. */
      const begin = async (decisionId: string, replica: number): Promise<[string, string, unknown]> => {
        const nonce = newNonce();
        for (;;) {
          const { status, body } = await callAgent(url(replica), cluster.agentKey, "BeginExecution", {
            decisionId,
            nonce,
          });
          if (status === 200) return [decisionId, String(body["state"]), body["executionId"]];
          expect(body["code"], JSON.stringify(body)).toMatch(/unavailable|deadline_exceeded|resource_exhausted/);
          unanswered++;
          await sleep(50);
        }
      };
      const race = (decisionId: string, n: number) =>
        Promise.all(Array.from({ length: RACERS }, (_, racer) => begin(decisionId, n + racer)));
      const restarting = server.restart().then(() => (isBack = true));
      const answers: [string, string, unknown][] = [];
      for (const [n, decisionId] of decisions.entries()) answers.push(...(await race(decisionId, n)));
      await restarting;
      // The control: some had asked while it was gone.
      expect([isBack, unanswered > 0]).toEqual([true, true]);

      const database = new pg.Client(cluster.superUrl);
      await database.connect();
      const { rows } = await database.query<{ id: string; execution: string; events: number }>(
        `SELECT decision_id AS id, execution_id AS execution, (SELECT count(*)::int FROM audit_events v
         WHERE v.decision_id = e.decision_id AND kind = 'execution.started') AS events FROM executions e`,
      );
      await database.end();
      const started = answers.filter(([, state]) => state === "EXECUTION_STATE_STARTED");
      const answered = started.map(([decisionId, , execution]) => `${decisionId} ${String(execution)} 1`);
      expect(answered.toSorted()).toEqual(
        rows.map(({ id, execution, events }) => `${id} ${execution} ${events}`).toSorted(),
      );
      expect(started.map(([decisionId]) => decisionId).toSorted()).toEqual(decisions.toSorted());
      expect(answers.filter(([, state]) => state === "EXECUTION_STATE_ALREADY_STARTED")).toHaveLength(
        (RACERS - 1) * DECISIONS,
      );
    });
  },
);
