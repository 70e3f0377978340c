/** A route of ASP.NET Core such as `/api/jobs/{jobType}/runs`, in any case, with or without a slash at its end. */
export function createRoute(template: string): URLPattern {
  const pathname = `${template.replace(/\{(\w+)\}/g, ':$1')}{/}?`;
  return new URLPattern({ pathname }, { ignoreCase: true });
}

/** The decoded route parameters if the path is one of this route, else undefined. */
export function matchRoute(route: URLPattern, pathname: string): Record<string, string> | undefined {
  const groups = route.exec({ pathname })?.pathname.groups;
  return (
    groups && Object.fromEntries(Object.entries(groups).map(([name, value = '']) => [name, decode(value)]))
  );
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
