import type { Command } from "commander";

const DECISION = "0195e0b2-7a3b-7c1d-8a2b-1234567890ab";

/** For `--help`, by the words that call a command: where it does not bring examples of its own. */
const EXAMPLES: Readonly<Record<string, string>> = {
  datacrawl: "datacrawl overview",
  "datacrawl serve": "DATABASE_URL=postgres://… REDIS_URL=redis://… datacrawl serve",
  "datacrawl sidecar": "DATACRAWL_URL=https://authz.internal:7440 DATACRAWL_API_KEY=dc_agent_… datacrawl sidecar",
  "datacrawl operator": "datacrawl operator add alice --role operator",
  "datacrawl operator list": "datacrawl operator list --json",
  "datacrawl operator remove": "datacrawl operator remove alice",
  "datacrawl operator set-role": "datacrawl operator set-role alice --role viewer",
  "datacrawl operator set-password": "datacrawl operator set-password alice --password-stdin < password",
  "datacrawl operator totp": "datacrawl operator totp enable alice",
  "datacrawl operator totp enable": "datacrawl operator totp enable alice",
  "datacrawl operator totp disable": "datacrawl operator totp disable alice",
  "datacrawl agent": "datacrawl agent create billing-1",
  "datacrawl agent create": "datacrawl agent create billing-1",
  "datacrawl agent list": "datacrawl agent list --json | jq -r '.[].agentId'",
  "datacrawl agent key": "datacrawl agent key add billing-1",
  "datacrawl agent key add": "datacrawl agent key add billing-1",
  "datacrawl agent key revoke": "datacrawl agent key revoke billing-1 1f0c5a7e9b3d",
  "datacrawl agent revoke": "datacrawl agent revoke billing-1",
  "datacrawl agent freeze": 'datacrawl agent freeze billing-1 --reason "INC-42" --as alice',
  "datacrawl agent unfreeze": 'datacrawl agent unfreeze billing-1 --reason "INC-42 is over" --as alice',
  "datacrawl policy": "datacrawl policy check ./policies",
  "datacrawl policy check": "datacrawl policy check ./policies",
  "datacrawl policy test": "datacrawl policy test ./policies",
  "datacrawl policy explain": `datacrawl policy explain --agent billing-1 --tool stripe.refund --payload '{"amount":50}'`,
  "datacrawl policy versions": "datacrawl policy versions --json | jq -r '.[0].version'",
  "datacrawl decision": `datacrawl decision show ${DECISION}`,
  "datacrawl audit": "datacrawl audit status",
  "datacrawl audit show": `datacrawl audit show ${DECISION}`,
  "datacrawl audit verify": "datacrawl audit verify --full",
  "datacrawl audit runs": "datacrawl audit runs --json",
  "datacrawl audit prove": `datacrawl audit prove ${DECISION} > proof.txt`,
  "datacrawl audit prove-consistency": "datacrawl audit prove-consistency kept-checkpoint.txt > consistency.txt",
  "datacrawl audit check-proof": "datacrawl audit check-proof proof.txt --key datacrawl/0195e0b2+1f0c5a7e+AZ…",
  "datacrawl audit check-export": "datacrawl audit check-export 2026-10.gz --key datacrawl/0195e0b2+1f0c5a7e+AZ…",
  "datacrawl audit export": "datacrawl audit export --month 2026-10 --gzip --out 2026-10.gz",
  "datacrawl audit erase-payload": `datacrawl audit erase-payload ${DECISION} --reason "request 17 for erasure"`,
  "datacrawl audit retire": "datacrawl audit retire --before 2026-01-01",
  "datacrawl audit status": "datacrawl audit status --json",
  "datacrawl audit seal": "datacrawl audit seal",
  "datacrawl audit key": "datacrawl audit key",
  "datacrawl audit rotate-key": "datacrawl audit rotate-key",
  "datacrawl audit acknowledge-rollback":
    'datacrawl audit acknowledge-rollback --reason "restored the backup of Sunday"',
  "datacrawl bypass": "datacrawl bypass list billing-1",
  "datacrawl bypass clear": 'datacrawl bypass clear billing-1 --reason "INC-42 is over" --as alice',
  "datacrawl bypass list": "datacrawl bypass list billing-1 --past",
  "datacrawl circuit": "datacrawl circuit list",
  "datacrawl circuit list": "datacrawl circuit list --open",
  "datacrawl review": "datacrawl review list --state open",
  "datacrawl review show": "datacrawl review show 0195e0b2-7a3b-7c1d-8a2b-1234567890ab",
  "datacrawl conformance": "datacrawl conformance list --family decision",
  "datacrawl conformance serve": "datacrawl conformance serve --json",
  "datacrawl conformance list": "datacrawl conformance list --family decision",
  "datacrawl conformance run": 'datacrawl conformance run --client "python3 my_client.py" --transport grpc',
  "datacrawl webhook": "datacrawl webhook list",
  "datacrawl webhook list": "datacrawl webhook list --dead",
  "datacrawl keys": "datacrawl keys init",
  "datacrawl keys init": "DATACRAWL_KEYS_DIR=/etc/datacrawl/keys datacrawl keys init",
  "datacrawl keys rotate-grant": "datacrawl keys rotate-grant",
  "datacrawl migrate": "DATABASE_OWNER_URL=postgres://… datacrawl migrate",
};

/** @param path the words that call it */
export function addExample(command: Command, path: string): void {
  const example = EXAMPLES[path];
  if (example !== undefined) command.addHelpText("after", `\nExample:\n  ${example}\n`);
}
