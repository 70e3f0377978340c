/** The alert rules as they are deployed, evaluated over telemetry as Azure does it. */
import type { abandonedRunEvent, jobRunEvent, jobStateEvent } from '../../src/telemetry/names';
import { readAlertRules, type AlertRule } from './deployments';
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

/** A length of time in minutes, from ISO 8601. */
export function minutesOf(duration: string): number {
  const [, days = 0, hours = 0, rest = 0] = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?$/.exec(duration) ?? [];
  return (Number(days) * 24 + Number(hours)) * 60 + Number(rest);
}

/** What a rule that is about no single job rings for. */
export const allTogether = 'all';

/** The jobs for which a rule rings: its query over its window, its measure above its threshold, split by job. */
export function ringing(rule: AlertRule, events: readonly Row[], now: Date): string[] {
  const from = now.getTime() - minutesOf(rule.windowSize) * 60_000;
  const inWindow = events.filter(
    ({ timestamp }) => Number(timestamp) > from && Number(timestamp) <= now.getTime(),
  );
  return runQuery(rule.query, { customEvents: inWindow })
    .filter(({ [rule.measure]: measured }) => {
      if (measured !== null && !['bigint', 'number'].includes(typeof measured))
        throw new Error(`${rule.name} measures ${rule.measure}, which is no number`);
      return Number(measured) > rule.threshold;
    })
    .map(({ jobType }) => (rule.jobTypes.length === 0 ? allTogether : (jobType as string)))
    .filter(
      (jobType) => jobType === allTogether || rule.jobTypes.some((one) => one === '*' || one === jobType),
    );
}

/** A rule of a site by its name. */
export function alertRule(name: string, site = 'leastParameters'): AlertRule {
  const rule = readAlertRules(site).find((one) => one.name === name);
  if (!rule) throw new Error(`There is no rule ${name}`);
  return rule;
}
