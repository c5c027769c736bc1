package dev.datacrawl;

import java.util.Map;

/**
 * What a tool does.
 *
 * @param <R> what it returns
 * @param <E> what it may throw
 */
@FunctionalInterface
public interface Action<R, E extends Exception> {
  /**
   * Runs it.
   *
   * @param payload the values that were allowed; unmodifiable
   */
  R run(Map<String, Object> payload, Verdict verdict) throws E;
}
