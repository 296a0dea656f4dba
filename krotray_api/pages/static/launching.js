// What the launching page may open: exactly the link that a program of the catalogue takes a subscription of ours by. Nothing else:
// programs read other things out of their links too (servers, routes), and a stranger may have written this one.

const LONGEST = 4096;
const PATH = /^\/sub\/[A-Za-z0-9_-]{1,128}$/;

/** How a subscription's address stands in a link, by the name of its place there: written, and read again. */
const PLACES = {
  "{url}": { write: (address) => address, read: (text) => text },
  "{escaped}": { write: encodeURIComponent, read: decodeURIComponent },
  "{base64}": { write: (address) => btoa(address), read: atob },
};

/** The link in a fragment ("#" and the link, percent-encoded) with its program, one of `programs`, or null. */
export function launchable(fragment, programs, origins) {
  const link = attempt(decodeURIComponent, fragment.replace(/^#/, ""));
  if (!link || link.length > LONGEST) return null;
  const program = programs.find(({ form }) => isMade(link, form, origins));
  return program ? { link, program } : null;
}

/** Whether the link is what this form makes of a subscription's address at one of these origins, to the letter. */
function isMade(link, form, origins) {
  const place = Object.keys(PLACES).find((name) => form.includes(name));
  const [before, after] = form.split(place);
  const address = attempt(PLACES[place].read, link.slice(before.length, link.length - after.length));
  if (!address || !origins.some((origin) => address.startsWith(origin) && PATH.test(address.slice(origin.length)))) return false;
  return link === before + PLACES[place].write(address) + after;
}

function attempt(read, text) {
  try {
    return read(text);
  } catch {
    return null;
  }
}
