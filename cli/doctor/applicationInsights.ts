import { connect } from 'node:net';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { errorText } from '../../src/errorText';
import { failed, ok, warning, type Finding } from './finding';

const defaultTimeoutMs = 5_000;

/** Whether telemetry has somewhere to go. Nothing is sent. */
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
    await openConnection(new URL(endpoint), timeoutMs);
  } catch (error) {
    return failed(
      subject,
      `the ingestion endpoint ${endpoint} cannot be reached: ${errorText(error)}`,
      "compare APPLICATIONINSIGHTS_CONNECTION_STRING with the resource's overview page; check name resolution and firewall",
    );
  }
  return ok(subject, `the ingestion endpoint ${endpoint} can be reached`);
}

/**
 * The endpoint in a connection string, "Key=value;…". Its default:
 * https://learn.microsoft.com/azure/azure-monitor/app/connection-strings
 */
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

async function openConnection({ protocol, hostname, port }: URL, timeoutMs: number): Promise<void> {
  const secure = protocol === 'https:';
  const target = { host: hostname, port: Number(port) || (secure ? 443 : 80) };
  const socket = secure ? connectTls({ ...target, servername: hostname }) : connect(target);
  try {
    await once(socket, secure ? 'secureConnect' : 'connect', { signal: AbortSignal.timeout(timeoutMs) });
  } finally {
    socket.on('error', () => undefined).destroy();
  }
}
