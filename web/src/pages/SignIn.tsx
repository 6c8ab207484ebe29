/// The way in.

import { Alert, Button, Divider, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, type SubmitEvent, type ReactNode } from "react";
import { base, post } from "../api/client";
import { signInOptions, user as userQuery } from "../api/queries";
import { Failure } from "../parts/basics";
import { Icon } from "../parts/Icon";
import { Brand } from "../shell/Brand";
import { go, useAddress } from "../router";

/// What an unsuccessful sign-in elsewhere comes back with.
const ELSEWHERE: Record<string, string> = {
  oidc_denied: "You, or the other side, said no.",
  oidc_expired: "That took too long, or went on in another browser. Please start again.",
  oidc_not_invited: "Nobody here has that address. Ask an administrator for an invitation.",
  oidc_unverified: "The other side does not vouch for your address.",
  oidc_disabled: "Your user is disabled. Ask an administrator.",
  oidc_failed: "The other side could not be reached, or its answer was wrong. The log of the server has the reason.",
};

/// Only paths of our own: a link must not lead to somebody else's page.
function target(query: URLSearchParams): string {
  const to = query.get("return_to") ?? "/";
  return /^\/(?![/\\])/.test(to) && !to.startsWith("/sign-in") ? to : "/";
}

export function Door({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="door">
      <div className="door-card">
        <div style={{ display: "flex", alignItems: "center", gap: 12, marginBottom: 22 }}>
          <Brand size={36} />
          <span style={{ fontWeight: 680, fontSize: "1.2rem", letterSpacing: "-0.02em" }}>Tributary</span>
        </div>
        <h1 tabIndex={-1} style={{ fontSize: "1.3rem", margin: "0 0 18px", letterSpacing: "-0.02em" }}>{title}</h1>
        {children}
      </div>
    </div>
  );
}

export default function SignIn() {
  const { query } = useAddress();
  const cache = useQueryClient();
  const options = useQuery(signInOptions);
  const user = useQuery(userQuery);
  const to = target(query);
  useEffect(() => {
    if (user.data) go(to, "replace");
  }, [user.data, to]);
  const enter = useMutation({
    mutationFn: (input: { username: string; password: string }) => post("/auth/sign-in", { json: input }),
    onSuccess: ({ user }) => cache.setQueryData(userQuery.queryKey, user),
    meta: { door: true },
  });
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    enter.mutate({ username: text(form.get("username")), password: text(form.get("password")) });
  };
  const error = query.get("error");
  const oidc = options.data?.oidc;
  return (
    <Door title="Sign in">
      <Stack gap="md">
        {error !== null && enter.error === null && <Failure error={new Error(ELSEWHERE[error] ?? "The sign-in did not work.")} />}
        {query.get("signed_out") === "oidc" && error === null && enter.error === null && (
          <Alert color="teal" icon={<Icon name="check" />} role="status">
            You are signed out here. {oidc?.name ?? "The other side"} was asked to sign you out there, too.
          </Alert>
        )}
        {options.error !== null && <Failure error={options.error} again={() => void options.refetch()} />}
        {oidc && (
          <Button component="a" href={`${oidc.start}?return_to=${encodeURIComponent(base + to)}`} variant="default" size="md" fullWidth>
            Sign in with {oidc.name}
          </Button>
        )}
        {oidc && options.data?.password && <Divider label="or" />}
        {options.data?.password !== false && (
          <form onSubmit={submit}>
            <Stack gap="md">
              <TextInput name="username" label="Name or email address" autoComplete="username" required autoFocus size="md" />
              <PasswordInput name="password" label="Password" autoComplete="current-password" required size="md"
                visibilityToggleButtonProps={{ "aria-label": "Show the password" }} />
              {enter.error !== null && <Failure error={enter.error} />}
              <Button type="submit" size="md" fullWidth loading={enter.isPending}>Sign in</Button>
            </Stack>
          </form>
        )}
        <p style={{ margin: 0, fontSize: "0.82rem", color: "var(--mantine-color-dimmed)" }}>
          The first administrator signs in with the link that <code>tributary serve</code> printed at its first start.
          Everybody else is sent a link by an administrator.
        </p>
      </Stack>
    </Door>
  );
}

export const text = (value: FormDataEntryValue | null) => (typeof value === "string" ? value : "");
