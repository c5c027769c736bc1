import { Fault } from "../../core/fault.ts";
import { Quota } from "../../core/quota.ts";
import { LIMITS } from "./limits.ts";

/** The requests of a listener whose body has not arrived whole, nobody's in particular. */
export function incompleteBodies(): Quota {
  return new Quota({ total: LIMITS.incompleteBodies }, () => {
    return new Fault("QUEUE_FULL", "Too many requests are arriving at once.", { retryAfterMs: 1000 });
  });
}

/** What a message over the limit gets, over either transport. */
export function tooLarge(): Fault {
  return new Fault(
    "MESSAGE_TOO_LARGE",
    `The message is larger than ${LIMITS.messageBytes} bytes, or becomes so when decompressed.`,
  );
}

/** What a compressed message gets that cannot be opened here, over either transport. */
export function unsupportedEncoding(supported: readonly string[]): Fault {
  return new Fault(
    "ENCODING_UNSUPPORTED",
    `The request's encoding is not supported; supported are ${supported.join(", ")}.`,
  );
}

/** What a call gets that had no answer by its deadline, over either transport. */
export function expired(): Fault {
  return new Fault("DEADLINE_EXCEEDED", "The deadline passed before there was an answer.");
}

/** Why a call is given up whose caller went away. It is sent to nobody. */
export function canceled(): Fault {
  return new Fault("CANCELED", "The caller disconnected.");
}
