/// One's own account: password, tokens, and where one is signed in.

import { Badge, Button, MultiSelect, NativeSelect, PasswordInput, Alert } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { endpoint, get, post, remove } from "../api/client";
import { account as accountQuery, projects as projectsQuery, roles as rolesQuery, signInOptions, user as userQuery } from "../api/queries";
import { Await, Command, Dot, Empty, Failure, Head, Panel } from "../parts/basics";
import { chosen, FormButton, Limited, SureButton, useAction } from "../parts/forms";
import { day, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { go } from "../router";

export default function AccountPage() {
  const user = useQuery(userQuery).data;
  const account = useQuery(accountQuery);
  const cache = useQueryClient();
  const least = useQuery(signInOptions).data?.min_password_length ?? 12;
  const [mismatch, setMismatch] = useState(false);
  const out = useAction(async () => {
    const { continue_at } = await post("/auth/sign-out", { json: {} });
    cache.clear();
    // Also before leaving, so that the way back leads to no page of this account.
    go("/sign-in", "replace");
    // The provider's own session would let the next person in without a password.
    if (continue_at !== null) window.location.assign(continue_at);
  });
  return (
    <>
      <Head title="Your account" about={user && `${user.username} · ${user.email}`}>
        {account.data?.has_password && (
          <FormButton
            label="Change password"
            variant="default"
            title="Change your password"
            submit="Change"
            said="The password is changed. Other sessions were ended."
            act={async (values) => {
              setMismatch(values["new"] !== values["again"]);
              if (values["new"] !== values["again"]) throw new Error("The two new passwords are not the same.");
              return post("/api/_private/account/password", { json: { current_password: values["current"] ?? "", new_password: values["new"] ?? "" } });
            }}
          >
            <PasswordInput name="current" label="Current password" autoComplete="current-password" required data-autofocus visibilityToggleButtonProps={{ "aria-label": "Show the current password" }} />
            <PasswordInput name="new" label="New password" description={`At least ${least} characters`} minLength={least} autoComplete="new-password" required visibilityToggleButtonProps={{ "aria-label": "Show the new password" }} />
            <PasswordInput name="again" label="New password once more" autoComplete="new-password" required error={mismatch} visibilityToggleButtonProps={{ "aria-label": "Show the new password again" }} />
          </FormButton>
        )}
        <Button variant="default" onClick={() => out.mutate()} loading={out.isPending}>Sign out</Button>
      </Head>
      {out.error !== null && <div style={{ marginBottom: 16 }}><Failure error={out.error} /></div>}
      <div className="column">
        <Tokens />
        <Sessions />
      </div>
    </>
  );
}

function Tokens() {
  const tokens = useQuery({ queryKey: ["account", "tokens"], queryFn: async ({ signal }) => (await get("/api/_private/account/tokens", { signal })).tokens });
  const projects = useQuery(projectsQuery).data ?? [];
  const known = useQuery({ ...rolesQuery, retry: false }).data?.permissions;
  const permitted = [...(known?.project ?? []), ...(known?.global ?? [])];
  const [text, setText] = useState<string | null>(null);
  const make = (
    <FormButton
      label="New token"
      title="New token"
      submit="Create"
      icon={<Icon name="plus" size={16} />}
      act={async (values) => {
        const permissions = chosen(values["permissions"], permitted);
        const token = {
          name: values["name"] ?? "",
          ...(values["project"] ? { project: values["project"] } : {}),
          ...(permissions.length > 0 ? { permissions } : {}),
          ...(values["days"] ? { expires_in_days: Number(values["days"]) } : {}),
        };
        return (await post("/api/_private/account/tokens", { json: { token } })).text;
      }}
      done={setText}
    >
      <Limited name="name" label="What is it for?" placeholder="appliance in Berlin" required most={256} data-autofocus />
      <NativeSelect name="project" label="Where" data={[{ value: "", label: "In all of your projects" }, ...projects.map((one) => ({ value: one.name, label: `Only in ${one.name}` }))]} />
      <MultiSelect name="permissions" label="What for" description="Nothing chosen: for everything that you may do" searchable hidePickedOptions data={permitted} />
      <NativeSelect name="days" label="How long" data={[{ value: "90", label: "90 days" }, { value: "365", label: "A year" }, { value: "7", label: "A week" }, { value: "", label: "Until it is revoked" }]} />
    </FormButton>
  );
  return (
    <Panel title="Tokens" flush aside={make}>
      {text !== null && (
        <Alert color="teal" icon={<Icon name="check" />} title="Your new token" withCloseButton closeButtonLabel="Close" onClose={() => setText(null)} m="md">
          <p style={{ margin: "0 0 10px" }}>It is shown only now, and stands for you. Keep it where you keep passwords.</p>
          <Command text={text} label="Token" />
          <div style={{ height: 8 }} />
          <Command text={`re --endpoint ${endpoint} --token ${text} get current-user`} label="Try it" />
        </Alert>
      )}
      <Await of={tokens}>
        {(list) => list.length === 0 ? (
          <Empty icon="shield" title="No tokens yet">Appliances and the official client sign in with a token. Make one for each, so that each can be revoked alone.</Empty>
        ) : (
          <ul className="rows">
            {list.map((one) => (
              <li key={one.id} className="row">
                <Dot state={one.state === "valid" ? "good" : "bad"} label={one.state} />
                <span style={{ flex: 1, minWidth: 0 }}>
                  <span style={{ display: "flex", gap: 8, flexWrap: "wrap", alignItems: "center" }}>
                    <span style={{ fontWeight: 600 }} className="breakable">{one.name || "(no name)"}</span>
                    <code style={{ fontSize: "0.8rem", color: "var(--mantine-color-dimmed)" }}>{one.shown}…</code>
                    {one.project !== null && <Badge color="gray">{one.project}</Badge>}
                    {one.permissions?.map((name) => <Badge key={name} color="gray">{name}</Badge>)}
                    {one.state !== "valid" && <Badge color="red">{one.state}</Badge>}
                  </span>
                  <span style={{ fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>
                    used <When time={one.last_used_at} /> · {one.expires_at ? `until ${day(one.expires_at)}` : "until it is revoked"}
                  </span>
                </span>
                {one.state === "valid" && (
                  <SureButton size="xs" label="Revoke" title={`Revoke ${one.name || one.shown}?`} act={() => remove("/api/_private/account/tokens/{token}", { path: { token: one.id } })} said="Revoked.">
                    Whatever uses it is refused from the next request on.
                  </SureButton>
                )}
              </li>
            ))}
          </ul>
        )}
      </Await>
    </Panel>
  );
}

const WAYS = { password: "with a password", link: "with a link", oidc: "with single sign-on" };

/// The browser and the system out of what a browser says of itself.
function browser(agent: string): string {
  const name = ["Edg", "OPR", "Firefox", "Chrome", "Safari", "curl"].find((one) => agent.includes(one));
  const system = ["Windows", "Android", "iPhone", "iPad", "Mac OS", "Linux"].find((one) => agent.includes(one));
  const shown = name === "Edg" ? "Edge" : name === "OPR" ? "Opera" : name;
  return [shown ?? "Some browser", system].filter(Boolean).join(" on ");
}

function Sessions() {
  const sessions = useQuery({ queryKey: ["account", "sessions"], queryFn: async ({ signal }) => (await get("/api/_private/account/sessions", { signal })).sessions });
  const others = sessions.data?.filter((one) => !one.current).length ?? 0;
  const all = others > 0 && (
    <SureButton size="xs" label="End all others" title="Sign out everywhere else?" act={() => remove("/api/_private/account/sessions")} said="All other sessions are ended.">This browser stays signed in.</SureButton>
  );
  return (
    <Panel title="Where you are signed in" flush aside={all}>
      <Await of={sessions}>
        {(list) => list.length === 0 ? <Empty icon="account" title="No sessions">You use a token, not a browser session.</Empty> : (
          <ul className="rows">
            {list.map((one) => (
              <li key={one.id} className="row">
                <Dot state={one.current ? "live" : "none"} label={one.current ? "This session" : "Another session"} />
                <span style={{ flex: 1, minWidth: 0 }}>
                  <span style={{ display: "flex", gap: 8, flexWrap: "wrap", alignItems: "center" }}>
                    <span style={{ fontWeight: 600 }} title={one.user_agent}>{browser(one.user_agent)}</span>
                    {one.current && <Badge>this one</Badge>}
                  </span>
                  <span style={{ fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }} className="breakable">
                    {one.address} · {WAYS[one.method]} · used <When time={one.last_used_at} /> · until {day(one.expires_at)}
                  </span>
                </span>
                {!one.current && <SureButton size="xs" label="End" title="End this session?" act={() => remove("/api/_private/account/sessions/{session}", { path: { session: one.id } })} said="Ended.">That browser is signed out with its next request.</SureButton>}
              </li>
            ))}
          </ul>
        )}
      </Await>
    </Panel>
  );
}
