/// The mark: three streams become one.

export const Brand = ({ size = 30 }: { size?: number }) => (
  <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden focusable={false}>
    <rect width="32" height="32" rx="8" fill="#0b6f94" />
    <g fill="none" stroke="#fff" strokeLinecap="round" strokeWidth="2.6">
      <path d="M7 7c0 7 9 6 9 13v5" />
      <path d="M25 7c0 7-9 6-9 13" opacity=".75" />
      <path d="M16 6v7" opacity=".5" />
    </g>
  </svg>
);
