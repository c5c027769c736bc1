/** For `node --import`: writes into the file that BENCH_USAGE_FILE names what the process has used, when it ends. */
import { writeFileSync } from "node:fs";

export interface Usage {
  /** User and system time of all threads. */
  readonly cpuSeconds: number;
  readonly seconds: number;
  readonly peakMemoryMiB: number;
}

process.once("exit", () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  const usage: Usage = {
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    seconds: performance.now() / 1000,
    peakMemoryMiB: maxRSS / 1024,
  };
  writeFileSync(process.env.BENCH_USAGE_FILE!, JSON.stringify(usage));
});
