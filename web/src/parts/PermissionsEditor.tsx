/// Chooses permissions; roles first, since a role is what one usually means.

import { Button, MultiSelect } from "@mantine/core";
import { useState } from "react";
import type { Role } from "../api/types";
import { Failure } from "./basics";
import { useAction } from "./forms";

export function PermissionsEditor({ label, held, roles, known, save }: {
  label: string;
  held: string[];
  roles: Role[];
  known: string[];
  save: (names: string[]) => Promise<unknown>;
}) {
  const [chosen, setChosen] = useState<string[] | null>(null);
  const action = useAction(save, "Saved.");
  const value = chosen ?? held;
  const changed = [...value].sort().join() !== [...held].sort().join();
  const isRole = new Set(roles.map((one) => one.name));
  const others = [...new Set([...known, ...held])].filter((name) => !isRole.has(name)).sort();
  const data = [
    ...(roles.length > 0 ? [{ group: "Roles", items: roles.map((one) => ({ value: one.name, label: one.title || one.name })) }] : []),
    { group: "Permissions", items: others.map((name) => ({ value: name, label: name })) },
  ];
  const about = roles.filter((one) => value.includes(one.name));
  return (
    <div className="column" style={{ gap: 12 }}>
      <MultiSelect aria-label={label} data={data} value={value} onChange={setChosen} searchable clearable hidePickedOptions placeholder={value.length === 0 ? "None: add a role or a permission" : "Add"}
        clearButtonProps={{ "aria-label": "Remove all" }} />
      {about.map((one) => <p key={one.name} style={{ margin: 0, fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}><strong>{one.title || one.name}</strong>: {one.description}</p>)}
      {action.error !== null && <Failure error={action.error} />}
      {changed && (
        <div style={{ display: "flex", gap: 10 }}>
          <Button size="xs" loading={action.isPending} onClick={() => action.mutate(value, { onSuccess: () => setChosen(null) })}>Save</Button>
          <Button size="xs" variant="default" onClick={() => setChosen(null)}>Undo</Button>
        </div>
      )}
    </div>
  );
}
