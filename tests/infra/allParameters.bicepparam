// Everything that a site can set: a subnet, a verified domain, sign-in, and all settings of the app.
using '../../infra/main.bicep'

param environmentName = 'prod'
param location = 'westeurope'
param sqlServer = 'my-server.database.windows.net'
param sqlDatabase = 'access'
param operatorsEmail = 'access-operators@example.com'
param resourceGroupName = 'rg-of-the-site'
param functionAppName = 'func-of-the-site'
param subnetId = '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/site/subnets/jobs'
param instanceMemoryMB = 512
param maximumInstanceCount = 100
param mailDataLocation = 'United States'
param senderDomain = 'example.com'
param senderDomainVerified = true
param senderUsername = 'access'
param senderDisplayName = 'Access to data'
param signInClientId = '7c9e6679-7425-40de-944b-e07fc1f90ae7'
param disabledJobs = 'RevokeExpiredDatabricksRequests, ExpiryNotificationPalantirRequests'
param inboundRanges = '203.0.113.0/24, 198.51.100.7/32'
param documentationUrl = 'https://example.com/operating.md'
param silenceHours = 48
param settings = {
  EMAIL_REPLY_TO: 'access-team@example.com'
  RENEWAL_URL_TEMPLATE: 'https://portal.example.com/requests/{requestNumber}/renew'
  REQUEST_URL_TEMPLATE: 'https://portal.example.com/requests/new?like={requestNumber}'
  NOTIFICATION_TIME_ZONE: 'Europe/Berlin'
  CONTACT_TEXT: 'Write to data-access@example.com.'
  ORGANISATION_NAME: 'Contoso'
  NOTIFICATION_LEAD_DAYS: '14,7,1'
  REVOCATION_CEILING: '500'
  HTTP_AUTHORIZATION: 'signIn'
  DOCUMENTATION_URL: 'https://example.com/operating.md'
  NOTIFY_REVOKED: 'true'
  SCHEDULE_REVOKE_DATABRICKS: '0 0 * * * *'
  SCHEDULE_REVOKE_PALANTIR: '0 15 * * * *'
  SCHEDULE_NOTIFY_DATABRICKS: '0 30 6-18 * * *'
  SCHEDULE_NOTIFY_PALANTIR: '0 45 6-18 * * *'
}
