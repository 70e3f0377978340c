/** The deployed alert rules, evaluated over telemetry as in Azure. */
import type { abandonedRunEvent, jobRunEvent, jobStateEvent } from '../../src/telemetry/names';
import { ofType, readDeployment } from './deployments';
import { runQuery, type Row } from './kusto';

type EventName = typeof abandonedRunEvent | typeof jobRunEvent | typeof jobStateEvent;
type Value = string | number | boolean | undefined;

/** An event as Application Insights stores it: its properties are texts. */
export function storedEvent(
  name: EventName,
  timestamp: Date,
  properties: Readonly<Record<string, Value>>,
): Row {
  const given = Object.entries(properties).filter(([, value]) => value !== undefined);
  const customDimensions = Object.fromEntries(given.map(([key, value]) => [key, String(value)]));
  return { timestamp, name, customDimensions };
}

/** An ISO 8601 duration in minutes. */
export function minutesOf(duration: string): number {
  const [, days = 0, hours = 0, rest = 0] = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?$/.exec(duration) ?? [];
  return (Number(days) * 24 + Number(hours)) * 60 + Number(rest);
}

/** A rule about all jobs together rings for this. */
export const allTogether = 'all';

/** The properties of a rule, as Azure Resource Manager would be given them. */
export interface AlertRule {
  readonly evaluationFrequency: string;
  readonly windowSize: string;
  readonly autoMitigate: boolean;
  readonly skipQueryValidation: boolean;
  readonly actions: { readonly customProperties: { readonly documentation: string } };
  readonly criteria: {
    readonly allOf: readonly [
      {
        readonly query: string;
        readonly metricMeasureColumn: string;
        readonly operator: string;
        readonly threshold: number;
        /** Empty: the rule is about all jobs together. */
        readonly dimensions: readonly { readonly name: string; readonly values: readonly string[] }[];
      },
    ];
  };
}

/** The alert rules of a site, by name. */
export const alertRules = (site = 'leastParameters'): ReadonlyMap<string, AlertRule> =>
  new Map(
    ofType(readDeployment(site), 'Microsoft.Insights/scheduledQueryRules').map(({ name, properties }) => [
      name.replace(/^access-expiry-jobs-prod-/, ''),
      properties as AlertRule,
    ]),
  );

/** The jobs for which a rule rings: its measure over its window is above its threshold. */
export function ringing(name: string, events: readonly Row[], now: Date, site?: string): string[] {
  const rule = alertRules(site).get(name);
  if (!rule) throw new Error(`There is no rule ${name}`);
  const [{ query, metricMeasureColumn, operator, threshold, dimensions }] = rule.criteria.allOf;
  if (operator !== 'GreaterThan') throw new Error(`${name} compares by ${operator}`);
  const from = now.getTime() - minutesOf(rule.windowSize) * 60_000;
  const inWindow = events.filter(
    ({ timestamp }) => Number(timestamp) > from && Number(timestamp) <= now.getTime(),
  );
  const above = runQuery(query, { customEvents: inWindow }).filter(({ [metricMeasureColumn]: measured }) => {
    if (measured !== null && !['bigint', 'number'].includes(typeof measured))
      throw new Error(`${name} measures ${metricMeasureColumn}, which is not a number`);
    return Number(measured) > threshold;
  });
  const [ofJobs] = dimensions;
  if (!ofJobs) return above.map(() => allTogether);
  return above
    .map(({ jobType }) => jobType as string)
    .filter((jobType) => ofJobs.values.some((one) => one === '*' || one === jobType));
}
