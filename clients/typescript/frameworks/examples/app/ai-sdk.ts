/** Stands in for a user's own modules. */
import { ARGS } from "./email.ts";
import { scripted } from "./language-model.ts";

export { inputSchema, sendEmail } from "./email.ts";

export const model = scripted([
  { name: "send_email", args: ARGS, id: "call-1" },
  { name: "send_email", args: { to: "eve@example.net" }, id: "call-2" },
]);
