/** Whether this is `npm run test:full`. */
const isFull = process.env["DATACRAWL_TEST_FULL"] === "1";

/** How much of something: `sample` in `npm test` and in `.ci/run`, `whole` in `npm run test:full`. */
export function amount<Value>(sample: Value, whole: Value): Value {
  return isFull ? whole : sample;
}
