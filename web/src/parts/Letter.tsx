/// A letter on a color that goes with a name: people and projects are found faster by it.

/// Pairs of background and text with a contrast above 4.5.
const COLORS = [
  ["#d6ecf5", "#0a5472"], ["#dff0e4", "#1d5c35"], ["#fdebd0", "#7a4305"], ["#ece4fb", "#52309b"],
  ["#fbe0e6", "#8c1f3f"], ["#e3e9ef", "#33414f"], ["#d8f1ee", "#0b5a52"], ["#f6e6f5", "#7a2a72"],
] as const;

/// The color goes with `of`, and the letter with what is shown beside it.
export function Letter({ of, name = of, square = false }: { of: string; name?: string; square?: boolean }) {
  let sum = 0;
  for (const character of of) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  const [background, color] = COLORS[sum % COLORS.length] ?? COLORS[0];
  const letter = /[\p{L}\p{N}]/u.exec(name)?.[0] ?? "?";
  return (
    <span className="letter" aria-hidden style={{ background, color, borderRadius: square ? 10 : "50%" }}>
      {letter.toUpperCase()}
    </span>
  );
}
