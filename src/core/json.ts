/** A value that JSON can hold. The types are those of protobuf-es, so that payloads pass to and from messages as they are. */
export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;
export type JsonObject = { [name: string]: JsonValue };

/** Sets a member of an object that is being read. Assigning to `__proto__` would set the prototype, and lose the member. */
export function setMember(object: JsonObject, name: string, value: JsonValue): void {
  if (name === "__proto__")
    Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
  else object[name] = value;
}
