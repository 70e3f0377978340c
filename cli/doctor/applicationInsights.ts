import { errorText } from '../../src/errorText';
import { failed, ok, warning, type Finding } from './finding';

const defaultTimeoutMs = 5_000;

/** Whether the ingestion endpoint can be reached. No telemetry is sent. */
export async function checkApplicationInsights(
  connectionString: string | undefined,
  timeoutMs = defaultTimeoutMs,
): Promise<Finding> {
  const subject = 'Application Insights';
  if (connectionString === undefined)
    return warning(
      subject,
      'not connected: there is no telemetry and no alert',
      "set APPLICATIONINSIGHTS_CONNECTION_STRING to the connection string on the resource's overview page",
    );
  const endpoint = ingestionEndpoint(connectionString);
  try {
    // Any answer will do.
    await fetch(endpoint, { method: 'HEAD', redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    return failed(
      subject,
      `the ingestion endpoint ${endpoint} cannot be reached: ${errorText(error)}`,
      "compare APPLICATIONINSIGHTS_CONNECTION_STRING with the resource's overview page; check name resolution and firewall",
    );
  }
  return ok(subject, `the ingestion endpoint ${endpoint} can be reached`);
}

/** In "Key=value;…"; the default is that of https://learn.microsoft.com/azure/azure-monitor/app/connection-strings */
function ingestionEndpoint(connectionString: string): string {
  const parts = new Map(
    connectionString.split(';').map((part) => {
      const [key = '', ...values] = part.trim().split('=');
      return [key.toLowerCase(), values.join('=')];
    }),
  );
  const suffix = parts.get('endpointsuffix') ?? 'services.visualstudio.com';
  return parts.get('ingestionendpoint') ?? `https://dc.${suffix}`;
}
