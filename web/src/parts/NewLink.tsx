/// A link that lets somebody in, shown this once.

import { Alert } from "@mantine/core";
import type { IssuedLink } from "../api/schema";
import { Command } from "./basics";
import { moment } from "./format";
import { Icon } from "./Icon";

export const NewLink = ({ link, close }: { link: IssuedLink; close: () => void }) => (
  <Alert color="teal" icon={<Icon name="check" />} title={link.kind === "reset" ? "A link to set a new password" : "An invitation"} withCloseButton onClose={close} closeButtonLabel="Close" mb="lg">
    <p style={{ margin: "0 0 10px" }}>Pass it on by a way that only they read. It works once, until {moment(link.expires_at)}, and is shown only now.</p>
    <Command text={link.url} label="Link" />
  </Alert>
);
