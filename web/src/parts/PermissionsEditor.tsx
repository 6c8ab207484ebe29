/// Chooses permissions; roles first, since a role is what one usually means.

import { Badge, Button, Group, MultiSelect } from "@mantine/core";
import { useState } from "react";
import type { Role } from "../api/schema";
import { Failure } from "./basics";
import { useAction } from "./forms";

export function PermissionsEditor<Name extends string>({ label, held, roles, known, mayChange, save }: {
  label: string;
  held: Name[];
  roles: Role[];
  known: Name[];
  /// Those who may not see them all the same.
  mayChange: boolean;
  save: (names: Name[]) => Promise<unknown>;
}) {
  const [chosen, setChosen] = useState<Name[] | null>(null);
  const action = useAction(save, "Saved.");
  const value = chosen ?? held;
  const changed = [...value].sort().join() !== [...held].sort().join();
  const isRole = new Set<string>(roles.map((one) => one.name));
  const others = [...new Set([...known, ...held])].filter((name) => !isRole.has(name)).sort();
  const data = [
    ...(roles.length > 0 ? [{ group: "Roles", items: roles.map((one) => ({ value: one.name, label: one.title || one.name })) }] : []),
    { group: "Permissions", items: others.map((name) => ({ value: name, label: name })) },
  ];
  const about = roles.filter((one) => value.some((name) => name === one.name));
  return (
    <div className="column" style={{ gap: 12 }}>
      {!mayChange && (
        <Group gap={6} component="ul" aria-label={label} m={0} p={0} style={{ listStyle: "none" }}>
          {held.length === 0 ? <li>None</li> : held.map((name) => <li key={name}><Badge color="gray">{roles.find((one) => one.name === name)?.title || name}</Badge></li>)}
        </Group>
      )}
      {mayChange && <MultiSelect aria-label={label} data={data} value={value} onChange={(names) => setChosen(names as Name[])} searchable clearable hidePickedOptions placeholder={value.length === 0 ? "None: add a role or a permission" : "Add"}
        clearButtonProps={{ "aria-label": "Remove all" }} />}
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
