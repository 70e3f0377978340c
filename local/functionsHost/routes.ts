/** One route of an HTTP function, such as `jobs/{jobType}/runs`. */
export interface Route {
  /** The route with its prefix, from the root: `/api/jobs/{jobType}/runs`. */
  readonly template: string;
  /** The decoded route parameters if the path is one of this route, else undefined. */
  match(path: string): Record<string, string> | undefined;
  /** Lower comes first where two routes match: literal segments before parameters. */
  readonly rank: string;
}

/** Reads a route template of ASP.NET Core: literal segments, `{name}` and `{name?}`; it has no other kind. */
export function createRoute(prefix: string, route: string): Route {
  const segments = `${prefix}/${route}`.split('/').filter((segment) => segment !== '');
  let rank = '';
  const pattern = segments.map((segment) => {
    const [, name, optional] = /^\{([A-Za-z_]\w*)(\?)?\}$/.exec(segment) ?? [];
    if (name === undefined && /[{}]/.test(segment))
      throw new Error(`route "${route}": "${segment}" is no plain {name}`);
    rank += name === undefined ? '0' : '1';
    if (name === undefined) return `/${segment.replace(/\W/g, '\\$&')}`;
    return optional ? `(?:/(?<${name}>[^/]+))?` : `/(?<${name}>[^/]+)`;
  });
  const path = new RegExp(`^${pattern.join('')}/?$`, 'i');
  return {
    template: `/${segments.join('/')}`,
    rank,
    match(requested) {
      const found = path.exec(requested);
      if (!found) return undefined;
      const given = Object.entries<string | undefined>(found.groups ?? {});
      return Object.fromEntries(
        given.flatMap(([name, value]) => (value === undefined ? [] : [[name, decode(value)]])),
      );
    },
  };
}

/** Kestrel copies what it cannot decode (aspnetcore, UrlDecoder.cs): a path has no percent-encoding that is an error. */
function decode(value: string): string {
  return value.replace(/(?:%[\da-f]{2})+/gi, (encoded) => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return encoded;
    }
  });
}
