import type { Micros } from "@datacrawl/core/clock";
import { Undecodable } from "@datacrawl/core/undecodable";
import { WireReader, WireType } from "@datacrawl/core/wire-reader";

type Kind = "number" | "string" | "bytes" | "timestamp";

/** A message's fields by number: what each is called, and what it holds. */
export type Fields<Message> = ReadonlyMap<number, readonly [keyof Message & string, Kind]>;

/**
 * Decodes a message of the service, strictly: each known field at most once and of its wire type. Unknown fields are passed over, so
 * that the contract can grow.
 *
 * @param absent what fields hold that are not there
 * @throws Undecodable
 */
export function decodeFields<Message extends object>(
  bytes: Uint8Array,
  fields: Fields<Message>,
  absent: Message,
): Message {
  const message = { ...absent };
  const values = message as Record<string, unknown>;
  const seen = new Set<string>();
  const reader = new WireReader(bytes);
  const end = reader.length;
  while (reader.at < end) {
    const tag = reader.tag(end);
    const known = fields.get(tag >>> 3);
    if (known === undefined) {
      reader.skip(tag, end);
      continue;
    }
    const [name, kind] = known;
    if ((tag & 7) !== (kind === "number" ? WireType.varint : WireType.bytes))
      throw new Undecodable(`has ${name} with wire type ${tag & 7}`);
    if (seen.has(name)) throw new Undecodable(`has ${name} twice`);
    seen.add(name);
    if (kind === "number") values[name] = reader.varint(end);
    else if (kind === "timestamp") values[name] = readTimestamp(reader, reader.lengthDelimited(end), name);
    else values[name] = reader[kind](end);
  }
  return message;
}

const SECONDS = (1 << 3) | WireType.varint;
const NANOS = (2 << 3) | WireType.varint;

/** A google.protobuf.Timestamp between 1970 and 2255, where {@link Micros} is exact. */
function readTimestamp(reader: WireReader, end: number, name: string): Micros {
  let seconds: number | undefined;
  let nanos: number | undefined;
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag === SECONDS && seconds === undefined) seconds = reader.varint(end);
    else if (tag === NANOS && nanos === undefined) nanos = reader.varint(end);
    else reader.skipUnknown(tag, 2, end);
  }
  const micros = (seconds ?? 0) * 1_000_000 + Math.floor((nanos ?? 0) / 1000);
  if ((nanos ?? 0) > 999_999_999 || !Number.isSafeInteger(micros))
    throw new Undecodable(`has a ${name} that is out of range`);
  return micros;
}
