// What a site cannot leave out. The time is given so that the evaluation does not change.
using '../../infra/main.bicep'

param environmentName = 'prod'
param location = 'westeurope'
param sqlServer = 'my-server.database.windows.net'
param sqlDatabase = 'access'
param operatorsEmail = 'access-operators@example.com'
param deployedAt = '2026-11-24T08:00:00'
