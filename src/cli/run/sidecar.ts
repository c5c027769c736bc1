import { Command } from "commander";
import { loadSidecarConfig, SIDECAR_VARIABLES } from "../../sidecar/config.ts";
import { withoutService } from "../admin-options.ts";
import { ExitCode, type Io } from "../io.ts";
import { shownAddress, untilStopped } from "../process.ts";

/** `datacrawl sidecar`. */
export function sidecarCommand(io: Io): Command {
  return withoutService(new Command("sidecar"))
    .addHelpText("after", `\nEnvironment:\n${variablesHelp()}`)
    .action(async () => {
      const config = loadSidecarConfig(io.env, io.cwd);
      // Loaded here, not above, so that the other commands start fast.
      const { runSidecar } = await import("../../sidecar/sidecar.ts");
      const stopped = untilStopped();
      const sidecar = await runSidecar(config);
      io.out(
        [
          `Guarding agent ${sidecar.agentId}; the service is at ${config.endpoint.url.origin}.`,
          `  gRPC      ${shownAddress(sidecar.grpc)}`,
          `  Connect   ${shownAddress(sidecar.connect)}   also JSON, /healthz, /readyz, /metrics`,
          `  Journal   ${config.journalDir}`,
          "",
        ].join("\n"),
      );
      io.err(`datacrawl: ${await stopped}: finishing running requests\n`);
      await sidecar.stop();
      io.exit(ExitCode.ok);
    });
}

function variablesHelp(): string {
  return Object.entries(SIDECAR_VARIABLES)
    .map(([name, help]) => `  ${name.padEnd(42)}${help}\n`)
    .join("");
}
