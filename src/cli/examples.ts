import type { Command } from "commander";

const DECISION = "0195e0b2-7a3b-7c1d-8a2b-1234567890ab";

/** For `--help`, by the words that call a command. */
const EXAMPLES: Readonly<Record<string, string | readonly string[]>> = {
  datacrawl: [
    "datacrawl serve",
    `datacrawl authorize --tool gmail.send_email --payload '{"to":["ann@example.com"]}'`,
    `datacrawl policy explain --tool shell.exec --payload '{"command":"ls"}'`,
    "datacrawl tail",
  ],
  "datacrawl authorize": [
    `datacrawl authorize --tool stripe.refund --payload '{"amount":50,"currency":"EUR"}' --key refund-17`,
    `datacrawl authorize --tool shell.exec --payload '{"command":"ls"}' --timeout 3s --exit-2`,
  ],
  "datacrawl hook": "datacrawl hook install claude-code --url http://127.0.0.1:7440 --key-file agent.key",
  "datacrawl hook codex": "datacrawl hook codex --key-file agent.key < event.json",
  "datacrawl hook copilot-cli": "datacrawl hook copilot-cli --key-file agent.key < event.json",
  "datacrawl hook gemini-cli": "datacrawl hook gemini-cli --key-file agent.key < event.json",
  "datacrawl hook install": "datacrawl hook install claude-code --url http://127.0.0.1:7440 --key-file agent.key --yes",
  "datacrawl hook uninstall": "datacrawl hook uninstall claude-code --yes",
  "datacrawl hook test": "datacrawl hook test claude-code",
  "datacrawl hook claude-code": "datacrawl hook claude-code --key-file agent.key --timeout 3s < event.json",
  "datacrawl mcp": [
    "datacrawl mcp --name github -- npx -y @modelcontextprotocol/server-github",
    "datacrawl mcp --name linear --url https://mcp.linear.app/mcp --listen 127.0.0.1:7446",
  ],
  "datacrawl serve": "DATABASE_URL=postgres://… REDIS_URL=redis://… datacrawl serve",
  "datacrawl sidecar": "DATACRAWL_URL=https://authz.internal:7440 DATACRAWL_API_KEY=dc_agent_… datacrawl sidecar",
  "datacrawl operator": "datacrawl operator add alice --role operator",
  "datacrawl operator add": "datacrawl operator add alice --role operator",
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
  "datacrawl policy active": "datacrawl policy active --json | jq -r '.files[].text'",
  "datacrawl policy test-request": [
    `datacrawl policy test-request --tool stripe.refund --payload '{"amount":50,"currency":"EUR"}'`,
    `datacrawl policy test-request --tool stripe.refund --payload '{"amount":50}' --dir ./new-policies`,
  ],
  "datacrawl policy versions": "datacrawl policy versions --json | jq -r '.[0].version'",
  "datacrawl decision": `datacrawl decision show ${DECISION}`,
  "datacrawl decision list": [
    "datacrawl decision list --agent billing-1 --decision deny --since 4h",
    "datacrawl decision list --reason CIRCUIT_OPEN --reason SERVICE_UNAVAILABLE --all --json",
    'datacrawl decision list --tool "gmail.*" --text refund-17',
  ],
  "datacrawl decision show": `datacrawl decision show ${DECISION}`,
  "datacrawl tail": ["datacrawl tail --decision deny", "datacrawl tail --agent billing-1 --json | jq -r .tool"],
  "datacrawl overview": "datacrawl overview --json | jq .circuits.open",
  "datacrawl audit": "datacrawl audit status",
  "datacrawl audit show": `datacrawl audit show ${DECISION}`,
  "datacrawl audit verify": "datacrawl audit verify --full",
  "datacrawl audit runs": "datacrawl audit runs --json",
  "datacrawl audit prove": `datacrawl audit prove ${DECISION} > proof.json`,
  "datacrawl audit prove-consistency": "datacrawl audit prove-consistency kept-checkpoint.txt > consistency.json",
  "datacrawl audit check-proof": "datacrawl audit check-proof proof.json --public-key datacrawl/0195e0b2+1f0c5a7e+AZ…",
  "datacrawl audit check-export":
    "datacrawl audit check-export 2026-10.gz --public-key datacrawl/0195e0b2+1f0c5a7e+AZ…",
  "datacrawl audit export": "datacrawl audit export --month 2026-10 --gzip --out 2026-10.gz",
  "datacrawl audit erase-payload": `datacrawl audit erase-payload ${DECISION} --reason "request 17 for erasure"`,
  "datacrawl audit retire": "datacrawl audit retire --before 2026-01-01",
  "datacrawl audit status": "datacrawl audit status --json",
  "datacrawl audit seal": "datacrawl audit seal",
  "datacrawl audit key": "datacrawl audit key",
  "datacrawl audit rotate-key": "datacrawl audit rotate-key",
  "datacrawl audit acknowledge-rollback":
    'datacrawl audit acknowledge-rollback --yes --reason "restored the backup of Sunday"',
  "datacrawl bypass": "datacrawl bypass list billing-1",
  "datacrawl bypass set": 'datacrawl bypass set billing-1 --as alice --reason "INC-42" --for 30m --tool stripe.refund',
  "datacrawl bypass clear": 'datacrawl bypass clear billing-1 --reason "INC-42 is over" --as alice',
  "datacrawl bypass list": "datacrawl bypass list billing-1 --past",
  "datacrawl circuit": "datacrawl circuit list",
  "datacrawl circuit list": "datacrawl circuit list --open",
  "datacrawl circuit show": "datacrawl circuit show billing-1",
  "datacrawl circuit force-open": 'datacrawl circuit force-open billing-1 --reason "INC-42" --for 30m',
  "datacrawl circuit reset": 'datacrawl circuit reset billing-1 --reason "INC-42 is over"',
  "datacrawl review": "datacrawl review list --state open",
  "datacrawl review list": "datacrawl review list --state open --tool stripe.refund",
  "datacrawl review show": `datacrawl review show ${DECISION}`,
  "datacrawl review approve": `datacrawl review approve ${DECISION} --reason "checked with the customer" --as ann`,
  "datacrawl review reject": `datacrawl review reject ${DECISION} --reason "not ours" --as ann`,
  "datacrawl review withdraw": `datacrawl review withdraw ${DECISION} --reason "the customer called again" --as ann`,
  "datacrawl execution": "datacrawl execution list --unresolved",
  "datacrawl execution list": "datacrawl execution list --unresolved --agent billing-1",
  "datacrawl execution resolve": `datacrawl execution resolve ${DECISION} --as ann --outcome failed --comment "the mailbox is empty"`,
  "datacrawl conformance": "datacrawl conformance list --family decision",
  "datacrawl conformance serve": "datacrawl conformance serve --json",
  "datacrawl conformance list": "datacrawl conformance list --family decision",
  "datacrawl conformance run": 'datacrawl conformance run --client "python3 my_client.py" --transport grpc',
  "datacrawl webhook": "datacrawl webhook list",
  "datacrawl webhook list": "datacrawl webhook list --dead",
  "datacrawl webhook retry": [
    "datacrawl webhook retry msg_01a204da-ddc3-7763-98ac-8da030969690",
    "datacrawl webhook retry --dead",
  ],
  "datacrawl keys": "datacrawl keys init",
  "datacrawl keys init": "DATACRAWL_KEYS_DIR=/etc/datacrawl/keys datacrawl keys init",
  "datacrawl keys rotate-grant": "datacrawl keys rotate-grant",
  "datacrawl migrate": "DATABASE_OWNER_URL=postgres://… datacrawl migrate",
};

/** Lines for the help of the command that is called by the words of `path`; none if it has no example. */
export function examplesOf(path: string): string[] {
  const examples = [EXAMPLES[path] ?? []].flat();
  if (examples.length === 0) return [];
  return [examples.length === 1 ? "Example:" : "Examples:", ...examples.map((example) => `  ${example}`)];
}

export function addExamples(command: Command, path: string): void {
  const lines = examplesOf(path);
  if (lines.length > 0) command.addHelpText("after", `\n${lines.join("\n")}\n`);
}
