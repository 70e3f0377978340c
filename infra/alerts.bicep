// The alert rules and whom they notify. Each rule compares one number of a query, per job, with a threshold; docs/operating.md has a
// section for each, named as the rule.
param environmentName string
param location string
param tags object
param applicationInsightsId string
param operatorsEmail string
param documentationUrl string
param deployedAt string

var error = 1
var warning = 2
var informational = 3

var allJobs = ['*']
var revocationJobs = ['RevokeExpiredDatabricksRequests', 'RevokeExpiredPalantirRequests']

var rules = [
  {
    name: 'no-completed-run'
    description: 'A job has completed no run for too long: expired access is still open, or reminders are not sent.'
    severity: error
    query: loadTextContent('queries/jobStates.kql')
    measure: 'hoursOverdue'
    threshold: 0
    jobTypes: allJobs
    every: 'PT15M'
  }
  {
    name: 'safety-stop'
    description: 'The newest run of a revocation job found more grants due than REVOCATION_CEILING and revoked none.'
    severity: error
    query: loadTextContent('queries/safetyStops.kql')
    measure: 'safetyStops'
    threshold: 0
    jobTypes: revocationJobs
    every: 'PT15M'
  }
  {
    name: 'failed-twice'
    description: 'The newest two runs of a job failed.'
    severity: warning
    query: loadTextContent('queries/failuresInARow.kql')
    measure: 'failures'
    threshold: 1
    jobTypes: allJobs
    every: 'PT15M'
  }
  {
    name: 'late-revocation'
    description: 'The newest run of a revocation job found a grant that had expired more than 3 hours before.'
    severity: warning
    query: loadTextContent('queries/lateness.kql')
    measure: 'oldestDueMinutes'
    threshold: 180
    jobTypes: revocationJobs
    every: 'PT15M'
  }
  {
    name: 'rejected-mails'
    description: 'The email service refused five reminders or more, and more than 10 % of those of the last day.'
    severity: warning
    query: loadTextContent('queries/failedMails.kql')
    measure: 'rejectedPercent'
    threshold: 10
    jobTypes: allJobs
    every: 'PT15M'
  }
  {
    name: 'stopped-early'
    description: 'The newest three runs of a job stopped before everything due was done.'
    severity: warning
    query: loadTextContent('queries/earlyStopsInARow.kql')
    measure: 'earlyStops'
    threshold: 2
    jobTypes: allJobs
    every: 'PT15M'
  }
  {
    name: 'undeliverable-mails'
    description: 'Reminders are due to people whose address is missing or malformed. Looked at once a day.'
    severity: informational
    query: loadTextContent('queries/failedMails.kql')
    measure: 'undeliverable'
    threshold: 0
    jobTypes: allJobs
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
      scopes: [
        applicationInsightsId
      ]
      evaluationFrequency: rule.every
      windowSize: 'P1D'
      criteria: {
        allOf: [
          {
            // Nothing is said of the time before this deployment.
            query: replace(rule.query, 'datetime(2000-01-01)', 'datetime(${deployedAt})')
            timeAggregation: 'Maximum'
            metricMeasureColumn: rule.measure
            dimensions: [
              {
                name: 'jobType'
                operator: 'Include'
                values: rule.jobTypes
              }
            ]
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
      autoMitigate: rule.every != 'P1D'
      // Azure would run each query before the app has sent anything. The tests check them.
      skipQueryValidation: true
      actions: {
        actionGroups: [
          actionGroup.id
        ]
        customProperties: {
          documentation: '${documentationUrl}#${rule.name}'
        }
      }
    }
  }
]
