package dev.datacrawl;

import java.util.Map;
import java.util.concurrent.CompletionStage;

/**
 * What a tool does, without waiting for it.
 *
 * @param <R> what it comes to
 */
@FunctionalInterface
public interface AsyncAction<R> {
  /**
   * Starts it.
   *
   * @param payload the values that were allowed; unmodifiable
   */
  CompletionStage<R> run(Map<String, Object> payload, Verdict verdict);
}
