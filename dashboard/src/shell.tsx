import { type ReactNode, useEffect, useRef } from "react";
import { Link, useLocation } from "wouter";
import { AdminService, type CircuitBypass } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { useQuery } from "@connectrpc/connect-query";
import { useLive, useRenewed } from "./live.tsx";
import { type OperatorRole, OperatorRoleSchema } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { useSession } from "./session.tsx";
import { person, Untrusted } from "./ui/text.tsx";
import { relative, Until, useNow } from "./ui/time.tsx";

/** More would push the page out of sight: one banner then names the agents. */
const MOST_BANNERS = 3;
const MOST_NAMED = 8;

const PAGES = [
  { path: "/", title: "Overview" },
  { path: "/decisions", title: "Decisions" },
  { path: "/executions", title: "Executions" },
  { path: "/reviews", title: "Reviews" },
  { path: "/circuits", title: "Circuits" },
  { path: "/bypass", title: "Bypass" },
  { path: "/agents", title: "Agents" },
  { path: "/policies", title: "Policies" },
  { path: "/audit", title: "Audit" },
] as const;

/** What surrounds every page: the way to the others, and whatever must not be missed. */
export function Shell({ children }: { readonly children: ReactNode }) {
  const [path] = useLocation();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  // Who uses a keyboard or a screen reader begins each page at its start; on a phone its name may be out of sight.
  useEffect(() => {
    if (!first.current) {
      // From its very top, where the banners are.
      window.scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
    first.current = false;
    document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [path]);
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <Side path={path} />
      <div className="main">
        <Banners />
        <main id="main" ref={main} tabIndex={-1}>
          {children}
        </main>
      </div>
    </div>
  );
}

function Side({ path }: { readonly path: string }) {
  const { session, signOut } = useSession();
  const { overview } = useLive();
  const counts: Readonly<Record<string, Counted>> = {
    "/executions": { count: overview?.unresolvedExecutions ?? 0, word: "unresolved" },
    "/reviews": { count: overview?.pendingReviews ?? 0, word: "waiting" },
  };
  return (
    <header className="side">
      <Link href="/" className="brand">
        <img src="/favicon.svg" alt="" /> DataCrawl
      </Link>
      <nav aria-label="Pages">
        <ul>
          {PAGES.map(({ path: target, title }) => (
            <li key={target}>
              <Link href={target} aria-current={isWithin(path, target) ? "page" : undefined}>
                {title}
                <Count of={counts[target]} />
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <div className="who">
        <span>
          {session.name} <span className="muted">({roleWord(session.role)})</span>
        </span>
        <button type="button" className="link" onClick={signOut}>
          Sign out
        </button>
      </div>
    </header>
  );
}

/** How many wait for a person on a page. */
interface Counted {
  readonly count: number;
  readonly word: string;
}

function Count({ of: counted }: { readonly of: Counted | undefined }) {
  if (counted === undefined || counted.count === 0) return null;
  return (
    <span className="count">
      {counted.count.toLocaleString("en")}
      <span className="visually-hidden"> {counted.word}</span>
    </span>
  );
}

function roleWord(role: OperatorRole): string {
  return OperatorRoleSchema.value[role]?.localName.toLowerCase() ?? "unknown role";
}

function isWithin(path: string, target: string): boolean {
  return target === "/" ? path === "/" : path === target || path.startsWith(`${target}/`);
}

/** On every page: what overrides policy, what is broken, and whether what is shown is still true. */
function Banners() {
  const { overview, staleSince } = useLive();
  const now = useNow();
  const count = overview?.activeBypasses ?? 0;
  const bypasses = useQuery(AdminService.method.listCircuitBypasses, { pageSize: 20 }, { enabled: count > 0 });
  const { refetch } = bypasses;
  // Their number alone is not enough: somebody may have replaced one by another.
  useRenewed(() => (count > 0 ? refetch() : undefined));
  useEffect(() => {
    if (count > 0) void refetch();
  }, [count, refetch]);
  const inForce = count === 0 ? [] : (bypasses.data?.bypasses ?? []);
  return (
    <>
      {staleSince === null ? null : (
        <div className="banner stale" role="status">
          <strong>What you see may be out of date.</strong>{" "}
          <span>
            The service was last heard {relative(staleSince - now)}; trying again. Agents' guards deny meanwhile
            {count > 0 ? ", but for what a bypass lets through" : ""}. If it stays away, look at its log and at
            Postgres.
          </span>
        </div>
      )}
      {overview?.inRecovery === true ? (
        <div className="banner broken" role="alert">
          <strong>The service is in recovery: agents are allowed nothing.</strong>{" "}
          <span>
            Its database was rolled back, and may have forgotten who was revoked. On the host{" "}
            <code>datacrawl audit acknowledge-rollback</code> lists what to check; only there are changes made until
            then.
          </span>
        </div>
      ) : null}
      {overview?.lastVerification?.ok === false ? (
        <div className="banner broken" role="alert">
          <strong>The audit trail does not verify.</strong> <Link href="/audit">See which rows</Link>
        </div>
      ) : null}
      {count > MOST_BANNERS ? (
        <BypassesBanner count={count} inForce={inForce} />
      ) : (
        inForce.map((bypass) => <BypassBanner key={bypass.grantId} bypass={bypass} />)
      )}
    </>
  );
}

function BypassesBanner({ count, inForce }: { readonly count: number; readonly inForce: readonly CircuitBypass[] }) {
  const agents = inForce.slice(0, MOST_NAMED).map(({ agentId }) => agentId);
  const others = count - agents.length;
  return (
    <div className="banner bypass" role="status">
      <strong>{count.toLocaleString("en")} bypasses are in force</strong>,{" "}
      <Link href="/bypass">look, or clear them</Link>: {agents.join(", ")}
      {others > 0 ? `, and ${others.toLocaleString("en")} more` : ""}
    </div>
  );
}

function BypassBanner({ bypass }: { readonly bypass: CircuitBypass }) {
  return (
    <div className="banner bypass" role="status">
      <strong>Bypass in force: {bypass.agentId}</strong> ends <Until at={bypass.expiresAt} />,{" "}
      <Link href="/bypass">look, or clear it</Link>:{" "}
      {bypass.allTools ? "all tools" : <Untrusted text={bypass.tools.join(", ")} limit={120} />}, set by{" "}
      {person(bypass.operator)}: <Untrusted text={bypass.reason} limit={160} />
    </div>
  );
}
