/** One route of an HTTP function, such as `jobs/{jobType}/runs`. */
export interface Route {
  /** The route with its prefix, from the root: `/api/jobs/{jobType}/runs`. */
  readonly template: string;
  /** The decoded route parameters if the path is one of this route, else undefined. */
  match(path: string): Record<string, string> | undefined;
  /** Lower comes first where two routes match: literal segments before parameters before a catch-all. */
  readonly rank: string;
}

const parameter = /^\{(\*{0,2})([A-Za-z_]\w*)(:[^{}]*)?(\?)?\}$/;

/** Reads a route template of ASP.NET Core; constraints such as `{id:int}` are accepted and not checked. */
export function createRoute(prefix: string, route: string): Route {
  const segments = [...prefix.split('/'), ...route.split('/')].filter((segment) => segment !== '');
  const names: string[] = [];
  let rank = '';
  const pattern = segments.map((segment) => {
    const [, catchAll, name, , optional] = parameter.exec(segment) ?? [];
    if (name === undefined) {
      if (/[{}]/.test(segment)) throw new Error(`route "${route}": "${segment}" is no plain {name}`);
      rank += '0';
      return `/${segment.replace(/\W/g, '\\$&')}`;
    }
    names.push(name);
    rank += catchAll ? '2' : '1';
    if (catchAll) return '(?:/(.*))?';
    return optional ? '(?:/([^/]+))?' : '/([^/]+)';
  });
  const path = new RegExp(`^${pattern.join('')}/?$`, 'i');
  return {
    template: `/${segments.join('/')}`,
    rank,
    match(requested) {
      const values: (string | undefined)[] | undefined = path.exec(requested)?.slice(1);
      if (!values) return undefined;
      return Object.fromEntries(
        names.flatMap((name, index) => {
          const value = values[index];
          return value === undefined ? [] : [[name, decodeURIComponent(value)]];
        }),
      );
    },
  };
}
