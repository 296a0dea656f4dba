// A message's text with its entities. They may be nested; offsets count UTF-16 units, as strings here do.

import { copy, made, outward } from "./dom.js";
import { t } from "./words.js";

const TAGS = {
  bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "code",
  blockquote: "q", expandable_blockquote: "q", spoiler: "span",
};

/** `write(text)`: what a press on a command does. */
export function marked({ text, entities }, write) {
  const whole = document.createDocumentFragment();
  const cuts = new Set([0, text.length]);
  for (const { offset, length } of entities) cuts.add(offset).add(offset + length);
  const edges = [...cuts].sort((a, b) => a - b);
  for (let i = 0; i + 1 < edges.length; i++) {
    let piece = document.createTextNode(text.slice(edges[i], edges[i + 1]));
    for (const entity of entities) {
      if (entity.offset > edges[i] || entity.offset + entity.length < edges[i + 1]) continue;
      piece = dressed(piece, entity, text.substr(entity.offset, entity.length), write);
    }
    whole.append(piece);
  }
  return whole;
}

function dressed(piece, entity, value, write) {
  const url = { url: value, text_link: entity.url }[entity.type];
  if (url && /^https?:/.test(url)) return outward("", url, piece);
  if (entity.type === "bot_command") return made("button", "command", { type: "button", click: () => write(value) }, piece);
  const tag = TAGS[entity.type];
  if (!tag) return piece;
  if (tag !== "code") return made(tag, entity.type, {}, piece);
  return made("code", "", { title: t.copy, click: () => copy(value) }, piece);
}
