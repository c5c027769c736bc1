import { Code, ConnectError } from "@connectrpc/connect";
import { useMutation, useQuery } from "@connectrpc/connect-query";
import {
  createContext,
  type FormEvent,
  type ReactNode,
  type SyntheticEvent,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { OperatorRole } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { type Session, SessionService } from "@datacrawl/proto/datacrawl/authz/v1/session_service_pb";
import { onSignInNeeded, queries, type SignInNeed } from "./api.ts";
import { focusAgain } from "./ui/dialog.tsx";
import { TextField } from "./ui/field.tsx";
import { Loading, Problem, sayProblem } from "./ui/state.tsx";

interface SessionContext {
  readonly session: Session;
  readonly signOut: () => void;
}

const Context = createContext<SessionContext | null>(null);

/** Who is signed in; only within {@link SignedIn}. */
export function useSession(): SessionContext {
  const context = useContext(Context);
  if (context === null) throw new Error("nobody is signed in here");
  return context;
}

/** Whether to show what needs `role`; each role may what the ones before it may. The service decides at each call. */
export function useMay(role: OperatorRole): boolean {
  return useSession().session.role >= role;
}

/**
 * Shows its children to who is signed in, and the sign-in form to everybody else. A session that ends while a page is open
 * brings the form up over the page, so that what was typed there is still there afterwards.
 */
export function SignedIn({ children }: { readonly children: ReactNode }) {
  const asked = useQuery(
    SessionService.method.getSession,
    {},
    {
      retry: false,
      staleTime: Number.POSITIVE_INFINITY,
      // Who opens the page in an outage is let in when it is over.
      refetchInterval: ({ state }) => (state.status === "error" && !isSignedOut(state.error) ? RETRY_MS : false),
    },
  );
  const [need, setNeed] = useState<SignInNeed | null>(null);
  useEffect(() => onSignInNeeded(setNeed), []);
  const { mutate: signOut } = useMutation(SessionService.method.signOut, {
    onSuccess: () => {
      queries.clear();
      window.location.assign("/");
    },
  });
  const session = asked.data?.session;
  const context = useMemo(
    () => (session === undefined ? null : { session, signOut: () => signOut({}) }),
    [session, signOut],
  );
  const signedIn = (): void => {
    setNeed(null);
    void queries.invalidateQueries();
  };
  if (context === null) {
    if (asked.isPending) return <Loading what="your session" />;
    if (isSignedOut(asked.error))
      return (
        <main className="signin">
          <SignInForm onSignedIn={signedIn} />
        </main>
      );
    return (
      <main>
        <h1 className="visually-hidden">DataCrawl</h1>
        <Problem error={asked.error} retry={() => void asked.refetch()}>
          <p>
            Agents' guards deny meanwhile, but for what a bypass lets through. Trying again; if it stays so, look at the
            service's log and at Postgres.
          </p>
        </Problem>
      </main>
    );
  }
  return (
    <Context value={context}>
      {children}
      {need === null ? null : (
        <SignInAgain
          need={need}
          onSignedIn={signedIn}
          onCancel={() => setNeed((now) => (now === "ended" ? now : null))}
        />
      )}
    </Context>
  );
}

function isSignedOut(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Unauthenticated;
}

const RETRY_MS = 5000;

const NEEDS: Readonly<Record<SignInNeed, string>> = {
  ended: "Your session has ended",
  "too old": "This needs a sign-in within the last 5 minutes",
};

interface SignInAgainProps {
  readonly need: SignInNeed;
  readonly onSignedIn: () => void;
  readonly onCancel: () => void;
}

function SignInAgain({ need, onSignedIn, onCancel }: SignInAgainProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    if (dialog.current?.open === false) dialog.current.showModal();
    return () => focusAgain(before);
  }, []);
  const cancel = (event: SyntheticEvent): void => {
    event.preventDefault();
    onCancel();
  };
  return (
    <dialog ref={dialog} aria-label={NEEDS[need]} onCancel={cancel} onClose={() => dialog.current?.showModal()}>
      <p className="notice review field">{NEEDS[need]}. What you typed is still there.</p>
      <SignInForm onSignedIn={onSignedIn} />
    </dialog>
  );
}

function SignInForm({ onSignedIn }: { readonly onSignedIn: () => void }) {
  const [form, setForm] = useState({ name: "", password: "", totpCode: "" });
  const signIn = useMutation(SessionService.method.signIn, { onSuccess: onSignedIn });
  const change = (part: Partial<typeof form>): void => setForm({ ...form, ...part });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    signIn.mutate(form);
  };
  return (
    <form className="card" onSubmit={submit}>
      <h1 className="field">Sign in to DataCrawl</h1>
      <TextField
        label="Name"
        required
        autoComplete="username"
        value={form.name}
        onChange={(name) => change({ name })}
      />
      <TextField
        label="Password"
        required
        type="password"
        autoComplete="current-password"
        value={form.password}
        onChange={(password) => change({ password })}
      />
      <TextField
        label="One-time code"
        hint="Only if your account has them."
        inputMode="numeric"
        pattern="[0-9]{6}"
        autoComplete="one-time-code"
        value={form.totpCode}
        onChange={(totpCode) => change({ totpCode })}
      />
      {signIn.error === null ? null : (
        <p className="notice deny field" role="alert">
          {sayProblem(signIn.error)}
        </p>
      )}
      <button type="submit" className="primary" disabled={signIn.isPending}>
        {signIn.isPending ? "Signing in…" : "Sign in"}
      </button>
      <p className="hint">No account yet? On the service's machine: datacrawl operator add NAME --role operator</p>
    </form>
  );
}
