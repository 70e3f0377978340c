const htmlEntities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const special = /[&<>"']/g;
const toEntity = (character: string): string => htmlEntities[character] ?? character;

/** Escapes text for HTML content and quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(special, toEntity);
}

/** HTML whose values are escaped. */
export class SafeHtml {
  constructor(readonly html: string) {}
}

/** The text of each template, without the indentation of the source: a third of a page. */
const withoutIndentation = new WeakMap<TemplateStringsArray, readonly string[]>();

function readTemplate(parts: TemplateStringsArray): readonly string[] {
  let text = withoutIndentation.get(parts);
  if (!text) {
    text = parts.raw.map((part) => part.replace(/\n\s+/g, '\n'));
    withoutIndentation.set(parts, text);
  }
  return text;
}

type Value = string | number | SafeHtml | readonly SafeHtml[] | null;

/**
 * A template whose values are escaped, except those that are HTML already. Lists are joined, null is empty. V8 appends
 * strings without copying them, so that a page is written out once.
 */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): SafeHtml {
  const text = readTemplate(parts);
  let written = text[0] ?? '';
  for (let index = 0; index < values.length; index++) {
    written += write(values[index] ?? null);
    written += text[index + 1] ?? '';
  }
  return new SafeHtml(written);
}

function write(value: Value): string {
  if (value instanceof SafeHtml) return value.html;
  if (typeof value === 'string' || typeof value === 'number') return escapeHtml(String(value));
  let list = '';
  for (const { html } of value ?? []) list += list ? `\n${html}` : html;
  return list;
}
