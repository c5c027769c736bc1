/** A value that JSON can hold. A member that is `undefined` is absent. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
/** A JSON object. */
export type JsonObject = {
  /** A member; `undefined` is the same as none. */
  readonly [name: string]: JsonValue | undefined;
};

/** `T`, as far as it is JSON. Also of interfaces, which are no {@link JsonObject} for want of an index signature. */
export type Json<T> = T extends JsonValue | undefined
  ? T
  : T extends (...args: never) => unknown
    ? never
    : { readonly [Name in keyof T]: Json<T[Name]> };
