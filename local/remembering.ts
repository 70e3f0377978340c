/** Caches a function of text for up to 500 texts: tests and jobs send the same statements again and again. */
export function remembering<T>(make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const result = make(text);
    if (known.size >= 500) known.clear();
    known.set(text, result);
    return result;
  };
}
