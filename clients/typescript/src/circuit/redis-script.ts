import { createHash } from "node:crypto";
import type { Timing } from "./config.ts";
import type { FleetView, Standing } from "./fleet.ts";

/** How long a process counts as alive, and its claim as made, after its last word. Milliseconds. */
const ALIVE_MS = 5_000;

/**
 * The keys of one (service, agent), under one hash tag, so that a Cluster keeps them on one node: the circuit (a hash), the
 * processes alive, and those of them whose own failures keep their circuit open (sorted sets by the time of the last word).
 * The circuit's key is also the channel on which changes are announced. Hashed, for a URL may hold a secret.
 */
export function keysOf(service: string, agentId: string): readonly [string, string, string] {
  const name = createHash("sha256").update(`${service.length}:${service}${agentId}`).digest("hex").slice(0, 32);
  const circuit = `datacrawl:circuit:{${name}}`;
  return [circuit, `${circuit}:alive`, `${circuit}:failing`];
}

/** One exchange: the process says how it stands, and hears how the fleet does. `standing` is null to take leave. */
export function argumentsOf(id: string, standing: Standing | null, timing: Timing, roll: number): string[] {
  return [
    id,
    standing?.want ?? "leave",
    whole(standing?.openAge ?? -1),
    whole(standing?.failureAge ?? -1),
    whole(standing?.dueIn ?? 0),
    whole(timing.probeAfterMs),
    whole(timing.leaseMs),
    String(roll),
    String(ALIVE_MS),
    standing?.outcome?.outcome ?? "",
    String(standing?.outcome?.lease ?? 0),
    standing?.probeNow ? "1" : "0",
  ];
}

/**
 * Everything that changes the shared circuit, atomically and on Redis' own clock; processes send and receive durations.
 *
 * A process that has failed since the fleet last recovered is a failing one; its failure is news if it had been well since
 * then. The circuit opens for all on news that a second failing process confirms, or on the word of the only one alive. A
 * process that was cut off before the last recovery and still is brings no news, and so does not open it again and again.
 *
 * Values that make no sense count as absent, and keys of another type are removed.
 */
export const EXCHANGE = `
local id, want = ARGV[1], ARGV[2]
local openAge, failureAge, dueIn = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local probeAfter, leaseMs, roll, ttl = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local outcome, outcomeLease = ARGV[10], tonumber(ARGV[11])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

for i, wanted in ipairs({'hash', 'zset', 'zset'}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= wanted and found ~= 'none' then redis.call('DEL', KEYS[i]) end
end

local names = {'opened_at', 'probe_at', 'lease', 'lease_until', 'wanted_at', 'recovered_at', 'news_at', 'born_at', 'owner', 'loser'}
local values = redis.call('HMGET', KEYS[1], unpack(names))
local function number(i, high)
  local value = values[i] and tonumber(values[i])
  if value and value >= 1 and value <= high and value == math.floor(value) then return value end
end
local openedAt, probeAt = number(1, now), number(2, now + probeAfter * 2)
local lease, leaseUntil, wantedAt = number(3, 2 ^ 52), number(4, now + leaseMs), number(5, now)
local recoveredAt, newsAt, bornAt = number(6, now), number(7, now), number(8, now)
local owner, loser = values[9], values[10]
local wanted = wantedAt ~= nil and now - wantedAt < 2000
local open = openedAt ~= nil and probeAt ~= nil
local held = open and owner and lease and leaseUntil and now < leaseUntil

local function text(value) return string.format('%.0f', value) end
local function set(...) redis.call('HSET', KEYS[1], ...) end
local function announce() redis.pcall('PUBLISH', KEYS[1], 'changed') end
local function free()
  redis.call('HDEL', KEYS[1], 'owner', 'lease_until')
  owner, held = nil, false
end

for i = 2, 3 do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', text(now - ttl))
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '(' .. text(now), '+inf')
end
if want == 'leave' then
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
  if owner == id then free() announce() end
  return {}
end
redis.call('ZADD', KEYS[2], text(now), id)
if not bornAt then
  bornAt = now
  set('born_at', text(now))
end
-- After a start or a flush it takes a while until everyone alive has spoken.
local alive = redis.call('ZCARD', KEYS[2])
local alone = alive == 1 and now - bornAt >= ttl

-- A lease that ran out unused, or whose probe hangs: its holder goes to the end of the queue.
if open and owner and lease and lease ~= outcomeLease and leaseUntil and not held then
  probeAt, loser = leaseUntil, owner
  set('probe_at', text(probeAt), 'loser', loser)
  free()
end

if outcome ~= '' and open and owner == id and lease == outcomeLease then
  free()
  if outcome == 'success' then
    open, recoveredAt, newsAt = false, now, nil
    redis.call('DEL', KEYS[1], KEYS[3])
    set('born_at', text(bornAt), 'recovered_at', text(now))
    announce()
  elseif outcome == 'failure' then
    probeAt, loser = math.floor(now + probeAfter * (0.9 + 0.2 * roll)), id
    set('probe_at', text(probeAt), 'loser', id)
  else
    probeAt = math.floor(now + probeAfter * 0.1)
    set('probe_at', text(probeAt))
  end
end

if ARGV[12] == '1' and open and not held then
  probeAt = math.min(probeAt, now)
  set('probe_at', text(probeAt))
  announce()
end

local since = recoveredAt or 0
if openAge >= 0 and failureAge >= 0 and now - failureAge > since then
  redis.call('ZADD', KEYS[3], text(now), id)
  if now - openAge > since then
    newsAt = now
    set('news_at', text(now))
  end
  local confirmed = newsAt and now - newsAt <= ttl and redis.call('ZCARD', KEYS[3]) >= 2
  if not open and (alone or confirmed) then
    open, openedAt = true, now
    probeAt = math.floor(now + math.min(dueIn, probeAfter * 1.1))
    free()
    set('opened_at', text(now), 'probe_at', text(probeAt))
    announce()
  end
else
  redis.call('ZREM', KEYS[3], id)
end

if want == 'no' then
  if owner == id then free() announce() end
elseif want ~= 'probing' and open and now >= probeAt then
  -- Those with calls to probe with come first; whose probe has just failed comes last, for it may be the one cut off.
  local early = alive > 1 and now < probeAt + probeAfter * 0.2
  local standBack = early and (want == 'idle' or loser == id) or want == 'idle' and wanted
  if owner == id and held then
    set('lease_until', text(now + leaseMs))
    leaseUntil = now + leaseMs
  elseif not held and not standBack then
    lease, owner, held, leaseUntil, wanted = math.max(now, (lease or 0) + 1), id, true, now + leaseMs, false
    redis.call('HDEL', KEYS[1], 'wanted_at')
    set('owner', id, 'lease', text(lease), 'lease_until', text(leaseUntil))
  elseif held and want == 'busy' then
    set('wanted_at', text(now))
  end
end

for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], text(math.max(60000, probeAfter * 2))) end
local mine = held and owner == id
return {
  open and 1 or 0,
  open and math.max(0, probeAt - now) or 0,
  mine and lease or 0,
  mine and leaseUntil - now or 0,
  mine and wanted and 1 or 0,
  recoveredAt and now - recoveredAt or -1,
}
`;

/**
 * The fleet's answer, or null if it is not one. Ages count from `sentAt`, when the question left: a lease then ends here
 * before it ends in Redis.
 */
export function parseView(untrustedReply: unknown, timing: Timing, sentAt: number): FleetView | null {
  if (!Array.isArray(untrustedReply) || untrustedReply.length !== 6) return null;
  const [open, probeIn, lease, leaseLeft, challenged, recoveredAgo] = untrustedReply as readonly unknown[];
  if (!within(open, 0, 1) || !within(challenged, 0, 1)) return null;
  if (!within(probeIn, 0, 2 * timing.probeAfterMs) || !within(leaseLeft, 0, timing.leaseMs)) return null;
  if (!within(lease, 0, Number.MAX_SAFE_INTEGER) || !within(recoveredAgo, -1, Number.MAX_SAFE_INTEGER)) return null;
  return {
    open: open === 1,
    probeAt: sentAt + probeIn,
    lease: lease === 0 ? null : { number: lease, until: sentAt + leaseLeft },
    challenged: challenged === 1,
    recoveredAt: recoveredAgo === -1 ? null : sentAt - recoveredAgo,
  };
}

function within(value: unknown, low: number, high: number): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= low && value <= high;
}

function whole(milliseconds: number): string {
  return String(Math.round(milliseconds));
}
