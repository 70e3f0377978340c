import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/*
 * Puts the queries in `queries/` into the two files that Azure takes: the workbook and the alert rules.
 * The queries use the tables of an Application Insights resource (customEvents, customMetrics, exceptions), not
 * those of its workspace (AppEvents …): both files are scoped to the Application Insights resource.
 */

const query = (name: string): string =>
  readFileSync(join(__dirname, 'queries', `${name}.kql`), 'utf8').trimEnd();

// Workbook: https://github.com/microsoft/Application-Insights-Workbooks, schema/workbook.json

const hour = 3_600_000;
const day = 24 * hour;

/** Numbers that the portal's own workbooks use for grid cells. */
const formatter = { heatmap: 8, hidden: 5, thresholds: 18 };

interface GridColumn {
  columnMatch: string;
  formatter: number;
  formatOptions?: object;
}

const chart = (title: string, queryName: string, visualization: 'barchart' | 'timechart') => ({
  ...item(title, queryName, { visualization }),
  customWidth: '50',
});

const grid = (title: string, queryName: string, formatters: GridColumn[] = [], sortBy?: string) =>
  item(title, queryName, {
    visualization: 'table',
    gridSettings: {
      formatters,
      ...(sortBy === undefined ? {} : { sortBy: [{ itemKey: sortBy, sortOrder: 2 }] }),
    },
    ...(sortBy === undefined ? {} : { sortBy: [{ itemKey: sortBy, sortOrder: 2 }] }),
  });

const item = (title: string, queryName: string, settings: object) => ({
  type: 3,
  content: {
    version: 'KqlItem/1.0',
    query: query(queryName),
    size: 0,
    title,
    noDataMessage: 'None in this time range.',
    timeContextFromParameter: 'TimeRange',
    queryType: 0,
    resourceType: 'microsoft.insights/components',
    ...settings,
  },
  name: queryName,
});

const statusColours = {
  thresholdsOptions: 'icons',
  thresholdsGrid: [
    { operator: '==', thresholdValue: 'Completed', representation: 'success', text: '{0}{1}' },
    { operator: '==', thresholdValue: 'Failed', representation: '4', text: '{0}{1}' },
    { operator: 'Default', thresholdValue: null, representation: 'unknown', text: '{0}{1}' },
  ],
};

/** The workbook, as the portal's advanced editor takes it ("Notebook/1.0"). */
export const workbook = () => ({
  version: 'Notebook/1.0',
  items: [
    {
      type: 1,
      content: {
        json: '# Access Expiry Jobs\nRuns of the four jobs. All times are UTC. What to do about a failure: `docs/operating.md`.',
      },
      name: 'title',
    },
    {
      type: 9,
      content: {
        version: 'KqlParameterItem/1.0',
        parameters: [
          {
            id: '6a1b7f0e-4f0d-4c59-9d0b-0f3f0c1d2e51',
            version: 'KqlParameterItem/1.0',
            name: 'TimeRange',
            label: 'Time range',
            type: 4,
            isRequired: true,
            value: { durationMs: 7 * day },
            typeSettings: {
              selectableValues: [day, 2 * day, 7 * day, 14 * day, 30 * day].map((durationMs) => ({
                durationMs,
              })),
              allowCustom: true,
            },
          },
        ],
        style: 'pills',
        queryType: 0,
        resourceType: 'microsoft.insights/components',
      },
      name: 'parameters',
    },
    grid('Last run of each job', 'lastRuns', [
      { columnMatch: 'lastStatus', formatter: formatter.thresholds, formatOptions: statusColours },
      // Where no run completed it holds a stand-in number, made for the alert.
      { columnMatch: 'hoursSinceCompleted', formatter: formatter.hidden },
    ]),
    chart('Attempts by job and status', 'runsByStatus', 'barchart'),
    chart('Grants processed and failed', 'counts', 'barchart'),
    grid('Durations in minutes', 'durations', [
      {
        columnMatch: 'p95Minutes',
        formatter: formatter.heatmap,
        formatOptions: { palette: 'yellowOrangeRed' },
      },
    ]),
    chart('Conflicts: attempts turned away because the job was running', 'conflicts', 'barchart'),
    chart('Stopped early: more was due than one run could do', 'stoppedEarly', 'barchart'),
    grid('Reminders that failed', 'failedNotifications', [], 'failedPercent'),
    grid('Failed runs', 'failedRuns', [], 'timestamp'),
    grid('Exceptions', 'exceptions', [], 'timestamp'),
  ],
  fallbackResourceIds: [],
  $schema: 'https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json',
});

// Alert rules: https://learn.microsoft.com/azure/templates/microsoft.insights/scheduledqueryrules

const allJobs = ['*'];
const revocationJobs = ['RevokeExpiredDatabricksRequests', 'RevokeExpiredPalantirRequests'];
const notificationJobs = ['ExpiryNotificationDatabricksRequests', 'ExpiryNotificationPalantirRequests'];

const error = 1;
const warning = 2;

interface Alert {
  id: string;
  description: string;
  severity: number;
  queryName: string;
  /** The column that is compared with the threshold; without one, the number of rows. */
  measure?: string;
  /** A number, or the name of a parameter. */
  threshold: number | keyof typeof thresholds;
  jobTypes: string[];
  /** Further columns that split the alert, and so are named in it. */
  dimensions?: string[];
  window: 'PT1H' | 'P1D';
}

const thresholds = {
  revocationHoursWithoutCompletedRun: {
    type: 'int',
    defaultValue: 3,
    // The rule sees one day of telemetry.
    maxValue: 23,
    metadata: {
      description:
        'A revocation job that has completed no run for more than this many hours. Two gaps of its schedule, and time to run.',
    },
  },
  notificationHoursWithoutCompletedRun: {
    type: 'int',
    defaultValue: 15,
    maxValue: 23,
    metadata: {
      description:
        'A notification job that has completed no run for more than this many hours. The night is the longest gap of its schedule.',
    },
  },
  failedNotificationsPercent: {
    type: 'int',
    defaultValue: 10,
    maxValue: 99,
    metadata: { description: 'The share of grants whose reminder failed, in percent, over one day.' },
  },
  longRunMinutes: {
    type: 'int',
    defaultValue: 9,
    metadata: { description: 'A run that took more than this many minutes. Its lock turns stale after 10.' },
  },
} as const;

const alertRules: Alert[] = [
  {
    id: 'no-completed-revocation',
    description: 'A revocation job has completed no run for too long: expired access is not being revoked.',
    severity: error,
    queryName: 'lastRuns',
    measure: 'hoursSinceCompleted',
    threshold: 'revocationHoursWithoutCompletedRun',
    jobTypes: revocationJobs,
    window: 'P1D',
  },
  {
    id: 'no-completed-notification',
    description: 'A notification job has completed no run for too long: reminders are not being sent.',
    severity: error,
    queryName: 'lastRuns',
    measure: 'hoursSinceCompleted',
    threshold: 'notificationHoursWithoutCompletedRun',
    jobTypes: notificationJobs,
    window: 'P1D',
  },
  {
    id: 'failed-run',
    description: 'A run failed. errorName says why: SafetyStopError is the safety stop of a revocation job.',
    severity: error,
    queryName: 'failedRuns',
    threshold: 0,
    jobTypes: allJobs,
    dimensions: ['errorName'],
    window: 'PT1H',
  },
  {
    id: 'failed-notifications',
    description: 'More than the accepted share of reminders could not be sent.',
    severity: warning,
    queryName: 'failedNotifications',
    measure: 'failedPercent',
    threshold: 'failedNotificationsPercent',
    jobTypes: notificationJobs,
    window: 'P1D',
  },
  {
    id: 'long-run',
    description: 'A run took nearly as long as its lock lasts.',
    severity: warning,
    queryName: 'durations',
    measure: 'maxMinutes',
    threshold: 'longRunMinutes',
    jobTypes: allJobs,
    window: 'PT1H',
  },
];

const rule = (alert: Alert) => ({
  type: 'Microsoft.Insights/scheduledQueryRules',
  apiVersion: '2023-12-01',
  name: `[format('{0}-${alert.id}', parameters('namePrefix'))]`,
  location: "[parameters('location')]",
  kind: 'LogAlert',
  properties: {
    displayName: `[format('{0}: ${alert.id}', parameters('namePrefix'))]`,
    description: alert.description,
    severity: alert.severity,
    enabled: true,
    scopes: ["[parameters('applicationInsightsId')]"],
    evaluationFrequency: 'PT15M',
    windowSize: alert.window,
    criteria: {
      allOf: [
        {
          query: query(alert.queryName),
          ...(alert.measure === undefined
            ? { timeAggregation: 'Count' }
            : { timeAggregation: 'Maximum', metricMeasureColumn: alert.measure }),
          dimensions: [
            { name: 'jobType', operator: 'Include', values: alert.jobTypes },
            ...(alert.dimensions ?? []).map((name) => ({ name, operator: 'Include', values: ['*'] })),
          ],
          operator: 'GreaterThan',
          threshold:
            typeof alert.threshold === 'number' ? alert.threshold : `[parameters('${alert.threshold}')]`,
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 },
        },
      ],
    },
    autoMitigate: true,
    actions: { actionGroups: ["[parameters('actionGroupId')]"] },
  },
});

/** The alert rules, as an ARM template for a resource group. */
export const alerts = () => ({
  $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
  contentVersion: '1.0.0.0',
  parameters: {
    applicationInsightsId: {
      type: 'string',
      metadata: { description: 'Resource id of the Application Insights resource that the app reports to.' },
    },
    actionGroupId: {
      type: 'string',
      metadata: { description: 'Resource id of the action group that is told.' },
    },
    location: { type: 'string', defaultValue: '[resourceGroup().location]' },
    namePrefix: {
      type: 'string',
      defaultValue: 'access-expiry-jobs',
      metadata: {
        description: 'Begins the name of each rule; different where environments share a resource group.',
      },
    },
    ...thresholds,
  },
  resources: alertRules.map(rule),
});

async function main(): Promise<void> {
  const { format, resolveConfig } = await import('prettier');
  for (const [name, content] of Object.entries({ 'workbook.json': workbook(), 'alerts.json': alerts() })) {
    const path = join(__dirname, name);
    const style = await resolveConfig(path);
    writeFileSync(path, await format(JSON.stringify(content, null, 2), { ...style, parser: 'json' }));
  }
}

if (require.main === module) void main();
