/** A client that decides the same whatever it hears, without listening: `always.ts allow`. */
import { answerQuestions } from "./lines.ts";

await answerQuestions(() => Promise.resolve({ decision: process.argv[2] ?? "deny" }));
