const root = document.documentElement, button = document.getElementById("theme");
const ink = name => getComputedStyle(root).getPropertyValue(name).trim();
function themed(layout) {
  const axis = { gridcolor: ink("--grid"), linecolor: ink("--line"), tickcolor: ink("--line"), spikecolor: ink("--soft"),
    zerolinecolor: ink("--soft") };
  const own = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, color: ink("--ink"), size: 12 },
    hoverlabel: { bgcolor: ink("--card"), bordercolor: ink("--line"), align: "left",
      font: { color: ink("--ink"), size: 12, family: getComputedStyle(document.body).fontFamily } } };
  for (const name of Object.keys(layout)) if (/^[xy]axis/.test(name)) own[name] = { ...axis, ...layout[name] };
  return own;
}
function draw() {
  for (const [id, figure] of Object.entries(figures))
    Plotly.react(id, figure.data, themed(figure.layout), { responsive: true, displayModeBar: false });
}
function show(theme) {
  root.dataset.theme = theme;
  button.textContent = theme === "dark" ? "light" : "dark";
  draw();
}
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => show(dark.matches ? "dark" : "light"));
button.addEventListener("click", () => show(root.dataset.theme === "dark" ? "light" : "dark"));
show(dark.matches ? "dark" : "light");
