import { isIPv4, isIPv6 } from "node:net";

/** An IP address. */
export class Ip {
  readonly family: 4 | 6;
  /** As a number of 32 or 128 bits. */
  readonly bits: bigint;
  /** As RFC 5952 writes it, so that equal addresses have equal texts. */
  readonly text: string;

  constructor(family: 4 | 6, bits: bigint, text: string) {
    this.family = family;
    this.bits = bits;
    this.text = text;
  }
}

/** A range of IP addresses: those whose first `length` bits are `network`. */
export class Cidr {
  readonly family: 4 | 6;
  readonly network: bigint;
  readonly length: number;

  constructor(family: 4 | 6, network: bigint, length: number) {
    this.family = family;
    this.network = network;
    this.length = length;
  }

  contains({ family, bits }: Ip): boolean {
    return family === this.family && networkOf(bits, family, this.length) === this.network;
  }

  containsRange(other: Cidr): boolean {
    if (other.family !== this.family || other.length < this.length) return false;
    return other.network >> BigInt(other.length - this.length) === this.network;
  }
}

const MAX_LENGTH = 45;
/** `::ffff:0:0/96`: IPv4 addresses under another name, which no IPv4 range would contain. */
const MAPPED = 0xffffn;

/** Reads `10.0.0.1` or `2001:db8::1`, or returns why `text` is not an address. */
export function parseIp(text: string): Ip | string {
  if (text.length > MAX_LENGTH) return "it is too long";
  if (isIPv4(text)) return new Ip(4, bitsOfIPv4(text), text);
  if (text.includes("%")) return "it has a zone";
  if (!isIPv6(text)) return "it is written neither as 10.0.0.1 nor as 2001:db8::1";
  const bits = bitsOfIPv6(text);
  if (bits >> 32n === MAPPED) return "it is an IPv4 address written as IPv6";
  return new Ip(6, bits, new URL(`http://[${text}]/`).hostname.slice(1, -1));
}

/** Reads `10.0.0.0/8` or `2001:db8::/32`, or returns why `text` is not a range. */
export function parseCidr(text: string): Cidr | string {
  const [, address, digits] = /^([^/]{1,45})\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  if (address === undefined) return "it is not written as 10.0.0.0/8 or 2001:db8::/32";
  const ip = parseIp(address);
  if (typeof ip === "string") return ip;
  const length = Number(digits);
  if (length > widthOf(ip.family)) return `its length is more than ${widthOf(ip.family)}`;
  const network = networkOf(ip.bits, ip.family, length);
  if (network << BigInt(widthOf(ip.family) - length) !== ip.bits) return "its address has bits beyond its length";
  return new Cidr(ip.family, network, length);
}

function widthOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

function networkOf(bits: bigint, family: 4 | 6, length: number): bigint {
  return bits >> BigInt(widthOf(family) - length);
}

function bitsOfIPv4(text: string): bigint {
  return text.split(".").reduce((bits, part) => (bits << 8n) | BigInt(part), 0n);
}

/** Of a text that `isIPv6` takes. */
function bitsOfIPv6(text: string): bigint {
  const tail = text.slice(text.lastIndexOf(":") + 1);
  const whole = tail.includes(".") ? `${text.slice(0, -tail.length)}${groupsOfIPv4(tail)}` : text;
  const [head = "", rest] = whole.split("::");
  const first = groupsOf(head);
  const last = rest === undefined ? [] : groupsOf(rest);
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => 0n);
  return [...first, ...zeros, ...last].reduce((bits, group) => (bits << 16n) | group, 0n);
}

function groupsOfIPv4(text: string): string {
  const bits = bitsOfIPv4(text);
  return `${(bits >> 16n).toString(16)}:${(bits & 0xffffn).toString(16)}`;
}

function groupsOf(text: string): bigint[] {
  return text === "" ? [] : text.split(":").map((group) => BigInt(`0x${group}`));
}
