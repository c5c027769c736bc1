import { Route, Switch } from "wouter";
import { LiveProvider } from "./live.tsx";
import { Page } from "./page.tsx";
import { AgentsPage } from "./pages/agents.tsx";
import { AuditPage } from "./pages/audit.tsx";
import { BypassPage } from "./pages/bypass.tsx";
import { CircuitPage } from "./pages/circuit.tsx";
import { CircuitsPage } from "./pages/circuits.tsx";
import { DecisionPage } from "./pages/decision.tsx";
import { DecisionsPage } from "./pages/decisions.tsx";
import { ExecutionsPage } from "./pages/executions.tsx";
import { OverviewPage } from "./pages/overview.tsx";
import { PoliciesPage } from "./pages/policies.tsx";
import { ReviewPage } from "./pages/review.tsx";
import { ReviewsPage } from "./pages/reviews.tsx";
import { SessionsPage } from "./pages/sessions.tsx";
import { SignedIn } from "./session.tsx";
import { Shell } from "./shell.tsx";
import { Empty } from "./ui/state.tsx";

export function App() {
  return (
    <SignedIn>
      <LiveProvider>
        <Shell>
          <Switch>
            <Route path="/" component={OverviewPage} />
            <Route path="/decisions" component={DecisionsPage} />
            <Route path="/decisions/:id">{({ id }) => <DecisionPage id={id} />}</Route>
            <Route path="/sessions" component={SessionsPage} />
            <Route path="/executions" component={ExecutionsPage} />
            <Route path="/reviews" component={ReviewsPage} />
            <Route path="/reviews/:id">{({ id }) => <ReviewPage id={id} />}</Route>
            <Route path="/circuits" component={CircuitsPage} />
            <Route path="/circuits/:agent">{({ agent }) => <CircuitPage agentId={agent} />}</Route>
            <Route path="/bypass" component={BypassPage} />
            <Route path="/agents" component={AgentsPage} />
            <Route path="/policies" component={PoliciesPage} />
            <Route path="/audit" component={AuditPage} />
            <Route>
              <Page title="Nothing here">
                <Empty title="There is no such page" />
              </Page>
            </Route>
          </Switch>
        </Shell>
      </LiveProvider>
    </SignedIn>
  );
}
