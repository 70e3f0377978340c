// The workbook "Access Expiry Jobs" of the Application Insights resource. Its queries are in queries/, where those in
// braces ({Jobs}, {TimeRange:grain}, {AppAddress}) are the workbook's own parameters.
import { jobTypes } from 'jobTypes.bicep'

param environmentName string
param location string
param tags object
param applicationInsightsId string
param workspaceId string
param appAddress string
param silenceHours int

// Azure generates the app's address. It is inserted last, so that the rest of the text is known beforehand.
var addressPlaceholder = 'https://app.invalid'

// Milliseconds.
var hour = 3600000
var day = 24 * hour

// What the queries have in common, and the portal's numbers for the formats of columns.
var events = {
  version: 'KqlItem/1.0'
  size: 0
  queryType: 0
  resourceType: 'microsoft.insights/components'
  crossComponentResources: [applicationInsightsId]
}
var inTimeRange = union(events, {
  noDataMessage: 'None in this time range.'
  timeContextFromParameter: 'TimeRange'
})
var text = 1
var hidden = 5
var link = 7
var heatmap = 8
var icons = 18

var outcomeColours = {
  seriesLabelSettings: [
    { seriesName: 'Completed', color: 'green' }
    { seriesName: 'Stopped early', color: 'orange' }
    { seriesName: 'Failed', color: 'redBright' }
    { seriesName: 'Conflict', color: 'gray' }
  ]
}

var stateIcons = {
  thresholdsOptions: 'icons'
  thresholdsGrid: [
    { operator: '==', thresholdValue: 'Healthy', representation: 'success', text: 'Healthy' }
    { operator: '==', thresholdValue: 'Running', representation: 'success', text: 'Running' }
    { operator: '==', thresholdValue: 'Attention', representation: '2', text: 'Needs attention' }
    { operator: '==', thresholdValue: 'Failed', representation: '4', text: 'Failed' }
    { operator: '==', thresholdValue: 'Misconfigured', representation: '4', text: 'Misconfigured' }
    { operator: '==', thresholdValue: 'Overdue', representation: '4', text: 'Overdue' }
    { operator: '==', thresholdValue: 'Paused', representation: 'unknown', text: 'Paused' }
    { operator: '==', thresholdValue: 'NeverRun', representation: 'unknown', text: 'Never run' }
    { operator: 'Default', representation: 'unknown', text: '{0}{1}' }
  ]
}

// The column `run` links to the address in the other one; where it is empty there is nothing to click on.
var linksToRuns = {
  formatters: [
    { columnMatch: 'run', formatter: link, formatOptions: { linkTarget: 'Url', linkColumn: 'address' } }
    { columnMatch: 'address', formatter: hidden }
  ]
}

// What the workbook shows below the states, in the time range.
var views = [
  {
    name: 'runs'
    width: 'half'
    title: 'Attempts by outcome'
    query: loadTextContent('queries/runs.kql')
    as: 'barchart'
    with: { chartSettings: outcomeColours }
  }
  {
    name: 'grants'
    width: 'half'
    title: 'Grants processed'
    query: loadTextContent('queries/grants.kql')
    as: 'barchart'
  }
  {
    name: 'due'
    width: 'half'
    title: 'Grants due when a run began'
    query: loadTextContent('queries/due.kql')
    as: 'timechart'
  }
  {
    name: 'latenessOverTime'
    width: 'half'
    title: 'Minutes that the oldest of them had been due'
    query: loadTextContent('queries/latenessOverTime.kql')
    as: 'timechart'
  }
  {
    name: 'failedRuns'
    title: 'Failed runs'
    query: loadTextContent('queries/failedRuns.kql')
    as: 'table'
    with: { gridSettings: linksToRuns }
  }
  {
    name: 'abandonedRuns'
    title: 'Runs that were cut off'
    query: loadTextContent('queries/abandonedRuns.kql')
    as: 'table'
    with: { gridSettings: linksToRuns }
  }
  {
    name: 'failedMails'
    width: 'half'
    title: 'Reminders that failed in the newest run'
    query: loadTextContent('queries/failedMails.kql')
    as: 'table'
  }
  {
    name: 'bounces'
    width: 'half'
    title: 'Messages accepted and not delivered'
    query: loadTextContent('queries/bounces.kql')
    as: 'table'
    with: {
      resourceType: 'microsoft.operationalinsights/workspaces'
      crossComponentResources: [workspaceId]
    }
  }
  {
    name: 'durations'
    title: 'Durations in minutes'
    query: loadTextContent('queries/durations.kql')
    as: 'table'
    with: {
      gridSettings: {
        formatters: [
          { columnMatch: 'p95Minutes', formatter: heatmap, formatOptions: { palette: 'yellowOrangeRed' } }
        ]
      }
    }
  }
]

var content = {
  version: 'Notebook/1.0'
  items: concat([
    {
      type: 1
      name: 'title'
      content: {
        json: '# Access Expiry Jobs\nRuns of the four jobs. All times are UTC. [Status page](${addressPlaceholder}/api/status). What to do about a failure: `docs/operating.md`.'
      }
    }
    {
      type: 9
      name: 'parameters'
      content: {
        version: 'KqlParameterItem/1.0'
        style: 'pills'
        queryType: 0
        resourceType: 'microsoft.insights/components'
        parameters: [
          {
            id: '6a1b7f0e-4f0d-4c59-9d0b-0f3f0c1d2e51'
            version: 'KqlParameterItem/1.0'
            name: 'TimeRange'
            label: 'Time range'
            type: 4
            isRequired: true
            value: { durationMs: 7 * day }
            typeSettings: {
              selectableValues: [
                { durationMs: day }
                { durationMs: 2 * day }
                { durationMs: 7 * day }
                { durationMs: 14 * day }
                { durationMs: 30 * day }
              ]
              allowCustom: true
            }
          }
          {
            id: '2f0c3d8a-6d0e-4a56-8a55-1f4f7f6c9b02'
            version: 'KqlParameterItem/1.0'
            name: 'Jobs'
            type: 2
            isRequired: true
            multiSelect: true
            quote: '\''
            delimiter: ','
            jsonData: string(jobTypes)
            value: jobTypes
          }
          {
            id: 'b3a4c1de-08f7-4c0a-9a3d-7d2b5e6f1c03'
            version: 'KqlParameterItem/1.0'
            name: 'AppAddress'
            type: 1
            isHiddenWhenLocked: true
            value: addressPlaceholder
          }
        ]
      }
    }
    {
      type: 3
      name: 'jobStates'
      content: union(events, {
        title: 'The four jobs as they were last reported'
        query: loadTextContent('queries/jobStates.kql')
        // The current states, whatever the time range: where the rule silence rings there is nothing to show.
        timeContext: { durationMs: silenceHours * hour }
        noDataMessage: 'No run has reported for ${silenceHours} hours. The status page says more, if the app runs.'
        visualization: 'tiles'
        size: 4
        tileSettings: {
          titleContent: { columnMatch: 'jobType', formatter: text }
          leftContent: { columnMatch: 'state', formatter: icons, formatOptions: stateIcons }
          secondaryContent: { columnMatch: 'timestamp', formatter: text }
          showBorder: true
        }
      })
    }
  ], map(views, view => union(
    {
      type: 3
      name: view.name
      content: union(inTimeRange, { title: view.title, query: view.query, visualization: view.as }, view.?with ?? {})
    },
    view.?width == 'half' ? { customWidth: '50' } : {}
  )))
  fallbackResourceIds: [applicationInsightsId]
  '$schema': 'https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json'
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(applicationInsightsId, 'access-expiry-jobs')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Access Expiry Jobs (${environmentName})'
    category: 'workbook'
    sourceId: applicationInsightsId
    serializedData: replace(string(content), addressPlaceholder, appAddress)
  }
}
