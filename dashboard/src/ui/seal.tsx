import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { ErrorInfoSchema } from "@datacrawl/proto/google/rpc/error_details_pb";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { transport } from "../api.ts";
import { Badge } from "./badge.tsx";
import { Loading, Problem } from "./state.tsx";

/** By when what is recorded now has a seal: the service seals every 10 s. */
const SEALED_BY_MS = 15_000;

const admin = createClient(AdminService, transport);

/** Which leaf a decision is, and of what its newest checkpoint is signed. */
interface Seal {
  readonly leaf: number;
  readonly size: number;
  readonly epoch: number;
}

/** Whether a decision is sealed yet, as the service says. */
export function Sealed({ decisionId, unchanged }: { readonly decisionId: string; readonly unchanged: boolean }) {
  const { asked, lookedAgain } = useSeal(decisionId);
  const { data: seal, error } = asked;
  if (seal === null && error === null)
    return (
      <p className="field" role="status">
        <Badge tone="neutral">not sealed yet</Badge>{" "}
        {lookedAgain ? (
          <>
            It should have a seal by now: <Link href="/audit">the audit page</Link> shows what is wrong.
          </>
        ) : (
          "It gets its seal some ten seconds after it is recorded; this page looks once more by itself."
        )}
      </p>
    );
  if (seal !== null && seal !== undefined)
    return (
      <p className="field" role="status">
        <Badge tone={unchanged ? "allow" : "neutral"}>sealed</Badge> {unchanged ? "It" : "What was recorded"} is leaf{" "}
        {seal.leaf.toLocaleString("en")} (counted from 0) of the {seal.size.toLocaleString("en")} under the newest
        signed checkpoint of epoch {seal.epoch}, as the service says.
      </p>
    );
  if (error !== null) return <Problem error={error} retry={() => void asked.refetch()} />;
  return <Loading what="its seal" />;
}

/**
 * Each look is a row of the audit trail: one when the page opens, and another when it should have a seal. What was answered is
 * not asked again when the stream is back.
 */
function useSeal(decisionId: string) {
  const [lookedAgain, setLookedAgain] = useState(false);
  const asked = useQuery({
    queryKey: ["seal", decisionId],
    queryFn: ({ signal }) => readSeal(decisionId, signal),
    retry: false,
    staleTime: ({ state }) => (state.status === "error" ? 0 : "static"),
  });
  const { data, refetch } = asked;
  useEffect(() => {
    if (data !== null) return;
    const timer = setTimeout(() => void refetch().then(() => setLookedAgain(true)), SEALED_BY_MS);
    return () => clearTimeout(timer);
  }, [data, refetch]);
  return { asked, lookedAgain };
}

/** Null if it has none yet. */
async function readSeal(decisionId: string, signal: AbortSignal): Promise<Seal | null> {
  try {
    return sealOf((await admin.proveDecision({ decisionId }, { signal })).proof);
  } catch (error) {
    if (hasReason(error, "DECISION_NOT_SEALED")) return null;
    throw error;
  }
}

/** docs/proof-format.md: a checkpoint's second line is the number of its leaves. Whether the proof holds is not looked at here. */
function sealOf(proof: string): Seal {
  const { leaf_index, epoch, checkpoint } = JSON.parse(proof) as {
    readonly leaf_index: number;
    readonly epoch: number;
    readonly checkpoint: string;
  };
  return { leaf: leaf_index, epoch, size: Number(checkpoint.split("\n")[1]) };
}

/** Why a decision that is not in the database is not: the service's word on one that was retired, else what `error` says. */
export function Missing({ decisionId, error, retry }: MissingProps) {
  const isUnknown = ConnectError.from(error).code === Code.NotFound;
  const asked = useQuery({
    queryKey: ["seal", decisionId],
    queryFn: ({ signal }) => readSeal(decisionId, signal),
    retry: false,
    enabled: isUnknown,
  });
  if (isUnknown && asked.isPending) return <Loading what="the decision" />;
  const isRetired = hasReason(asked.error, "DECISION_RETIRED");
  const shown = isRetired ? new ConnectError(ConnectError.from(asked.error).rawMessage, Code.NotFound) : error;
  return <Problem error={shown} retry={retry} />;
}

interface MissingProps {
  readonly decisionId: string;
  readonly error: unknown;
  readonly retry: () => void;
}

function hasReason(error: unknown, wanted: string): boolean {
  return ConnectError.from(error)
    .findDetails(ErrorInfoSchema)
    .some(({ reason }) => reason === wanted);
}
