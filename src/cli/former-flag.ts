import { type Command, Option } from "commander";

/**
 * Lets `command` take `former`, such as "--comment <text>", for its flag `current`, such as "--reason". Not in the help: there is one
 * word for each thing, and older scripts go on working.
 */
export function formerly(
  command: Command,
  former: string,
  current: string,
  translate: (value: string) => string = (value) => value,
): void {
  const target = command.options.find(({ long }) => long === current);
  if (target === undefined) throw new Error(`${command.name()} has no flag ${current}`);
  command.addOption(new FormerOption(former, target, translate));
}

/** Its value is the other option's. */
class FormerOption extends Option {
  readonly #target: Option;

  constructor(flags: string, target: Option, translate: (value: string) => string) {
    super(flags);
    this.#target = target;
    const { parseArg } = target;
    if (parseArg !== undefined) this.argParser((value, previous) => parseArg(translate(value), previous));
    this.hideHelp();
  }

  override attributeName(): string {
    return this.#target.attributeName();
  }
}
