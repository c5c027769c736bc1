import { copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fingerprint } from "../../../../src/core/key-chain.ts";
import { tryLock } from "../../../../src/core/file-lock.ts";
import { type GrantKeeper, openGrantKeeper } from "../../src/grants/grants.ts";
import { agentId, HandClock, hour, minute, SigningService } from "../support/grant-samples.ts";

const tool = "stripe.refund";
/** What is removed at the end; tests may take a directory in it. */
let root: string;
let dir: string;
let clock: HandClock;
let service: SigningService;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "datacrawl-grants-"));
  dir = root;
  clock = new HandClock();
  service = new SigningService(clock);
});
afterEach(() => rm(root, { recursive: true, force: true }));

function open(own: HandClock = clock): Promise<GrantKeeper> {
  return openGrantKeeper({ dir, agentId, clock: own });
}

/** A keeper that has heard from the service and holds a grant of epoch 5 for an hour. */
async function withGrant(): Promise<GrantKeeper> {
  const keeper = await open();
  await keeper.offer(service.answer(service.grant(5)));
  expect(keeper.lookup(tool)).toHaveProperty("grant");
  return keeper;
}

/** The same machine after its process has ended: another process, whose monotonic clock starts anew. */
function restart(): Promise<GrantKeeper> {
  const reborn = new HandClock();
  reborn.wall = clock.wall;
  reborn.ticks = 7;
  clock = reborn;
  return open(reborn);
}

function problemOf(keeper: GrantKeeper): string | null {
  const found = keeper.lookup(tool);
  return "problem" in found ? found.problem : null;
}

function path(name: string): string {
  return join(dir, agentId, name);
}

describe("a grant", () => {
  test("covers its tools and no other, from its issue to just before its expiry", async () => {
    const keeper = await withGrant();
    expect(keeper.lookup(tool)).toMatchObject({ grant: { operator: "nora", epoch: 5 } });
    for (const other of ["stripe.refunds", "Stripe.refund", "stripe", "*", "", "stripe.refund "]) {
      expect(keeper.lookup(other)).toEqual({ problem: "the grant does not cover this tool" });
    }
    clock.pass(hour - 1);
    expect(problemOf(keeper)).toBeNull();
    clock.pass(1);
    expect(problemOf(keeper)).toContain("expired");
  });

  test("for all tools covers each; one for a tool called * does not", async () => {
    const keeper = await open();
    await keeper.offer(service.answer(service.grant(1, { tools: ["*"] })));
    expect(problemOf(keeper)).toContain("does not cover");
    await keeper.offer(service.answer(service.grant(2, { tools: "*" })));
    expect(problemOf(keeper)).toBeNull();
  });

  test("is found again by the next process, and by one that runs beside", async () => {
    const beside = await open();
    await withGrant();
    expect(problemOf(await restart())).toBeNull();
    expect(problemOf(beside)).toBe("there is no grant for this agent");
    await beside.offer({ unverifiedGrants: [] });
    expect(problemOf(beside)).toBeNull();
    for (const name of ["", "grants.json", "grant.jws"]) {
      expect((await stat(join(dir, agentId, name))).mode & 0o077).toBe(0);
    }
  });

  test("without a directory ends with the process", async () => {
    const keeper = await openGrantKeeper({ dir: null, agentId, clock });
    await keeper.offer(service.answer(service.grant(1)));
    expect(problemOf(keeper)).toBeNull();
    expect(problemOf(await openGrantKeeper({ dir: null, agentId, clock }))).not.toBeNull();
    expect(await readdir(dir)).toEqual([]);
  });

  test("is replaced by a newer one", async () => {
    const keeper = await withGrant();
    await keeper.offer(service.answer(service.grant(6, { tools: ["gmail.send"] })));
    expect(problemOf(keeper)).toContain("does not cover");
    expect(keeper.lookup("gmail.send")).toHaveProperty("grant");
  });
});

describe("a grant is of no use", () => {
  test("to another agent", async () => {
    const keeper = await open();
    await keeper.offer(service.answer(service.grant(1, { agentId: "billing-2" })));
    expect(problemOf(keeper)).toBe("there is no grant for this agent");
    expect(keeper.status.problems).toEqual(["the token is for another agent"]);
    expect(keeper.status.epoch).toBe(0);
  });

  test("before its issue", async () => {
    const keeper = await open();
    await keeper.offer(
      service.answer(service.grant(1, { issuedAt: clock.wall + minute, expiresAt: clock.wall + hour })),
    );
    expect(problemOf(keeper)).toContain("not valid before");
    clock.pass(minute);
    expect(problemOf(keeper)).toBeNull();
  });

  test("when it was signed by another key", async () => {
    const keeper = await withGrant();
    const stranger = new SigningService(clock);
    await keeper.offer({ unverifiedGrants: [stranger.grant(9, { tools: "*" })] });
    expect(keeper.lookup("gmail.send")).toHaveProperty("problem");
    expect(keeper.status.epoch).toBe(5);
  });

  test("when nothing is pinned, wherever it comes from", async () => {
    const keeper = await open();
    await keeper.offer({ unverifiedGrants: [service.grant(1)] });
    expect(problemOf(keeper)).toBe("there is no grant for this agent");
    expect(keeper.status.pinnedKey).toBeNull();
  });

  test("when it is altered, oversized or no token", async () => {
    const keeper = await open();
    const token = service.grant(1);
    const altered = [`${token}A`, token.replace(".", ".A"), "x".repeat(1_000_000), "", "a.b.c", "\0"];
    for (const bad of altered) {
      await keeper.offer(service.answer(bad));
      expect(problemOf(keeper)).toBe("there is no grant for this agent");
      expect(keeper.status.problems).toHaveLength(1);
    }
  });

  test("after its revocation, from either source, in any order, also after a restart", async () => {
    for (const source of ["service", "elsewhere"] as const) {
      service = new SigningService(clock);
      dir = await mkdtemp(join(root, "again-"));
      const keeper = await withGrant();
      const [old, revocation] = [service.grant(5), service.revocation(6)];
      await keeper.offer(
        source === "service" ? service.answer(old, revocation) : { unverifiedGrants: [revocation, old] },
      );
      expect(problemOf(keeper)).toBe("the agent's grant was revoked");
      await keeper.offer(service.answer(old));
      expect(problemOf(keeper)).toBe("the agent's grant was revoked");
      expect(problemOf(await restart())).toBe("the agent's grant was revoked");
    }
  });

  test("once a higher epoch is known; and within one epoch a revocation wins", async () => {
    const keeper = await withGrant();
    await keeper.offer({ unverifiedGrants: [service.grant(4, { tools: "*" })] });
    expect(keeper.lookup("gmail.send")).toHaveProperty("problem");
    await keeper.offer({ unverifiedGrants: [service.revocation(5)] });
    expect(problemOf(keeper)).toBe("the agent's grant was revoked");
    await keeper.offer(service.answer(service.grant(5)));
    expect(problemOf(keeper)).toBe("the agent's grant was revoked");
  });

  test("follows the highest epoch, whatever is offered in whatever order, in one process or in many on one directory", async () => {
    type Offered = { epoch: number; isGrant: boolean; restarts: boolean };
    const offers = fc.array(
      fc.record({ epoch: fc.integer({ min: 1, max: 6 }), isGrant: fc.boolean(), restarts: fc.boolean() }),
      { minLength: 1, maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(offers, async (sequence: Offered[]) => {
        dir = await mkdtemp(join(root, "p-"));
        let keeper = await open();
        await keeper.offer(service.answer());
        for (const { epoch, isGrant, restarts } of sequence) {
          if (restarts) keeper = await open();
          await keeper.offer({
            unverifiedGrants: [isGrant ? service.grant(epoch) : service.revocation(epoch)],
          });
        }
        const highest = Math.max(...sequence.map(({ epoch }) => epoch));
        const isRevoked = sequence.some(({ epoch, isGrant }) => epoch === highest && !isGrant);
        expect(keeper.status.epoch).toBe(highest);
        expect(problemOf(keeper) === null).toBe(!isRevoked);
      }),
      { numRuns: 40 },
    );
  });
});

describe("a clock", () => {
  test("set back does not revive a grant that has expired, here or in the next process", async () => {
    const keeper = await withGrant();
    clock.pass(hour);
    await keeper.offer(service.answer());
    clock.wall -= hour;
    expect(problemOf(keeper)).toContain("expired");
    clock.wall -= 30 * minute;
    expect(problemOf(await restart())).toContain("expired");
  });

  test("that stands still or goes back lets a grant expire all the same", async () => {
    const keeper = await withGrant();
    clock.ticks += (hour - 1) / 1000;
    expect(problemOf(keeper)).toBeNull();
    clock.wall -= 5 * hour;
    clock.ticks += 1;
    expect(problemOf(keeper)).toContain("expired");
  });

  test("set back over and over, with a restart each time, while the service is away, gains no time that was kept on disk", async () => {
    let keeper = await withGrant();
    const set = clock.wall;
    for (let round = 0; round < 7; round++) {
      clock.pass(10 * minute);
      await keeper.offer({ unverifiedGrants: [] });
      clock.wall = set;
      keeper = await restart();
    }
    expect(problemOf(keeper)).toContain("expired");
  });

  test("is moved by the service's word alone, and never back", async () => {
    const keeper = await withGrant();
    await keeper.offer({
      ...service.answer(),
      fromService: true,
      grantKeys: service.chain,
      serviceTime: clock.wall - 5 * hour,
    });
    expect(problemOf(keeper)).toBeNull();
    const elsewhere = { unverifiedGrants: [], serviceTime: clock.wall + 5 * hour };
    await keeper.offer(elsewhere);
    expect(problemOf(keeper)).toBeNull();
    for (const nonsense of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      await keeper.offer({ unverifiedGrants: [], fromService: true, grantKeys: service.chain, serviceTime: nonsense });
      expect(problemOf(keeper)).toBeNull();
    }
    await keeper.offer({
      unverifiedGrants: [],
      fromService: true,
      grantKeys: service.chain,
      serviceTime: clock.wall + 2 * hour,
    });
    expect(problemOf(keeper)).toContain("expired");
  });

  test("that is ahead of the service's ends a grant early", async () => {
    const keeper = await withGrant();
    clock.wall += hour;
    expect(problemOf(keeper)).toContain("expired");
  });
});

describe("the service's grant keys", () => {
  test("are pinned on first contact, for the next process too", async () => {
    const keeper = await withGrant();
    const pinned = fingerprint(service.chain[0]?.publicKey ?? new Uint8Array());
    expect(keeper.status.pinnedKey).toBe(pinned);
    expect((await restart()).status.pinnedKey).toBe(pinned);
  });

  test("are followed along the old key's signature; what the old key signed is then void", async () => {
    const keeper = await withGrant();
    const old = service.grant(5);
    service.rotate();
    await keeper.offer(service.answer(old));
    expect(problemOf(keeper)).toBe("there is no grant for this agent");
    expect(keeper.status.pinnedKey).toBe(fingerprint(service.chain[1]?.publicKey ?? new Uint8Array()));
    await keeper.offer(service.answer(service.grant(5)));
    expect(problemOf(keeper)).toBeNull();
    expect(problemOf(await restart())).toBeNull();
  });

  test("are followed over several changes at once, also by a process that learns it from the disk", async () => {
    const [keeper, beside] = [await withGrant(), await open()];
    service.rotate();
    service.rotate();
    await keeper.offer(service.answer(service.grant(6)));
    expect(problemOf(keeper)).toBeNull();
    await beside.offer({ unverifiedGrants: [] });
    expect(problemOf(beside)).toBeNull();
    expect(beside.status.pinnedKey).toBe(keeper.status.pinnedKey);
  });

  test("that come without the old key's signature are not followed, and nothing is allowed until it is cleared up", async () => {
    const keeper = await withGrant();
    const stranger = new SigningService(clock);
    await keeper.offer(stranger.answer(stranger.grant(9)));
    expect(problemOf(keeper)).toContain("do not continue the pinned one");
    expect(keeper.status.pinnedKey).toBe(fingerprint(service.chain[0]?.publicKey ?? new Uint8Array()));
    const next = await restart();
    expect(problemOf(next)).toContain("do not continue the pinned one");
    // An offer that is not the service's clears up nothing.
    await next.offer({ unverifiedGrants: [service.grant(10)] });
    expect(problemOf(next)).toContain("do not continue the pinned one");
    await next.offer(service.answer(service.grant(10)));
    expect(problemOf(next)).toBeNull();
    expect(problemOf(await restart())).toBeNull();
  });

  test("that are none, broken or gone back are not followed either", async () => {
    const before = [...service.chain];
    service.rotate();
    const keeper = await withGrant();
    for (const grantKeys of [
      [],
      before,
      [...service.chain].toReversed(),
      [{ publicKey: Buffer.alloc(3), signatureByPrevious: Buffer.alloc(0) }],
    ]) {
      await keeper.offer({ fromService: true, unverifiedGrants: [], grantKeys, serviceTime: clock.wall });
      expect(problemOf(keeper)).toContain("do not continue the pinned one");
      await keeper.offer(service.answer());
      expect(problemOf(keeper)).toBeNull();
    }
  });

  test("are never taken from anyone but the service", async () => {
    const keeper = await open();
    const elsewhere = { unverifiedGrants: [service.grant(1)], grantKeys: service.chain };
    await keeper.offer(elsewhere);
    expect(keeper.status.pinnedKey).toBeNull();
  });
});

describe("files", () => {
  const names = ["grants.json", "grant.jws"];
  async function save(suffix: string): Promise<void> {
    for (const name of names) await copyFile(path(name), path(name + suffix));
  }

  test.each(names)("an older %s, put back, revives nothing", async (name) => {
    const keeper = await withGrant();
    await save(".old");
    await keeper.offer(service.answer(service.revocation(6)));
    await save(".new");
    // While the process runs, and for the next one.
    await copyFile(path(`${name}.old`), path(name));
    await keeper.offer({ unverifiedGrants: [] });
    expect(problemOf(keeper)).toBe("the agent's grant was revoked");
    await copyFile(path(`${name}.old`), path(name));
    expect(problemOf(await restart())).not.toBeNull();
  });

  test("all put back together revive nothing in a process that runs; in a new one what the docs say", async () => {
    const keeper = await withGrant();
    await save(".old");
    await keeper.offer(service.answer(service.revocation(6)));
    for (const name of names) await copyFile(path(`${name}.old`), path(name));
    await keeper.offer({ unverifiedGrants: [] });
    expect(problemOf(keeper)).toBe("the agent's grant was revoked");
    for (const name of names) await copyFile(path(`${name}.old`), path(name));
    const next = await restart();
    expect(problemOf(next)).toBeNull();
    // Until the revocation arrives from any source, and at the latest until expiry.
    await next.offer({ unverifiedGrants: [service.revocation(6)] });
    expect(problemOf(next)).toBe("the agent's grant was revoked");
  });

  test("a grant altered on disk, or from another agent's directory, is none", async () => {
    await withGrant();
    const token = await readFile(path("grant.jws"), "utf8");
    for (const other of [`${token.slice(0, -4)}AAAA`, service.grant(9, { agentId: "billing-2" }), "", "x"]) {
      await writeFile(path("grant.jws"), other);
      expect(problemOf(await restart())).not.toBeNull();
    }
  });

  test("that are malformed count as none, and are replaced on the next contact", async () => {
    const state = await withGrant().then(() => readFile(path("grants.json"), "utf8"));
    for (const broken of [
      "",
      "{",
      "null",
      "[]",
      state.slice(0, -3),
      state.replace('"epoch":5', '"epoch":-5'),
      '{"epoch":1}',
    ]) {
      await writeFile(path("grants.json"), broken);
      const keeper = await restart();
      expect(problemOf(keeper)).not.toBeNull();
      expect(keeper.status.problems.join()).toContain("malformed");
      await keeper.offer(service.answer(service.grant(5)));
      expect(problemOf(await restart())).toBeNull();
    }
  });

  test("whose pinned key was replaced do not survive the next healthy contact", async () => {
    await withGrant();
    const stranger = new SigningService(clock);
    const forgedDir = await mkdtemp(join(root, "forged-"));
    const forger = await openGrantKeeper({ dir: forgedDir, agentId, clock });
    await forger.offer(stranger.answer(stranger.grant(99)));
    for (const name of names) await copyFile(join(forgedDir, agentId, name), path(name));
    const keeper = await restart();
    await keeper.offer(service.answer(service.grant(6)));
    expect(problemOf(keeper)).toContain("do not continue the pinned one");
    expect(problemOf(await restart())).toContain("do not continue the pinned one");
  });

  test("that cannot be written do not hold up a revocation", async () => {
    const keeper = await withGrant();
    const lock = tryLock(path("grants.lock"));
    clock.ticks -= 1_000_000;
    const offering = keeper.offer(service.answer(service.revocation(6)));
    await expect.poll(() => problemOf(keeper)).toBe("the agent's grant was revoked");
    clock.ticks += 1_000_000 + 2000;
    await offering;
    expect(keeper.status.problems.join()).toContain("grants.lock");
    lock?.release();
    await keeper.offer({ unverifiedGrants: [] });
    expect(keeper.status.problems).toEqual([]);
    expect(problemOf(await restart())).toBe("the agent's grant was revoked");
  });
});
