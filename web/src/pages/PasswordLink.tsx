/// Where links lead that let somebody in for the first time, or again: a password is set.

import { Button, PasswordInput, Stack } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type SubmitEvent } from "react";
import { base, post } from "../api/client";
import { signInOptions, user as userQuery } from "../api/queries";
import { Await, Failure } from "../parts/basics";
import { day } from "../parts/format";
import { go, Link } from "../router";
import { Door, text } from "./SignIn";

export default function PasswordLink() {
  const [secret] = useState(() => decodeURIComponent(location.hash.slice(1)));
  // It must not stay in the history.
  useEffect(() => history.replaceState(null, "", `${base}/link`), []);
  const [mismatch, setMismatch] = useState(false);
  const cache = useQueryClient();
  const least = useQuery(signInOptions).data?.min_password_length ?? 12;
  const found = useQuery({
    queryKey: ["link", secret],
    queryFn: () => post("/auth/link/inspect", { json: { link: secret } }),
    retry: false,
    staleTime: Infinity,
  });
  const set = useMutation({
    mutationFn: (password: string) => post("/auth/link", { json: { link: secret, password } }),
    onSuccess: ({ user }) => {
      cache.setQueryData(userQuery.queryKey, user);
      go("/", "replace");
    },
    meta: { door: true },
  });
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const password = text(form.get("password"));
    const same = password === form.get("again");
    setMismatch(!same);
    if (same) set.mutate(password);
  };
  return (
    <Door title={found.data?.link.kind === "reset" ? "Set a new password" : "Welcome"}>
      {found.error ? (
        <Stack gap="md">
          <Failure error={secret === "" ? new Error("The address lacks the secret part of the link. Open the whole link as it was given to you.") : found.error} />
          <Link to="/sign-in" className="text">To the sign-in</Link>
        </Stack>
      ) : (
        <Await of={found}>
          {({ link }) => (
            <form onSubmit={submit}>
              <Stack gap="md">
                <p style={{ margin: 0, color: "var(--mantine-color-dimmed)" }}>
                  Choose a password for <strong style={{ color: "var(--mantine-color-text)" }}>{link.username}</strong>. This link works once, until {day(link.expires_at)}.
                </p>
                <input type="hidden" name="username" autoComplete="username" value={link.username} />
                <PasswordInput name="password" label="Password" description={`At least ${least} characters. Several words are easier to remember, and safer.`} autoComplete="new-password"
                  required minLength={least} size="md" autoFocus visibilityToggleButtonProps={{ "aria-label": "Show the password" }} />
                <PasswordInput name="again" label="Once more" autoComplete="new-password" required size="md" error={mismatch ? "These two are not the same." : undefined}
                  visibilityToggleButtonProps={{ "aria-label": "Show the password again" }} />
                {set.error !== null && <Failure error={set.error} />}
                <Button type="submit" size="md" fullWidth loading={set.isPending}>Set the password and sign in</Button>
              </Stack>
            </form>
          )}
        </Await>
      )}
    </Door>
  );
}
