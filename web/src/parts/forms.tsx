/// Dialogs that ask for something, and buttons that ask whether it is meant.

import { Button, Group, Modal, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type ChangeEvent, type SubmitEvent, type ReactNode } from "react";
import { Failure } from "./basics";
import { plural, number } from "./format";

/// Does something; then everything that may have changed is asked for anew.
export function useAction<In, Out>(act: (input: In) => Promise<Out>, said?: string | ((out: Out) => string)) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: act,
    onSuccess: async (out) => {
      await client.invalidateQueries();
      const message = typeof said === "function" ? said(out) : said;
      if (message) notifications.show({ message, color: "teal", closeButtonProps: { "aria-label": "Close" } });
    },
  });
}

export type Values = Record<string, string>;

/// Those of a list that a field of a form says, by their names with commas between.
export function chosen<Name extends string>(value: string | undefined, among: readonly Name[]): Name[] {
  const names = new Set((value ?? "").split(","));
  return among.filter((one) => names.has(one));
}

/// A text of at most so many characters, as the server counts them. One that is too long is said to be, and not
/// sent; `maxLength` would cut off what is pasted without a word.
export function Limited({ most, lines = false, ...field }: {
  most: number;
  /// Of several lines.
  lines?: boolean;
  name: string;
  label: string;
  description?: string;
  placeholder?: string;
  defaultValue?: string;
  required?: boolean;
  pattern?: string;
  "data-autofocus"?: boolean;
}) {
  const [problem, setProblem] = useState("");
  const onChange = ({ currentTarget: own }: ChangeEvent<HTMLInputElement | HTMLTextAreaElement>) => {
    // Not in units of UTF-16, of which some characters have two.
    const over = Array.from(own.value).length - most;
    const found = over > 0 ? `${plural(over, "character")} too many: at most ${number(most)} are allowed` : "";
    own.setCustomValidity(found);
    setProblem(found);
  };
  return lines
    ? <Textarea {...field} autosize minRows={2} maxRows={12} error={problem} onChange={onChange} />
    : <TextInput {...field} error={problem} onChange={onChange} />;
}

/// A button that opens a form; the dialog stays open with the error until it worked.
export function FormButton<Out>({ label, title, submit, icon, children, act, done, variant = "filled", said }: {
  label: string;
  title: string;
  submit: string;
  icon?: ReactNode;
  children: ReactNode;
  act: (values: Values) => Promise<Out>;
  done?: (out: Out) => void;
  variant?: string;
  said?: string;
}) {
  const [open, dialog] = useDisclosure(false);
  const action = useAction(act, said);
  const onSubmit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const values: Values = {};
    for (const [name, value] of new FormData(event.currentTarget)) {
      if (typeof value === "string") values[name] = name in values ? `${values[name] ?? ""},${value}` : value;
    }
    action.mutate(values, {
      onSuccess: (out) => {
        dialog.close();
        done?.(out);
      },
    });
  };
  const show = () => {
    action.reset();
    dialog.open();
  };
  return (
    <>
      <Button variant={variant} leftSection={icon} onClick={show}>{label}</Button>
      <Modal opened={open} onClose={dialog.close} title={<Text fw={650} size="lg">{title}</Text>} closeButtonProps={{ "aria-label": "Close" }}>
        <form onSubmit={onSubmit}>
          <Stack gap="md">
            {children}
            {action.error !== null && <Failure error={action.error} />}
            <Group justify="flex-end" gap="sm">
              <Button variant="default" onClick={dialog.close}>Cancel</Button>
              <Button type="submit" loading={action.isPending}>{submit}</Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}

/// For what cannot be taken back.
export function SureButton({ label, title, children, act, done, icon, size = "sm", variant = "default", said }: {
  label: string;
  title: string;
  children: ReactNode;
  act: () => Promise<unknown>;
  done?: () => void;
  icon?: ReactNode;
  size?: string;
  variant?: string;
  said?: string;
}) {
  const [open, setOpen] = useState(false);
  const action = useAction(act, said);
  const sure = () => action.mutate(undefined, {
    onSuccess: () => {
      setOpen(false);
      done?.();
    },
  });
  return (
    <>
      <Button size={size} variant={variant} color="red" leftSection={icon} onClick={() => setOpen(true)}>{label}</Button>
      <Modal opened={open} onClose={() => setOpen(false)} title={<Text fw={650} size="lg">{title}</Text>} closeButtonProps={{ "aria-label": "Close" }}>
        <Stack gap="md">
          <div>{children}</div>
          {action.error !== null && <Failure error={action.error} />}
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={() => setOpen(false)} data-autofocus>Cancel</Button>
            <Button color="red" onClick={sure} loading={action.isPending}>{label}</Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
