/** Which compiler `npm run check:infra` takes. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { bicepVersion, findBicep } from '../../scripts/bicep';

let directory: string;
let lines: string[];
beforeEach(() => {
  lines = [];
  directory = mkdtempSync(join(tmpdir(), 'bicep-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function place(file: string, script: string): string {
  const path = join(directory, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}
const version = (text: string): string => `echo 'Bicep CLI version ${text} (b34271ac51)'`;
/** The path holds only what a test puts there. */
const find = (): Promise<string | undefined> =>
  findBicep({ PATH: join(directory, 'path'), AZURE_CONFIG_DIR: join(directory, 'azure') }, (line) =>
    lines.push(line),
  );

test('without a compiler none is found', async () => {
  await expect(find()).resolves.toBeUndefined();
  expect(lines).toEqual([]);
});

test('the one in the path comes first', async () => {
  place('path/bicep', version('0.100.0'));
  await expect(find()).resolves.toBe('bicep');
  expect(lines).toEqual(['Bicep 0.100.0 (in the path)']);
});

test('one that is too old is named, and that of the Azure CLI is taken', async () => {
  place('path/bicep', version('0.9.1'));
  const ofAzureCli = place('azure/bin/bicep', version(bicepVersion));
  await expect(find()).resolves.toBe(ofAzureCli);
  expect(lines).toEqual([
    `Bicep 0.9.1 (in the path) is older than ${bicepVersion}, and is not used`,
    `Bicep ${bicepVersion} (az bicep)`,
  ]);
});

test('a package that cannot be restored is none', async () => {
  place('path/dotnet', '[ "$1" = msbuild ]');
  await expect(find()).resolves.toBeUndefined();
});

test('the package is restored, and asked for its path', async () => {
  const inPackage = place('package/bicep', version(bicepVersion));
  const restored = join(directory, 'restored');
  place(
    'path/dotnet',
    `case "$1 $*" in
restore*BicepVersion=${bicepVersion}*) : > ${restored} ;;
msbuild*-getProperty:BicepPath*) [ ! -e ${restored} ] || echo ${inPackage} ;;
*) exit 1 ;;
esac`,
  );
  await expect(find()).resolves.toBe(inPackage);
  expect(lines).toEqual([`Bicep ${bicepVersion} (NuGet package)`]);
});
