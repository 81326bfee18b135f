// Draws the table of how far a change was when: the table says the same to who does not see it.
"use strict";

(() => {
  const HEIGHT = 190;
  // Steps between two lines of the grid: there are no half steps.
  const WHOLE = [1, 10, 100, 1e3, 1e4, 1e5].flatMap((n) => [n, 2 * n, 5 * n]);
  const kinds = (rows) => rows.map((row) => row.kind).filter((kind) => kind !== "was").join();
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const inZone = (zone) => (at) => uPlot.tzDate(new Date(at * 1000), zone);
  let chart = null;
  let shape = "";

  function readRows() {
    return [...document.querySelectorAll("#burn-up-table [data-at]")].map(({ dataset }) => ({
      at: Number(dataset.at),
      kind: dataset.kind,
      done: Number(dataset.done),
      planned: Number(dataset.planned),
    }));
  }

  function dataOf(rows) {
    const known = ({ kind }) => kind === "was" || kind === "now";
    const towards = (end) => rows.map(({ kind, done, planned }) =>
      kind === "now" ? done : kind === end ? planned : null);
    const data = [
      rows.map((row) => row.at),
      rows.map((row) => row.planned),
      rows.map((row) => (known(row) ? row.done : null)),
    ];
    if (rows.some((row) => row.kind === "likely")) data.push(towards("likely"), towards("slow"));
    return data;
  }

  function options(place, isEstimated) {
    const stepped = uPlot.paths.stepped({ align: 1 });
    const axis = {
      stroke: token("--text-2"),
      font: `12px ${token("--font")}`,
      grid: { stroke: token("--edge"), width: 1 },
      ticks: { stroke: token("--edge"), width: 1, size: 4 },
    };
    // Said beside its label while one points at a moment.
    const number = (_, value) => value ?? "";
    const projected = (label, colour, dash) => ({
      label, stroke: colour, width: 1.5, dash, spanGaps: true, value: number,
      points: { show: false },
    });
    const stamp = uPlot.fmtDate("{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}");
    const zone = place.dataset.zone;
    return {
      width: place.clientWidth,
      height: HEIGHT,
      tzDate: inZone(zone),
      padding: [8, 32, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_, low, high) => [0, Math.max(high, 1) * 1.08] } },
      series: [
        {
          // Where the label would stand is nothing: the moment says what it is.
          value: (_, at) => (at ? `${stamp(inZone(zone)(at))} ${zone}` : ""),
        },
        {
          label: "Planned", stroke: token("--edge-strong"), width: 2, paths: stepped, value: number,
          points: { show: false },
        },
        {
          label: "Done", stroke: token("--done"), fill: token("--done-tint"), width: 2,
          paths: stepped, value: number, points: { show: false },
        },
        ...(isEstimated
          ? [
            projected("At the usual pace", token("--active"), [6, 4]),
            projected("If all is slow", token("--held"), [2, 4]),
          ]
          : []),
      ],
      axes: [
        {
          ...axis,
          space: 80,
          // Largest step first: what a tick says, and what is said besides where that is another one.
          values: [
            [31536000, "{YYYY}", null, null, null, null, null, null, 1],
            [2419200, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
            [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
            [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
            [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
          ],
        },
        { ...axis, size: 44, incrs: WHOLE },
      ],
    };
  }

  function draw(isAnew) {
    const place = document.getElementById("burn-up-plot");
    const rows = place ? readRows() : [];
    if (!rows.length) {
      chart?.destroy();
      chart = null;
      return;
    }
    const data = dataOf(rows);
    if (chart && !isAnew && shape === kinds(rows) && place.contains(chart.root)) {
      chart.setData(data);
      return;
    }
    chart?.destroy();
    shape = kinds(rows);
    chart = new uPlot(options(place, data.length > 3), data, place);
    resized.disconnect();
    resized.observe(place);
  }

  const resized = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (chart && width && width !== chart.width) chart.setSize({ width, height: HEIGHT });
  });

  draw(true);
  document.addEventListener("htmx:after:swap", () => draw(false));
  // The colours are those of the scheme that the page is shown in.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
})();
