/// Which page is shown, and to whom.

import { Center, Loader } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Component, Suspense, useEffect, type ReactNode } from "react";
import { ApiError } from "./api/client";
import { client, user as userQuery } from "./api/queries";
import { PAGES } from "./pages";
import { Empty, Failure, Panel } from "./parts/basics";
import { go, Link, match, Names, useAddress } from "./router";
import { Shell } from "./shell/Shell";

// Whoever is signed out meanwhile learns it from whatever page they are on.
const signedOut = (error: unknown) => {
  if (error instanceof ApiError && error.status === 401) void client.resetQueries({ queryKey: userQuery.queryKey });
};
client.getQueryCache().config.onError = (error, query) => {
  if (query.queryKey[0] !== "user") signedOut(error);
};
client.getMutationCache().config.onError = (error, _input, _context, mutation) => {
  if (mutation.meta?.["door"] !== true) signedOut(error);
};

/// An error in the drawing of a page leaves the way to the others.
class Guard extends Component<{ children: ReactNode; address: string }, { error: unknown; address: string }> {
  override state = { error: null as unknown, address: this.props.address };
  static getDerivedStateFromError = (error: unknown) => ({ error });
  static getDerivedStateFromProps(props: { address: string }, state: { address: string }) {
    return props.address === state.address ? null : { error: null, address: props.address };
  }
  override render() {
    if (this.state.error === null) return this.props.children;
    // Files of another version are gone after an update of the server.
    const stale = this.state.error instanceof TypeError && this.state.error.message.includes("import");
    const error = stale ? new Error("The platform was updated. Load the page again.") : this.state.error;
    return <Failure error={error} again={() => window.location.reload()} />;
  }
}

const Waiting = () => <Center mih={240}><Loader type="dots" aria-label="Loading" /></Center>;

const Nowhere = () => (
  <Panel>
    <Empty icon="search" title="There is no such page" action={<Link className="text" to="/">Go to the projects</Link>}>
      The address may be misspelled, or what was there is gone.
    </Empty>
  </Panel>
);

export function App() {
  const { path, whole } = useAddress();
  const user = useQuery(userQuery);
  const found = PAGES.flatMap((page) => {
    const names = match(page.pattern, path);
    return names ? [{ page, names }] : [];
  })[0];
  const title = found?.page.title(found.names) ?? "Not found";
  useEffect(() => {
    document.title = `${title} · Tributary`;
  }, [title]);

  const isOut = user.error instanceof ApiError && user.error.status === 401;
  useEffect(() => {
    if (isOut && !found?.page.open) go(`/sign-in?return_to=${encodeURIComponent(whole)}`, "replace");
  }, [isOut, found?.page.open, whole]);

  const view = found ? <Names names={found.names}><found.page.View key={path} /></Names> : <Nowhere />;
  const guarded = <Guard address={path}><Suspense fallback={<Waiting />}>{view}</Suspense></Guard>;
  if (found?.page.open) return <main>{guarded}</main>;
  if (user.data) return <Shell user={user.data}>{guarded}</Shell>;
  if (user.error && !isOut) return <main className="page"><Failure error={user.error} again={() => void user.refetch()} /></main>;
  return <Waiting />;
}
