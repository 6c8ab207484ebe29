/// What is looked for beside what the compiler checks.

import hooks from "eslint-plugin-react-hooks";
import typescript from "typescript-eslint";

export default typescript.config(
  { ignores: ["dist", "src/api/schema.ts"] },
  ...typescript.configs.strictTypeChecked,
  hooks.configs.flat["recommended-latest"],
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Numbers read well in text.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // `onClick={() => void act()}` and `() => setOpen(true)` are the custom in components.
      "@typescript-eslint/no-confusing-void-expression": "off",
      "no-restricted-syntax": [
        "error",
        {
          selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']",
          message: "Mail is hostile: show it as text, or in the sandboxed frame.",
        },
      ],
    },
  },
  { files: ["tests/**", "*.js"], ...typescript.configs.disableTypeChecked },
);
