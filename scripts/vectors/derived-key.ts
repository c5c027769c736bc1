import { derivedKey } from "../../clients/typescript/src/call/key.ts";
import { readQuestion } from "../../clients/typescript/src/call/question.ts";
import { canonicalJson } from "@datacrawl/core/canonical-json";

interface Case {
  readonly name: string;
  readonly agent: string;
  readonly tool: string;
  /** As JSON text. */
  readonly payload: string;
  readonly principal: string | null;
}

const CASES: readonly Case[] = [
  { name: "an empty payload", agent: "demo", tool: "gmail.send_email", payload: "{}", principal: null },
  {
    name: "a payload",
    agent: "demo",
    tool: "gmail.send_email",
    payload: '{"to":["ann@example.com"],"subject":"Hi","body":"Hello"}',
    principal: null,
  },
  {
    name: "the same payload with other white space and another order",
    agent: "demo",
    tool: "gmail.send_email",
    payload: ' { "subject": "Hi", "body": "Hello", "to": [ "ann@example.com" ] } ',
    principal: null,
  },
  {
    name: "another agent",
    agent: "other",
    tool: "gmail.send_email",
    payload: '{"to":["ann@example.com"],"subject":"Hi","body":"Hello"}',
    principal: null,
  },
  {
    name: "another tool",
    agent: "demo",
    tool: "gmail.delete_email",
    payload: '{"to":["ann@example.com"],"subject":"Hi","body":"Hello"}',
    principal: null,
  },
  { name: "a principal", agent: "demo", tool: "gmail.send_email", payload: "{}", principal: "ann@example.com" },
  { name: "another principal", agent: "demo", tool: "gmail.send_email", payload: "{}", principal: "bob@example.com" },
  {
    name: "quotes, backslashes and letters beyond ASCII",
    agent: "demo",
    tool: 'a"b\\c\u00e9\u2028\ud83d\ude00/',
    payload: '{"\\u00e9":"\\ud83d\\ude00","a\\"b":"\\\\"}',
    principal: '\u00c5ngstr\u00f6m "\ud83d\ude00"',
  },
  {
    name: "a tool with control characters",
    agent: "demo",
    tool: "a\tb\u001f\u007f",
    payload: "{}",
    principal: null,
  },
  {
    name: "numbers of all kinds",
    agent: "demo",
    tool: "stripe.refund",
    payload: '{"a":-0,"b":1.0,"c":1e-7,"d":0.1,"e":9007199254740991,"f":12e2,"g":5e-324,"h":[true,false,null]}',
    principal: null,
  },
  { name: "the shortest tool", agent: "a", tool: "a", payload: "{}", principal: "a" },
  { name: "the longest tool", agent: "demo", tool: "\u00e9".repeat(128), payload: "{}", principal: null },
];

export function derivedKeyVectors() {
  return {
    keys: CASES.map(({ name, agent, tool, payload, principal }) => {
      const value = JSON.parse(payload) as never;
      const key = derivedKey(readQuestion({ tool, payload: value, ...(principal !== null && { principal }) }, agent));
      const hashed = canonicalJson(
        { agent, payload: value, tool, ...(principal !== null && { principal }) },
        "all",
        40,
      );
      return { name, agent, tool, payload, principal, hashed, key };
    }),
  };
}
