/** Stands in for a user's tool: it keeps what it was asked to send. */
import { z } from "zod";

export const ARGS = { to: "ann@example.com" };
export const sent: unknown[] = [];
export const inputSchema = z.object({ to: z.string() });

export async function sendEmail(email: z.infer<typeof inputSchema>): Promise<string> {
  sent.push(email);
  return "sent";
}
