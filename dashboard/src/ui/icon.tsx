/** Shapes that differ without their colour. Each is decoration: a word stands beside it. */
const PATHS = {
  check: "M3 8.5l3.2 3.2L13 5",
  cross: "M4 4l8 8M12 4l-8 8",
  eye: "M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8zM8 9.6a1.6 1.6 0 100-3.2 1.6 1.6 0 000 3.2z",
  bolt: "M9 1.5L3.5 9H8l-1 5.5L12.5 7H8z",
  clock: "M8 14.2A6.2 6.2 0 108 1.8a6.2 6.2 0 000 12.4zM8 4.5V8l2.4 1.6",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  circle: "M8 13.5a5.5 5.5 0 100-11 5.5 5.5 0 000 11z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg
      viewBox="0 0 16 16"
      width="14"
      height="14"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
      aria-hidden="true"
    >
      <path d={PATHS[name]} strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
