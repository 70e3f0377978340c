// The four jobs.
@export()
var revocationJobTypes = ['RevokeExpiredDatabricksRequests', 'RevokeExpiredPalantirRequests']

@export()
var jobTypes = concat(revocationJobTypes, ['ExpiryNotificationDatabricksRequests', 'ExpiryNotificationPalantirRequests'])
