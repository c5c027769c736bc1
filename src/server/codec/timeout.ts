const GRPC_TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const CONNECT_TIMEOUT = /^\d{1,10}$/;

const MILLISECONDS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000001,
};

/**
 * The header `grpc-timeout` in milliseconds: at most eight digits and a unit, as gRPC's protocol has it. Null for anything else.
 *
 * Libraries accept other forms as well: grpc-js finds digits and a unit anywhere in it, and ignores `100000000S`.
 */
export function grpcTimeoutMs(header: string): number | null {
  const [, digits, unit] = GRPC_TIMEOUT.exec(header) ?? [];
  return digits === undefined || unit === undefined ? null : Number(digits) * (MILLISECONDS[unit] as number);
}

/** The header `connect-timeout-ms`: at most ten digits, as Connect's protocol has it. Null for anything else. */
export function connectTimeoutMs(header: string): number | null {
  return CONNECT_TIMEOUT.test(header) ? Number(header) : null;
}
