// Everything that Access Expiry Jobs needs in Azure, in a resource group of its own. The database and its server exist
// already: they are named here and never created, changed or deleted.
targetScope = 'subscription'

@description('Name of the environment, for example prod. Part of the name of the resource group.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region of the resources. The mail service is global.')
@metadata({
  azd: {
    type: 'location'
  }
})
param location string

@description('Host name of the Azure SQL server, for example my-server.database.windows.net.')
param sqlServer string

@description('Name of the database that holds the requests.')
param sqlDatabase string

@description('Email address that alerts go to.')
param operatorsEmail string

@description('Name of the resource group. It is created, and deleted with the environment: nothing else belongs in it.')
param resourceGroupName string = 'rg-access-expiry-jobs-${environmentName}'

@description('Name of the function app, unique in Azure. Empty: a name is generated.')
@maxLength(60)
param functionAppName string = ''

@description('Resource id of a subnet, delegated to Microsoft.App/environments, from which the app reaches the database. Empty: none.')
param subnetId string = ''

@description('Memory of an instance in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('The most instances. Each timer has instances of its own; HTTP requests share others.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Where the mail service keeps its data, for example Europe or United States. It cannot be changed later.')
param mailDataLocation string = 'Europe'

@description('Domain of the sender, for example example.com. Empty: a domain that Azure manages, for 10 messages an hour.')
param senderDomain string = ''

@description('Whether the DNS records of senderDomain are verified. Until then messages come from the domain that Azure manages.')
param senderDomainVerified bool = false

@description('User name of the sender. Another than donotreply needs a domain of your own with raised sending limits.')
param senderUsername string = 'donotreply'

@description('Name of the sender that recipients see.')
param senderDisplayName string = 'Access Expiry'

@description('App settings of the site by name, for example { RENEWAL_URL_TEMPLATE: \'…\' }. An empty value is an absent setting.')
param settings object = {}

@description('Client id of an app registration in Microsoft Entra: people sign in with it before they see the status page. Empty: a function key is enough.')
param signInClientId string = ''

@description('Jobs whose timers are switched off, separated by commas. They can still be run by hand.')
param disabledJobs string = ''

@description('Address ranges that may call the app over HTTP, in CIDR notation, separated by commas. Empty: every address.')
param inboundRanges string = ''

@description('Address of docs/operating.md, for the links in alerts.')
param documentationUrl string = 'docs/operating.md'

@description('For how many hours no run may report anything before an alert rings. More than the longest gap between two runs of whichever jobs; Azure allows no other lengths.')
@allowed([1, 2, 3, 4, 5, 6, 24, 48])
param silenceHours int = 3

var suffix = toLower(uniqueString(subscription().id, environmentName, location))
var tags = {
  'azd-env-name': environmentName
}

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: resourceGroupName
  location: location
  tags: tags
}

module identity 'identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-access-expiry-jobs-${environmentName}'
    location: location
    tags: tags
  }
}

module monitoring 'monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    suffix: suffix
    location: location
    tags: tags
    principalId: identity.outputs.principalId
  }
}

module storage 'storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'st${suffix}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
  }
}

module mail 'mail.bicep' = {
  name: 'mail'
  scope: group
  params: {
    suffix: suffix
    tags: tags
    dataLocation: mailDataLocation
    senderDomain: senderDomain
    senderDomainVerified: senderDomainVerified
    senderUsername: senderUsername
    senderDisplayName: senderDisplayName
    principalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module functionApp 'functionApp.bicep' = {
  name: 'functionApp'
  scope: group
  params: {
    name: empty(functionAppName) ? 'func-access-expiry-jobs-${suffix}' : functionAppName
    planName: 'plan-${suffix}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    deploymentContainerUrl: storage.outputs.deploymentContainerUrl
    settings: settings
    derivedSettings: {
      AzureWebJobsStorage__accountName: storage.outputs.name
      APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
      SQL_SERVER: sqlServer
      SQL_DATABASE: sqlDatabase
      EMAIL_ENDPOINT: mail.outputs.endpoint
      EMAIL_SENDER_ADDRESS: mail.outputs.senderAddress
    }
    subnetId: subnetId
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    signInClientId: signInClientId
    disabledJobs: disabledJobs
    inboundRanges: inboundRanges
  }
}

module alerts 'alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    operatorsEmail: operatorsEmail
    documentationUrl: documentationUrl
    silenceHours: silenceHours
  }
  // A rule that Azure refuses must not keep the app from being created.
  dependsOn: [functionApp]
}

module workbook 'workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    workspaceId: monitoring.outputs.workspaceId
    appAddress: functionApp.outputs.address
    silenceHours: silenceHours
  }
}

// What azd keeps in its environment, for the hooks of azure.yaml and for a person.
output AZURE_RESOURCE_GROUP string = group.name
output FUNCTION_APP_ID string = functionApp.outputs.id
output APP_IDENTITY_NAME string = identity.outputs.name
output APP_IDENTITY_CLIENT_ID string = identity.outputs.clientId
output SQL_SERVER string = sqlServer
output SQL_DATABASE string = sqlDatabase
output EMAIL_SENDER_ADDRESS string = mail.outputs.senderAddress
output SENDER_DOMAIN_RECORDS object = mail.outputs.senderDomainRecords
