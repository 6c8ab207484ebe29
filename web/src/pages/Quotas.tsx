/// How many of a kind there may be, and are.

import { NumberInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { post } from "../api/client";
import { quotas as quotasQuery } from "../api/queries";
import type { Quota } from "../api/schema";
import { Await, Bar, Head, Panel } from "../parts/basics";
import { FormButton } from "../parts/forms";
import { number } from "../parts/format";
import { useMayEverywhere } from "../parts/may";

const titled = (kind: string) => {
  const words = kind.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

export default function Quotas() {
  const quotas = useQuery(quotasQuery);
  return (
    <>
      <Head title="Quotas" about="How many of a kind there may be. One more is refused with a message that names the quota." />
      <Await of={quotas}>
        {(list) => (
          <Panel flush>
            <ul className="rows">{list.map((quota) => <li key={quota.quota_kind} className="row" style={{ flexWrap: "wrap" }}><Row quota={quota} /></li>)}</ul>
          </Panel>
        )}
      </Await>
    </>
  );
}

function Row({ quota }: { quota: Quota }) {
  const title = titled(quota.quota_kind);
  const mayChange = useMayEverywhere("tenant-quota-write");
  return (
    <>
      <span style={{ flex: "1 1 14rem", minWidth: 0 }}>
        <span style={{ display: "flex", gap: 10, marginBottom: 7 }}>
          <span style={{ fontWeight: 600 }}>{title}</span>
          <span className="numbers" style={{ marginLeft: "auto", fontSize: "0.88rem", color: "var(--mantine-color-dimmed)" }}>{number(quota.current_max_usage)} of {number(quota.hard_limit)}</span>
        </span>
        <Bar part={quota.current_max_usage} of={quota.hard_limit} label={`${title}: used`} />
      </span>
      {mayChange && (
        <FormButton
          label="Change"
          variant="default"
          title={title}
          submit="Save"
          said="Saved."
          act={({ limit = "" }) => post("/api/_private/quotas/{tenant}/{kind}", {
            path: { tenant: "tributary", kind: quota.quota_kind }, json: { hard_limit: Number(limit.replaceAll(",", "")) },
          })}
        >
          <NumberInput name="limit" label="Most there may be" defaultValue={quota.hard_limit} min={0} allowDecimal={false} thousandSeparator="," required data-autofocus />
        </FormButton>
      )}
    </>
  );
}
