/// Everybody who may sign in.

import { Badge, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { endpoint, post, put } from "../api/client";
import { mayEverywhere } from "../api/permissions";
import { user as userQuery, users as usersQuery } from "../api/queries";
import type { IssuedLink, User } from "../api/schema";
import { Await, Command, Head, Panel } from "../parts/basics";
import { FormButton, Limited } from "../parts/forms";
import { plural, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Letter } from "../parts/Letter";
import { NewLink } from "../parts/NewLink";
import { Link, path } from "../router";

export default function Users() {
  const users = useQuery(usersQuery);
  const me = useQuery(userQuery).data;
  const [text, setText] = useState("");
  const [link, setLink] = useState<IssuedLink | null>(null);
  const mayMake = me !== undefined && mayEverywhere(me, "tenant-admin");
  const wanted = text.trim().toLowerCase();
  return (
    <>
      <Head title="Users" about="Everybody who may sign in, and whatever signs in with a token.">
        {mayMake && (
          <FormButton
            label="New user"
            title="New user"
            submit="Create, and make a link"
            icon={<Icon name="plus" size={16} />}
            act={async ({ username = "", email = "" }) => {
              const { user } = await put("/api/_private/users", { json: { user: { username, email } } });
              return (await post("/api/_private/users/{user}/link", { path: { user: user.id }, json: {} })).link;
            }}
            done={setLink}
          >
            <Limited name="username" label="Name" required pattern="[A-Za-z0-9\-_.@]+" most={256} data-autofocus description="Letters, digits, - _ . and @" />
            <TextInput name="email" label="Email address" type="email" required maxLength={320} />
          </FormButton>
        )}
      </Head>
      {link && <NewLink link={link} close={() => setLink(null)} />}
      <Await of={users}>
        {(list) => (
          <div className="column" style={{ gap: 14 }}>
            {list.length > 8 && <TextInput aria-label="Find a user" placeholder="Find a user" leftSection={<Icon name="search" size={16} />} value={text} onChange={(event) => setText(event.currentTarget.value)} maw={360} />}
            <Panel flush>
              <ul className="rows">
                {list.filter((one) => `${one.username} ${one.email}`.toLowerCase().includes(wanted)).map((one) => <li key={one.id}><Row user={one} me={one.id === me?.id} /></li>)}
              </ul>
            </Panel>
            {list.length === 1 && (
              <Panel title="You are alone here">
                <p style={{ marginTop: 0 }}>Make users with the button above, or with the official client:</p>
                <Command text={`re --endpoint ${endpoint} --token TOKEN create user ann ann@example.com`} />
              </Panel>
            )}
          </div>
        )}
      </Await>
    </>
  );
}

function Row({ user, me }: { user: User; me: boolean }) {
  const projects = Object.keys(user.organisation_permissions).length;
  return (
    <Link className="row" to={path`/users/${user.id}`}>
      <Letter of={user.username} />
      <span style={{ flex: 1, minWidth: 0 }}>
        <span style={{ display: "flex", gap: 8, alignItems: "center" }}>
          <span className="clip" style={{ fontWeight: 600 }}>{user.username}</span>
          {me && <Badge>you</Badge>}
          {user.disabled && <Badge color="red">disabled</Badge>}
          {user.global_permissions.includes("root") && <Badge color="gray">root</Badge>}
        </span>
        <span className="clip" style={{ display: "block", fontSize: "0.85rem", color: "var(--mantine-color-dimmed)" }}>{user.email}</span>
      </span>
      <span style={{ textAlign: "right", fontSize: "0.82rem", color: "var(--mantine-color-dimmed)" }}>
        {plural(projects, "project")}<br />seen <When time={user.last_login_at} />
      </span>
    </Link>
  );
}
