// A chart of the last hour. What a canvas cannot tell a screen reader, the text above it does.

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import type { Column } from "./answers";

const HOUR_S = 3600;
// As much is shown of a server that has just started.
const SHORTEST_S = 600;
const HEIGHT = 130;
const CURSORS = "overview";
// Steps of bytes: 1, 2, 4 ... up to a tebibyte.
const BINARY_STEPS = Array.from({ length: 41 }, (_, power) => 2 ** power);

export interface Series {
  name: string;
  values: Column;
}

interface Props {
  title: string;
  times: number[];
  series: Series[];
  shown: (value: number | null) => string;
  binary?: boolean;
}

export function Chart({ title, times, series, shown, binary }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, point] = useState<number | null>(null);
  const scheme = useScheme();
  useEffect(() => {
    const node = place.current!;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--quiet"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    const options: uPlot.Options = {
      width: node.clientWidth,
      height: HEIGHT,
      padding: [8, 12, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: CURSORS }, drag: { x: false, y: false }, points: { size: 5 } },
      scales: {
        x: { range: (self) => range(self.data[0]) },
        y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
      },
      axes: [
        { ...axis, size: 24, space: 70, values: (_, ticks) => ticks.map(clock) },
        { ...axis, size: 62, space: 28, incrs: binary ? BINARY_STEPS : undefined, values: (_, ticks) => ticks.map((tick) => shown(tick)) },
      ],
      series: [
        {},
        ...series.map(({ name }, index) => ({
          label: name,
          stroke: colour(`--series-${index + 1}`),
          width: 1.5,
          spanGaps: true,
          // A single sample is no line.
          points: { show: (self: uPlot) => self.data[0].length < 2 },
        })),
      ],
      hooks: { setCursor: [(self) => point(self.cursor.idx ?? null)] },
    };
    const made = new uPlot(options, [[], ...series.map(() => [])], node);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: node.clientWidth, height: HEIGHT }));
    resized.observe(node);
    return () => {
      resized.disconnect();
      made.destroy();
    };
  }, [scheme, series.length]);
  useEffect(() => {
    plot.current?.setData([times.map((ms) => ms / 1000), ...series.map(({ values }) => values)] as uPlot.AlignedData);
  }, [times, scheme]);
  const index = at ?? times.length - 1;
  const most = (values: Column) => values.reduce((most: number, value) => Math.max(most, value ?? 0), 0);
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        <ul>
          {series.map(({ name, values }, number) => (
            <li key={name}>
              <span class={`key series-${number + 1}`} aria-hidden="true" />
              {name} <strong>{times.length === 0 ? "–" : shown(values[index] ?? null)}</strong>
              <span class="hidden">, at most {shown(most(values))} in the last hour</span>
            </li>
          ))}
        </ul>
      </figcaption>
      <div ref={place} class="plot" aria-hidden="true" />
    </figure>
  );
}

function range(times: ArrayLike<number>): [number, number] {
  const now = Date.now() / 1000;
  const first = times[0] ?? now;
  return [Math.max(now - HOUR_S, Math.min(first, now - SHORTEST_S)), now];
}

const clock = (seconds: number) => new Date(seconds * 1000).toTimeString().slice(0, 5);

// Changes when the system's colours do, because a canvas keeps those that it was drawn with.
function useScheme(): boolean {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const [is, become] = useState(dark.matches);
  useEffect(() => {
    const changed = () => become(dark.matches);
    dark.addEventListener("change", changed);
    return () => dark.removeEventListener("change", changed);
  }, []);
  return is;
}
