/** What both handlers hold, whatever the caller sends. */
export const LIMITS = {
  /** A request's size, after decompression. */
  messageBytes: 1024 * 1024,
  /** How long the service works on a call whose caller set no deadline. */
  defaultDeadlineMs: 5_000,
  /** No call is worked on longer, whatever deadline its caller set: it holds memory as long. */
  maxDeadlineMs: 30_000,
  /** Streams of one HTTP/2 connection at a time. Clients wait, or open another connection, when they need more. */
  streamsPerConnection: 128,
  /** Connections of one listener; further ones are closed at once. */
  connections: 1024,
  /** Requests of one listener whose body has not arrived whole, each up to {@link messageBytes}: bounds what strangers can make it hold. */
  incompleteBodies: 512,
  /** No stream lasts longer: its caller opens another one, on any replica with room, and authenticates again. */
  maxStreamMs: 3_600_000,
  /** Streams of one listener. */
  streams: 512,
  /** Streams of one operator at a time, over all of a process' listeners. */
  streamsPerCaller: 32,
  /** How long after the end of a stream its caller may take to read what was sent. */
  streamEndMs: 5_000,
  /** How long a TLS handshake or the headers of a request may take. */
  handshakeMs: 10_000,
} as const;
