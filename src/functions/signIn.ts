import type { HttpRequest } from '@azure/functions';
import { z } from 'zod';
import { signInRequired, type AppServiceSettings } from '../config/appService';
import { RequestError } from './problem';

/** The app role for running and cancelling. docs/deploying.md creates it. */
const operatorRole = 'Operator';

/** The longest name in a run's message, which has 500 characters. */
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

/** Whether the caller may run and cancel: with HTTP_AUTHORIZATION=signIn the operators, with a key everybody who has one. */
export function mayOperate(request: HttpRequest): boolean {
  return !signInRequired() || rolesOf(request).includes(operatorRole);
}

/**
 * Why a caller is refused. With HTTP_AUTHORIZATION=signIn the platform asks for no key: reading is for those who are signed
 * in, a POST for those among them who have the role Operator, from the app's own page or with a token.
 */
export function findRefusal(request: HttpRequest, appService: AppServiceSettings): RequestError | undefined {
  const name = signedInName(request, appService);
  if (name === undefined)
    return new RequestError(
      'notSignedIn',
      appService.authenticationOn
        ? 'App Service authentication let this request through without signing anybody in. Sign in, or set it to require authentication.'
        : 'HTTP_AUTHORIZATION is signIn, but App Service authentication is off: turn it on, or set HTTP_AUTHORIZATION to key.',
    );
  if (request.method === 'GET') return undefined;
  if (isFromOtherSite(request)) return new RequestError('otherSite', 'Use the status page of this app.');
  if (!mayOperate(request))
    return new RequestError(
      'readOnly',
      `Running and cancelling need the app role ${operatorRole}, which ${name} does not have. Whoever manages this app's enterprise application in Microsoft Entra gives it (Users and groups); then sign out at /.auth/logout and in again.`,
    );
  return undefined;
}

/** A browser sends its cookie with another site's form too. A bearer token is sent by whoever holds it. */
function isFromOtherSite({ headers, url }: HttpRequest): boolean {
  if (/^bearer /i.test(headers.get('authorization') ?? '')) return false;
  const site = headers.get('sec-fetch-site');
  if (site !== null) return site !== 'same-origin';
  const origin = headers.get('origin');
  return origin !== null && (!URL.canParse(origin) || new URL(origin).host !== new URL(url).host);
}

/** "Work with user identities in Azure App Service authentication", decoding the client principal header. */
const principalSchema = z.object({
  role_typ: z.string().nullish(),
  claims: z.array(z.object({ typ: z.string(), val: z.string() })),
});

/** The app roles in the claims of who is signed in; none in a header that is malformed. */
function rolesOf(request: HttpRequest): string[] {
  const { data } = principalSchema.safeParse(decode(request.headers.get('x-ms-client-principal') ?? ''));
  if (!data) return [];
  return data.claims.filter(({ typ }) => typ === 'roles' || typ === data.role_typ).map(({ val }) => val);
}

/** JSON in Base64; undefined if it is malformed. */
function decode(header: string): unknown {
  try {
    return JSON.parse(Buffer.from(header, 'base64').toString());
  } catch {
    return undefined;
  }
}
