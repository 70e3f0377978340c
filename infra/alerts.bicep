// The alert rules and whom they notify. Each rule compares one number of a query, per job, with a threshold; docs/operating.md
// has a section for each, named as the rule. The state of a job is worked out by the app: the rules read what it reported
// last.
import { revocationJobTypes } from 'jobTypes.bicep'

param environmentName string
param location string
param tags object
param applicationInsightsId string
param operatorsEmail string
param documentationUrl string

@description('For how many hours no run may report anything.')
param silenceHours int

var error = 1
var warning = 2
var informational = 3

// The longest window that Azure allows: how far back a rule looks for the newest state.
var longest = 'P2D'

// By default a rule looks at every job, each by itself, every quarter of an hour, as far back as Azure allows.
var rules = [
  {
    name: 'silence'
    description: 'No run of any job has reported for ${silenceHours} hours: the app does not run, does not reach the database, or its telemetry does not arrive.'
    severity: error
    query: loadTextContent('queries/silence.kql')
    measure: 'silences'
    threshold: 0
    jobTypes: []
    window: silenceHours < 24 ? 'PT${silenceHours}H' : 'P${silenceHours / 24}D'
  }
  {
    name: 'overdue'
    description: 'A job has not run at a time of its schedule, and for an hour after it: expired access is still open, or reminders are not sent.'
    severity: error
    query: loadTextContent('queries/jobStates.kql')
    measure: 'hoursOverdue'
    threshold: 1
  }
  {
    name: 'safety-stop'
    description: 'A revocation job found more grants due than REVOCATION_CEILING and revoked none; no run has completed since.'
    severity: error
    query: loadTextContent('queries/jobStates.kql')
    measure: 'safetyStops'
    threshold: 0
    jobTypes: revocationJobTypes
  }
  {
    name: 'failed-twice'
    description: 'The newest two runs of a job failed, and no safety stop stands.'
    severity: warning
    query: loadTextContent('queries/jobStates.kql')
    measure: 'failuresInARow'
    threshold: 1
  }
  {
    name: 'late-revocation'
    description: 'The newest run of a revocation job that looked found a grant that had expired more than 3 hours before.'
    severity: warning
    query: loadTextContent('queries/lateness.kql')
    measure: 'oldestDueMinutes'
    threshold: 180
    jobTypes: revocationJobTypes
  }
  {
    name: 'rejected-mails'
    description: 'In the newest run the email service refused five reminders or more, and more than 10 % of those of the last two days.'
    severity: warning
    query: loadTextContent('queries/failedMails.kql')
    measure: 'rejectedPercent'
    threshold: 10
  }
  {
    name: 'stopped-early'
    description: 'The newest three runs of a job stopped before everything due was done.'
    severity: warning
    query: loadTextContent('queries/jobStates.kql')
    measure: 'earlyStopsInARow'
    threshold: 2
  }
  {
    name: 'undeliverable-mails'
    description: 'Reminders are due to people whose address is missing or malformed. Looked at once a day.'
    severity: informational
    query: loadTextContent('queries/failedMails.kql')
    measure: 'undeliverable'
    threshold: 0
    every: 'P1D'
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-access-expiry-jobs-${environmentName}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'AccessExpiry'
    enabled: true
    emailReceivers: [
      {
        name: 'operators'
        emailAddress: operatorsEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alertRules 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: 'access-expiry-jobs-${environmentName}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Access Expiry Jobs (${environmentName}): ${rule.name}'
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [applicationInsightsId]
      evaluationFrequency: rule.?every ?? 'PT15M'
      windowSize: rule.?window ?? longest
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Maximum'
            metricMeasureColumn: rule.measure
            dimensions: rule.?jobTypes == []
              ? []
              : [{ name: 'jobType', operator: 'Include', values: rule.?jobTypes ?? ['*'] }]
            operator: 'GreaterThan'
            threshold: rule.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      // A rule that is evaluated less often than every 12 hours cannot be stateful: it rings each time.
      autoMitigate: (rule.?every ?? '') != 'P1D'
      // Azure would run each query before the app has sent anything. The tests check them.
      skipQueryValidation: true
      actions: {
        actionGroups: [actionGroup.id]
        customProperties: {
          documentation: '${documentationUrl}#${rule.name}'
        }
      }
    }
  }
]
