/// Colors, type and shapes. Every color of text has a contrast of 4.5 to what is behind it.

import { Badge, Button, createTheme, Modal, Paper, Table, type MantineColorsTuple } from "@mantine/core";

/// Water: the color of what can be done.
const river: MantineColorsTuple = [
  "#e6f5fa", "#cbe8f2", "#9bd2e5", "#66bbd7", "#3ba8cb", "#1f9bc2", "#0f8db5", "#0b7a9e", "#0b6f94", "#065a79",
];

/// Slate, a little blue, for text and lines on white.
const gray: MantineColorsTuple = [
  "#f6f8fa", "#eef1f4", "#e2e7ec", "#d3dae1", "#b4bec9", "#8592a0", "#586573", "#3f4b58", "#27313c", "#141b23",
];

/// The same for the night: text first, then lines, then surfaces.
const dark: MantineColorsTuple = [
  "#dfe6ed", "#c3cdd7", "#9fabb8", "#6d7a89", "#2c3743", "#222b35", "#19212a", "#10161d", "#0b1015", "#07090c",
];

export const theme = createTheme({
  primaryColor: "river",
  primaryShade: 8,
  colors: { river, gray, dark },
  black: "#16202a",
  fontFamily: "'Inter Variable', system-ui, -apple-system, 'Segoe UI', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'Cascadia Code', Menlo, Consolas, monospace",
  headings: { fontFamily: "inherit", fontWeight: "650" },
  defaultRadius: "md",
  cursorType: "pointer",
  fontSizes: { xs: "0.78rem", sm: "0.875rem", md: "0.95rem", lg: "1.1rem", xl: "1.25rem" },
  components: {
    Button: Button.extend({ defaultProps: { size: "sm" } }),
    Badge: Badge.extend({ defaultProps: { variant: "light", radius: "sm", tt: "none" } }),
    Paper: Paper.extend({ defaultProps: { withBorder: true, radius: "lg" } }),
    Modal: Modal.extend({ defaultProps: { centered: true, overlayProps: { backgroundOpacity: 0.4, blur: 3 } } }),
    Table: Table.extend({ defaultProps: { verticalSpacing: "sm", highlightOnHover: true } }),
  },
});
