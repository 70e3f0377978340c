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
export class Markup {
  constructor(readonly html: string) {}
}

/** A template whose values are escaped, apart from those that are markup themselves. Lists are joined, null is nothing. */
export function markup(
  parts: TemplateStringsArray,
  ...values: readonly (string | number | Markup | readonly Markup[] | null)[]
): Markup {
  const written = values.map((value) => {
    if (value instanceof Markup) return value.html;
    if (typeof value === 'string' || typeof value === 'number') return escapeHtml(String(value));
    return (value ?? []).map(({ html }) => html).join('\n');
  });
  return new Markup(String.raw({ raw: parts }, ...written));
}
