/** A bug that takes one safeguard away, and the suites that should notice. */
export interface Mutant {
  /** What is lost, for people. */
  readonly safeguard: string;
  readonly file: string;
  /** There exactly once in the file. */
  readonly search: string;
  readonly replace: string;
  /** The fastest that should notice: paths, or beginnings of paths, as vitest takes them. */
  readonly suites: readonly string[];
}

type Row = readonly [safeguard: string, file: string, search: string, replace: string];

function caughtBy(suites: readonly string[], rows: readonly Row[]): Mutant[] {
  return rows.map(([safeguard, file, search, replace]) => ({ safeguard, file, search, replace, suites }));
}

export const MUTANTS: readonly Mutant[] = [
  // Permission, and what it is read from.
  ...caughtBy(
    ["test/core/decision.test.ts"],
    [
      [
        "only allow is permission",
        "src/core/decision.ts",
        'return decision === "allow";',
        'return decision !== "deny" && decision !== "needs_review";',
      ],
    ],
  ),
  ...caughtBy(
    ["clients/typescript/test/call/interpret.test.ts"],
    [
      [
        "an answer names the agent that asked",
        "clients/typescript/src/call/interpret.ts",
        'if (unverified.agentId !== expected.agentId) return "the answer is for another agent";',
        "",
      ],
      [
        "an answer names the tool",
        "clients/typescript/src/call/interpret.ts",
        'if (unverified.tool !== expected.tool) return "the answer is for another tool";',
        "",
      ],
      [
        "an answer names the key",
        "clients/typescript/src/call/interpret.ts",
        'if (unverified.idempotencyKey !== expected.idempotencyKey) return "the answer is for another idempotency key";',
        "",
      ],
      [
        "an answer names the attempt",
        "clients/typescript/src/call/interpret.ts",
        'if (Buffer.compare(unverified.nonce, expected.nonce) !== 0) return "the answer is for another attempt";',
        "",
      ],
      [
        "decision and reason agree",
        "clients/typescript/src/call/interpret.ts",
        "if (DECISION_OF[reason] !== decision) return",
        "if (false) return",
      ],
    ],
  ),

  ...caughtBy(
    ["test/core/wire-reader.test.ts"],
    [
      [
        "a varint has its shortest form",
        "src/core/wire-reader.ts",
        "if (byte === 0 && index > 0) throw",
        "if (false) throw",
      ],
      ["a varint has at most 64 bits", "src/core/wire-reader.ts", "if (index === 9 && byte > 1) break;", ""],
    ],
  ),

  // One key, one decision.
  ...caughtBy(
    ["test/idempotency/key.test.ts"],
    [
      [
        "the request digest covers the tool",
        "src/idempotency/key.ts",
        "keys.request.digest(agentId, tool, canonicalPayload)",
        "keys.request.digest(agentId, canonicalPayload)",
      ],
      [
        "the request digest covers the payload",
        "src/idempotency/key.ts",
        "keys.request.digest(agentId, tool, canonicalPayload)",
        "keys.request.digest(agentId, tool)",
      ],
      [
        "the request digest covers the agent",
        "src/idempotency/key.ts",
        "keys.request.digest(agentId, tool, canonicalPayload)",
        "keys.request.digest(tool, canonicalPayload)",
      ],
      [
        "digests are compared",
        "src/idempotency/key.ts",
        "a.length === b.length && timingSafeEqual(a, b)",
        "a.length === b.length",
      ],
      [
        "digests are compared to their last byte",
        "src/idempotency/key.ts",
        "timingSafeEqual(a, b)",
        "timingSafeEqual(a.subarray(0, 31), b.subarray(0, 31))",
      ],
      [
        "calls of two requests share no flight",
        "src/idempotency/key.ts",
        'return `${agentId} ${Buffer.from(requestDigest).toString("latin1")} ${idempotencyKey}`;',
        "return `${agentId} ${idempotencyKey}`;",
      ],
    ],
  ),
  ...caughtBy(
    ["test/idempotency/sealed-claim.test.ts"],
    [
      [
        "a cached claim is believed under its seal alone",
        "src/idempotency/sealed-claim.ts",
        "if (!timingSafeEqual(untrustedValue.subarray(0, SEAL_BYTES), seal(keys, agentId, idempotencyKey, body))) return null;",
        "",
      ],
      [
        "the seal of a cached claim covers its key",
        "src/idempotency/sealed-claim.ts",
        "keys.cacheSeal.digest(agentId, idempotencyKey, body)",
        "keys.cacheSeal.digest(agentId, body)",
      ],
      [
        "a cached claim expires",
        "src/idempotency/sealed-claim.ts",
        "!(reason in DECISION_OF) || expiresAt <= now",
        "!(reason in DECISION_OF)",
      ],
    ],
  ),
  ...caughtBy(
    ["test/authorize/authorize.test.ts"],
    [
      [
        "a key is replayed for the same request alone",
        "src/authorize/authorize.ts",
        "if (!sameDigest(first.requestDigest, request.requestDigest))",
        "if (false)",
      ],
      [
        "an allow is replayed to an active agent alone",
        "src/authorize/authorize.ts",
        "if (isFrozen) return await denyFrozen(ports, request, deadline, first);",
        "",
      ],
      [
        "a loser of the race for a claim is answered by the winner",
        "src/authorize/authorize.ts",
        "if (written !== null) return decisionOf(entry, request.requestDigest, written.claimExpiresAt);",
        "return decisionOf(entry, request.requestDigest, written?.claimExpiresAt ?? null);",
      ],
      [
        "a review is never remembered",
        "src/authorize/authorize.ts",
        'if (DECISION_OF[decision.reason] !== "needs_review" && isClaim(decision))',
        "if (isClaim(decision))",
      ],
    ],
  ),

  // Recorded before answered.
  ...caughtBy(
    ["test/audit/write/writer.test.ts"],
    [
      [
        "an entry is written only if its own id is in the result",
        "src/audit/write/group-writer.ts",
        "waiting.resolve(written.get(this.#kind.idOf(waiting.entry)) ?? null)",
        "waiting.resolve([...written.values()][0] ?? null)",
      ],
      [
        "no batch makes the same claim twice",
        "src/audit/write/group-writer.ts",
        "if (claim !== null && claims.has(claim)) {",
        "if (false) {",
      ],
      [
        "a poisoned batch is tried in halves",
        "src/audit/write/group-writer.ts",
        "if (error instanceof PoisonedBatch && batch.length > 1) {",
        "if (false) {",
      ],
      [
        "the second half of a poisoned batch is written",
        "src/audit/write/group-writer.ts",
        "await this.#write(batch.slice(middle));",
        "",
      ],
      [
        "the second half of a poisoned batch is not taken for written",
        "src/audit/write/group-writer.ts",
        "await this.#write(batch.slice(middle));",
        "for (const waiting of batch.slice(middle)) waiting.resolve({ claimExpiresAt: null } as never);",
      ],
      [
        "an entry that nobody waits for is not written",
        "src/audit/write/group-writer.ts",
        "if (next.deadline.at <= now) {",
        "if (false) {",
      ],
      [
        "what failed is not taken for written",
        "src/audit/write/group-writer.ts",
        "for (const { entry, reject } of batch) reject(storeFault(error, noun, decisionOf(entry)));",
        "for (const { resolve } of batch) resolve({ claimExpiresAt: null } as never);",
      ],
    ],
  ),
  ...caughtBy(
    ["test/store/commit.test.ts"],
    [
      [
        "what is read back is what was found",
        "src/store/records.ts",
        "return new Map(rows.map(({ decision_id }) => [decision_id, { claimExpiresAt: null }]));",
        "return new Map(entries.map(({ row }) => [row.decisionId, { claimExpiresAt: null }]));",
      ],
      [
        "nothing found is nothing written",
        "src/store/records.ts",
        "if (rows.length === 0) throw new CommitUnknown(cause.message, { cause });",
        "if (rows.length === 0) return new Map(entries.map(({ row }) => [row.decisionId, { claimExpiresAt: null }]));",
      ],
      [
        "a commit with a warning is not durable",
        "src/store/dialect/postgres.ts",
        "if (warnings.length > 0)",
        "if (false)",
      ],
    ],
  ),
  ...caughtBy(
    ["test/authorize/begin.test.ts"],
    [
      [
        "another nonce does not start an execution again",
        "src/authorize/begin.ts",
        "const isOwn = sameDigest(execution.nonce, nonce);",
        "const isOwn = true;",
      ],
      [
        "a decision is started by its own agent",
        "src/authorize/begin.ts",
        "if (decision === null || decision.agentId !== request.agentId)",
        "if (decision === null)",
      ],
      [
        "a frozen agent starts nothing",
        "src/authorize/begin.ts",
        'if ((await ports.agents.confirmedStateOf(decision.agentId)) !== "active")',
        "if (false)",
      ],
      [
        "only a decision that holds its claim is started",
        "src/authorize/begin.ts",
        "if (requestDigest === null || expiresAt === null)",
        "if (false)",
      ],
      [
        "a decision of before a rollback is not started",
        "src/authorize/begin.ts",
        "if (decision.recordedAt < ports.decisionsVoidBefore())",
        "if (false)",
      ],
      [
        "an approval that ended starts nothing",
        "src/authorize/begin.ts",
        'if (review.state === "approved") return null;',
        "if (review.approvalExpiresAt !== null) return null;",
      ],
    ],
  ),
  ...caughtBy(
    ["test/server/codec/begin.test.ts"],
    [
      [
        "a field that occurs twice is refused in BeginExecution",
        "src/server/codec/begin.ts",
        "tag === DECISION_ID && decisionId === undefined",
        "tag === DECISION_ID",
      ],
      [
        "an answer to BeginExecution that is cut short has no state",
        "src/server/codec/begin.ts",
        "writer.varintField(15, STATE[answer.state]);\n  return",
        "return",
      ],
      [
        "an execution's id goes to the caller alone that started it",
        "src/server/codec/begin.ts",
        'if (answer.state === "started") writer',
        "writer",
      ],
    ],
  ),
  ...caughtBy(
    ["test/authorize/report.test.ts"],
    [
      [
        "an execution is reported by its own agent",
        "src/authorize/report.ts",
        "execution.agentId !== agent.agentId ||",
        "",
      ],
      [
        "a report that contradicts the recorded one is refused",
        "src/authorize/report.ts",
        "if (end === null && !agrees(",
        "if (false && !agrees(",
      ],
      [
        "a summary that may repeat what is redacted is not stored",
        "src/authorize/report.ts",
        "ports.policy().redaction.pathsOf(tool).length > 0",
        "false",
      ],
    ],
  ),
  ...caughtBy(
    ["test/store/executions.test.ts"],
    [
      [
        "an event of a start is written only with the start",
        "src/store/executions.ts",
        "FROM input WHERE execution_id IN (SELECT execution_id FROM started)",
        "FROM input",
      ],
      [
        "a decision without its claim is not started",
        "src/store/executions.ts",
        "AND c.expires_at > ${NOW} LIMIT 1)",
        "OR true LIMIT 1)",
      ],
      [
        "an event of an outcome is written only with the outcome",
        "src/store/executions.ts",
        "FROM input WHERE event_event_id IN (SELECT event_id FROM ended)",
        "FROM input",
      ],
      [
        "an execution is noted as unresolved once",
        "src/store/executions.ts",
        "AND noted_at IS NULL AND report_due_at",
        "AND report_due_at",
      ],
      [
        "an event of an unresolved execution is written only with its note",
        "src/store/executions.ts",
        "FROM input WHERE event_decision_id IN (SELECT decision_id FROM noted)",
        "FROM input",
      ],
    ],
  ),
  ...caughtBy(
    ["test/admin/executions.test.ts"],
    [
      [
        "an agent's namesake does not resolve its execution",
        "src/admin/executions.ts",
        "if (isAlike(operator, execution.agentId)) {",
        "if (false) {",
      ],
    ],
  ),
  ...caughtBy(
    ["test/store/proofs.test.ts"],
    [
      [
        "a month with executions that have no outcome is not retired",
        "src/admin/retire.ts",
        "if (counts.openExecutions > 0 && !withUnresolved)",
        "if (false)",
      ],
    ],
  ),
  ...caughtBy(
    ["test/store/records.test.ts"],
    [
      ["an unexpired claim is kept", "src/store/records.ts", "WHERE held.expires_at <= now()", "WHERE true"],
      [
        "a row is written only with its claim",
        "src/store/records.ts",
        "SELECT * FROM input WHERE variant IS NULL OR decision_id IN (SELECT decision_id FROM claimed)",
        "SELECT * FROM input",
      ],
      [
        "a decision is watched by its own agent",
        "src/store/records.ts",
        '.where("d.agent_id", "=", decision.agentId)',
        "",
      ],
    ],
  ),
  ...caughtBy(
    ["test/store/lock-order.test.ts"],
    [
      [
        "batches of decisions take their locks in one order",
        "src/store/records.ts",
        'ORDER BY agent_id COLLATE "C", idempotency_key COLLATE "C", variant',
        "",
      ],
      [
        "batches of guards' records take their locks in one order",
        "src/store/guard-records.ts",
        'ORDER BY agent_id COLLATE "C", guard_record_hash',
        "",
      ],
      [
        "the purge passes over claims that are being renewed",
        "src/store/records.ts",
        "LIMIT 5000 FOR UPDATE SKIP LOCKED",
        "LIMIT 5000 FOR UPDATE",
      ],
    ],
  ),

  // The trail.
  ...caughtBy(
    ["test/store/append-only.test.ts"],
    [
      [
        "partitions of events are append-only",
        "src/store/migrations/0007-seals.ts",
        "PERFORM datacrawl_make_partition('audit_events', (this_month + ahead * interval '1 month')::date, true);",
        "PERFORM datacrawl_make_partition('audit_events', (this_month + ahead * interval '1 month')::date, false);",
      ],
      [
        "partitions are not truncated",
        "src/store/migrations/0001-foundation.ts",
        "EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER refuse_truncate', partition);",
        "",
      ],
      [
        "muted triggers still guard partitions",
        "src/store/migrations/0001-foundation.ts",
        "EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER refuse_change', partition);",
        "",
      ],
      [
        "checkpoints are append-only",
        "src/store/migrations/0007-seals.ts",
        "ARRAY['audit_log', 'audit_epochs', 'audit_nodes', 'audit_checkpoints']",
        "ARRAY['audit_log', 'audit_epochs', 'audit_nodes']",
      ],
      [
        "the service's login cannot change events",
        "src/store/migrate.ts",
        'audit_events: "SELECT, INSERT",',
        'audit_events: "SELECT, INSERT, UPDATE",',
      ],
    ],
  ),
  ...caughtBy(
    ["test/audit/verify/verify.test.ts"],
    [
      [
        "rows have their hashes",
        "src/audit/verify/segment.ts",
        "if (!holds(fields, storedHash, hashBinaryRow(stream, fields, row)))",
        "if (false)",
      ],
      [
        "leaves are those that were sealed",
        "src/audit/verify/segment.ts",
        "if (!holds(fields, leafHash, rowLeaf(stream, bytesOf(fields, storedHash))))",
        "if (false)",
      ],
      [
        "stored nodes follow from the leaves",
        "src/audit/verify/segment.ts",
        "if (own !== undefined && Buffer.compare(own, hash) === 0) continue;",
        "if (own !== undefined) continue;",
      ],
      [
        "no stored node is missing",
        "src/audit/verify/segment.ts",
        "if (stored.length < computed.size) {",
        "if (false) {",
      ],
      [
        "signed roots follow from the leaves",
        "src/audit/verify/segment.ts",
        "const good = grown !== null && Buffer.compare(grown.root(), checkpoint.root) === 0;",
        "const good = grown !== null;",
      ],
      [
        "a checkpoint's columns are what was signed",
        "src/audit/verify/segment.ts",
        'if (!same) problem("its columns are not what was signed");',
        "",
      ],
      [
        "a row that was sealed is there",
        "src/audit/verify/segment.ts",
        'if (!isRetired(recordedAtOf(fields))) report("row_missing", "the row that was sealed is gone");',
        "",
      ],
    ],
  ),

  // Guards.
  ...caughtBy(
    ["test/store/guard-records.test.ts"],
    [
      [
        "a guard's records are committed when they are acknowledged",
        "src/store/guard-records.ts",
        "await RECORD.execute(this.db, { json });",
        "void RECORD.execute(this.db, { json });",
      ],
      [
        "a guard's record is one row",
        "src/store/guard-records.ts",
        "WHERE (agent_id, guard_record_hash) IN (SELECT agent_id, record_hash FROM claimed)",
        "WHERE true",
      ],
      [
        "a place in a journal is one record's",
        "src/store/guard-records.ts",
        "AND sequence = ANY (${sequences}::text::bigint[])",
        "AND sequence <> ALL (${sequences}::text::bigint[])",
      ],
    ],
  ),
  ...caughtBy(
    ["test/authorize/sync-guard.test.ts"],
    [
      [
        "a place in a journal that is used twice is flagged",
        "src/authorize/sync-guard.ts",
        'isForked ? ["sequence_used_twice"] : []',
        "[]",
      ],
      [
        "records are acknowledged after they are recorded",
        "src/authorize/sync-guard.ts",
        "const foreign = await recordClaims(ports, sync, agentId, verified.claims);",
        "const foreign: Refused[] = []; recordClaims(ports, sync, agentId, verified.claims).catch(() => undefined);",
      ],
    ],
  ),
  ...caughtBy(
    ["test/authn/agent-state.test.ts"],
    [
      [
        "an agent's state is confirmed within a second",
        "src/authn/directory.ts",
        'if (this.age > FRESH_MS) throw unconfirmed("The store answers too slowly.");',
        "",
      ],
      [
        "what a slow answer saw is as old as its question",
        "src/authn/directory.ts",
        "this.#confirmedAt = begun;",
        "this.#confirmedAt = this.#monotonic();",
      ],
      [
        "a revoked agent's key is refused",
        "src/authn/directory.ts",
        'if (this.#agents.get(key.agentId)?.state === "revoked") throw unknownCredential();',
        "",
      ],
      [
        "a credential's secret is compared",
        "src/authn/directory.ts",
        "if (!known || !secretMatches(credential.secret, key.secretHash)) throw unknownCredential();",
        "if (!known) throw unknownCredential();",
      ],
    ],
  ),
  ...caughtBy(
    ["clients/typescript/test/circuit/circuit.test.ts", "clients/typescript/test/circuit/breaker.test.ts"],
    [
      [
        "five failures open the circuit",
        "clients/typescript/src/circuit/circuit.ts",
        "const counted = failures >= config.failures;",
        "const counted = failures > config.failures;",
      ],
      [
        "a probe ends with its lease",
        "clients/typescript/src/circuit/circuit.ts",
        'if (circuit.kind === "half_open" && now >= circuit.until) {',
        "if (false) {",
      ],
      [
        "a result counts in the state that admitted its call",
        "clients/typescript/src/circuit/circuit.ts",
        "return sameGeneration(input.generation, current.generation)",
        "return true",
      ],
      [
        "one call probes, and the others are denied",
        "clients/typescript/src/circuit/circuit.ts",
        'case "half_open":\n      return "deny";',
        'case "half_open":\n      return "pass";',
      ],
    ],
  ),
  ...caughtBy(
    ["clients/typescript/test/circuit/leases.test.ts"],
    [
      [
        "a lease is used for one probe",
        "clients/typescript/src/circuit/breaker.ts",
        "if (lease === null || lease.number === this.#usedLease || ",
        "if (lease === null || ",
      ],
      [
        "without a lease nobody probes for the fleet",
        "clients/typescript/src/circuit/breaker.ts",
        "if (lease === null || lease.number === this.#usedLease || leaseMs < this.#timing.leaseMs / 2) {",
        "if (lease !== null && lease.number === this.#usedLease) {",
      ],
    ],
  ),
  ...caughtBy(
    ["clients/typescript/test/circuit/redis-script.test.ts"],
    [
      [
        "a lease has one holder",
        "clients/typescript/src/circuit/redis-script.ts",
        "elseif not held and not standBack then",
        "elseif not standBack then",
      ],
      [
        "an outcome counts under its own lease",
        "clients/typescript/src/circuit/redis-script.ts",
        "if outcome ~= '' and open and owner == id and lease == outcomeLease then",
        "if outcome ~= '' and open and owner == id then",
      ],
    ],
  ),
  ...caughtBy(
    ["clients/typescript/test/call/bypass.test.ts"],
    [
      [
        "a bypass is on disk before it is answered",
        "clients/typescript/src/call/guard.ts",
        "if (!recorded.value)",
        "if (false)",
      ],
      [
        "a bypass needs this process's own failures",
        "clients/typescript/src/call/guard.ts",
        'if (cause !== "local" || !breaker.snapshot.openedLocally) {',
        "if (false) {",
      ],
      [
        "a bypass does not overrule a deny",
        "clients/typescript/src/call/guard.ts",
        "if (this.#denials.suspects(digest, clock.monotonic(), found.grant.issuedAt)) {",
        "if (false) {",
      ],
      [
        "a grant is looked up again after its record is written",
        "clients/typescript/src/call/guard.ts",
        'return !("problem" in still) && still.grant.grantId === grant.grantId;',
        "return true;",
      ],
    ],
  ),
  ...caughtBy(
    ["clients/typescript/test/protect.test.ts"],
    [
      [
        "a protected action runs only if this call has started it",
        "clients/typescript/src/protect.ts",
        'if (start.state === "started") return await',
        'if (start.state !== "refused") return await',
      ],
      [
        "a protected action does not run if its start is refused",
        "clients/typescript/src/protect.ts",
        'if (start.state === "refused") throw',
        "if (false) throw",
      ],
      [
        "an action that was broken off is reported as unknown",
        "clients/typescript/src/protect.ts",
        'isAbort(error, signal) ? "unknown" : "failed"',
        '"failed"',
      ],
    ],
  ),
  // The adapters for frameworks.
  ...caughtBy(
    ["clients/typescript/test/integrations/judged-call.test.ts"],
    [
      [
        "a framework's tool gets the arguments that were judged",
        "clients/typescript/src/integrations/judged-call.ts",
        'return execute(isObject ? judged : (judged["input"] as JsonValue));',
        "return execute(unverifiedArgs as JsonValue);",
      ],
      [
        "the functions of an adapter's options see a copy of the arguments",
        "clients/typescript/src/integrations/judged-call.ts",
        "args: copyPayload(judged), context };",
        "args: judged, context };",
      ],
      [
        "a call of a framework that was cancelled does not run",
        "clients/typescript/src/integrations/judged-call.ts",
        "// An authorizer may not have looked at the signal.\n      signal?.throwIfAborted();",
        "",
      ],
      [
        "a call of a framework without an id does not run under another call's key",
        "clients/typescript/src/integrations/judged-call.ts",
        'if (run === "" || callId === "")',
        "if (false)",
      ],
      [
        "the key of a framework's call is a text",
        "clients/typescript/src/integrations/judged-call.ts",
        'if (typeof value === "string" && value !== "") return value;',
        "if (value !== null) return value as string;",
      ],
    ],
  ),
  ...caughtBy(
    ["clients/typescript/test/call/executions.test.ts"],
    [
      [
        "while the circuit is open no start is asked for",
        "clients/typescript/src/call/executions.ts",
        'if (permit.kind === "denied")',
        "if (false)",
      ],
      [
        "a start under a bypass is made once for each key",
        "clients/typescript/src/call/executions.ts",
        "if (claimed.value !== null) return startedBefore(decisionId, claimed.value.start, start.nonce);",
        "",
      ],
      [
        "a start under a bypass is in the journal before it is answered",
        "clients/typescript/src/journal/starts.ts",
        "await this.#tell(dir, name, start);\n      // INVARIANT",
        "// INVARIANT",
      ],
      [
        "a key that a bypass has started is not started through the service",
        "clients/typescript/src/call/executions.ts",
        "return (await this.#startedUnderBypass(id, call)) ??",
        "return null ??",
      ],
      [
        "a report that the service did not take is kept",
        "clients/typescript/src/call/executions.ts",
        "if (!isPassing(final)) return notRecorded",
        "return notRecorded",
      ],
    ],
  ),
  ...caughtBy(
    ["clients/typescript/test/call/start-answer.test.ts"],
    [
      [
        "a start's answer names the decision",
        "clients/typescript/src/call/start-answer.ts",
        'if (unverified.decisionId !== expected.decisionId) return "the answer is for another decision";',
        "",
      ],
    ],
  ),
  ...caughtBy(
    ["test/authorize/upload-executions.test.ts"],
    [
      [
        "a journal starts nothing but its agent's bypasses",
        "src/authorize/upload-executions.ts",
        'return decision !== null && (decision.agentId !== agentId || decision.reason !== "CIRCUIT_BYPASS");',
        "return false;",
      ],
      [
        "an uploaded end that contradicts the recorded one is noticed",
        "src/authorize/upload-executions.ts",
        "if (agrees(recorded, claim.record, digestWith(ports, agentId))) return null;",
        "return null;",
      ],
    ],
  ),
  ...caughtBy(
    ["test/authorize/begin.test.ts"],
    [
      [
        "what a guard has started is not started again under its key",
        "src/authorize/begin.ts",
        "if (bypassed !== null)",
        "if (false)",
      ],
    ],
  ),
  // The client for Go.
  ...caughtBy(
    ["test/clients/go.test.ts"],
    [
      [
        "only allow is permission, in Go",
        "clients/go/verdict.go",
        "return v.Decision == Allow",
        "return v.Decision != Deny",
      ],
      [
        "a client for Go runs nothing that has ended",
        "clients/go/startanswer.go",
        'if isStarted && outcome == "" {',
        "if isStarted {",
      ],
      [
        "a client for Go takes a guard's answers only from a sidecar",
        "clients/go/answer.go",
        "if !known || (source == SourceGuard && !sidecar) {",
        "if !known {",
      ],
      ["a client for Go that panics denies", "clients/go/client.go", "verdict = c.bug(recovered)", "panic(recovered)"],
      [
        "a call over the server's limit of streams waits, in Go",
        "clients/go/internal/transport/connection.go",
        "StrictMaxConcurrentStreams: true,",
        "StrictMaxConcurrentStreams: false,",
      ],
      [
        "a header block that changes its table late is refused, in Go",
        "clients/go/internal/transport/watch.go",
        "if changesTableLate(w.block) {",
        "if false {",
      ],
    ],
  ),
  // The proxy for MCP.
  // Which tools a list shows.
  ...caughtBy(
    ["test/policy/callable.test.ts"],
    [
      [
        "a tool that a rule always denies is not callable",
        "src/policy/engine.ts",
        'if (some("deny", (condition) => condition === "true")) return false;',
        "",
      ],
      [
        "a deny rule that may not apply hides no tool",
        "src/policy/engine.ts",
        'if (some("deny", (condition) => condition === "true")) return false;',
        'if (some("deny", () => true)) return false;',
      ],
    ],
  ),
  ...caughtBy(
    ["test/authorize/callable-tools.test.ts"],
    [
      [
        "no tool is callable for a frozen agent",
        "src/authorize/callable-tools.ts",
        '(await ports.agents.confirmedStateOf(agentId)) === "active"',
        "true",
      ],
    ],
  ),
  ...caughtBy(
    ["clients/typescript/test/call/callable-tools.test.ts"],
    [
      [
        "an answer names only tools that were asked about",
        "clients/typescript/src/call/callable-tools.ts",
        "if (tools.some((tool) => !expected.tools.has(tool)))",
        "if (false)",
      ],
    ],
  ),
  ...caughtBy(
    ["test/mcp/"],
    [
      [
        "an MCP call is forwarded only on an allow",
        "src/mcp/admit.ts",
        "verdict !== null && isAllow(verdict.decision)",
        'verdict !== null && verdict.decision !== "deny"',
      ],
      [
        "an MCP call that was cancelled is not started",
        "src/mcp/admit.ts",
        'if (isCancelled()) return { kind: "cancelled" };',
        "",
      ],
      [
        "an MCP call that was cancelled while it was started is not forwarded",
        "src/mcp/admit.ts",
        "if (isWhole && !isCancelled()) {",
        "if (isWhole) {",
      ],
      [
        "an MCP call is forwarded only when it is started",
        "src/mcp/admit.ts",
        "if (isWhole && !isCancelled()) {",
        "if (!isCancelled()) {",
      ],
      [
        "an MCP call that was started and not forwarded has an end",
        "src/mcp/admit.ts",
        "for (const run of runs.values()) run.end(NOT_FORWARDED);",
        "",
      ],
      [
        "an approved MCP call whose start was not answered is started with the same nonce",
        "src/mcp/gate.ts",
        "remember(this.#nonces, decisionId, nonce);",
        "",
      ],
      ["the end of an MCP call is reported once", "src/mcp/runs.ts", "if (isOver) return;", ""],
      [
        "an MCP request does not take the id of a call that runs",
        "src/mcp/stdio/proxy.ts",
        'if (frame.messages.some((one) => one.kind === "request" && this.#inFlight.has(one.id))) {',
        "if (false) {",
      ],
      [
        "an MCP call that the server had when it ended has an end",
        "src/mcp/in-flight.ts",
        'run?.end({ outcome: "unknown", errorCode });',
        "void run;",
      ],
      [
        "an MCP call over HTTP ends with its answer",
        "src/mcp/http/proxy.ts",
        "(id) => byId.get(id)",
        "() => undefined",
      ],
      [
        "a header does not name another tool than the body of an MCP call",
        "src/mcp/http/headers.ts",
        "if (name !== null && decoded(name) !== nameOf(message))",
        "if (false)",
      ],
      [
        "an MCP server's redirect leads nobody past the proxy",
        "src/mcp/http/upstream.ts",
        "if (isStatus && (statusCode < 300 || statusCode >= 400)) return answer;",
        "if (isStatus) return answer;",
      ],
      [
        "a carriage return hides no second message from the proxy",
        "src/mcp/stdio/proxy.ts",
        'return text.includes("\\r") ?',
        "return false ?",
      ],
      [
        "no other end of a line hides a message from the proxy",
        "src/mcp/stdio/proxy.ts",
        "[\\u0085\\u2028\\u2029]/g",
        "[\\u0085]/g",
      ],
      [
        "a list of tools is not shown because it is nested too deeply",
        "src/mcp/list-filter.ts",
        "error instanceof RangeError ? TOO_DEEP : null",
        "null",
      ],
      [
        "an MCP server that switches protocols is an error",
        "src/mcp/http/upstream.ts",
        'request.on("upgrade",',
        'request.on("never",',
      ],
      [
        "an MCP method in another case is not taken for unknown text",
        "src/mcp/message.ts",
        "if (lookalike !== null) return refuse(lookalike);",
        "",
      ],
      [
        "an MCP method that is not known does not pass",
        "src/mcp/message.ts",
        "if (!known.has(method) && !passMethods.has(method)) {",
        "if (false) {",
      ],
      [
        "an MCP call's numbers are those that were judged",
        "src/mcp/message.ts",
        'const exact = parse(text, "exact");',
        'const exact = parse(text, "rounded");',
      ],
      [
        "a list of tools shows only what the service named",
        "src/mcp/list-filter.ts",
        "tools: tools.filter(isShown)",
        "tools: tools.filter((tool) => asked.has(tool) || isShown(tool))",
      ],
      [
        "a list of tools is an error where the service cannot be asked",
        "src/mcp/list-filter.ts",
        'if (heard.kind === "unanswered") return heard.message.replace(/\\.$/, "");',
        'if (heard.kind === "unanswered") continue;',
      ],
      ["one approval forwards one MCP call", "src/mcp/gate.ts", "this.#reviews.delete(question);", ""],
    ],
  ),
  ...caughtBy(
    ["test/e2e/mcp.test.ts"],
    [
      [
        "an MCP server does not get the agent's key",
        "src/mcp/stdio/server-process.ts",
        "value !== undefined && !/^DATACRAWL_/i.test(name)",
        "value !== undefined",
      ],
    ],
  ),
  ...caughtBy(
    ["test/cli/hook/hosts.test.ts"],
    [
      [
        "the hook of an agent that takes silence for no answer says why it blocks",
        "src/cli/hook/codex.ts",
        "otherwise: SPOKEN_BLOCK,",
        'otherwise: "exit 2",',
      ],
      [
        "a command of Codex CLI is judged with the directory where it runs",
        "src/cli/hook/codex.ts",
        '{ ...call.payload, workdir: textIn(event, "cwd") }',
        "call.payload",
      ],
      [
        "a tool of Copilot CLI is judged by its own name",
        "src/cli/hook/copilot-cli.ts",
        'if (event["hook_event_name"] !== undefined)',
        "if (false)",
      ],
      [
        "an allow gives the judged arguments back to Copilot CLI",
        "src/cli/hook/copilot-cli.ts",
        ": { modifiedArgs: payload };",
        ": {};",
      ],
      [
        "no MCP server has the name of a coding agent",
        "src/cli/hook/host.ts",
        "if (HOST_NAMES.includes(server))",
        "if (false)",
      ],
    ],
  ),
  ...caughtBy(
    ["test/e2e/hook.test.ts"],
    [
      [
        "a hook that is killed ends with the status that blocks",
        "src/cli/hook/claude-code.ts",
        'otherwise: "exit 2",',
        'otherwise: "exit $?",',
      ],
      [
        "a hook ends with the status that blocks, except for an allow",
        "bin/datacrawl.js",
        "if (status !== 0) process.exitCode = 2;",
        "",
      ],
      [
        "a hook lets nothing but an allow pass",
        "src/cli/hook/answer.ts",
        "if (!isAllow(verdict.decision)) return",
        "if (false) return",
      ],
      [
        "a repeated call of a coding agent is the same decision",
        "src/cli/hook/answer.ts",
        "callId ?? randomUUID()",
        "randomUUID()",
      ],
    ],
  ),
];
