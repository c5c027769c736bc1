import { UsageError } from "../core/fault.ts";

/** @throws UsageError if it is longer, or not UTF-8 */
export async function readInput(maxBytes = Number.POSITIVE_INFINITY): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > maxBytes) throw new UsageError([`standard input has more than ${maxBytes} bytes`]);
    parts.push(part);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw new UsageError(["standard input is not UTF-8"]);
  }
}

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const ERASE = /^[\b\u007f]$/;

/** Asks at the terminal without showing what is typed. @throws UsageError if there is no terminal */
export async function askSecret(question: string): Promise<string> {
  const { stdin } = process;
  if (!stdin.isTTY)
    throw new UsageError([
      `there is no terminal to ask for ${question.trim().replace(/:$/, "")}: use --password-stdin`,
    ]);
  // Before the question is shown: what is typed at once must not be, either.
  stdin.setRawMode(true);
  process.stderr.write(question);
  stdin.setEncoding("utf8");
  try {
    return await readLine(stdin);
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    process.stderr.write("\n");
  }
}

function readLine(stdin: NodeJS.ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let typed = "";
    const end = (settle: () => void): void => {
      stdin.off("data", take);
      settle();
    };
    const take = (chunk: string): void => {
      for (const char of chunk) {
        if (char === CTRL_C || char === CTRL_D) return end(() => reject(new UsageError(["given up"])));
        if (char === "\r" || char === "\n") return end(() => resolve(typed));
        typed = ERASE.test(char) ? [...typed].slice(0, -1).join("") : typed + char;
      }
    };
    stdin.on("data", take).resume();
  });
}
