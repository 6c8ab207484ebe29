/// What surrounds every page: the way around, the search, and who one is.

import { ActionIcon, Drawer, useMantineColorScheme } from "@mantine/core";
import { useDisclosure, useHotkeys } from "@mantine/hooks";
import { lazy, Suspense, useEffect, useState, type ReactNode } from "react";
import type { User } from "../api/schema";
import { Icon } from "../parts/Icon";
import { useAddress } from "../router";
import { Navigation } from "./Navigation";

const Palette = lazy(() => import("./Palette"));

export function Shell({ user, children }: { user: User; children: ReactNode }) {
  const [menu, drawer] = useDisclosure(false);
  const [palette, setPalette] = useState(false);
  const { path } = useAddress();
  const { close } = drawer;
  useEffect(close, [path, close]);
  useHotkeys([["mod+K", () => setPalette(true)], ["/", () => setPalette(true)]]);
  return (
    <>
      <a className="skip" href="#content" onClick={(event) => {
        event.preventDefault();
        document.getElementById("content")?.focus();
      }}>Skip to the content</a>
      <div className="shell">
        <aside className="side" aria-label="Navigation">
          <Navigation user={user} />
        </aside>
        <Drawer opened={menu} onClose={close} size={290} padding="md" title="Tributary" closeButtonProps={{ "aria-label": "Close the menu" }}>
          <Navigation user={user} brand={false} />
        </Drawer>
        <div style={{ minWidth: 0 }}>
          <header className="top">
            <ActionIcon className="only-small" variant="subtle" color="gray" size="lg" aria-label="Open the menu" onClick={drawer.open}>
              <Icon name="menu" size={22} />
            </ActionIcon>
            <button type="button" className="find" onClick={() => setPalette(true)}>
              <Icon name="search" size={16} />
              <span className="clip">Search mail, or go to…</span>
              <kbd className="only-large">{/Mac|iP/.test(navigator.userAgent) ? "⌘ K" : "Ctrl K"}</kbd>
            </button>
            <div style={{ marginLeft: "auto" }}><Night /></div>
          </header>
          <main className="page" id="content" tabIndex={-1}>{children}</main>
        </div>
      </div>
      <Suspense fallback={null}>{palette && <Palette user={user} close={() => setPalette(false)} />}</Suspense>
    </>
  );
}

function Night() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const dark = colorScheme === "dark" || (colorScheme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="lg"
      aria-label={dark ? "Use light colors" : "Use dark colors"}
      onClick={() => setColorScheme(dark ? "light" : "dark")}
    >
      <Icon name={dark ? "sun" : "moon"} />
    </ActionIcon>
  );
}
