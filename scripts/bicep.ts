import { execFile } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The oldest compiler that knows every API version in infra/, and the one that NuGet is asked for. */
export const bicepVersion = '0.49.2';

/** What is said where no compiler is found. */
export const howToGetBicep = `Install Bicep ${bicepVersion} or later (https://aka.ms/bicep-install; az bicep upgrade), or the .NET SDK, which gets the compiler from NuGet.`;

export interface Ended {
  /** undefined where the program is not there. */
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
    const options = {
      env: environment,
      maxBuffer: 64 * 1024 * 1024,
      // A script on Windows.
      shell: process.platform === 'win32' && program === 'az',
    };
    execFile(program, parameters, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : undefined;
      resolve({ code, stdout, stderr });
    });
  });
}

/**
 * Finds Bicep's compiler: `bicep` in the path, the one of `az bicep`, or the NuGet package through the .NET SDK.
 * @param environment PATH, and AZURE_CONFIG_DIR where the Azure CLI has its settings elsewhere
 * @param log takes a line about the one that is found, and about each that is too old
 * @returns its path; undefined where there is none
 */
export async function findBicep(
  environment: NodeJS.ProcessEnv,
  log: (line: string) => void,
): Promise<string | undefined> {
  for (const [name, find] of Object.entries(places)) {
    const path = await find(environment);
    if (path === undefined) continue;
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

const places: Readonly<Record<string, (environment: NodeJS.ProcessEnv) => Promise<string | undefined>>> = {
  'in the path': () => Promise.resolve('bicep'),
  'az bicep': async (environment) => {
    const { code } = await run('az', ['bicep', 'version'], environment);
    // The Azure CLI keeps the compiler beside its settings.
    return code === 0
      ? join(environment.AZURE_CONFIG_DIR ?? join(homedir(), '.azure'), 'bin', 'bicep')
      : undefined;
  },
  'NuGet package': async (environment) => {
    const restored = await pathInPackage(environment);
    if (restored !== undefined) return restored;
    const { code } = await run('dotnet', ['restore', ...project], environment);
    return code === 0 ? pathInPackage(environment) : undefined;
  },
};

const project = [
  join(__dirname, 'bicep.csproj'),
  `-p:BicepVersion=${bicepVersion}`,
  `-p:BaseIntermediateOutputPath=${join(__dirname, '../.local/bicep/')}`,
];

/** The package's own property; empty before it is restored. */
async function pathInPackage(environment: NodeJS.ProcessEnv): Promise<string | undefined> {
  const { code, stdout } = await run(
    'dotnet',
    ['msbuild', ...project, '-getProperty:BicepPath'],
    environment,
  );
  return code === 0 ? stdout.trim() || undefined : undefined;
}
