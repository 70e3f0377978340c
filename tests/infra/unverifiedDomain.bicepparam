// A domain of the site's own, whose DNS records are not verified yet.
using '../../infra/main.bicep'

param environmentName = 'prod'
param location = 'westeurope'
param sqlServer = 'my-server.database.windows.net'
param sqlDatabase = 'access'
param operatorsEmail = 'access-operators@example.com'
param senderDomain = 'example.com'
param deployedAt = '2026-11-24T08:00:00'
