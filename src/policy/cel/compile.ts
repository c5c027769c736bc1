import { compileCall } from "./call.ts";
import type { Run } from "./evaluation.ts";
import { compileMacro } from "./macro.ts";
import {
  type Compiled,
  compiled,
  constant,
  constantOf,
  type Expr,
  literalOf,
  pair,
  pathOf,
  type Scope,
} from "./scope.ts";
import { ANY, BOOL, DOUBLE, Failure, INT, isList, isMap, JSON_KINDS, kindOf, type Kinds, LIST } from "./value.ts";
import { PRINCIPAL } from "./scope.ts";
import { MAP, NULL, nameKinds, type Outcome, STRING, type Value } from "./value.ts";

/** The variables that a condition sees, for messages. */
const VARIABLES = "agent.id, request.principal, tool, payload and constants";

/**
 * Compiles a parsed condition to a closure that reads the payload in place, and checks it on the way: what can be known to
 * fail on every call is a complaint. What is left to run time is a {@link Failure} when it goes wrong.
 */
export function compileExpression(expr: Expr, scope: Scope): Compiled {
  const { exprKind } = expr;
  switch (exprKind.case) {
    case "constExpr":
      return compileConstant(expr, exprKind.value.constantKind, scope);
    case "identExpr":
      return compileName(expr, exprKind.value.name, scope);
    case "selectExpr":
      return compileSelect(expr, exprKind.value, scope);
    case "listExpr":
      return compileList(exprKind.value.elements, scope);
    case "callExpr":
      if (exprKind.value.function === "_[_]") return compileIndex(expr, exprKind.value.args, scope);
      if (exprKind.value.function === "has") return compileHasKey(expr, exprKind.value.args, scope);
      return compileCall(expr, exprKind.value, scope);
    case "comprehensionExpr":
      return compileMacro(expr, exprKind.value, scope);
    case "structExpr":
      return scope.refuse(expr, "maps cannot be written in a condition; compare the fields one by one");
    case undefined:
      break;
  }
  return scope.refuse(expr, "an expression is missing; write a condition such as payload.amount <= 100");
}

type Constant = Extract<Expr["exprKind"], { case: "constExpr" }>["value"]["constantKind"];
type Select = Extract<Expr["exprKind"], { case: "selectExpr" }>["value"];

function compileConstant(expr: Expr, value: Constant, scope: Scope): Compiled {
  switch (value.case) {
    case "boolValue":
      return constant(value.value, BOOL);
    case "int64Value":
      return constant(value.value, INT);
    case "doubleValue":
      return constant(value.value, DOUBLE);
    case "stringValue":
      return constant(value.value, STRING);
    case "nullValue":
      return constant(null, NULL);
    case "uint64Value":
      return scope.refuse(expr, `unsigned numbers are not part of the rule language; write ${value.value}`);
    case "bytesValue":
    case "durationValue":
    case "timestampValue":
    case undefined:
      break;
  }
  return scope.refuse(expr, "bytes are not part of the rule language; write a string");
}

function compileName(expr: Expr, name: string, scope: Scope): Compiled {
  for (let loop = scope.loop; loop !== null; loop = loop.outer) {
    const { depth } = loop;
    if (name === loop.variable) return compiled((evaluation) => evaluation.frame(depth).item, loop.items, loop.nested);
    if (name === loop.resultName) return compiled((evaluation) => evaluation.frame(depth).result, loop.resultKinds);
  }
  switch (name) {
    case "payload":
      return compiled((evaluation) => evaluation.subject.payload, MAP);
    case "tool":
      return compiled((evaluation) => evaluation.subject.tool, STRING);
    case "agent":
      return scope.refuse(expr, "agent is not a value; write agent.id");
    case "request":
      return scope.refuse(expr, "request is not a value; write request.principal");
    case "constants":
      return scope.refuse(expr, "constants is not a value; write constants.name");
    default:
      return scope.refuse(expr, `unknown variable ${name}; a condition sees ${VARIABLES}`);
  }
}

function compileSelect(expr: Expr, select: Select, scope: Scope): Compiled {
  const { operand, field, testOnly } = select;
  if (operand === undefined) return scope.refuse(expr, "a field of nothing");
  if (operand.exprKind.case === "identExpr" && operand.exprKind.value.name === "agent" && !testOnly) {
    if (field !== "id") return scope.refuse(expr, `unknown variable agent.${field}; a condition sees ${VARIABLES}`);
    return compiled((evaluation) => evaluation.subject.agentId, STRING);
  }
  if (operand.exprKind.case === "identExpr" && operand.exprKind.value.name === "constants" && !testOnly) {
    return compileConstantName(expr, field, scope);
  }
  if (
    operand.exprKind.case === "identExpr" &&
    operand.exprKind.value.name === "request" &&
    !isVariable("request", scope)
  ) {
    return compilePrincipal(expr, field, testOnly, scope);
  }
  return testOnly ? compilePresence(expr, operand, field, scope) : compileAccess(expr, operand, field, scope);
}

/** Whether a macro has a variable of that name, which stands before ours. */
function isVariable(name: string, scope: Scope): boolean {
  for (let loop = scope.loop; loop !== null; loop = loop.outer) if (loop.variable === name) return true;
  return false;
}

/** `request.principal`, which is absent where the agent does not say on whose behalf it acts. */
function compilePrincipal(expr: Expr, field: string, testOnly: boolean, scope: Scope): Compiled {
  if (field !== "principal")
    return scope.refuse(expr, `unknown variable request.${field}; a condition sees ${VARIABLES}`);
  if (testOnly) {
    scope.guards.add(PRINCIPAL);
    return compiled((evaluation) => (evaluation.subject.principal ?? null) !== null, BOOL);
  }
  if (!scope.reads.has(PRINCIPAL)) scope.reads.set(PRINCIPAL, scope.offsetOf(expr));
  const absent = new Failure(`${PRINCIPAL} is absent`, scope.offsetOf(expr));
  return compiled((evaluation) => evaluation.subject.principal ?? absent, STRING);
}

function compileConstantName(expr: Expr, name: string, scope: Scope): Compiled {
  const known = scope.constants.get(name);
  if (known !== undefined) {
    scope.used.add(name);
    return constantOf(known.value);
  }
  const names = [...scope.constants.keys()].join(", ");
  const instead = names === "" ? "write constants: in a policy file, with its name and value" : `there are ${names}`;
  return scope.refuse(expr, `unknown constant ${name}; ${instead}`);
}

/** Reading a field: its value, or that it is absent, or that its parent is no map. */
interface Field {
  readonly run: Run;
  /** What `run` gives where the parent is there and the field is not. */
  readonly absent: Failure;
  readonly path: string | null;
}

function compileField(expr: Expr, operand: Expr, name: string, scope: Scope): Field | null {
  const map = scope.compile(operand);
  if ((map.kinds & MAP) === 0) {
    scope.refuse(expr, `${nameKinds(map.kinds)} has no fields such as ${JSON.stringify(name)}`);
    return null;
  }
  const path = pathOf(expr);
  const parent = pathOf(operand) ?? "a value";
  const absent = new Failure(`${path ?? `a field ${JSON.stringify(name)}`} is absent`, scope.offsetOf(expr));
  return { run: (evaluation) => readField(map.run(evaluation), name, absent, parent), absent, path };
}

/** INVARIANT: only own properties exist. A payload's `__proto__` is a key like any other, and `constructor` no inheritance. */
function readField(outcome: Outcome, field: string, absent: Failure, parent: string): Outcome {
  if (outcome instanceof Failure) return outcome;
  if (!isMap(outcome)) return new Failure(`${parent} is ${nameKinds(kindOf(outcome))}, not a map`, absent.offset);
  return Object.hasOwn(outcome, field) ? (outcome[field] ?? null) : absent;
}

function compileAccess(expr: Expr, operand: Expr, name: string, scope: Scope): Compiled {
  const field = compileField(expr, operand, name, scope);
  if (field === null) return compiled(() => null, ANY);
  if (field.path !== null && !scope.reads.has(field.path)) scope.reads.set(field.path, scope.offsetOf(expr));
  return compiled(field.run, JSON_KINDS, JSON_KINDS);
}

/** `has(payload.note)`: whether the field is there, even as null. Its parent has to be there. */
function compilePresence(expr: Expr, operand: Expr, name: string, scope: Scope): Compiled {
  const field = compileField(expr, operand, name, scope);
  if (field === null) return compiled(() => null, BOOL);
  if (field.path !== null) scope.guards.add(field.path);
  return compiled((evaluation) => {
    const found = field.run(evaluation);
    if (found === field.absent) return false;
    return found instanceof Failure ? found : true;
  }, BOOL);
}

/** `has(payload.headers["content-type"])`: ours, since CEL's `has` takes no keys that are not identifiers. */
function compileHasKey(expr: Expr, args: readonly Expr[], scope: Scope): Compiled {
  const [arg] = args;
  if (args.length === 1 && arg?.exprKind.case === "callExpr" && arg.exprKind.value.function === "_[_]") {
    const [operand, keyExpr] = pair(arg.exprKind.value.args);
    const key = literalOf(keyExpr);
    if (typeof key === "string") return compilePresence(arg, operand, key, scope);
  }
  return scope.refuse(expr, 'has() takes a field; write has(payload.note) or has(payload.headers["content-type"])');
}

function compileList(elements: readonly Expr[], scope: Scope): Compiled {
  const parts = elements.map((element) => scope.compile(element));
  const items = parts.reduce((kinds: Kinds, part) => kinds | part.kinds, 0);
  const literals = parts.flatMap((part) => (part.constant === null ? [] : [part.constant.value]));
  if (literals.length === parts.length) return constant(literals, LIST, items);
  return compiled(
    (evaluation) => {
      const values: Value[] = [];
      for (const part of parts) {
        const value = part.run(evaluation);
        if (value instanceof Failure) return value;
        values.push(value);
      }
      return values;
    },
    LIST,
    items,
  );
}

function compileIndex(expr: Expr, args: readonly Expr[], scope: Scope): Compiled {
  const [operandExpr, indexExpr] = pair(args);
  const key = literalOf(indexExpr);
  if (typeof key === "string") return compileAccess(expr, operandExpr, key, scope);
  const operand = scope.compile(operandExpr);
  const index = scope.compile(indexExpr);
  if ((operand.kinds & (LIST | MAP)) === 0) return scope.refuse(expr, `${nameKinds(operand.kinds)} has no elements`);
  if ((index.kinds & (INT | DOUBLE | STRING)) === 0) {
    return scope.refuse(
      expr,
      `${nameKinds(index.kinds)} is not an index; write a number for a list, a string for a map`,
    );
  }
  const path = pathOf(expr);
  const offset = scope.offsetOf(expr);
  return compiled(
    (evaluation) => {
      const from = operand.run(evaluation);
      if (from instanceof Failure) return from;
      const at = index.run(evaluation);
      return at instanceof Failure ? at : elementAt(from, at, path ?? "an element", offset);
    },
    operand.kinds === LIST ? operand.items : JSON_KINDS | operand.items,
    path?.startsWith("payload") ? JSON_KINDS : ANY,
  );
}

function elementAt(from: Value, at: Value, name: string, offset: number): Outcome {
  if (isList(from) && (typeof at === "bigint" || typeof at === "number")) {
    return from[Number(at)] ?? (Number(at) in from ? null : new Failure(`${name} is outside its list`, offset));
  }
  if (isMap(from) && typeof at === "string") {
    return readField(from, at, new Failure(`${name} is absent`, offset), name);
  }
  return new Failure(`${nameKinds(kindOf(from))} has no element at ${nameKinds(kindOf(at))}`, offset);
}
