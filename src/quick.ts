/**
 * The commands that are started for each of an agent's calls. The published package has them with all that they load in one file
 * (scripts/build.ts): reading two hundred modules takes longer than the rest of such a command.
 */
import { ASKING_GROUP } from "./cli/agents/entries.ts";
import { main } from "./cli/main.ts";

await main([ASKING_GROUP]);
