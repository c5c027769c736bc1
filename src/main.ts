import { COMMAND_GROUPS } from "./cli/commands.ts";
import { main } from "./cli/main.ts";

await main(COMMAND_GROUPS);
