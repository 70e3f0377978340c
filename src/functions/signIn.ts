import type { HttpHandler, HttpRequest } from '@azure/functions';
import type { AppServiceSettings } from '../config/appService';
import { problemResponse } from './problem';
import { getServices } from './runner';

/** Names in a run's message leave room for the rest of its 500 characters. */
const maxNameLength = 100;

/**
 * The name of who is signed in, by App Service authentication. Undefined: nobody is, or authentication is off, and then
 * the header is what a caller made up ("Work with user identities in Azure App Service authentication").
 */
export function signedInName(request: HttpRequest, appService: AppServiceSettings): string | undefined {
  if (!appService.authenticationOn) return undefined;
  const given =
    request.headers.get('x-ms-client-principal-name') ?? request.headers.get('x-ms-client-principal-id');
  const name = given?.replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '').trim();
  return name ? name.slice(0, maxNameLength) : undefined;
}

/** A handler for those alone who are signed in: with HTTP_AUTHORIZATION=signIn the platform asks for no key. */
export function onlySignedIn(handler: HttpHandler): HttpHandler {
  return async (request, context) => {
    const { appService } = (await getServices()).settings;
    if (signedInName(request, appService) === undefined)
      return problemResponse(
        401,
        'Sign in first',
        appService.authenticationOn
          ? 'App Service authentication let this request through without signing anybody in. Set it to require authentication.'
          : 'HTTP_AUTHORIZATION is signIn, but App Service authentication is off: turn it on, or set HTTP_AUTHORIZATION to key.',
      );
    // A browser signs in by a cookie, which it would send for another site's form too.
    const site = request.headers.get('sec-fetch-site') ?? 'same-origin';
    if (request.method !== 'GET' && site !== 'same-origin')
      return problemResponse(403, 'Another site asked for this', 'Use the status page of this app.');
    return handler(request, context);
  };
}
