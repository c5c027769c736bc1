import { relative } from "node:path";
import { Command } from "commander";
import { type Config, loadConfig, policyDirOf, VARIABLES } from "../../config.ts";
import { PolicyReader } from "../../policy/reader.ts";
import type { Running } from "../../server/lifecycle/serve.ts";
import { withoutService } from "../admin-options.ts";
import { ExitCode, type Io } from "../io.ts";
import { shownAddress, untilStopped } from "../process.ts";

/** `datacrawl serve`. */
export function serveCommand(io: Io): Command {
  return withoutService(new Command("serve"))
    .addHelpText("after", `\nEnvironment:\n${variablesHelp()}`)
    .action(async () => {
      const policies = new PolicyReader(policyDirOf(io.env, io.cwd), { follow: true });
      // Loaded here, not above, so that the other commands start fast; meanwhile another process looks for the policies.
      const [{ serve }, found] = await Promise.all([import("../../server/lifecycle/serve.ts"), policies.exists()]);
      const config = loadConfig(io.env, io.cwd, found);
      const stopped = untilStopped();
      const running = await serve(config, policies);
      io.out(banner(config, running, io.cwd));
      process.on("SIGHUP", () => {
        running.reload().catch((error: unknown) => io.err(`datacrawl: reload failed: ${String(error)}\n`));
      });
      io.err(`datacrawl: ${await stopped}: finishing running requests\n`);
      await running.stop();
      io.exit(ExitCode.ok);
    });
}

function banner(config: Config, running: Running, cwd: string): string {
  const lines = [
    "DataCrawl decides. Only an explicit allow lets an agent act.",
    "",
    `  gRPC      ${shownAddress(running.grpc)}${config.grpc.tls === null ? "" : " (TLS)"}`,
    `  Connect   ${connectUrl(config, running)}   also gRPC-Web, JSON, /healthz, /readyz, /metrics`,
    `  Admin     ${config.admin.tls === null ? "http" : "https"}://${shownAddress(running.admin)}, and ${running.adminSocket}`,
    `  Store     ${running.store === "embedded" ? `embedded, in ${config.dataDir}` : "Postgres"}${config.redisUrl === null ? "" : ", Redis"}`,
    `  Policies  ${config.policyDir}${config.samplePolicies ? " (samples of the package)" : ""}, ${running.policyVersion}`,
    ...running.warnings.map((warning) => `  Warning   ${warning}`),
    "",
  ];
  if (running.demoKeyFile !== null && config.connect.tls === null) {
    lines.push("Try it:", "", curlLine(connectUrl(config, running), relative(cwd, running.demoKeyFile)), "");
  }
  return `${lines.join("\n")}\n`;
}

function curlLine(url: string, keyFile: string): string {
  const request = {
    tool: "gmail.send_email",
    payload: { to: ["ann@example.com"], subject: "Hi", body: "Hello" },
    idempotencyKey: "send-1",
  };
  return [
    `curl -sS ${url}/datacrawl.authz.v1.AuthorizeService/Authorize \\`,
    `  -H "Authorization: Bearer $(cat '${keyFile.replaceAll("'", "'\\''")}')" -H "Content-Type: application/json" \\`,
    `  -d '${JSON.stringify(request)}'`,
  ].join("\n");
}

function connectUrl(config: Config, running: Running): string {
  return `${config.connect.tls === null ? "http" : "https"}://${shownAddress(running.connect)}`;
}

function variablesHelp(): string {
  return Object.entries(VARIABLES)
    .map(([name, help]) => `  ${name.padEnd(34)}${help}\n`)
    .join("");
}
