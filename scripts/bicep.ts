import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The oldest compiler that knows every API version in infra/, and the one that NuGet is asked for. */
export const bicepVersion = '0.49.2';

/** Advice where no compiler is found. */
export const howToGetBicep = `Install Bicep ${bicepVersion} or later (https://aka.ms/bicep-install; az bicep upgrade), or the .NET SDK, which gets the compiler from NuGet.`;

export interface Ended {
  /** undefined if the program does not exist. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function run(
  program: string,
  parameters: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(program, parameters, { env: environment, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : undefined;
      resolve({ code, stdout, stderr });
    });
  });
}

/**
 * Finds Bicep's compiler: `bicep` in the path, the one of `az bicep`, or the NuGet package through the .NET SDK.
 * @param environment PATH, and AZURE_CONFIG_DIR if the Azure CLI keeps its settings elsewhere
 * @param log receives a line about the one that is found, and about each that is too old
 * @returns its path; undefined if there is none
 */
export async function findBicep(
  environment: NodeJS.ProcessEnv,
  log: (line: string) => void,
): Promise<string | undefined> {
  for (const [name, find] of Object.entries(places)) {
    const path = await find(environment);
    if (path === '') continue;
    const { stdout } = await run(path, ['--version'], environment);
    const [, version] = /version (\d+\.\d+\.\d+)/.exec(stdout) ?? [];
    if (version === undefined) continue;
    if (version.localeCompare(bicepVersion, 'en', { numeric: true }) >= 0) {
      log(`Bicep ${version} (${name})`);
      return path;
    }
    log(`Bicep ${version} (${name}) is older than ${bicepVersion}, and is not used`);
  }
  return undefined;
}

const places: Readonly<Record<string, (environment: NodeJS.ProcessEnv) => string | Promise<string>>> = {
  'in the path': () => 'bicep',
  // Beside the settings of the Azure CLI.
  'az bicep': ({ AZURE_CONFIG_DIR }) => join(AZURE_CONFIG_DIR ?? join(homedir(), '.azure'), 'bin', 'bicep'),
  'NuGet package': async (environment) => {
    const project = [
      join(__dirname, 'bicep.csproj'),
      `-p:BicepVersion=${bicepVersion}`,
      `-p:BaseIntermediateOutputPath=${join(__dirname, '../.local/bicep/')}`,
    ];
    await run('dotnet', ['restore', ...project], environment);
    // The package's own property; empty where it is not restored.
    const { stdout } = await run('dotnet', ['msbuild', ...project, '-getProperty:BicepPath'], environment);
    return stdout.trim();
  },
};
