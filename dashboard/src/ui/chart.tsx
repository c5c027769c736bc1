import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  readonly label: string;
  /** A custom property of the style sheet, such as `--chart-allow`. */
  readonly colour: string;
  readonly values: readonly number[];
}

interface ChartProps {
  /** What it shows, for who cannot see it. */
  readonly label: string;
  /** Seconds since 1970, ascending. */
  readonly times: readonly number[];
  /** The lowest first. */
  readonly series: readonly Series[];
}

const HEIGHT = 190;

/** Bars stacked over time. Redrawn when the figures, the width or the reader's colours change. */
export function StackedChart({ label, times, series }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    let plot: uPlot | null = null;
    const draw = (): void => {
      plot?.destroy();
      plot = new uPlot(optionsOf(element, times, series), [[...times], ...stacked(series)], element);
    };
    draw();
    const resized = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    const scheme = window.matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => {
      scheme.removeEventListener("change", draw);
      resized.disconnect();
      plot?.destroy();
    };
  }, [times, series]);
  return (
    <figure className="figure-chart">
      <div className="chart" ref={box} role="img" aria-label={label} />
      <figcaption className="legend">
        {series.map(({ label: name, colour, values }) => (
          <span key={name}>
            <Swatch colour={colour} />
            {name} <strong>{values.reduce((sum, value) => sum + value, 0).toLocaleString("en")}</strong>
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function Swatch({ colour }: { readonly colour: string }) {
  return <span className="swatch" style={{ background: `var(${colour})` }} aria-hidden="true" />;
}

/** Each series on top of those before it; uPlot draws the highest first, so that each band is seen. */
function stacked(series: readonly Series[]): (number | null)[][] {
  const sums: number[][] = [];
  for (const { values } of series) {
    const below = sums.at(-1);
    sums.push(values.map((value, index) => value + (below?.[index] ?? 0)));
  }
  // What is nothing must not leave a line.
  return sums.reverse().map((values) => values.map((value) => (value === 0 ? null : value)));
}

/** Things that are counted have no halves. */
const WHOLE = [1, 2, 5]
  .flatMap((digit) => Array.from({ length: 9 }, (_, power) => digit * 10 ** power))
  .toSorted((a, b) => a - b);

function stepOf(times: readonly number[]): number {
  return (times[1] ?? 0) - (times[0] ?? 0);
}

function optionsOf(element: HTMLElement, times: readonly number[], series: readonly Series[]): uPlot.Options {
  const colour = (name: string): string => resolved(element, name);
  const axis: uPlot.Axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    font: "12px system-ui, sans-serif",
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      // Each bar stands to the right of its time: the last one needs a step more.
      x: { range: (_plot, low, high) => [low, high + stepOf(times)] },
      y: { range: (_plot, _low, high) => [0, Math.max(1, high * 1.1)] },
    },
    axes: [
      { ...axis, size: 30, values: (_plot, times) => times.map(clockTime) },
      { ...axis, size: 44, incrs: WHOLE },
    ],
    series: [
      {},
      ...[...series].reverse().map(({ colour: name }) => ({
        fill: colour(name),
        // A line between the bands, for who sees their colours alike.
        stroke: colour("--surface"),
        width: 1,
        points: { show: false },
        paths: uPlot.paths.bars?.({ size: [0.9, 40], align: 1 }) as uPlot.Series.PathBuilder,
      })),
    ],
  };
}

function clockTime(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

/** A custom property's colour as the canvas wants it: `light-dark()` is only resolved where it is used. */
function resolved(element: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
