/// One field for everything: goes to any page, project, bucket or source, or searches the mail.

import { Spotlight, type SpotlightActionData, type SpotlightActionGroupData, createSpotlight } from "@mantine/spotlight";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { allSources, buckets, projects as projectsQuery } from "../api/queries";
import type { User } from "../api/schema";
import { Icon, type IconName } from "../parts/Icon";
import { go } from "../router";
import { everywhere, ofAdministrators, useGoals, useProject } from "./Navigation";

const [store, actions] = createSpotlight();

export default function Palette({ user, close }: { user: User; close: () => void }) {
  const [query, setQuery] = useState("");
  const project = useProject();
  const within = useGoals(project);
  const projects = useQuery(projectsQuery);
  const sources = useQuery({ ...allSources, retry: false });
  const found = useQuery({ ...buckets(project ?? ""), enabled: project !== null });
  useEffect(() => actions.open(), []);

  const groups = useMemo(() => {
    const action = (id: string, label: string, to: string, icon: IconName, description?: string): SpotlightActionData => ({
      id, label, onClick: () => go(to), leftSection: <Icon name={icon} />, ...(description === undefined ? {} : { description }),
    });
    const goals = [...everywhere, ...within, ...ofAdministrators(user)];
    const all: SpotlightActionGroupData[] = [
      { group: "Pages", actions: goals.map((goal) => action(`page ${goal.to}`, goal.title, goal.to, goal.icon)) },
      {
        group: "Buckets",
        actions: (found.data ?? []).map((one) =>
          action(`bucket ${one.id}`, one.title || one.name, `/p/${encodeURIComponent(one.owner)}/buckets/${encodeURIComponent(one.name)}`, "bucket", `${one.owner}/${one.name}`)),
      },
      {
        group: "Sources",
        actions: (sources.data ?? []).map((one) =>
          action(`source ${one.id}`, one.title || one.name, `/p/${encodeURIComponent(one.owner)}/sources/${encodeURIComponent(one.name)}`, "source", `${one.owner}/${one.name}`)),
      },
      {
        group: "Projects",
        actions: (projects.data ?? []).map((one) => action(`project ${one.id}`, one.title || one.name, `/p/${encodeURIComponent(one.name)}`, "home", one.name)),
      },
    ];
    return all;
  }, [within, user, found.data, sources.data, projects.data]);

  const wanted = query.trim();
  const to = `/search?q=${encodeURIComponent(wanted)}${project === null ? "" : `&project=${encodeURIComponent(project)}`}`;
  const search: SpotlightActionData = {
    id: "search", label: `Search mail for “${wanted}”`, keywords: [wanted], onClick: () => go(to), leftSection: <Icon name="search" />,
  };
  return (
    <Spotlight
      store={store}
      actions={wanted === "" ? groups : [{ group: "Mail", actions: [search] }, ...groups]}
      query={query}
      onQueryChange={setQuery}
      onSpotlightClose={close}
      nothingFound="Nothing found"
      highlightQuery
      limit={12}
      scrollable
      maxHeight={420}
      shortcut={null}
      attributes={{ content: { "aria-label": "Search mail, or go to" } }}
      searchProps={{ leftSection: <Icon name="search" />, placeholder: "Search mail, or go to…", "aria-label": "Search mail, or go to" }}
    />
  );
}
