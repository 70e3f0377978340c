// The mail service: what the app sends through, the domain that it sends from, and the log of what was delivered. Without
// access keys: the app's identity signs in.
param suffix string
param tags object
param dataLocation string
param senderDomain string
param senderDomainVerified bool
param senderUsername string
param senderDisplayName string
param principalId string
param workspaceId string

var useSenderDomain = !empty(senderDomain) && senderDomainVerified

// Built-in role "Communication and Email Service Owner". There is none for sending only.
var emailServiceOwner = '09976791-48a7-449e-bb21-39d1a415f350'

resource emailService 'Microsoft.Communication/emailServices@2025-05-01' = {
  name: 'email-${suffix}'
  location: 'global'
  tags: tags
  properties: {
    dataLocation: dataLocation
  }
}

resource azureDomain 'Microsoft.Communication/emailServices/domains@2025-05-01' = {
  parent: emailService
  name: 'AzureManagedDomain'
  location: 'global'
  tags: tags
  properties: {
    domainManagement: 'AzureManaged'
    userEngagementTracking: 'Disabled'
  }
}

resource siteDomain 'Microsoft.Communication/emailServices/domains@2025-05-01' = if (!empty(senderDomain)) {
  parent: emailService
  name: senderDomain
  location: 'global'
  tags: tags
  properties: {
    domainManagement: 'CustomerManaged'
    userEngagementTracking: 'Disabled'
  }
}

resource azureSender 'Microsoft.Communication/emailServices/domains/senderUsernames@2025-05-01' = if (!useSenderDomain) {
  parent: azureDomain
  name: senderUsername
  properties: {
    username: senderUsername
    displayName: senderDisplayName
  }
}

resource siteSender 'Microsoft.Communication/emailServices/domains/senderUsernames@2025-05-01' = if (useSenderDomain) {
  parent: siteDomain
  name: senderUsername
  properties: {
    username: senderUsername
    displayName: senderDisplayName
  }
}

resource communicationService 'Microsoft.Communication/communicationServices@2025-05-01' = {
  name: 'acs-${suffix}'
  location: 'global'
  tags: tags
  properties: {
    dataLocation: dataLocation
    disableLocalAuth: true
    linkedDomains: [useSenderDomain ? siteDomain.id : azureDomain.id]
  }
}

resource senderRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(communicationService.id, principalId, emailServiceOwner)
  scope: communicationService
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', emailServiceOwner)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

// The rule's only suggestion is 2016-09-01, which allows one setting per resource, without a name.
#disable-next-line use-recent-api-versions
resource deliveryLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'delivery'
  scope: communicationService
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'EmailSendMailOperational'
        enabled: true
      }
      {
        category: 'EmailStatusUpdateOperational'
        enabled: true
      }
    ]
  }
}

output endpoint string = 'https://${communicationService.properties.hostName}'
output senderAddress string = '${senderUsername}@${useSenderDomain ? senderDomain : azureDomain.properties.fromSenderDomain}'
// The DNS records that verify senderDomain; none without one.
output senderDomainRecords object = empty(senderDomain) ? {} : siteDomain!.properties.verificationRecords
