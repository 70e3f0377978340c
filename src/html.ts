const htmlEntities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Escapes text for HTML content and quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => htmlEntities[character] ?? character);
}

/** HTML whose values are escaped. */
export class SafeHtml {
  constructor(readonly html: string) {}
}

/** The text of each template without the indentation of the source, which would be a third of a page. */
const withoutIndentation = new WeakMap<TemplateStringsArray, readonly string[]>();

function readTemplate(parts: TemplateStringsArray): readonly string[] {
  let text = withoutIndentation.get(parts);
  if (!text) {
    text = parts.raw.map((part) => part.replace(/\n\s+/g, '\n'));
    withoutIndentation.set(parts, text);
  }
  return text;
}

/** A template whose values are escaped, except those that are HTML already. Lists are joined, null is nothing. */
export function html(
  parts: TemplateStringsArray,
  ...values: readonly (string | number | SafeHtml | readonly SafeHtml[] | null)[]
): SafeHtml {
  const written = values.map((value) => {
    if (value instanceof SafeHtml) return value.html;
    if (typeof value === 'string' || typeof value === 'number') return escapeHtml(String(value));
    return (value ?? []).map(({ html }) => html).join('\n');
  });
  return new SafeHtml(String.raw({ raw: readTemplate(parts) }, ...written));
}
