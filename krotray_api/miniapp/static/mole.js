// The mole in its four moods. Colours come from style.css, so that it is at home in any theme.

const HEAD = `
  <path class="fur" d="M46 100V66a34 34 0 0 1 68 0v34Z"/>
  <ellipse class="skin" cx="80" cy="75" rx="17" ry="12.5"/>
  <ellipse class="nose" cx="80" cy="68.5" rx="7.5" ry="5.5"/>
  <path class="line" d="M74 80.5q6 4.5 12 0"/>`;
const EYES = `<circle class="ink" cx="65" cy="57" r="3.6"/><circle class="ink" cx="95" cy="57" r="3.6"/>`;
const SHUT = `<path class="line thick" d="M60 57q5 4 10 0M90 57q5 4 10 0"/>`;
const SHADES = `
  <path class="ink" d="M55 51h22v5a10 10 0 0 1-20 2ZM83 51h22l-2 7a10 10 0 0 1-20-2Z"/>
  <path class="line thick" d="M48 52h64"/>
  <path class="glint" d="M60 54.5h5l-3 4ZM88 54.5h5l-3 4Z"/>`;
const PAWS = `<path class="skin" d="M40 99a9 9 0 0 1 18 0ZM102 99a9 9 0 0 1 18 0Z"/>`;
const HILL = `<path class="hill" d="M0 120c14-18 42-26 80-26s66 8 80 26Z"/>`;

const MOODS = {
  asleep: `
    <path class="ray" d="M32 14a14 14 0 1 0 14 19 12 12 0 0 1-14-19Z"/>
    <g class="dozing">${HEAD}${SHUT}</g>${HILL}${PAWS}
    <g class="dreams"><path class="line" d="M112 50h8l-8 9h8"/><path class="line" d="M120 32h6l-6 7h6"/></g>`,
  digging: `
    <g class="clods"><circle class="hill" cx="30" cy="72" r="5"/><circle class="hill" cx="132" cy="66" r="6"/>
    <circle class="hill" cx="20" cy="88" r="3.5"/><circle class="hill" cx="142" cy="84" r="3.5"/></g>
    <g class="digging">${HEAD}${EYES}<path class="ray" d="M50 44a30 28 0 0 1 60 0l6 3H44Z"/>
    <circle class="glint" cx="80" cy="30" r="5.5"/></g>${HILL}<g class="paws">${PAWS}</g>`,
  sun: `
    <circle class="sky" cx="60" cy="60" r="60"/><path class="beam" d="M78 0h62L84 130H4Z"/>
    <g transform="translate(-20)"><g class="rising">${HEAD}${SHADES}</g>
    <path class="hill" d="M0 130c8-24 42-36 80-36s72 12 80 36Z"/>${PAWS}</g>`,
  hatch: `
    <ellipse class="ink" cx="80" cy="96" rx="47" ry="11"/>
    <g class="peeking"><path class="fur" d="M50 100V82a30 26 0 0 1 60 0v26H50Z"/>
    <circle class="ink" cx="67" cy="84" r="3.6"/><circle class="ink" cx="93" cy="84" r="3.6"/>
    <ellipse class="nose" cx="80" cy="92" rx="7" ry="5"/></g>
    <path class="hill" d="M0 120c14-16 26-22 34-23 14 10 78 10 92 0 8 1 20 7 34 23Z"/>
    <g class="lid"><path d="M30 76c0-24 100-24 100 0l-3 4c-14-9-80-9-94 0Z"/><path d="M66 59V48h28v11h-6v-5H72v5Z"/></g>`,
};

/** A picture that only decorates: the words beside it say the same. */
export function mole(mood) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", mood === "sun" ? "0 0 120 120" : "0 0 160 120");
  svg.setAttribute("class", `mole mole-${mood}`);
  svg.setAttribute("aria-hidden", "true");
  svg.innerHTML = MOODS[mood];
  return svg;
}
