import { setTimeout as delay } from 'node:timers/promises';
import { askResourceManager, DeployedAppError, readAnswer, type AppInAzure } from './resourceManager';

/**
 * The age at which storage should know a role assignment. In ms. Microsoft says up to ten minutes; azure-dev, issue 8026,
 * needed one.
 */
const defaultSettledMs = 3 * 60_000;

export interface RoleAssignmentsOptions extends AppInAzure {
  readonly settledMs?: number;
}

/**
 * Waits until the roles of a function app's identity are old enough to be in force: a package deployed right after they
 * were assigned fails with InaccessibleStorageException.
 * @throws DeployedAppError
 */
export async function waitForRoleAssignments(options: RoleAssignmentsOptions): Promise<void> {
  const { appId, log, settledMs = defaultSettledMs } = options;
  const { identity } = await readAnswer<{
    identity?: { userAssignedIdentities?: Record<string, { principalId: string }> };
  }>(await askResourceManager(options, 'GET', appId, { 'api-version': '2025-03-01' }));
  const [principal] = Object.values(identity?.userAssignedIdentities ?? {});
  if (!principal) throw new DeployedAppError(`${appId} has no user-assigned identity.`);

  const group = appId.replace(/\/providers\/.*$/i, '');
  const { value } = await readAnswer<{ value: { properties: { createdOn: string } }[] }>(
    await askResourceManager(options, 'GET', `${group}/providers/Microsoft.Authorization/roleAssignments`, {
      'api-version': '2022-04-01',
      $filter: `principalId eq '${principal.principalId}'`,
    }),
  );
  if (value.length === 0)
    throw new DeployedAppError(`The identity of ${appId} has no role in ${group}: provision first.`);
  const newest = Math.max(...value.map(({ properties }) => Date.parse(properties.createdOn)));
  const leftMs = newest + settledMs - Date.now();
  if (leftMs > 0) {
    log(`The app's roles are new: waiting ${Math.ceil(leftMs / 1000)} s until its storage knows them`);
    await delay(leftMs);
  }
  log(`Roles of the app's identity: ${value.length}, each at least ${settledMs / 1000} s old`);
}
