// What the launching page may open: a link of a program in the catalogue that hands it a subscription of ours. Nothing else.

const TOKEN = /^\/sub\/[A-Za-z0-9_-]{1,128}$/;

/** The link in a fragment ("#" and the link, percent-encoded) with its scheme, or null. */
export function launchable(fragment, schemes, origins) {
  let link;
  try {
    link = decodeURIComponent(fragment.replace(/^#/, ""));
  } catch {
    return null;
  }
  if (link.length > 4096 || !/^[!-~]+$/.test(link)) return null;
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/./.exec(link)?.[1];
  if (!scheme || !schemes.includes(scheme)) return null;
  const found = addresses(link);
  const ours = (address) => origins.some((origin) => address.startsWith(origin) && TOKEN.test(address.slice(origin.length)));
  return found.length && found.every(ours) ? { link, scheme } : null;
}

/** Every web address that a program could read out of a link: as it stands, percent-encoded or in base64. */
function addresses(link) {
  const texts = [link];
  for (const [, packed] of link.matchAll(/sub:\/\/([A-Za-z0-9+/_-]+=*)/g)) {
    try {
      texts.push(atob(packed.replaceAll("-", "+").replaceAll("_", "/")));
    } catch {
      return [];
    }
  }
  for (const text of [...texts]) {
    try {
      texts.push(decodeURIComponent(text));
    } catch {
      return [];
    }
  }
  return texts.flatMap((text) => [...text.matchAll(/https?:\/\/[^\s#&?]*/gi)].map(([address]) => address));
}
