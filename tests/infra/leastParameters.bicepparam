// What a site has to set.
using '../../infra/main.bicep'

param environmentName = 'prod'
param location = 'westeurope'
param sqlServer = 'my-server.database.windows.net'
param sqlDatabase = 'access'
param operatorsEmail = 'access-operators@example.com'
