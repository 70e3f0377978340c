// The function app on the Flex Consumption plan, with all its app settings.
import { jobTypes } from 'jobTypes.bicep'

param name string
param planName string
param location string
param tags object
param identityId string
param identityClientId string
param deploymentContainerUrl string
param settings object
@description('Settings that follow from other resources. They win over the site\'s own.')
param derivedSettings object
param subnetId string
param instanceMemoryMB int
param maximumInstanceCount int
param signInClientId string
param disabledJobs string
param inboundRanges string

// Only the platform may say whether App Service authentication is on: the app trusts WEBSITE_AUTH_ENABLED.
var ofPlatform = filter(items(settings), setting => startsWith(toUpper(setting.key), 'WEBSITE_AUTH_'))
var siteSettings = empty(ofPlatform)
  ? settings
  : fail('settings must not hold WEBSITE_AUTH_ settings, which App Service sets: ${join(map(ofPlatform, setting => setting.key), ', ')}')

var ownSettings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  AZURE_CLIENT_ID: identityClientId
  // In bytes. The app takes 16 KiB; the host holds a body as large as this in memory, by default 100 MB.
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '65536'
}

// Signing in without a secret: the app registration trusts the identity ("Use a managed identity instead of a secret").
var managedIdentityAssertion = 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'
var signInSettings = empty(signInClientId)
  ? {}
  : {
      '${managedIdentityAssertion}': identityClientId
      WEBSITE_AUTH_AAD_ALLOWED_TENANTS: tenant().tenantId
    }

// Under the names that the portal uses: what is switched off or on there lasts until the next deployment.
var disabledJobSettings = toObject(
  filter(map(split(disabledJobs, ','), name => trim(name)), name => !empty(name)),
  name => contains(jobTypes, name)
    ? 'AzureWebJobs.${name}.Disabled'
    : fail('DISABLED_JOBS: ${name} is not a job; expected ${join(jobTypes, ', ')}, separated by commas'),
  name => 'true'
)

var inboundRules = map(filter(map(split(inboundRanges, ','), range => trim(range)), range => !empty(range)), range => {
  ipAddress: range
  action: 'Allow'
  priority: 100
})

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource functionApp 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  // azd finds the app of the service "app" in azure.yaml by this tag.
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'node'
        version: '24'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        triggers: {
          http: {
            // As maxConcurrentRequests in host.json: a further instance opens as many sessions in the database again.
            perInstanceConcurrency: 32
          }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      cors: {
        // The portal's Test/Run calls HTTP functions from the browser.
        allowedOrigins: ['https://portal.azure.com']
      }
      ipSecurityRestrictions: inboundRules
      ipSecurityRestrictionsDefaultAction: empty(inboundRules) ? 'Allow' : 'Deny'
      // Deployments come from other addresses than people do.
      scmIpSecurityRestrictionsUseMain: false
      appSettings: [
        for setting in items(union(siteSettings, disabledJobSettings, derivedSettings, ownSettings, signInSettings)): {
          name: setting.key
          value: setting.value
        }
      ]
    }
  }
}

// Deployments sign in with Microsoft Entra ID: no user name and password opens the app's deployment site.
resource deploymentSite 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: functionApp
  name: 'scm'
  properties: {
    allow: false
  }
}

resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: functionApp
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource signIn 'Microsoft.Web/sites/config@2025-03-01' = if (!empty(signInClientId)) {
  parent: functionApp
  name: 'authsettingsV2'
  properties: {
    platform: {
      enabled: true
    }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'RedirectToLoginPage'
      redirectToProvider: 'azureactivedirectory'
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: signInClientId
          clientSecretSettingName: managedIdentityAssertion
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [
            signInClientId
            'api://${signInClientId}'
          ]
        }
      }
    }
  }
}

output id string = functionApp.id
output address string = 'https://${functionApp.properties.defaultHostName}'
