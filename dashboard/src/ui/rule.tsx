import { type RuleFinding, RuleOutcome, type RuleText } from "@datacrawl/proto/datacrawl/authz/v1/policies_pb";
import { Badge, type Tone } from "./badge.tsx";
import { Untrusted, visible } from "./text.tsx";

const OUTCOMES: Readonly<Record<RuleOutcome, { readonly word: string; readonly tone: Tone }>> = {
  [RuleOutcome.UNSPECIFIED]: { word: "unknown", tone: "neutral" },
  [RuleOutcome.MATCHED]: { word: "matches", tone: "allow" },
  [RuleOutcome.NOT_MATCHED]: { word: "does not match", tone: "neutral" },
  [RuleOutcome.ERROR]: { word: "cannot be decided", tone: "deny" },
  [RuleOutcome.OTHER_AGENTS]: { word: "is for other agents", tone: "neutral" },
};

const EFFECTS: Readonly<Record<string, Tone>> = { allow: "allow", deny: "deny", needs_review: "review" };

export function EffectBadge({ effect }: { readonly effect: string }) {
  return <Badge tone={EFFECTS[effect] ?? "neutral"}>{effect.replace("_", " ")}</Badge>;
}

/** A rule as somebody wrote it, and where. */
export function RuleSource({ rule }: { readonly rule: RuleText }) {
  return (
    <div className="rule">
      <p>
        <EffectBadge effect={rule.effect} /> <code>{rule.ruleId}</code>{" "}
        <span className="muted">
          {rule.file}:{rule.line}
        </span>
      </p>
      <pre className="block" tabIndex={0} aria-label={`The rule ${rule.ruleId} as it was written`}>
        {visible(rule.source.trimEnd())}
      </pre>
    </div>
  );
}

/** What a condition read of the payload, and found there. */
export function ConditionValues({ finding: { values, error } }: { readonly finding: RuleFinding }) {
  return (
    <>
      {error === "" ? null : (
        <p className="notice deny">
          <Untrusted text={error} />
        </p>
      )}
      {values.length === 0 ? null : (
        <dl className="facts" aria-label="What the condition saw">
          {values.map(({ path, value }) => (
            <div key={path}>
              <dt>
                <code>{path}</code>
              </dt>
              <dd>
                {value === undefined ? (
                  <span className="muted">not in the payload</span>
                ) : (
                  <code>
                    <Untrusted text={value} limit={500} />
                  </code>
                )}
              </dd>
            </div>
          ))}
        </dl>
      )}
    </>
  );
}

/** What each rule made of a request. */
export function Findings({ findings }: { readonly findings: readonly RuleFinding[] }) {
  return (
    <ul className="plain">
      {findings.map((finding, index) => {
        const { word, tone } = OUTCOMES[finding.outcome] ?? OUTCOMES[RuleOutcome.UNSPECIFIED];
        return (
          <li className="rule" key={finding.rule?.ruleId ?? index}>
            <p>
              <EffectBadge effect={finding.rule?.effect ?? ""} /> <code>{finding.rule?.ruleId}</code>{" "}
              <span className="muted">
                {finding.rule?.file}:{finding.rule?.line}
              </span>{" "}
              <Badge tone={tone}>{word}</Badge>
            </p>
            {finding.rule === undefined || finding.rule.when === "" ? null : (
              <pre className="mono">{visible(finding.rule.when.trimEnd())}</pre>
            )}
            <ConditionValues finding={finding} />
          </li>
        );
      })}
    </ul>
  );
}
