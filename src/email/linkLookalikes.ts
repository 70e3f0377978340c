/**
 * Names that mail clients would turn into links. A site, or whoever made a request, chooses the name of a resource:
 * "data.world.com", or "sign in at https://…". A mail links to none of these.
 */

/** Invisible, not a place for a line break, and not part of an address (UTS #46: ignored). */
const wordJoiner = '\u2060';

/**
 * Generic top-level domains of many sites. A name such as sales.gold.orders ends in none, and stays as it is: a search
 * would not find a copy with word joiners in it.
 */
const topLevelDomains =
  'academy agency ai app art biz blog cash center click cloud club com company consulting design dev digital edu email ' +
  'events expert finance fun fund gold gov group health help host info inc int io land life link live ltd market media ' +
  'mil mobi money mov name net network news ninja one online org page partners press pro report rocks run science ' +
  'services shop site social software solutions space store studio support systems team tech technology today tools ' +
  'top tv vip watch website wiki win work works world wtf xyz zip zone';

const lookalike = new RegExp(
  String.raw`:\/\/|\bwww\.|@[^@]+\.|[\p{L}\p{N}]\.(?:[a-z]{2}|xn--[a-z0-9-]+|${topLevelDomains.replaceAll(' ', '|')})(?!\.?[\p{L}\p{N}_-])`,
  'iu',
);

/** The name with a word joiner before each sign by which clients recognise an address, where it looks like one. */
export function withoutLinks(name: string): string {
  return name.replace(/\S+/g, (word) =>
    lookalike.test(word) ? word.replace(/[.@]|:(?=\/\/)/g, `${wordJoiner}$&`) : word,
  );
}
