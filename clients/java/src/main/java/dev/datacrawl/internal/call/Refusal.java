package dev.datacrawl.internal.call;

import dev.datacrawl.RefusalCode;
import java.time.Duration;

/** Why a request was refused, and how long the service asks to wait before a retry: null if it does not say. */
public final class Refusal {
  /** The agent could not say who it is, so nothing was asked. */
  public static final Refusal NO_CREDENTIAL = new Refusal(RefusalCode.BAD_CREDENTIAL, null);
  /** The request breaks the contract, so it was not asked. */
  public static final Refusal NOT_A_REQUEST = new Refusal(RefusalCode.BAD_REQUEST, null);

  public final RefusalCode code;
  public final Duration retryAfter;

  public Refusal(RefusalCode code, Duration retryAfter) {
    this.code = code;
    this.retryAfter = retryAfter;
  }
}
